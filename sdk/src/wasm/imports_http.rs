//! HTTP and WebSockets, as the component imports them.
//!
//! In: requests, bodies and messages in the SDK's types. Out: answers in the same. Invariant: what a provider sends is moved by a task of
//! the provider, whoever reads first; that task ends with the exchange.

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::stream::{self, LocalBoxStream, Stream, StreamExt};
use wit_bindgen::{FutureReader, StreamReader};

use super::bindings::pluglet::provider::{http, websocket};
use super::bindings::{wit_future, wit_stream};
use super::streams::{CHUNK, chunks, items};
use crate::host::{Body, Frame, Handshake, Headers, HttpError, Message, Request, Response, StreamingResponse};
use crate::tasks::Tasks;

/// Messages that go into one write of the stream, if there are as many.
const MESSAGES_AT_ONCE: usize = 16;

pub(super) async fn fetch(mut request: Request) -> Result<Response, HttpError> {
    let (body, max_bytes) = (std::mem::take(&mut request.body), request.max_bytes);
    Ok(http::fetch(request.into(), body, max_bytes).await?.into())
}

pub(super) async fn send(tasks: &Tasks, request: Request, body: Body) -> Result<StreamingResponse, HttpError> {
    let (body, trailers, Upload { over, broken }) = upload(tasks, body);
    let call = Box::pin(http::send(request.into(), body, trailers));
    let (answer, broken) = match select(call, broken).await {
        Either::Left((answer, broken)) => (answer?, Some(broken)),
        // The writer is gone without a word: the body has been sent, or the host reads no further.
        Either::Right((Err(oneshot::Canceled), call)) => (call.await?, None),
        Either::Right((Ok(error), _)) => return Err(error),
    };
    let broken = stream::iter(broken).flat_map(stream::once).filter_map(async |broken| broken.ok().map(Err));
    let frames = frames(answer.body, answer.trailers);
    // The exchange is over when the body is dropped.
    let frames = stream::select(frames, broken.boxed_local()).map(move |frame| {
        let _ = &over;
        frame
    });
    Ok(StreamingResponse { status: answer.status, headers: answer.headers, body: Body::from_frames(frames) })
}

pub(super) async fn upgrade(
    tasks: &Tasks,
    mut request: Request,
    protocol: &str,
    mut output: Body,
) -> Result<Handshake<(Headers, Body)>, HttpError> {
    let body = std::mem::take(&mut request.body);
    let (mut writer, reader) = wit_stream::new::<u8>();
    tasks.spawn(Box::pin(async move {
        while let Some(Ok(chunk)) = output.next().await {
            // An empty write would wait until the host is ready for more.
            if !chunk.is_empty() && !writer.write_all(chunk).await.is_empty() {
                return;
            }
        }
    }));
    match http::upgrade(request.into(), protocol.to_owned(), body, reader).await? {
        http::UpgradeAnswer::Refused(answer) => Ok(Handshake::Refused(answer.into())),
        http::UpgradeAnswer::Upgraded(connection) => {
            let closed = stream::once(async move { connection.closed.await });
            let closed = closed.map(|closed| closed.map(|()| Frame::Trailers(Headers::new())).map_err(HttpError::from));
            let input = chunks(connection.input, CHUNK).map(|chunk| Ok(Frame::Data(chunk)));
            Ok(Handshake::Accepted((connection.headers, Body::from_frames(input.chain(closed)))))
        }
    }
}

