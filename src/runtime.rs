//! The async runtime, made only by commands that need it, and Ctrl-C as an error like any other.
use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Does work that takes but a moment and must not be ended half-way: a signal meanwhile is kept until `may_end` asks for
/// it, and what comes after that is too late.
///
/// # Errors
/// Those of the work.
pub fn whole<T>(work: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_fault(|| "can't start the async runtime".into())?;
    let enter = runtime.enter();
    let listen = |kind| signal(kind).or_fault(|| "can't listen for signals".into());
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = hangup();
    drop(enter);
    work(&mut || {
        runtime.block_on(async {
            // In its order: what has come counts before that nothing more comes.
            tokio::select! {
                biased;
                _ = interrupt.recv() => Err(Fault::interrupted()),
                _ = terminate.recv() => Err(Fault::terminated()),
                () = received(&mut hangup) => Err(Fault::hung_up()),
                () = tokio::time::sleep(std::time::Duration::from_millis(1)) => Ok(()),
            }
        })
    })
}

/// SIGHUP: the terminal has gone. `None` under nohup, which asks not to be told.
fn hangup() -> Option<Signal> {
    let ignored = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
    });
    if ignored { None } else { signal(SignalKind::hangup()).ok() }
}

/// Waits for it; one that is none never comes.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn run<T>(builder: &mut tokio::runtime::Builder, future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = builder.enable_all().build().or_fault(|| "can't start the async runtime".into())?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).or_fault(|| "can't listen for signals".into())?;
        let mut hangup = hangup();
        tokio::select! {
            result = future => result,
            _ = tokio::signal::ctrl_c() => Err(Fault::interrupted()),
            _ = terminate.recv() => Err(Fault::terminated()),
            () = received(&mut hangup) => Err(Fault::hung_up()),
        }
    });
    // A blocked read of stdin must not keep the process from ending.
    runtime.shutdown_background();
    result
}
