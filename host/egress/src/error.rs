//! Why a request has no answer.
//!
//! In: what went wrong at which step. Out: [`Error`], and for a request that is not allowed the [`Refusal`] with the YAML that would
//! allow it. Invariant: no text holds a secret; what a text holds of the provider's own words is quoted and cut.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::Method;

use crate::address::Class;
use crate::header::HeaderError;
use crate::path::PathError;

/// Longest piece of the provider's own words in an error.
const MAX_QUOTED: usize = 200;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The grant or the manifest does not allow it.
    #[error(transparent)]
    Denied(#[from] Refusal),
    /// It took longer than the grant or the request allows.
    #[error("timed out")]
    Timeout,
    /// No connection, or one that broke.
    #[error("{0}")]
    Connect(String),
    /// A body is larger than the grant or the request allows.
    #[error("a body is larger than allowed")]
    TooLarge,
    /// The peer did not speak the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The provider has too much under way.
    #[error("{0}")]
    Busy(&'static str),
    /// The host has no credential. What failed is in the host's log, not here: it names files and servers of the operator.
    #[error("the host could not get the credential for this endpoint; its log says why")]
    Credential {
        /// Whether it may pass by itself.
        transient: bool,
    },
}

/// Why a request is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody granted that name.
    #[error("the endpoint \"{0}\" is not granted")]
    Endpoint(String),
    /// The operator granted it, the manifest does not name it.
    #[error("the endpoint \"{0}\" is granted, but the provider's manifest does not ask for it")]
    NotInManifest(String),
    /// Not a method, or one that is never allowed.
    #[error("`{0}` is not a method that can be used: CONNECT makes tunnels and TRACE sends headers back")]
    BadMethod(String),
    /// A method that one side does not allow.
    #[error("the method {0} is not allowed at this endpoint")]
    Method(Method),
    /// A path that could mean two things.
    #[error(transparent)]
    Path(PathError),
    /// A path that one side does not allow.
    #[error("the path {0} is not allowed at this endpoint")]
    PathNotGranted(String),
    /// A URL in the place of a path, or the other way round, or one that could mean two things.
    #[error("{0}")]
    Url(&'static str),
    /// A URL outside of the granted range.
    #[error("the URL's {0} is not the one that is granted")]
    Outside(&'static str),
    /// A header.
    #[error(transparent)]
    Header(HeaderError),
    /// Websockets.
    #[error("websockets are not allowed at this endpoint")]
    Websocket,
    /// Connections that stop being HTTP.
    #[error("upgrades are not allowed at this endpoint")]
    Upgrade,
    /// Not a protocol's name, or one that has a function of its own.
    #[error("that is not a protocol to upgrade to")]
    Protocol,
    /// The host leads to an address that is not allowed.
    #[error("{host} is {address}, {class}")]
    Address {
        /// Name or literal.
        host: String,
        /// What it resolved to.
        address: IpAddr,
        /// Why that is not allowed.
        class: Class,
    },
}

impl Refusal {
    /// One word for metrics. A closed set: nothing of the provider's words.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Endpoint(_) | Self::NotInManifest(_) => "endpoint",
            Self::BadMethod(_) | Self::Method(_) => "method",
            Self::Path(_) | Self::PathNotGranted(_) => "path",
            Self::Url(_) | Self::Outside(_) => "url",
            Self::Header(_) => "header",
            Self::Websocket => "websocket",
            Self::Upgrade | Self::Protocol => "upgrade",
            Self::Address { .. } => "address",
        }
    }

    /// YAML that would allow it, for the endpoint of that name. None where nothing would, and for a name that could be more than a name: an
    /// operator pastes this, and the provider has chosen it.
    #[must_use]
    pub fn snippet(&self, endpoint: &str) -> Option<String> {
        if endpoint.is_empty() || !endpoint.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return None;
        }
        let field = match self {
            Self::Endpoint(_) => "url: \"https://…\"".to_owned(),
            Self::Method(method) => format!("methods: [{method}]"),
            Self::PathNotGranted(path) => format!("pathPrefixes: [\"{path}\"]"),
            Self::Websocket => "websocket: true".to_owned(),
            Self::Upgrade => "upgrade: true".to_owned(),
            Self::Address { class, .. } if class.can_be_granted() => "privateAddresses: true".to_owned(),
            _ => return None,
        };
        Some(format!("endpoints: {{ {endpoint}: {{ {field} }} }}"))
    }

    /// What the provider gets to read: the reason, and what an operator would have to write.
    #[must_use]
    pub fn explain(&self, endpoint: &str) -> String {
        let mut text = self.to_string();
        if let Some(snippet) = self.snippet(endpoint) {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "; in pluglet.yaml this would allow it (if the provider's manifest asks for it): {snippet}"
            );
        }
        text
    }
}

/// A provider's own words: no control characters, no quotes, not too long.
pub(crate) fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_would_allow_it() {
        let refusal = Refusal::Address {
            host: "backend.svc".to_owned(),
            address: "10.0.0.1".parse().unwrap(),
            class: Class::Private,
        };
        assert_eq!(
            refusal.explain("api"),
            "backend.svc is 10.0.0.1, a private address; in pluglet.yaml this would allow it (if the provider's manifest asks for it): \
             endpoints: { api: { privateAddresses: true } }"
        );
        let never = Refusal::Address {
            host: "x".to_owned(),
            address: "169.254.169.254".parse().unwrap(),
            class: Class::LinkLocal,
        };
        assert_eq!(never.snippet("api"), None);
    }

    #[test]
    fn a_providers_words_cannot_break_a_line() {
        assert_eq!(quoted("a\nb\"c\u{1b}"), "a b c ");
        assert_eq!(quoted(&"x".repeat(1000)).len(), MAX_QUOTED);
    }
}
