//! A container that has no processes answers commands as one with a small shell would.
//!
//! In: a command, what is typed. Out: output and an exit code. Invariant: nothing is kept but what `tar` unpacks, in memory, until the provider
//! ends; a program whose reader has left stops.
//!
//! What there is: `sh` (with `-c`, or line by line), `echo`, `cat`, `true`, `false`, `exit`, `sleep`, `env`, `yes`, `head -c`, `head -n`, `wc -c`,
//! `stty size`, `test -d`, and `tar` as `kubectl cp` calls it; `;`, `&&`, `|`, quotes, `$NAME` and `>&2`.

mod archive;
mod parse;
mod programs;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::{mpsc, oneshot};
use futures::stream::StreamExt;
use futures::{FutureExt, SinkExt};
use pluglet_sdk::{ByteStream, ExecRequest, Host, Session, SessionInput, TerminalSize};

pub(crate) use archive::Files;
use parse::{Command, Joint, parse};

/// Pieces of output that wait for the user.
const WAITING: usize = 2;

/// What a program knows of where it runs.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) host: Host,
    /// Name and value.
    pub(crate) env: Rc<Vec<(String, String)>>,
    pub(crate) files: Rc<RefCell<Files>>,
    pub(crate) size: Rc<Cell<Option<TerminalSize>>>,
    pub(crate) tty: bool,
}

/// Where bytes go.
#[derive(Clone)]
pub(crate) struct Out(mpsc::Sender<Vec<u8>>);

impl Out {
    fn channel() -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// False when nobody reads any more.
    async fn write(&mut self, bytes: impl Into<Vec<u8>>) -> bool {
        self.0.send(bytes.into()).await.is_ok()
    }
}

/// What a program is connected to.
struct Io {
    input: ByteStream,
    out: Out,
    err: Out,
}

/// Runs a command for as long as somebody listens.
pub(crate) fn run(place: Place, request: ExecRequest, input: SessionInput) -> Session {
    let (out, stdout) = Out::channel();
    let (err, stderr) = Out::channel();
    let (mut told, exit) = oneshot::channel();
    let SessionInput { stdin, mut resize } = input;
    let (host, size) = (place.host.clone(), place.size.clone());
    // With a terminal there is one output.
    let err = if place.tty { out.clone() } else { err };
    host.spawn(async move {
        let sizes = async {
            while let Some(now) = resize.next().await {
                size.set(Some(now));
            }
            std::future::pending::<()>().await;
        };
        let program = async {
            let io = Io { input: stdin, out, err };
            if let [name] = request.command.as_slice()
                && is_shell(name)
            {
                interactive(&place, io).await
            } else {
                program(&place, &request.command, io).await
            }
        };
        let code = futures::select_biased! {
            code = Box::pin(program).fuse() => Some(code),
            // Nobody waits for it any more.
            () = told.cancellation().fuse() => None,
            () = Box::pin(sizes).fuse() => None,
        };
        if let Some(code) = code {
            told.send(code).ok();
        }
    });
    Session {
        stdout: stdout.boxed_local(),
        stderr: stderr.boxed_local(),
        exit: Box::pin(async move { Ok(exit.await.unwrap_or(137)) }),
    }
}

fn is_shell(name: &str) -> bool {
    ["sh", "bash", "/bin/sh", "/bin/bash"].contains(&name)
}

/// One program, its words as they are.
async fn program(place: &Place, words: &[String], io: Io) -> i32 {
    match words {
        [name, flag, script, ..] if is_shell(name) && flag.ends_with('c') => {
            let Io { input, out, err } = io;
            let mut shell = Shell { place: place.clone(), input: Rc::new(RefCell::new(Some(input))), out, err };
            shell.script(script).await.code()
        }
        [name, rest @ ..] => programs::run(place, name, rest, io).await,
        [] => 0,
    }
}

/// A shell between two commands.
struct Shell {
    place: Place,
    /// The first program that reads takes it.
    input: Rc<RefCell<Option<ByteStream>>>,
    out: Out,
    err: Out,
}

/// What a script has come to.
enum Ended {
    Code(i32),
    /// `exit`: the rest is not run.
    Exit(i32),
}

impl Ended {
    fn code(&self) -> i32 {
        match self {
            Self::Code(code) | Self::Exit(code) => *code,
        }
    }
}

impl Shell {
    async fn script(&mut self, script: &str) -> Ended {
        let lists = match parse(script, &self.place.env) {
            Ok(lists) => lists,
            Err(error) => {
                self.err.write(format!("sh: {error}\n")).await;
                return Ended::Code(2);
            }
        };
        let mut code = 0;
        for (joint, pipeline) in lists {
            if joint == Joint::And && code != 0 {
                continue;
            }
            if let [Command { words, .. }] = pipeline.as_slice()
                && words.first().is_some_and(|word| word == "exit")
            {
                return Ended::Exit(words.get(1).and_then(|code| code.parse().ok()).unwrap_or(code) & 0xff);
            }
            code = self.pipeline(&pipeline).await;
        }
        Ended::Code(code)
    }

    /// All at once, each reading what the one before writes. The last one's code counts.
    async fn pipeline(&mut self, commands: &[Command]) -> i32 {
        let mut input = self.input.borrow_mut().take().unwrap_or_else(|| futures::stream::empty().boxed_local());
        let mut running = vec![];
        for (number, command) in commands.iter().enumerate() {
            let last = number + 1 == commands.len();
            let (out, next) = if last {
                (self.out.clone(), None)
            } else {
                let (out, next) = Out::channel();
                (out, Some(next))
            };
            let out = if command.to_stderr { self.err.clone() } else { out };
            let io = Io { input, out, err: self.err.clone() };
            let (place, words) = (self.place.clone(), command.words.clone());
            running.push(async move { Box::pin(program(&place, &words, io)).await });
            input = next.map_or_else(|| futures::stream::empty().boxed_local(), |next| next.boxed_local());
        }
        futures::future::join_all(running).await.last().copied().unwrap_or_default()
    }
}

/// Line by line, with a prompt where there is a terminal. Programs that are started so read nothing.
async fn interactive(place: &Place, io: Io) -> i32 {
    let Io { mut input, out, err } = io;
    let mut shell = Shell { place: place.clone(), input: Rc::default(), out: out.clone(), err };
    let (mut out, mut line, mut code) = (out, Vec::new(), 0);
    if place.tty {
        out.write("$ ").await;
    }
    while let Some(bytes) = input.next().await {
        for byte in bytes {
            match byte {
                // Control-C, Control-D.
                3 if place.tty => line.clear(),
                4 if place.tty && line.is_empty() => return code,
                b'\r' | b'\n' => {
                    if place.tty {
                        out.write("\r\n").await;
                    }
                    let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                    match shell.script(&text).await {
                        Ended::Exit(last) => return last,
                        Ended::Code(last) => code = last,
                    }
                    if place.tty {
                        out.write("$ ").await;
                    }
                }
                byte => {
                    line.push(byte);
                    // A terminal shows what is typed.
                    if place.tty && !out.write([byte]).await {
                        return 129;
                    }
                }
            }
        }
    }
    code
}
