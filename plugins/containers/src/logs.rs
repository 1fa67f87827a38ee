//! Logs of containers.
//!
//! In: which part is wanted. Out: lines as they come. Invariant: nothing is read before somebody wants it, and dropping the log ends the exchange.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream;
use pluglet_sdk::{Body, ContainerState, Error, HttpError, LogItem, LogLine, LogOptions, LogStream, Result};

use crate::answer::{Failure, Meaning};
use crate::client::{self, Client, Dialect, query};
use crate::decode::{Decoder, Format};
use crate::status;

/// How long a log may be silent before all that was there is taken for told: it may have been cut since it was counted.
const SILENCE: Duration = Duration::from_secs(2);

/// The log of a container that was started.
pub(crate) async fn logs(client: &Client, options: &LogOptions) -> Result<LogStream> {
    let found = client.inspect(&options.container).await?;
    if status::state(&found) == ContainerState::Created {
        return Err(Error::NotFound);
    }
    let format = Format::of(client.dialect(), found.config.tty);
    let read = path(client.dialect(), format, options);
    let reading = if options.follow {
        Reading { counting: Some(read.clone()), ..Reading::new(client, format, format!("{read}&follow=1"), None) }
    } else {
        let answer = client::stream(client.get(&read)).await?;
        Reading::new(client, format, read, Some(answer.body))
    };
    Ok(LogStream::new(stream::unfold(Some(reading), async |reading| {
        let mut reading = reading?;
        match reading.next().await {
            Ok(None) => None,
            Ok(Some(item)) => Some((Ok(item), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    })))
}

fn path(dialect: Dialect, format: Format, options: &LogOptions) -> String {
    const SECOND: u64 = 1_000_000_000;
    let since = options.since_unix_ns.map(|ns| format!("{}.{:09}", ns / SECOND, ns % SECOND));
    // Podman counts pieces for lines, and would begin in the middle of one.
    let tail =
        options.tail_lines.filter(|_| !options.follow && dialect == Dialect::Docker).map(|lines| lines.to_string());
    let mut pairs = vec![("stdout", "1"), ("stderr", "1")];
    if format.has_times() {
        pairs.push(("timestamps", "1"));
    }
    pairs.extend(since.as_deref().map(|since| ("since", since)));
    pairs.extend(tail.as_deref().map(|tail| ("tail", tail)));
    format!("/containers/{}/logs{}", options.container, query(&pairs))
}

/// A log on its way.
struct Reading {
    client: Client,
    format: Format,
    path: String,
    decoder: Decoder,
    /// None: not open yet.
    body: Option<Body>,
    ended: bool,
    /// The path that tells how much was there when the log was asked for.
    counting: Option<String>,
    /// How many bytes of lines were there and are still to come. None: nobody has to be told.
    behind: Option<usize>,
}

impl Reading {
    fn new(client: &Client, format: Format, path: String, body: Option<Body>) -> Self {
        let decoder = Decoder::new(format);
        Self { client: client.clone(), format, path, decoder, body, ended: false, counting: None, behind: None }
    }

    /// The next item. None at the end.
    async fn next(&mut self) -> Result<Option<LogItem>> {
        if let Some(path) = self.counting.take() {
            self.behind = Some(self.count(&path).await?);
        }
        loop {
            if self.behind == Some(0) {
                self.behind = None;
                return Ok(Some(LogItem::CaughtUp));
            }
            if let Some(line) = self.line()? {
                self.behind = self.behind.map(|behind| behind.saturating_sub(line.bytes.len()));
                return Ok(Some(LogItem::Line(line)));
            }
            if self.ended && self.behind.is_none() {
                return Ok(None);
            }
            self.more().await?;
        }
    }

    fn line(&mut self) -> Result<Option<LogLine>> {
        match self.decoder.next()? {
            None if self.ended => Ok(self.decoder.rest()),
            line => Ok(line),
        }
    }

    /// Read on; at the end, or where nothing comes any more, all that was there has been told.
    async fn more(&mut self) -> Result<()> {
        let (client, waits_to_tell) = (self.client.clone(), self.behind.is_some());
        if self.ended {
            self.behind = Some(0);
            return Ok(());
        }
        let Some(body) = &mut self.body else { return self.open().await };
        let silence = async { if waits_to_tell { client.host.sleep(SILENCE).await } else { pending().await } };
        match select(pin!(body.chunk()), pin!(silence)).await {
            Either::Left((Ok(Some(bytes)), _)) => self.decoder.push(&bytes),
            Either::Left((Ok(None), _)) => self.ended = true,
            Either::Left((Err(error), _)) => return Err(error.into()),
            Either::Right(_) => self.behind = Some(0),
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<()> {
        match client::stream(self.client.get(&self.path)).await {
            Ok(answer) => self.body = Some(answer.body),
            // Podman does not answer before the first line. Nothing has been missed.
            Err(Failure::Transport(HttpError::Timeout)) => {}
            Err(failure) if failure.is(Meaning::Missing) => self.ended = true,
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    /// How many bytes of lines are there now.
    async fn count(&self, path: &str) -> Result<usize> {
        let answer = match client::stream(self.client.get(path)).await {
            Ok(answer) => answer,
            Err(failure) if failure.is(Meaning::Missing) => return Ok(0),
            Err(failure) => return Err(failure.into()),
        };
        let (mut decoder, mut body, mut bytes) = (Decoder::new(self.format), answer.body, 0);
        while let Some(chunk) = body.chunk().await? {
            decoder.push(&chunk);
            while let Some(line) = decoder.next()? {
                bytes += line.bytes.len();
            }
        }
        Ok(bytes + decoder.rest().map_or(0, |line| line.bytes.len()))
    }
}
