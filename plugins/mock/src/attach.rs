//! The streams of a container's own process.
//!
//! In: what is typed. Out: the same again, until the user leaves or the run ends. Invariant: the user's leaving ends nothing.

use std::rc::Rc;

use futures::SinkExt;
use futures::channel::{mpsc, oneshot};
use futures::future::select;
use futures::stream::StreamExt;
use pluglet_sdk::{Error, PodRef, Result, Session, SessionInput};

use crate::life::present_run;
use crate::pods::Pods;

/// Pieces of output that wait for the user.
const WAITING: usize = 2;

/// Attach to a container that runs.
pub(crate) fn attach(pods: &Rc<Pods>, pod: &PodRef, container: &str, input: SessionInput) -> Result<Session> {
    let now_ns = pods.host.now_unix_ns();
    let run = pods.with(&pod.uid, |entry| present_run(&entry.record, entry.stage().stopping_ns(), container, now_ns));
    let run = run.flatten().ok_or(Error::NotFound)?;
    let ended = pods.follow(&pod.uid, container).ok_or(Error::NotFound)?;
    let (mut out, stdout) = mpsc::channel(WAITING);
    let SessionInput { mut stdin, .. } = input;
    // Dropped when the session is over, in whichever way.
    let (open, over) = oneshot::channel::<()>();
    pods.host.spawn(async move {
        let typed = async {
            while let Some(bytes) = stdin.next().await {
                if out.send(bytes).await.is_err() {
                    return;
                }
            }
            // Who types nothing more still reads.
            std::future::pending::<()>().await;
        };
        select(Box::pin(typed), over).await;
    });
    let pods = pods.clone();
    let exit = async move {
        let _open = open;
        match run.ends_ns {
            Some(end) => drop(select(ended, pods.wake_at(end)).await),
            None => drop(ended.await),
        }
        Ok(run.exit_code)
    };
    Ok(Session { stdout: stdout.boxed_local(), stderr: futures::stream::empty().boxed_local(), exit: Box::pin(exit) })
}
