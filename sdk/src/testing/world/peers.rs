//! Peers that talk with a provider under test: streams, upgraded connections and WebSockets in memory.
//!
//! In: the test's scripts and the provider's requests. Out: both ends of each connection. Invariant: a script runs as a task beside the
//! provider, so both sides wait for each other as they do over a network; it ends with the provider's incarnation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::channel::{mpsc, oneshot};
use futures::future::LocalBoxFuture;
use futures::stream::{self, LocalBoxStream, StreamExt};

use super::{World, not_granted};
use crate::tasks::Tasks;
use crate::{
    Body, BodyWriter, Handshake, Headers, HttpError, Message, Request, Response, StreamingResponse, Upgraded, WebSocket,
};

type Script<T> = Rc<dyn Fn(Request, T) -> LocalBoxFuture<'static, ()>>;

/// Scripts by endpoint.
#[derive(Default)]
pub(super) struct Peers {
    streams: RefCell<BTreeMap<String, Script<Responder>>>,
    upgrades: RefCell<BTreeMap<String, Script<Peer<Upgraded>>>>,
    websockets: RefCell<BTreeMap<String, Script<Peer<WebSocket>>>>,
}

/// A request that waits for its answer. Dropped without one, it fails as a connection that was reset.
pub struct Responder {
    /// The request's body.
    pub body: Body,
    answer: oneshot::Sender<Result<StreamingResponse, HttpError>>,
}

impl Responder {
    /// Answer. What is written then is the body; `writer.finish()` ends it. The request's body is given back.
    #[must_use]
    pub fn respond(self, status: u16, headers: Headers) -> (BodyWriter, Body) {
        let (writer, body) = Body::channel(0);
        // A provider that has given up hears no answer.
        let _ = self.answer.send(Ok(StreamingResponse { status, headers, body }));
        (writer, self.body)
    }

    /// Give no answer.
    pub fn fail(self, error: HttpError) {
        let _ = self.answer.send(Err(error));
    }
}

/// A request to switch that waits for its answer. Dropped without one, it fails as a connection that was reset.
pub struct Peer<T> {
    /// The peer's end of the connection.
    end: T,
    answer: oneshot::Sender<Result<Handshake<Told>, HttpError>>,
}

/// What the answer tells beside the connection.
#[derive(Default)]
struct Told {
    headers: Headers,
    protocol: String,
}

impl Peer<Upgraded> {
    /// Switch, with these headers in the answer. What is given back is the peer's end.
    #[must_use]
    pub fn accept(self, headers: Headers) -> Upgraded {
        self.tell(Ok(Handshake::Accepted(Told { headers, ..Told::default() })))
    }
}

impl Peer<WebSocket> {
    /// Switch, with one of the protocols that were offered, or none. What is given back is the peer's end.
    #[must_use]
    pub fn accept(mut self, protocol: &str) -> WebSocket {
        self.end.protocol = protocol.to_owned();
        self.tell(Ok(Handshake::Accepted(Told { protocol: protocol.to_owned(), ..Told::default() })))
    }
}

impl<T> Peer<T> {
    /// Answer without switching.
    pub fn refuse(self, answer: Response) {
        self.tell(Ok(Handshake::Refused(answer)));
    }

    /// Give no answer.
    pub fn fail(self, error: HttpError) {
        self.tell(Err(error));
    }

    fn tell(self, answer: Result<Handshake<Told>, HttpError>) -> T {
        // A provider that has given up hears no answer.
        let _ = self.answer.send(answer);
        self.end
    }
}

impl World {
    /// Grant an endpoint and answer its streamed requests ([`crate::RequestBuilder::stream`]) by a script, which runs as long as it has
    /// something to do. Without one, what [`World::serve`] was given answers them.
    pub fn serve_stream(&self, endpoint: &str, script: impl AsyncFn(Request, Responder) + 'static) {
        self.shared.peers.streams.borrow_mut().insert(endpoint.to_owned(), boxed(script));
    }

