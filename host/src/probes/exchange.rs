//! One request and its answer over a connection of its own.
//!
//! In: a connection, a request, a deadline. Out: an [`Answer`], or how far it got. Invariant: the connection is polled in place and ends
//! with the exchange: no task is left behind; what the other side can make the host keep is limited.

use std::pin::pin;

use bytes::Bytes;
use futures::FutureExt;
use futures::StreamExt;
use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use pluglet_model::chain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::runner::Deadline;

/// Of an answer no more is read (the kubelet's `maxRespBodyLength`): a body need not have an end.
pub(super) const ANSWER_LIMIT: usize = 10 * 1024;

/// Of the head of an answer no more is kept. Headers need not have an end either.
const HEAD_LIMIT: u32 = 64 * 1024;

/// How both sides talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, agreed on beforehand.
    Http2,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Up to [`ANSWER_LIMIT`].
    pub(super) body: Vec<u8>,
    /// Those that came within the limit.
    pub(super) trailers: Option<HeaderMap>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// None began.
    Unanswered(String),
    /// One began and did not end.
    Unfinished(String),
}

/// Sends `request` over `stream`.
pub(super) async fn exchange<S>(
    stream: S,
    protocol: Protocol,
    request: Request<Full<Bytes>>,
    deadline: Deadline,
) -> Result<Answer, Broken>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = TokioIo::new(stream);
    // The connections are boxed below: they are large, and what waits for a place would be as large.
    let unanswered = |error: hyper::Error| Broken::Unanswered(chain(&error));
    match protocol {
        Protocol::Http1 => {
            let handshake = http1::Builder::new().max_buf_size(HEAD_LIMIT as usize).handshake(stream);
            let (mut sender, connection) = bound(deadline, handshake).await?.map_err(unanswered)?;
            let talk = async move {
                let answer = bound(deadline, sender.send_request(request)).await?.map_err(unanswered)?;
                read(answer, deadline).await
            };
            Box::pin(together(connection, talk)).await
        }
        Protocol::Http2 => {
            let (executor, tasks) = InPlace::new();
            let mut builder = http2::Builder::new(executor);
            let handshake = builder.max_header_list_size(HEAD_LIMIT).handshake(stream);
            let (mut sender, connection) = bound(deadline, handshake).await?.map_err(unanswered)?;
            let talk = async move {
                let answer = bound(deadline, sender.send_request(request)).await?.map_err(unanswered)?;
                read(answer, deadline).await
            };
            Box::pin(together(futures::future::join(connection, tasks), talk)).await
        }
    }
}

async fn bound<T>(deadline: Deadline, step: impl Future<Output = T>) -> Result<T, Broken> {
    deadline.bound(step).await.map_err(Broken::Unanswered)
}

/// Reads an answer to its end, or to as much as is wanted of it.
async fn read(answer: http::Response<Incoming>, deadline: Deadline) -> Result<Answer, Broken> {
    let (head, mut incoming) = answer.into_parts();
    let (mut body, mut trailers) = (vec![], None);
    while body.len() < ANSWER_LIMIT {
        let frame = deadline.bound(incoming.frame()).await.map_err(Broken::Unfinished)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Broken::Unfinished(chain(&error)))?;
        match frame.into_data() {
            Ok(data) => body.extend(data.iter().take(ANSWER_LIMIT - body.len())),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body, trailers })
}

/// Polls a connection for as long as the exchange over it takes.
async fn together<T>(connection: impl Future, talk: impl Future<Output = T>) -> T {
    match select(pin!(talk), pin!(connection)).await {
        Either::Left((done, _)) => done,
        // What the connection left behind is with the exchange.
        Either::Right((_, talk)) => talk.await,
    }
}

/// Takes what an HTTP/2 connection wants to have run beside it, and runs it where the connection is polled.
#[derive(Clone)]
struct InPlace(mpsc::UnboundedSender<BoxFuture<'static, ()>>);

impl InPlace {
    /// An executor, and the future that runs what it is given. A connection gives it two or three futures in its life.
    fn new() -> (Self, impl Future<Output = ()>) {
        let (sender, mut given) = mpsc::unbounded_channel();
        let tasks = async move {
            let mut running = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(task) = given.recv() => running.push(task),
                    Some(()) = running.next(), if !running.is_empty() => {}
                    else => return,
                }
            }
        };
        (Self(sender), tasks)
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for InPlace {
    fn execute(&self, future: F) {
        // Nobody takes it any more: the exchange is over.
        let _ = self.0.send(future.boxed());
    }
}
