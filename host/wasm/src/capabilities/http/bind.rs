//! From a granted endpoint to a client that can reach it and nothing else.
//!
//! In: [`Endpoint`]. Out: [`Bound`]. Invariant: certificates are always checked; the environment (proxy variables) has no say.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Certificate;
use reqwest::redirect::Policy;

use super::Bound;
use crate::options::{Endpoint, EndpointError, check};

/// How long a connection may take to come up. Shorter than a request may last, so that a dead address is told as such.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections kept open to one endpoint. As many as calls may be under way; more would only be cut by the backend.
const IDLE_CONNECTIONS: usize = 64;

/// Why an endpoint cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The URL.
    #[error("endpoint `{endpoint}` has no usable URL")]
    Url {
        /// Its name.
        endpoint: String,
        /// Why.
        #[source]
        source: EndpointError,
    },
    /// The CA file cannot be read.
    #[error("endpoint `{endpoint}`: cannot read the CA file {}", path.display())]
    ReadCa {
        /// Its name.
        endpoint: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The CA file holds no certificates.
    #[error("endpoint `{endpoint}`: {} holds no PEM certificates", path.display())]
    ParseCa {
        /// Its name.
        endpoint: String,
        /// Which file.
        path: PathBuf,
    },
    /// No client.
    #[error("endpoint `{endpoint}`: cannot make a client for it")]
    Client {
        /// Its name.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(super) fn bind(name: &str, grant: &Endpoint) -> Result<Bound, BindError> {
    let endpoint = || name.to_owned();
    check(&grant.url).map_err(|source| BindError::Url { endpoint: endpoint(), source })?;
    // An error only means that somebody has installed a provider before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("pluglet/", env!("CARGO_PKG_VERSION")));
    let url = match grant.socket() {
        Some(path) => {
            builder = builder.unix_socket(path);
            // What goes into the `Host` header; the socket decides where it goes.
            "http://localhost/"
        }
        None => grant.url.as_str(),
    };
    let base = reqwest::Url::parse(url).map_err(|source| BindError::Url {
        endpoint: endpoint(),
        source: EndpointError::Syntax { url: url.to_owned(), source: Box::new(source) },
    })?;
    builder = match &grant.ca_file {
        Some(path) => builder.tls_certs_merge(certificates(name, path)?),
        // Without TLS the system's certificates are not needed, and a bare container image has none to load.
        None if base.scheme() == "http" => builder.tls_certs_only([]),
        None => builder,
    };
    let client =
        builder.build().map_err(|source| BindError::Client { endpoint: endpoint(), source: Box::new(source) })?;
    Ok(Bound { client, base, timeout: grant.timeout, max_response_bytes: grant.max_response_bytes })
}

fn certificates(name: &str, path: &PathBuf) -> Result<Vec<Certificate>, BindError> {
    let pem = std::fs::read(path).map_err(|source| BindError::ReadCa {
        endpoint: name.to_owned(),
        path: path.clone(),
        source,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(BindError::ParseCa { endpoint: name.to_owned(), path: path.clone() }),
    }
}
