//! Where an endpoint leads: what the operator wrote as `url`, `hosts` or `addresses`.
//!
//! In: text. Out: [`Target`]. Invariant: a [`Target`] names scheme, port and either one host, the names below one suffix, or the
//! addresses of one network; whatever a provider asks for later can only be narrower.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use url::{Host, Url};

use crate::address;

/// Where requests of one endpoint may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One base URL; the provider gives a path.
    Base(Url),
    /// A socket of this machine; the provider gives a path.
    Unix(PathBuf),
    /// The names below a suffix, at one port; the provider gives a whole URL.
    Hosts {
        /// Whether TLS is used.
        scheme: Scheme,
        /// In lower case, without `*.`.
        suffix: String,
        /// The one port.
        port: u16,
    },
    /// The addresses of a network, at one port; the provider gives a whole URL.
    Addresses {
        /// Whether TLS is used.
        scheme: Scheme,
        /// The network.
        network: IpNet,
        /// The one port.
        port: u16,
    },
}

/// The schemes that are served. `ws` and `wss` mean these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// As a provider may write it, the websocket spelling included.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "http" | "ws" => Some(Self::Http),
            "https" | "wss" => Some(Self::Https),
            _ => None,
        }
    }
}

/// Why a target is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is not a URL.
    #[error("is not a URL: {0}")]
    Syntax(url::ParseError),
    /// A scheme that is not served.
    #[error("has the scheme `{0}`: use https, http or unix")]
    Scheme(String),
    /// A part that a base URL must not have.
    #[error("has a {0}, which a base URL cannot have")]
    Part(&'static str),
    /// A user name or password. The URL is not repeated, because it would end up in a log.
    #[error("has a user name or password: write them as `auth`, with the password in a file")]
    Credentials,
    /// A path that could mean two things, or a host that is missing.
    #[error("has no host, or a path with empty or dot segments, backslashes or characters that need encoding")]
    Path,
    /// Nothing listens there.
    #[error("has the port 0")]
    Port,
    /// `unix:` without an absolute path.
    #[error("must have the form unix:///absolute/path.sock")]
    Socket,
    /// An address that is never reachable.
    #[error("is {0}, which no provider may reach: it hands out this machine's credentials")]
    Metadata(IpAddr),
    /// Not `*.suffix:port`.
    #[error("must have the form \"*.example.com:443\": a suffix of at least two labels, and a port")]
    Hosts,
    /// A network that is nearly everything.
    #[error("is too wide: at least /8, over IPv6 at least /32")]
    Wide,
    /// Not `network:port`.
    #[error("must have the form \"10.1.0.0/16:8080\" or \"[fd00::/64]:8080\": a network, and a port")]
    Addresses,
}

impl Target {
    /// A base URL: `https://host/base`, `http://host:port`, `unix:///run/engine.sock`.
    ///
    /// # Errors
    /// When it is none, or has a query, a fragment or credentials, or is the address of a metadata service.
    pub fn base(text: &str) -> Result<Self, TargetError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.strip_prefix("//") {
                Some(path) if path.starts_with('/') && path.len() > 1 && !path.contains('\0') => {
                    Ok(Self::Unix(path.into()))
                }
                _ => Err(TargetError::Socket),
            };
        }
        let url = Url::parse(text).map_err(TargetError::Syntax)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.query().is_some() {
            return Err(TargetError::Part("query"));
        }
        if url.fragment().is_some() {
            return Err(TargetError::Part("fragment"));
        }
        // The parser has repaired what it could; what it was given must have been normal before.
        let after_host = text.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
        if text.contains(":///") || after_host.is_some_and(|path| crate::path::check(path).is_err()) {
            return Err(TargetError::Path);
        }
        if url.port() == Some(0) {
            return Err(TargetError::Port);
        }
        match literal(&url) {
            Some(address) if address::is_metadata(address) => Err(TargetError::Metadata(address)),
            _ => Ok(Self::Base(url)),
        }
    }

    /// The names below a suffix: `*.example.com:443`. At least two labels: `*.com` would be everyone.
    ///
    /// # Errors
    /// When it has another form.
    pub fn hosts(text: &str, scheme: Scheme) -> Result<Self, TargetError> {
        let (suffix, port) =
            text.strip_prefix("*.").and_then(|rest| rest.rsplit_once(':')).ok_or(TargetError::Hosts)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(TargetError::Hosts)?;
        let suffix = suffix.to_ascii_lowercase();
        if !is_hostname(&suffix) || !suffix.contains('.') || suffix.parse::<IpAddr>().is_ok() {
            return Err(TargetError::Hosts);
        }
        Ok(Self::Hosts { scheme, suffix, port })
    }

    /// The addresses of a network: `10.244.0.0/16:9100`, `[fd00::/64]:9100`.
    ///
    /// # Errors
    /// When it has another form.
    pub fn addresses(text: &str, scheme: Scheme) -> Result<Self, TargetError> {
        let (network, port) = text.rsplit_once(':').ok_or(TargetError::Addresses)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(TargetError::Addresses)?;
        let bare = network.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(network);
        let network: IpNet = bare.parse().map_err(|_| TargetError::Addresses)?;
        if address::is_metadata(network.addr()) {
            return Err(TargetError::Metadata(network.addr()));
        }
        // A network that holds everything holds this machine, too; nobody means that.
        if network.prefix_len() < if network.addr().is_ipv4() { 8 } else { 32 } {
            return Err(TargetError::Wide);
        }
        Ok(Self::Addresses { scheme, network: network.trunc(), port })
    }

    /// Whether the provider has to give a whole URL.
    #[must_use]
    pub fn is_range(&self) -> bool {
        matches!(self, Self::Hosts { .. } | Self::Addresses { .. })
    }

    /// Whether connections use TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Base(url) => url.scheme() == "https",
            Self::Unix(_) => false,
            Self::Hosts { scheme, .. } | Self::Addresses { scheme, .. } => *scheme == Scheme::Https,
        }
    }
}

