//! Waiting for Ctrl-C or SIGTERM, so that what was started is taken down in order.

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Returns when someone wants this program to end.
pub(crate) async fn requested() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Runs a command that talks to a cluster.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // Not waiting for blocking work: after an interrupt that may be a build of several minutes.
    runtime.shutdown_background();
    outcome
}

/// Awaits `work`, unless someone wants this program to end first.
pub(crate) async fn unless_requested<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        outcome = work => outcome,
        outcome = requested() => outcome.and_then(|()| bail!("interrupted")),
    }
}
