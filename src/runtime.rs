//! The async runtime, made only by commands that need it, and Ctrl-C as an error like any other.
use std::future::Future;

use crate::error::{Fault, OrFault, Result};

/// Runs a future on this thread; Ctrl-C, SIGTERM or SIGHUP drops it, which ends its children, and gives
/// [`crate::error::Kind::Interrupted`], [`crate::error::Kind::Terminated`] or [`crate::error::Kind::HungUp`].
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

/// Waits for SIGHUP: the terminal has gone. Never comes under nohup, which asks not to be told.
async fn hung_up() {
    let ignored = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
    });
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        Ok(mut hangup) if !ignored => drop(hangup.recv().await),
        _ => std::future::pending().await,
    }
}

fn run<T>(builder: &mut tokio::runtime::Builder, future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = builder.enable_all().build().or_fault(|| "can't start the async runtime".into())?;
    let result = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .or_fault(|| "can't listen for signals".into())?;
        tokio::select! {
            result = future => result,
            _ = tokio::signal::ctrl_c() => Err(Fault::interrupted()),
            _ = terminate.recv() => Err(Fault::terminated()),
            () = hung_up() => Err(Fault::hung_up()),
        }
    });
    // A blocked read of stdin must not keep the process from ending.
    runtime.shutdown_background();
    result
}
