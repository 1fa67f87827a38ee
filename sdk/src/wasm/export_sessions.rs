//! The component's export `sessions`.
//!
//! In: calls and streams of the host. Out: calls of the author's provider, whose streams are pumped into the host's. Invariant: the
//! outcome is told after the last byte; when the user leaves, the provider's stream is dropped.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, pending, select, try_join};
use futures::stream::StreamExt;
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

use super::bindings::exports::pluglet::provider::sessions::{self as wit, LogItem, LogSource, TerminalSize};
use super::bindings::pluglet::provider::types::{Error, PodRef};
use super::bindings::{wit_future, wit_stream};
use super::exports::Exported;
use super::streams::{byte_stream, items};
use crate::sessions::{self, ByteStream, LogStream, Session, SessionInput, Tunnel};
use crate::{Host, Provider};

/// How long a followed log may say nothing before the host is asked whether anybody still reads it. The host hears of a user who has left only
/// when something is written, and until then the log keeps one of the places for sessions.
const IDLE_CHECK: Duration = Duration::from_secs(15);
/// The same for a command: one that nobody waits for any more uses up the container, and a probe comes again and again.
const SESSION_CHECK: Duration = Duration::from_secs(5);
/// How many log items go into one write of the stream, if there are as many.
const ITEMS_AT_ONCE: usize = 128;

type Outcome<T> = FutureReader<Result<T, Error>>;

impl<P: Provider> wit::Guest for Exported<P> {
    async fn logs(pod: PodRef, options: wit::LogOptions) -> Result<(StreamReader<LogItem>, Outcome<()>), Error> {
        let (provider, host) = Self::current()?;
        let follow = options.follow;
        let log = provider.logs(pod.into(), options.into()).await?;
        let (mut writer, reader) = wit_stream::new::<LogItem>();
        let (outcome, ended) = wit_future::new::<Result<(), Error>>(lost);
        let ticking = host.clone();
        host.spawn(async move {
            let result = pump_log(&ticking, log, follow, &mut writer).await;
            drop(writer);
            tell(outcome, result).await;
        });
        Ok((reader, ended))
    }

    async fn exec(
        pod: PodRef,
        request: wit::ExecRequest,
        stdin: StreamReader<u8>,
        resize: StreamReader<TerminalSize>,
    ) -> Result<wit::Session, Error> {
        let (provider, host) = Self::current()?;
        let request =
            sessions::ExecRequest { container: request.container, command: request.command, tty: request.tty };
        Ok(pump_session(&host, provider.exec(pod.into(), request, input(stdin, resize)).await?))
    }

    async fn attach(
        pod: PodRef,
        container: String,
        stdin: StreamReader<u8>,
        resize: StreamReader<TerminalSize>,
    ) -> Result<wit::Session, Error> {
        let (provider, host) = Self::current()?;
        Ok(pump_session(&host, provider.attach(pod.into(), container, input(stdin, resize)).await?))
    }

    async fn port_forward(
        pod: PodRef,
        port: u16,
        input: StreamReader<u8>,
    ) -> Result<(StreamReader<u8>, Outcome<()>), Error> {
        let (provider, host) = Self::current()?;
        let tunnel = provider.port_forward(pod.into(), port, byte_stream(input)).await?;
        let (mut writer, reader) = wit_stream::new::<u8>();
        let (outcome, ended) = wit_future::new::<Result<(), Error>>(lost);
        let ticking = host.clone();
        host.spawn(async move {
            let result = pump_tunnel(&ticking, tunnel, &mut writer).await;
            drop(writer);
            tell(outcome, result).await;
        });
        Ok((reader, ended))
    }
}

/// The outcome where the provider never told one.
fn lost<T>() -> Result<T, Error> {
    Err(Error::Internal("the session ended without an outcome".to_owned()))
}

async fn tell<T>(outcome: FutureWriter<Result<T, Error>>, result: crate::Result<T>) {
    // A host that no longer reads does not need to know.
    let _ = outcome.write(result.map_err(Error::from)).await;
}

/// The items before the first error, and that error.
fn split_at_error<T>(chunk: Vec<crate::Result<T>>) -> (Vec<T>, Option<crate::Error>) {
    let mut items = Vec::with_capacity(chunk.len());
    for item in chunk {
        match item {
            Ok(item) => items.push(item),
            Err(error) => return (items, Some(error)),
        }
    }
    (items, None)
}

