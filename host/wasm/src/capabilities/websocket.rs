//! `websocket`: not served in this version of the host.
//!
//! In: calls of the guest. Out: `unsupported`, as the contract says. Invariant: the guest's stream is closed, so that a writer sees it
//! at once.

use wasmtime::component::{Accessor, StreamReader};

use crate::bindings::pluglet::provider::http::{HttpError, Request};
use crate::bindings::pluglet::provider::websocket;
use crate::state::State;

impl websocket::Host for State {}

impl<T: Send> websocket::HostWithStore<T> for State {
    async fn connect(
        accessor: &Accessor<T, Self>,
        _request: Request,
        _protocols: Vec<String>,
        mut outgoing: StreamReader<websocket::Message>,
    ) -> Result<StreamReader<websocket::Message>, HttpError> {
        // Closing fails only for a stream that is closed already.
        let _ = outgoing.close_with(accessor);
        Err(HttpError::Unsupported("websocket.connect is not served in this version of pluglet".to_owned()))
    }
}
