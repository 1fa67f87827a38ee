//! Commands in containers.
//!
//! In: a container that runs. Out: a session of the little [`shell`](crate::shell); or, where the script says anything of commands, one that writes
//! and ends as it says, whatever the command is. Invariant: a scripted command that is given up before its end is told as an event of the
//! pod, so that tests see that it was.

use std::rc::Rc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use pluglet_sdk::{ByteStream, Error, ExecRequest, Host, PodRef, Result, Session, SessionInput};

use crate::life::present_run;
use crate::pods::Pods;
use crate::shell::{self, Place};

/// Run a command in a container.
pub(crate) fn exec(pods: &Rc<Pods>, pod: PodRef, request: ExecRequest, input: SessionInput) -> Result<Session> {
    let now_ns = pods.host.now_unix_ns();
    let found = pods.with_mut(&pod.uid, |entry| {
        present_run(&entry.record, entry.stage().stopping_ns(), &request.container, now_ns)?;
        let place = Place {
            host: pods.host.clone(),
            env: Rc::new(entry.env(&request.container)),
            files: entry.memory.files(&request.container),
            size: Rc::default(),
            tty: request.tty,
        };
        Some((entry.record.script.has_commands(), place))
    });
    let (scripted, place) = found.flatten().ok_or(Error::NotFound)?;
    if scripted { script(pods, pod, &request.container) } else { Ok(shell::run(place, request, input)) }
}

fn script(pods: &Rc<Pods>, pod: PodRef, container: &str) -> Result<Session> {
    let now_ns = pods.host.now_unix_ns();
    let found = pods.with_mut(&pod.uid, |entry| {
        present_run(&entry.record, entry.stage().stopping_ns(), container, now_ns)?;
        let script = &entry.record.script;
        Some((entry.memory.next_exit_code(container, script), script.exec_output.clone(), script.exec_delay))
    });
    let (code, output, delay_ns) = found.flatten().ok_or(Error::NotFound)?;
    let delay = Duration::from_nanos(delay_ns);
    let host = pods.host.clone();
    let open = Open { host: host.clone(), pod: Some(pod) };
    let exit = async move {
        sleep(&host, delay).await;
        open.close();
        Ok(code)
    };
    Ok(Session {
        stdout: written(&pods.host, output, delay),
        stderr: written(&pods.host, String::new(), delay),
        exit: Box::pin(exit),
    })
}

/// Text that is there at once, in a stream that stays open until the command ends.
fn written(host: &Host, text: String, delay: Duration) -> ByteStream {
    let text = (!text.is_empty()).then(|| text.into_bytes());
    let host = host.clone();
    let end = stream::once(async move { sleep(&host, delay).await }).filter_map(async |()| None);
    stream::iter(text).chain(end).boxed_local()
}

async fn sleep(host: &Host, delay: Duration) {
    if !delay.is_zero() {
        host.sleep(delay).await;
    }
}

/// A command that has not ended.
struct Open {
    host: Host,
    pod: Option<PodRef>,
}

impl Open {
    /// It has ended by itself.
    fn close(mut self) {
        self.pod = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(pod) = self.pod.take() {
            self.host.pod_event(pod, "CommandAbandoned", "nobody waits for the end of a command any more");
        }
    }
}
