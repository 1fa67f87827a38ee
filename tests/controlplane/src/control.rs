//! How a process that attached to a control plane asks its owner to stop and start the API server.
//!
//! In: a Unix socket in the control plane's directory; a request is one line, the answer is one line: `ok` or the error.
//! Only the owner may start components: a child dies with the process that started it, and a test binary ends long
//! before the control plane should.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};

use crate::components::Component;
use crate::supervisor::Supervisor;

/// What can be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    StopApiServer,
    StartApiServer,
}

impl Request {
    fn word(self) -> &'static str {
        match self {
            Self::StopApiServer => "stop-apiserver",
            Self::StartApiServer => "start-apiserver",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::StopApiServer, Self::StartApiServer].into_iter().find(|request| request.word() == word)
    }

    /// Does what is asked, in the owner's process.
    pub(crate) fn serve(self, supervisor: &Supervisor) -> Result<()> {
        match self {
            Self::StopApiServer => supervisor.stop(Component::ApiServer),
            Self::StartApiServer => supervisor.start(Component::ApiServer),
        }
    }
}

/// Asks the owner that listens at `socket`.
pub(crate) fn ask(socket: &Path, request: Request) -> Result<()> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("the owner of the control plane is gone: nobody listens at {}", socket.display()))?;
    writeln!(stream, "{}", request.word())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim() {
        "ok" => Ok(()),
        error => bail!("the owner of the control plane could not {}: {error}", request.word()),
    }
}

/// The owner's side: a thread that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    socket: PathBuf,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn listen(socket: PathBuf, supervisor: Arc<Supervisor>) -> Result<Self> {
        let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
        let ending = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ending);
        let thread = std::thread::Builder::new().name("control-plane".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                // A client that broke off gets no answer; the next one is not its fault.
                let _ = stream.map_err(anyhow::Error::from).and_then(|stream| serve(&stream, &supervisor));
            }
        })?;
        Ok(Self { socket, ending, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // Wakes the thread from `accept`. Without a connection it cannot be woken, and is not waited for.
        if UnixStream::connect(&self.socket).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn serve(stream: &UnixStream, supervisor: &Supervisor) -> Result<()> {
    let mut word = String::new();
    BufReader::new(stream).read_line(&mut word)?;
    let outcome = match Request::parse(word.trim()) {
        Some(request) => request.serve(supervisor),
        None => Err(anyhow::anyhow!("unknown request {:?}", word.trim())),
    };
    let answer = outcome.map_or_else(|error| format!("{error:#}").replace('\n', " "), |()| "ok".to_owned());
    let mut stream = stream;
    writeln!(stream, "{answer}")?;
    Ok(())
}
