//! Ports of pods, by way of a command in the sandbox.
//!
//! In: one connection's bytes. Out: what the port answers. Invariant: a command that fails is a connection that was refused, with the command's
//! words.

use std::cell::RefCell;
use std::rc::Rc;

use futures::stream::{self, StreamExt};
use pluglet_sdk::{ByteStream, Error, PodRef, Result, SessionInput, Tunnel};

use crate::client::Client;
use crate::{exec, sandboxes};

/// How much of what the command complains of is shown.
const SHOWN: usize = 512;

/// Connect to a port. The command has the connection's bytes as its input and output.
pub(crate) async fn connect(client: &Client, pod: &PodRef, command: Vec<String>, input: ByteStream) -> Result<Tunnel> {
    let sandbox = sandboxes::running(client, pod).await?;
    let input = SessionInput { stdin: input, resize: stream::empty().boxed_local() };
    let session = exec::start(client, &sandbox, &command, false, input).await?;
    let complaint: Rc<RefCell<Vec<u8>>> = Rc::default();
    let heard = Rc::clone(&complaint);
    let listening = session.stderr.filter_map(move |bytes| {
        let room = SHOWN.saturating_sub(heard.borrow().len());
        heard.borrow_mut().extend(bytes.iter().take(room));
        async { None }
    });
    let failure: Rc<RefCell<Option<Error>>> = Rc::default();
    let outcome = Rc::clone(&failure);
    let ending = stream::once(session.exit).filter_map(move |code| {
        let failed = match code {
            Ok(0) => None,
            Ok(code) => Some(refused(code, &complaint.borrow())),
            Err(error) => Some(error),
        };
        outcome.replace(failed);
        async { None }
    });
    // All three have to be polled beside each other: what waits for the exit code is what moves the bytes. A failure is told after the last of them.
    let bytes = stream::select(stream::select(session.stdout.map(Ok), listening), ending);
    let end = stream::once(async move { failure.take() }).filter_map(async |failed| failed.map(Err));
    Ok(bytes.chain(end).boxed_local())
}

fn refused(code: i32, complaint: &[u8]) -> Error {
    let words = String::from_utf8_lossy(complaint);
    Error::unavailable(format!("the forwarding command ended with code {code}: {}", words.trim()))
}
