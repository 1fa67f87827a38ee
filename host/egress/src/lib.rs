//! The way out of the sandbox: what the operator granted, checked request by request.
//!
//! In: a manifest's [`Need`]s, the operator's [`Grant`]s, requests as providers write them. Out: answers, streams, connections, or a typed
//! [`Error`]. Invariant: a request reaches an address that the grant allows, and nothing else: no redirect is followed, no proxy of the
//! environment is used, nothing of the provider's bytes changes where it goes, how it is framed or who it comes from; a credential is
//! added after those bytes are fixed and does not come back.
//!
//! The order for each request: endpoint → method → target → headers ([`check`]), place ([`endpoint`]), credential, resolve → address →
//! dial ([`connect`]), answer ([`answer`], [`mask`]). A refusal is an error to the provider, a line in the log with the YAML that would allow
//! it, and a metric ([`egress`]).

mod address;
mod answer;
mod check;
mod connect;
mod egress;
mod endpoint;
mod error;
mod fetch;
mod grant;
mod header;
mod mask;
mod metrics;
mod outflow;
mod path;
mod rate;
mod seldom;
mod send;
mod target;
mod upgrade;
mod websocket;

pub use address::{Class, classify};
pub use answer::Answer;
pub use check::Outgoing;
pub use connect::{Resolve, SystemResolver};
pub use egress::{Ceilings, Egress};
pub use endpoint::BindError;
pub use error::{Error, Refusal};
pub use grant::{EndpointLimits, Grant, Missing, Need, Right, Rights, intersect};
pub use metrics::Metrics;
pub use outflow::RequestBody;
pub use path::Pattern;
pub use seldom::Seldom;
pub use send::{AnswerBody, Piece, StreamedAnswer};
pub use target::{Scheme, Target, TargetError};
pub use upgrade::{Connection, Reader, UpgradeAnswer, Writer};
pub use websocket::{Incoming, MAX_MESSAGE_BYTES, Message, Outbound, WebSocket, WebSocketAnswer};
