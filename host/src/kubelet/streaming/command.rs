//! Runs what a client wants in a container.
//!
//! In: a [`Client`]. Out: an [`Outcome`]. Invariant: the outcome comes after the last byte of output; a client that goes away ends an exec, and leaves
//! the process of an attach alone.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::BoxStream;
use pluglet_model::PodKey;
use pluglet_model::provider::{Error, Provider};
use pluglet_model::session::{ExecRequest, Session, SessionInput};

use super::client::{Client, Gone, Output};
use super::outcome::Outcome;

/// What to do in which container.
pub(super) struct Command {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) key: PodKey,
    pub(super) container: String,
    pub(super) tty: bool,
    pub(super) action: Action,
}

pub(super) enum Action {
    Exec(Vec<String>),
    Attach,
}

impl Command {
    /// Runs it to its end. None where the client has gone away before. Dropping the future ends it likewise.
    pub(super) async fn run(self, client: Client) -> Option<Outcome> {
        let Client { stdin, resize, stdout, stderr } = client;
        let doing = match &self.action {
            Action::Exec(_) => "executing command in container",
            Action::Attach => "attaching to container",
        };
        let session = match self.open(SessionInput { stdin, resize }).await {
            Ok(session) => session,
            Err(error) => return Some(Outcome::of(Err(error), doing)),
        };
        let Session { stdout: out, stderr: err, exit } = session;
        let copied = async { tokio::try_join!(copy(out, stdout.as_ref()), copy(err, stderr.as_ref())) };
        // A provider may know the exit code before all output is through, or after it.
        let end = match select(pin!(copied), exit).await {
            Either::Left((Err(Gone), _)) => return None,
            Either::Left((Ok(_), exit)) => exit.await,
            Either::Right((end, copied)) => {
                copied.await.ok()?;
                end
            }
        };
        Some(Outcome::of(end, doing))
    }

    async fn open(&self, input: SessionInput) -> Result<Session, Error> {
        match &self.action {
            Action::Exec(command) => {
                let request =
                    ExecRequest { container: self.container.clone(), command: command.clone(), tty: self.tty };
                self.provider.exec(&self.key, request, input).await
            }
            Action::Attach => self.provider.attach(&self.key, &self.container, input).await,
        }
    }
}

/// All of it. What the client does not want to hear of is read all the same: a command that cannot write does not end.
async fn copy(mut from: BoxStream<'static, Bytes>, to: Option<&Output>) -> Result<(), Gone> {
    while let Some(bytes) = from.next().await {
        if let Some(to) = to {
            to.send(bytes).await?;
        }
    }
    Ok(())
}
