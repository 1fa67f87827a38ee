//! `http`: requests to endpoints that the operator granted by name.
//!
//! In: requests of the guest. Out: answers, streams, or the contract's `http-error`. Invariant: what is allowed is decided by
//! [`pluglet_egress`] alone; here words are translated and bytes carried, never further than the other end has room.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use pluglet_egress::{Egress, Error, Outgoing, UpgradeAnswer};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{Accessor, FutureReader, StreamReader};

use crate::bindings::pluglet::provider::http::{
    self, Connection, HttpError, Request, Response, StreamingResponse, UpgradeAnswer as GuestUpgradeAnswer,
};
use crate::state::State;

mod body;
mod inflow;
mod pipe;

use body::GuestBody;
use inflow::{Ending, Inflow};
use pipe::Outflow;

/// Headers as the contract has them.
type Headers = Vec<(String, String)>;

/// The contract's error, with the words that an operator needs when it was a refusal.
pub(super) fn error(endpoint: &str, error: Error) -> HttpError {
    match error {
        Error::Denied(refusal) => HttpError::Denied(refusal.explain(endpoint)),
        Error::Timeout => HttpError::Timeout,
        Error::Connect(text) => HttpError::Connect(text),
        Error::TooLarge => HttpError::TooLarge,
        Error::Protocol(text) => HttpError::Protocol(text),
        other @ (Error::Busy(_) | Error::Credential { .. }) => HttpError::Other(other.to_string()),
    }
}

/// The guest's request in the words of the way out.
pub(super) fn outgoing(request: Request) -> Outgoing {
    Outgoing {
        endpoint: request.endpoint,
        method: request.method,
        target: request.target,
        headers: request.headers,
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
    }
}

/// A whole answer, without the room that it took on this side.
pub(super) fn whole(answer: pluglet_egress::Answer) -> Response {
    Response { status: answer.status, headers: answer.headers, body: answer.body }
}

/// The way out of the store's provider.
pub(super) fn egress<T: Send>(accessor: &Accessor<T, State>) -> Arc<Egress> {
    accessor.with(|mut access| Arc::clone(&access.get().capabilities.egress))
}

impl http::Host for State {}

impl<T: Send> http::HostWithStore<T> for State {
    async fn fetch(
        accessor: &Accessor<T, Self>,
        request: Request,
        body: Vec<u8>,
        max_bytes: u32,
    ) -> Result<Response, HttpError> {
        let egress = egress(accessor);
        let name = request.endpoint.clone();
        let cap = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        // Beside the store: what the request costs does not keep the guest's other calls waiting. Dropped with the call.
        let mut fetching = Box::pin(async move { egress.fetch(outgoing(request), Bytes::from(body), cap).await });
        // At once as far as the checks and the room for its body: what is refused must not pile up as tasks.
        let answer = match futures::poll!(fetching.as_mut()) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let fetching = AbortOnDropHandle::new(Handle::current().spawn(fetching));
                fetching.await.map_err(|_| HttpError::Other("the request broke off inside pluglet".to_owned()))?
            }
        };
        answer.map(whole).map_err(|failure| error(&name, failure))
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        request: Request,
        body: StreamReader<u8>,
        trailers: FutureReader<Vec<(String, String)>>,
    ) -> Result<StreamingResponse, HttpError> {
        let egress = egress(accessor);
        let name = request.endpoint.clone();
        let body = GuestBody::connect(accessor, body, trailers);
        let answer = egress.send(outgoing(request), body).await.map_err(|failure| error(&name, failure))?;
        let (ending, ended) = Ending::channel(name);
        let body = Inflow::new(answer.body, ending);
        let (body, trailers) = accessor
            .with(|mut access| {
                Ok::<_, wasmtime::Error>((
                    StreamReader::new(&mut access, body)?,
                    FutureReader::new(&mut access, ended.trailers())?,
                ))
            })
            .map_err(|failure| no_handle(&failure))?;
        Ok(StreamingResponse { status: answer.status, headers: answer.headers, body, trailers })
    }

    async fn upgrade(
        accessor: &Accessor<T, Self>,
        request: Request,
        protocol: String,
        body: Vec<u8>,
        output: StreamReader<u8>,
    ) -> Result<GuestUpgradeAnswer, HttpError> {
        let egress = egress(accessor);
        let name = request.endpoint.clone();
        let output = output.guard(accessor);
        let answer = egress.upgrade(outgoing(request), &protocol, Bytes::from(body)).await;
        let connection = match answer.map_err(|failure| error(&name, failure))? {
            UpgradeAnswer::Refused(answer) => return Ok(GuestUpgradeAnswer::Refused(whole(answer))),
            UpgradeAnswer::Upgraded(connection) => connection,
        };
        let (ending, ended) = Ending::channel(name);
        let input = Inflow::new(connection.reader, ending);
        let outflow = Outflow::channel();
        let output = output.into_stream();
        let opened = accessor.with(|mut access| {
            access.get().tasks.spawn(pipe::write_all(outflow.chunks, connection.writer));
            output.pipe(&mut access, outflow.consumer)?;
            Ok::<_, wasmtime::Error>((
                StreamReader::new(&mut access, input)?,
                FutureReader::new(&mut access, ended.closed())?,
            ))
        });
        let (input, closed) = opened.map_err(|failure| no_handle(&failure))?;
        Ok(GuestUpgradeAnswer::Upgraded(Connection { headers: connection.headers, input, closed }))
    }
}

/// The store has no room for another stream.
pub(super) fn no_handle(failure: &wasmtime::Error) -> HttpError {
    HttpError::Other(format!("no stream can be opened: {failure}"))
}