pub(super) async fn websocket(
    tasks: &Tasks,
    request: Request,
    protocols: Vec<String>,
    outgoing: mpsc::Receiver<Message>,
) -> Result<Handshake<(String, LocalBoxStream<'static, Message>)>, HttpError> {
    let (mut writer, reader) = wit_stream::new::<websocket::Message>();
    tasks.spawn(Box::pin(async move {
        let mut batches = outgoing.map(websocket::Message::from).ready_chunks(MESSAGES_AT_ONCE);
        while let Some(batch) = batches.next().await {
            if !writer.write_all(batch).await.is_empty() {
                return;
            }
        }
    }));
    match websocket::connect(request.into(), protocols, reader).await? {
        websocket::ConnectAnswer::Refused(answer) => Ok(Handshake::Refused(answer.into())),
        websocket::ConnectAnswer::Open(connection) => {
            let incoming = items(connection.incoming, 1).map(Message::from).boxed_local();
            Ok(Handshake::Accepted((connection.protocol, incoming)))
        }
    }
}

/// A request's body on its way to the host.
struct Upload {
    /// Dropped when the exchange is over: nobody needs the rest of the body then.
    over: oneshot::Sender<()>,
    /// The error that broke the body off.
    broken: oneshot::Receiver<HttpError>,
}

/// Let a task move the body into a stream.
fn upload(tasks: &Tasks, mut body: Body) -> (StreamReader<u8>, FutureReader<Headers>, Upload) {
    let (mut writer, reader) = wit_stream::new::<u8>();
    let (trailers, trailers_reader) = wit_future::new::<Headers>(Headers::new);
    let (over, mut is_over) = oneshot::channel::<()>();
    let (breaks, broken) = oneshot::channel();
    tasks.spawn(Box::pin(async move {
        loop {
            let chunk = match select(body.next(), &mut is_over).await {
                Either::Left((chunk, _)) => chunk,
                Either::Right(_) => return,
            };
            match chunk {
                None => break,
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    if !writer.write_all(chunk).await.is_empty() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    let _ = breaks.send(error);
                    // To the host the end of the stream is the end of a whole body, so it must see the end of the exchange first.
                    let _ = is_over.await;
                    return;
                }
            }
        }
        drop(writer);
        // A host that no longer reads does not need them.
        let _ = trailers.write(body.trailers().to_vec()).await;
    }));
    (reader, trailers_reader, Upload { over, broken })
}

/// The answer's body.
fn frames(
    body: StreamReader<u8>,
    trailers: FutureReader<Result<Headers, http::HttpError>>,
) -> impl Stream<Item = Result<Frame, HttpError>> {
    let end = stream::once(async move { trailers.await.map(Frame::Trailers).map_err(HttpError::from) });
    chunks(body, CHUNK).map(|chunk| Ok(Frame::Data(chunk))).chain(end)
}

impl From<Request> for http::Request {
    fn from(request: Request) -> Self {
        let timeout_ms = request.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        Self {
            endpoint: request.endpoint,
            method: request.method,
            target: request.target,
            headers: request.headers,
            timeout_ms,
        }
    }
}

impl From<http::Response> for Response {
    fn from(answer: http::Response) -> Self {
        Self { status: answer.status, headers: answer.headers, body: answer.body }
    }
}

impl From<Message> for websocket::Message {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Binary(bytes) => Self::Binary(bytes),
            Message::Close(code) => Self::Close(code),
        }
    }
}

impl From<websocket::Message> for Message {
    fn from(message: websocket::Message) -> Self {
        match message {
            websocket::Message::Text(text) => Self::Text(text),
            websocket::Message::Binary(bytes) => Self::Binary(bytes),
            websocket::Message::Close(code) => Self::Close(code),
        }
    }
}

impl From<http::HttpError> for HttpError {
    fn from(error: http::HttpError) -> Self {
        match error {
            http::HttpError::Denied(text) => Self::Denied(text),
            http::HttpError::Unsupported(text) => Self::Unsupported(text),
            http::HttpError::Timeout => Self::Timeout,
            http::HttpError::Connect(text) => Self::Connect(text),
            http::HttpError::TooLarge => Self::TooLarge,
            http::HttpError::Protocol(text) => Self::Protocol(text),
            http::HttpError::Other(text) => Self::Other(text),
        }
    }
}