/// The address that a URL has in the place of a name.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Letters, digits, hyphens, and dots between labels that are not empty; no trailing dot, which would be another name for the same
/// host and so a way around a comparison.
pub(crate) fn is_hostname(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

/// As the operator wrote it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(url) => f.write_str(url.as_str()),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Hosts { scheme, suffix, port } => write!(f, "{}://*.{suffix}:{port}", scheme.as_str()),
            Self::Addresses { scheme, network, port } => write!(f, "{}://[{network}]:{port}", scheme.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_of_the_three_kinds_are_accepted() {
        for url in ["https://api.example.com", "http://127.0.0.1:8080/base/", "unix:///run/podman/podman.sock"] {
            assert!(Target::base(url).is_ok(), "{url}");
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
            ("http://169.254.169.254/metadata", "no provider may reach"),
            ("http://0xa9fea9fe/", "no provider may reach"),
            ("https:///x", "no host"),
            ("https://a.example/a/../b", "dot segments"),
            ("https://a.example//b", "empty"),
            ("https://a.example/a b", "encoding"),
            ("https://a.example:0/", "port 0"),
        ] {
            let text = Target::base(url).unwrap_err().to_string();
            assert!(text.contains(reason) && !text.contains("secret"), "{url}: {text}");
        }
    }

    #[test]
    fn ranges_name_a_suffix_or_a_network_and_always_a_port() {
        let hosts = Target::hosts("*.Atlas.example.com:19390", Scheme::Https).unwrap();
        assert_eq!(hosts.to_string(), "https://*.atlas.example.com:19390");
        for bad in ["atlas.example.com:1", "*.com:443", "*.example.com", "*.example.com:0", "*.1.2.3.4:80", "*..com:1"]
        {
            assert_eq!(Target::hosts(bad, Scheme::Https), Err(TargetError::Hosts), "{bad}");
        }
        let pods = Target::addresses("10.244.3.7/16:9100", Scheme::Http).unwrap();
        assert_eq!(pods.to_string(), "http://[10.244.0.0/16]:9100");
        assert!(Target::addresses("[fd00::/64]:9100", Scheme::Http).is_ok());
        assert!(matches!(Target::addresses("169.254.0.0/16:80", Scheme::Http), Err(TargetError::Metadata(_))));
        for wide in ["0.0.0.0/0:80", "0.0.0.0/4:80", "[::/0]:80"] {
            assert_eq!(Target::addresses(wide, Scheme::Http), Err(TargetError::Wide), "{wide}");
        }
        for bad in ["10.244.0.0/16", "10.244.0.0:80", "10.244.0.0/33:80", "10.0.0.0/8:0"] {
            assert_eq!(Target::addresses(bad, Scheme::Http), Err(TargetError::Addresses), "{bad}");
        }
    }
}
