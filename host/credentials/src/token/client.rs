//! One request to a token server.
//!
//! In: an [`Ask`]. Out: what was granted. Invariant: ends within [`LIMIT`], reads at most [`MAX_ANSWER_BYTES`], follows no redirect and
//! asks no proxy; certificates are always checked.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use zeroize::Zeroizing;

use super::Granted;
use super::answer::{self, Answer};
use crate::tls::{self, TlsOptions};
use crate::{CredentialError, Secret, USER_AGENT, check};

/// How long a token request may take, from the name look-up to the last byte. What waits for it are users.
const LIMIT: Duration = Duration::from_secs(30);

/// The largest answer that is read. Tokens with many groups in them reach some tens of KiB; who sends without end is no token server.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// What is sent to a token server.
pub(super) enum Ask {
    /// A form, and for some an `authorization`; with the secrets in them, in every form in which they are sent.
    Post { form: Zeroizing<String>, authorization: Option<HeaderValue>, sent: Vec<Secret> },
    /// The instance metadata service is asked with GET and this header, which a redirect or a browser would not carry.
    Metadata,
}

/// A client of one token endpoint.
pub(super) struct TokenClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
}

impl TokenClient {
    pub(super) fn new(uri: Uri, ca_file: Option<&Path>) -> Result<Self, CredentialError> {
        let failed = |source| CredentialError::Tls { url: check::shown(&uri), source };
        let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        // Without TLS the system's certificates are not needed, and a bare container image has none to load.
        let options = TlsOptions {
            ca_file: ca_file.filter(|_| https).map(Path::to_owned),
            client_certificate: None,
            system_roots: https,
        };
        let config = if https { tls::https_config(&options) } else { tls::client_config(&options) };
        let builder = HttpsConnectorBuilder::new().with_tls_config(config.map_err(failed)?);
        let builder = if https { builder.https_only() } else { builder.https_or_http() };
        let connector = builder.enable_http1().enable_http2().build();
        // A connection is used once an hour: keeping it open only makes the next request find it dead.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, uri })
    }

    /// The endpoint as it is told in errors.
    pub(super) fn shown(&self) -> String {
        check::shown(&self.uri)
    }

    /// The endpoint itself, which an assertion names as its audience.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Asks once.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Granted, CredentialError> {
        match tokio::time::timeout(LIMIT, self.exchange(ask)).await {
            Ok(result) => result,
            Err(_) => Err(CredentialError::TokenTimeout { url: self.shown(), limit: LIMIT }),
        }
    }

    async fn exchange(&self, ask: Ask) -> Result<Granted, CredentialError> {
        let failed = |source: Box<dyn StdError + Send + Sync>| CredentialError::TokenRequest {
            url: self.shown(),
            source: Arc::from(source),
        };
        let metadata = matches!(ask, Ask::Metadata);
        let (request, sent) = self.request(ask).map_err(|source| failed(source.into()))?;
        let response = self.client.request(request).await.map_err(|source| failed(source.into()))?;
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(CredentialError::TokenAnswer { url: self.shown(), reason: "it is larger than 256 KiB" });
            }
            Err(error) => return Err(failed(error)),
        };
        let retry_after = head.headers.get(header::RETRY_AFTER);
        let answer =
            Answer { url: &self.shown(), status: head.status, retry_after, body: &body, sent: &sent, metadata };
        answer::read(&answer, SystemTime::now())
    }

    fn request(&self, ask: Ask) -> Result<(Request<Full<Bytes>>, Vec<Secret>), http::Error> {
        let builder = Request::builder()
            .uri(self.uri.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, USER_AGENT);
        match ask {
            Ask::Post { form, authorization, sent } => {
                let mut builder =
                    builder.method(Method::POST).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                if let Some(authorization) = authorization {
                    builder = builder.header(header::AUTHORIZATION, authorization);
                }
                // The body owns the form, so it is wiped with it.
                let body = Bytes::from_owner(Wiped(form));
                Ok((builder.body(Full::new(body))?, sent))
            }
            Ask::Metadata => {
                let builder = builder.method(Method::GET).header("metadata", "true");
                Ok((builder.body(Full::default())?, vec![]))
            }
        }
    }
}

/// A form as the owner of a body.
struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