/// Move a log to its end, or until the user has left.
async fn pump_log(host: &Host, log: LogStream, follow: bool, to: &mut StreamWriter<LogItem>) -> crate::Result<()> {
    let tick = || if follow { host.sleep(IDLE_CHECK).left_future() } else { pending().right_future() };
    let mut chunks = log.into_inner().ready_chunks(ITEMS_AT_ONCE);
    let mut idle = Box::pin(tick());
    loop {
        let chunk = match select(chunks.next(), &mut idle).await {
            Either::Left((Some(chunk), _)) => chunk,
            Either::Left((None, _)) => return Ok(()),
            Either::Right(_) => {
                // A write of nothing completes when the host would take more, or tells that nobody reads.
                if matches!(to.write(Vec::new()).await, (StreamResult::Dropped, _)) {
                    return Ok(());
                }
                idle.set(tick());
                continue;
            }
        };
        let (items, failure) = split_at_error(chunk);
        let items = items.into_iter().map(LogItem::from).collect();
        let user_left = !to.write_all(items).await.is_empty();
        match failure {
            Some(error) => return Err(error),
            None if user_left => return Ok(()),
            None => {}
        }
    }
}

/// Move what a port sends to its end, or until the user has left.
async fn pump_tunnel(host: &Host, mut from: Tunnel, to: &mut StreamWriter<u8>) -> crate::Result<()> {
    let mut idle = Box::pin(host.sleep(SESSION_CHECK));
    loop {
        let left = match select(from.next(), &mut idle).await {
            Either::Left((Some(bytes), _)) => !to.write_all(bytes?).await.is_empty(),
            Either::Left((None, _)) => return Ok(()),
            Either::Right(_) => {
                idle.set(host.sleep(SESSION_CHECK));
                matches!(to.write(Vec::new()).await, (StreamResult::Dropped, _))
            }
        };
        if left {
            return Ok(());
        }
    }
}

fn pump_session(host: &Host, session: Session) -> wit::Session {
    let (stdout, stdout_reader) = wit_stream::new::<u8>();
    let (stderr, stderr_reader) = wit_stream::new::<u8>();
    let (outcome, ended) = wit_future::new::<Result<i32, Error>>(lost);
    let ticking = host.clone();
    host.spawn(async move {
        let output = try_join(pump(&ticking, session.stdout, stdout), pump(&ticking, session.stderr, stderr));
        // Once the user has left, the provider's ends are dropped without waiting for the exit code.
        if let Ok((code, _)) = try_join(session.exit.map(Ok), output).await {
            tell(outcome, code).await;
        }
    });
    (stdout_reader, stderr_reader, ended)
}

/// The user has left.
struct Left;

/// Move output to its end.
async fn pump(host: &Host, mut from: ByteStream, mut to: StreamWriter<u8>) -> Result<(), Left> {
    let mut idle = Box::pin(host.sleep(SESSION_CHECK));
    loop {
        let left = match select(from.next(), &mut idle).await {
            Either::Left((Some(bytes), _)) => !to.write_all(bytes).await.is_empty(),
            Either::Left((None, _)) => return Ok(()),
            Either::Right(_) => {
                idle.set(host.sleep(SESSION_CHECK));
                // As for logs: completes when the host would take more, or tells that nobody reads.
                matches!(to.write(Vec::new()).await, (StreamResult::Dropped, _))
            }
        };
        if left {
            return Err(Left);
        }
    }
}

fn input(stdin: StreamReader<u8>, resize: StreamReader<TerminalSize>) -> SessionInput {
    let resize = items(resize, 1).map(|size| sessions::TerminalSize { width: size.width, height: size.height });
    SessionInput { stdin: byte_stream(stdin), resize: resize.boxed_local() }
}

impl From<wit::LogOptions> for sessions::LogOptions {
    fn from(options: wit::LogOptions) -> Self {
        Self {
            container: options.container,
            previous: options.previous,
            follow: options.follow,
            tail_lines: options.tail_lines,
            since_unix_ns: options.since_unix_ns,
        }
    }
}

impl From<sessions::LogItem> for LogItem {
    fn from(item: sessions::LogItem) -> Self {
        match item {
            sessions::LogItem::CaughtUp => Self::CaughtUp,
            sessions::LogItem::Line(line) => Self::Line(wit::LogLine {
                time_unix_ns: line.time_unix_ns,
                source: match line.source {
                    sessions::LogSource::Stdout => LogSource::Stdout,
                    sessions::LogSource::Stderr => LogSource::Stderr,
                },
                bytes: line.bytes,
            }),
        }
    }
}
