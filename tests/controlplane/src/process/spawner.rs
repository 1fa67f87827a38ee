//! The one thread that forks.
//!
//! In: commands, over a channel. Out: children. The kernel's parent-death signal fires when the forking *thread* ends,
//! so this one runs until the process does; it is the only thread in the crate that nobody joins.

use std::io;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::thread;

struct Request {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// Starts `command` from the long-lived thread.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(start);
    let (reply, answer) = mpsc::channel();
    spawner.send(Request { command, reply }).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

fn start() -> mpsc::Sender<Request> {
    let (sender, requests) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for mut request in requests {
            // An asker that is gone drops the child's handle, and with it nothing is lost but the child.
            let _ = request.reply.send(request.command.spawn());
        }
    });
    sender
}
