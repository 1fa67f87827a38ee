//! What the operator decides about one provider.
//!
//! In: `pluglet.yaml` or flags, read by the caller. Out: [`ProviderOptions`]. Invariant: an [`Endpoint`] that [`Endpoint::new`]
//! made has a URL that a request can be built on; limits have defaults that hold without being thought about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One provider: which component, under which name, with which grants.
#[derive(Clone, Debug)]
pub struct ProviderOptions {
    /// The operator's name for it: in logs, metrics and file names. Letters, digits, `.`, `_` and `-`, not starting with a dot.
    pub name: String,
    /// The `.wasm` file.
    pub component: PathBuf,
    /// The node that it backs; same alphabet as `name`.
    pub node_name: String,
    /// Its `config:` section as JSON; `{}` when there is none.
    pub config_json: String,
    /// Endpoint name → what it is bound to. What is not here the provider cannot reach.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Where the compiled component and the provider's `kv` memory live. Made when missing.
    pub state_dir: PathBuf,
    /// What it may use up.
    pub limits: Limits,
}

/// A base URL that requests of the provider go to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://host/base`, `http://host/base` or `unix:///path/to.sock`.
    pub url: String,
    /// PEM certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// From the call to the last byte of the answer. A request may ask for less, never for more.
    pub timeout: Duration,
    /// The largest answer body in bytes. A request may ask for less, never for more.
    pub max_response_bytes: usize,
}

/// Why an endpoint's URL is refused.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is not a URL.
    #[error("`{url}` is not a URL")]
    Syntax {
        /// As given.
        url: String,
        /// What the parser said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A scheme that is not served.
    #[error("`{url}` has the scheme `{scheme}`: use https, http or unix")]
    Scheme {
        /// As given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A part that a base URL must not have.
    #[error("`{url}` has a {part}, which a base URL cannot have")]
    Part {
        /// As given.
        url: String,
        /// `query` or `fragment`.
        part: &'static str,
    },
    /// A user name or password in the URL. The URL is not repeated, because it would end up in a log.
    #[error("a URL with a user name or password cannot be a base URL")]
    Credentials,
    /// `unix:` without an absolute path.
    #[error("`{0}` must have the form unix:///absolute/path.sock")]
    Socket(String),
}

/// How long a request may take unless the operator says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer unless the operator says otherwise. A backend (or who answers in its place) that sends without end would
/// otherwise fill the host's memory, 64 requests at a time.
const DEFAULT_MAX_RESPONSE_BYTES: usize = 8 << 20;

impl Endpoint {
    /// An endpoint with a timeout of 30 s and answers of up to 8 MiB.
    ///
    /// # Errors
    /// When `url` is not an absolute `https`, `http` or `unix` URL, or has a query, a fragment or credentials.
    pub fn new(url: impl Into<String>) -> Result<Self, EndpointError> {
        let url = url.into();
        check(&url)?;
        Ok(Self { url, ca_file: None, timeout: DEFAULT_TIMEOUT, max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES })
    }

    /// The path of the socket, when this is a `unix:` URL.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.url.strip_prefix("unix://")
    }
}

/// The rules of [`Endpoint::new`]; checked again when the provider starts, because the field is public.
pub(crate) fn check(url: &str) -> Result<(), EndpointError> {
    if let Some(path) = url.strip_prefix("unix:") {
        return match path.strip_prefix("//") {
            Some(path) if path.starts_with('/') && path.len() > 1 && !path.contains('\0') => Ok(()),
            _ => Err(EndpointError::Socket(url.to_owned())),
        };
    }
    let parsed = reqwest::Url::parse(url)
        .map_err(|source| EndpointError::Syntax { url: url.to_owned(), source: Box::new(source) })?;
    let part = |part| Err(EndpointError::Part { url: url.to_owned(), part });
    match parsed.scheme() {
        "http" | "https" => {}
        scheme => return Err(EndpointError::Scheme { url: url.to_owned(), scheme: scheme.to_owned() }),
    }
    if parsed.query().is_some() {
        return part("query");
    }
    if parsed.fragment().is_some() {
        return part("fragment");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(EndpointError::Credentials);
    }
    Ok(())
}

/// What one provider may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of the component in bytes. Beyond it an allocation fails, which ends the incarnation.
    pub memory_bytes: usize,
    /// Calls about pods that may be inside the component at once; 1 to 4096, others are brought into that range. Each costs about
    /// 20 KiB of the host's memory and a stack frame's worth of the guest's; the others wait outside.
    pub concurrency: usize,
    /// How long the component may compute without giving way before it is stopped.
    pub cpu_stall: Duration,
    /// Keys and values of `kv` together, in bytes.
    pub kv_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, concurrency: 64, cpu_stall: Duration::from_secs(2), kv_bytes: 64 << 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_of_the_three_kinds_are_accepted() {
        for url in ["https://api.example.com", "http://127.0.0.1:8080/base/", "unix:///run/podman/podman.sock"] {
            assert!(Endpoint::new(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_a_request_cannot_be_built_on_is_refused_with_the_reason() {
        for (url, reason) in [
            ("api.example.com", "is not a URL"),
            ("ftp://api.example.com", "use https, http or unix"),
            ("https://api.example.com/?a=b", "has a query"),
            ("https://api.example.com/#top", "has a fragment"),
            ("https://me:secret@api.example.com", "user name or password"),
            ("unix:run/podman.sock", "unix:///absolute"),
            ("unix://run/podman.sock", "unix:///absolute"),
            ("http://", "is not a URL"),
        ] {
            let text = Endpoint::new(url).unwrap_err().to_string();
            assert!(text.contains(reason), "{url}: {text}");
        }
    }
}
