//! The node's own certificates: asked for, kept, renewed.
//!
//! In: who the node is, somebody who signs. Out: files that hold a certificate and its key, what the server shows. Invariant: a key never leaves this
//! machine, a file always holds a whole pair, and the next certificate is asked for while the present one is good.
//!
//! ```text
//!            wanted ──► request ──► Signer::sign
//!  (purpose, names)   (a key, kept)      │ certificate
//!        ▲                               ▼
//!        │ 70 to 90 % of its life       pair ──► store ──► connections of the API client
//!        └──────── rotation ◄────────────┘  └──► shown ──► handshakes of the server
//! ```

mod pair;
mod request;
mod rotation;
mod shown;
pub(crate) mod store;

use async_trait::async_trait;

pub(crate) use request::{Request, Wanted};
pub(crate) use rotation::{Rotation, obtain};
pub(crate) use shown::Shown;
pub(crate) use store::{Store, write_private};

/// Who signs requests.
#[async_trait]
pub(crate) trait Signer: Send + Sync + 'static {
    /// Asks, unless the same was asked before, and waits for the decision however long it takes. Answers the certificate, and what is between it
    /// and its authority behind it, PEM.
    async fn sign(&self, request: &Request) -> Result<String, SigningError>;
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SigningError {
    /// Somebody said no.
    #[error("the request {name} was denied: {message}")]
    Denied { name: String, message: String },
    /// Somebody said yes, and the signer cannot do it.
    #[error("the request {name} could not be signed: {message}")]
    Failed { name: String, message: String },
    /// Nobody decided for so long that it was removed: after a day where the controller manager cleans up.
    #[error("the request {name} was removed before anybody decided about it")]
    Removed { name: String },
    /// The request was not taken.
    #[error("the request {name} was refused: {message}")]
    Refused { name: String, message: String },
}
