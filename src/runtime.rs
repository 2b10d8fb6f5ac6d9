//! The async runtime, made only by commands that need it, and Ctrl-C as an error like any other.
use std::future::Future;

use crate::error::{Fault, OrFault, Result};

/// Runs a future on this thread; Ctrl-C or SIGTERM drops it, which ends its children, and gives
/// [`crate::error::Kind::Interrupted`].
///
/// # Errors
/// Those of the future.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    run(&mut builder, future)
}

/// The same with worker threads, for work that takes both cores.
///
/// # Errors
/// Those of the future.
pub fn block_on_parallel<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    run(&mut builder, future)
}

fn run<T>(builder: &mut tokio::runtime::Builder, future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = builder.enable_all().build().or_fault(|| "can't start the async runtime".into())?;
    let result = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .or_fault(|| "can't listen for signals".into())?;
        tokio::select! {
            result = future => result,
            _ = tokio::signal::ctrl_c() => Err(Fault::interrupted()),
            _ = terminate.recv() => Err(Fault::interrupted()),
        }
    });
    // A blocked read of stdin must not keep the process from ending.
    runtime.shutdown_background();
    result
}