    /// Grant an endpoint and answer its upgrades ([`crate::RequestBuilder::upgrade`]) by a script. The protocol is in the request's
    /// header `upgrade`.
    pub fn serve_upgrade(&self, endpoint: &str, script: impl AsyncFn(Request, Peer<Upgraded>) + 'static) {
        self.shared.peers.upgrades.borrow_mut().insert(endpoint.to_owned(), boxed(script));
    }

    /// Grant an endpoint and answer its WebSockets ([`crate::Endpoint::websocket`]) by a script. The protocols that are offered are in the
    /// request's header `sec-websocket-protocol`.
    pub fn serve_websocket(&self, endpoint: &str, script: impl AsyncFn(Request, Peer<WebSocket>) + 'static) {
        self.shared.peers.websockets.borrow_mut().insert(endpoint.to_owned(), boxed(script));
    }

    pub(super) async fn stream(
        &self,
        tasks: &Tasks,
        mut request: Request,
        body: Body,
    ) -> Result<StreamingResponse, HttpError> {
        // The host does not read it.
        let body = if matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") { Body::empty() } else { body };
        let script = self.shared.peers.streams.borrow().get(&request.endpoint).cloned();
        let Some(script) = script else {
            request.body = body.collect(usize::MAX).await?;
            self.record(&request);
            let handler = self.handler(&request.endpoint).ok_or_else(|| not_granted(&request.endpoint))?;
            let Response { status, headers, body } = handler(&request)?;
            return Ok(StreamingResponse { status, headers, body: body.into() });
        };
        self.record(&request);
        let (answer, told) = oneshot::channel();
        tasks.spawn(script(request, Responder { body, answer }));
        told.await.unwrap_or_else(|_| no_answer())
    }

    pub(super) async fn switch(
        &self,
        tasks: &Tasks,
        mut request: Request,
        protocol: &str,
        output: Body,
    ) -> Result<Handshake<(Headers, Body)>, HttpError> {
        request.headers.push(("upgrade".to_owned(), protocol.to_owned()));
        let (writer, input) = Body::pipe();
        let end = Upgraded { headers: request.headers.clone(), reader: output, writer };
        let told = self.ask(tasks, request, &self.shared.peers.upgrades, end).await?;
        Ok(told.map(|told| (told.headers, input)))
    }

    pub(super) async fn connect(
        &self,
        tasks: &Tasks,
        mut request: Request,
        protocols: &[String],
        outgoing: mpsc::Receiver<Message>,
    ) -> Result<Handshake<(String, LocalBoxStream<'static, Message>)>, HttpError> {
        request.headers.push(("sec-websocket-protocol".to_owned(), protocols.join(", ")));
        // As the host does where a provider ends without a close. After one, nobody reads this any more.
        let outgoing = outgoing.chain(stream::once(async { Message::Close(1000) }));
        let (writer, incoming) = mpsc::channel(0);
        let end = WebSocket::new(String::new(), outgoing.boxed_local(), writer);
        let told = self.ask(tasks, request, &self.shared.peers.websockets, end).await?;
        Ok(told.map(|told| (told.protocol, incoming.boxed_local())))
    }

    async fn ask<T: 'static>(
        &self,
        tasks: &Tasks,
        request: Request,
        scripts: &RefCell<BTreeMap<String, Script<Peer<T>>>>,
        end: T,
    ) -> Result<Handshake<Told>, HttpError> {
        self.record(&request);
        let script = scripts.borrow().get(&request.endpoint).cloned();
        let script = script.ok_or_else(|| not_granted(&request.endpoint))?;
        let (answer, told) = oneshot::channel();
        tasks.spawn(script(request, Peer { end, answer }));
        told.await.unwrap_or_else(|_| no_answer())
    }
}

fn boxed<T: 'static>(script: impl AsyncFn(Request, T) + 'static) -> Script<T> {
    let script = Rc::new(script);
    Rc::new(move |request, peer| {
        let script = Rc::clone(&script);
        Box::pin(async move { script(request, peer).await })
    })
}

fn no_answer<T>() -> Result<T, HttpError> {
    Err(HttpError::Connect("the script has ended without an answer".to_owned()))
}
