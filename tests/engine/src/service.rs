//! `podman system service`: the process behind the socket.
//!
//! In: the files that say what engine it is. Out: a socket that answers. Containers are not its children, so it can be
//! killed and started again while they run.
//!
//! Invariant: the process does not outlive this one, however this one ends (see [`controlplane::process`]).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use controlplane::Process;
use controlplane::wait::{self, Answer};
use hyper::{Method, StatusCode};

use crate::client::Client;
use crate::configuration;
use crate::directory::Layout;

/// For the service to answer. It takes 0.1 s; a machine busy with a build takes more.
const READY: Duration = Duration::from_secs(60);

/// For clients to get their last answers: as long as it takes to start a container on a busy machine.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// For the service to end when it is asked to. It gives its clients a second, and itself another.
const GRACE: Duration = Duration::from_secs(10);

/// Between two looks.
const POLL: Duration = Duration::from_millis(10);

/// For one answer while waiting for the first.
const PING: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Service {
    layout: Layout,
    client: Client,
    running: Mutex<Option<Process>>,
}

impl Service {
    /// Starts nothing yet.
    pub(crate) fn new(layout: Layout) -> Self {
        let client = Client::new(layout.socket());
        Self { layout, client, running: Mutex::default() }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Starts it and waits until it answers. One that runs already is left alone.
    pub(crate) async fn start(&self) -> Result<()> {
        self.spawn()?;
        wait::until("podman to answer /_ping", READY, async || {
            self.check_running()?;
            let answer = self.client.request(Method::GET, "/_ping", Vec::new());
            Ok(match tokio::time::timeout(PING, answer).await {
                Ok(Ok((StatusCode::OK, _))) => Answer::Yes(()),
                Ok(Ok((status, _))) => Answer::NotYet(status.to_string()),
                Ok(Err(error)) => Answer::NotYet(format!("{error:#}")),
                Err(_) => Answer::NotYet(format!("no answer in {PING:?}")),
            })
        })
        .await
    }

    /// Kills it, as a crash would. One that does not run is left alone.
    pub(crate) fn kill(&self) -> Result<()> {
        if let Some(mut process) = self.running().take() {
            process.kill()?;
        }
        Ok(())
    }

    /// No client gets in from here on; those that are in may still ask for things.
    pub(crate) fn close(&self) -> Result<()> {
        let socket = self.layout.socket();
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", socket.display()))
            }
            _ => Ok(()),
        }
    }

    /// Ends it once it is done with what it was asked for. A container that is being started when it is killed leaves
    /// networks and more outside of the directory, of which podman then knows nothing.
    pub(crate) fn end(&self) -> Result<()> {
        let Some(mut process) = self.running().take() else { return Ok(()) };
        let begun = Instant::now();
        while connections(&self.layout.socket()) > 0 && begun.elapsed() < LAST_WORDS {
            std::thread::sleep(POLL);
        }
        // Being asked to end takes it a second or two even if nobody wants anything of it.
        if connections(&self.layout.socket()) > 0 && process.ended()?.is_none() && process.terminate(GRACE).is_ok() {
            return Ok(());
        }
        process.kill()
    }

    fn spawn(&self) -> Result<()> {
        let mut running = self.running();
        if let Some(process) = running.as_mut()
            && process.ended()?.is_none()
        {
            return Ok(());
        }
        // What a killed one left.
        self.close()?;
        let mut command = configuration::podman(&self.layout);
        command.args(["system", "service", "--time=0"]).arg(format!("unix://{}", self.layout.socket().display()));
        *running = Some(Process::spawn("podman", &command, &self.layout.service_log())?);
        Ok(())
    }

    fn check_running(&self) -> Result<()> {
        match self.running().as_mut() {
            Some(process) => process.check_running(),
            None => bail!("podman was killed while it was starting"),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        // It is consistent after every single operation, so a panic elsewhere does not spoil it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many connections a server has on a socket, whether their clients are still there or not.
fn connections(socket: &Path) -> usize {
    // Only Linux has the file, and only Linux has the server.
    connected(&fs::read_to_string("/proc/net/unix").unwrap_or_default(), socket)
}

/// Of the lines `address references protocol flags type state inode path`, those of a server's ends: only they, and the
/// socket that listens, have a path.
fn connected(sockets: &str, socket: &Path) -> usize {
    const LISTENS: &str = "00010000";
    let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_one = |fields: &Vec<&str>| match fields.as_slice() {
        [_, _, _, flags, _, _, _, path] => *flags != LISTENS && Path::new(path) == socket,
        _ => false,
    };
    fields.filter(is_one).count()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_connection_counts_until_its_server_is_done_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        if !fs::exists("/proc/net/unix").unwrap() {
            return;
        }
        assert_eq!(connections(&path), 0);
        let client = UnixStream::connect(&path).unwrap();
        assert_eq!(connections(&path), 1, "one that waits to be accepted");
        let (server, _) = listener.accept().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(connections(&path), 1, "one whose socket has no file any more");
        drop(client);
        assert_eq!(connections(&path), 1, "one whose client is gone");
        drop(server);
        assert_eq!(connections(&path), 0);
    }
}
