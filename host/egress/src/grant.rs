//! What a provider asks for and what the operator gives.
//!
//! In: the manifest's endpoints ([`Need`]), the operator's ([`Grant`]). Out: [`Right`]s, one for each endpoint that both name; what is
//! missing, with the YAML that would give it; what was given in vain. Invariant: a right is never more than either side says. Pure.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use pluglet_credentials::Auth;
use pluglet_credentials::tls::TlsOptions;
use serde::{Deserialize, Serialize};

use crate::path::{Pattern, overlaps};
use crate::target::Target;

mod missing;

pub use missing::Missing;

/// An endpoint in a provider's manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Need {
    /// The name that requests use and that the operator binds.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub why: String,
    /// Methods that it uses. Empty: any.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Patterns of the paths that it asks for, see [`Pattern`]. Empty: any.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Whether it opens websockets.
    #[serde(default)]
    pub websocket: bool,
    /// Whether it takes over connections (status 101).
    #[serde(default)]
    pub upgrade: bool,
    /// Whether it can do without.
    #[serde(default)]
    pub optional: bool,
}

/// What the operator gives under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Where it leads.
    pub target: Target,
    /// Methods. None: those that the manifest names.
    pub methods: Option<Vec<Method>>,
    /// Paths, relative to the base URL, whose subtrees are given: `/v1/pods` gives `/v1/pods` and `/v1/pods/…`. Empty: all.
    pub path_prefixes: Vec<String>,
    /// Whether websockets may be opened.
    pub websocket: bool,
    /// Whether connections may be taken over.
    pub upgrade: bool,
    /// Whether names may resolve to loopback, private and carrier-grade addresses. An address that the operator wrote as such needs no
    /// such permission; link-local and metadata addresses never get it.
    pub private_addresses: bool,
    /// The credential that the host adds.
    pub auth: Option<Auth>,
    /// Trust and the host's own certificate.
    pub tls: TlsOptions,
    /// The name that the server's certificate must have, if not the URL's.
    pub server_name: Option<String>,
    /// What one endpoint may use up.
    pub limits: EndpointLimits,
}

impl Grant {
    /// A grant with the defaults of everything but the target.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            methods: None,
            path_prefixes: Vec::new(),
            websocket: false,
            upgrade: false,
            private_addresses: false,
            auth: None,
            tls: TlsOptions::default(),
            server_name: None,
            limits: EndpointLimits::default(),
        }
    }
}

/// What requests to one endpoint may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLimits {
    /// From the call to the last byte of the answer; for streams to the answer's head. A request may ask for less.
    pub timeout: Duration,
    /// Requests in a second, with a burst of as many. None: as fast as the others allow. Beyond it requests wait.
    pub requests_per_second: Option<NonZeroU32>,
    /// Requests under way at once; streams are counted apart, with the same number. Others wait.
    pub concurrency: usize,
    /// Bytes of one request's body.
    pub max_request_bytes: u64,
    /// Bytes of one whole answer (`fetch`). A request may ask for less.
    pub max_response_bytes: usize,
    /// Bytes of one streamed answer.
    pub max_stream_bytes: u64,
    /// How long a stream, an upgraded connection or a websocket may be silent.
    pub idle_timeout: Duration,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            requests_per_second: None,
            // As many as pod calls may be under way by default. A guest that opened connections without end would take the host's file
            // descriptors and the backend's patience.
            concurrency: 64,
            // Nothing that a provider has to send is larger: a pod with all its files has at most a few MiB. Images and archives need more
            // and are for the operator to allow.
            max_request_bytes: 64 << 20,
            // A backend (or who answers in its place) that sends without end would otherwise fill the host's memory.
            max_response_bytes: 8 << 20,
            // Streams flow with back-pressure and cost no memory; this bounds what a broken or hostile peer can make the host move.
            max_stream_bytes: 4 << 30,
            // The kubelet's own streamingConnectionIdleTimeout. A peer that sends nothing would otherwise hold its place for ever.
            idle_timeout: Duration::from_secs(4 * 3600),
        }
    }
}

/// One endpoint as both sides allow it.
#[derive(Clone, Debug)]
pub struct Right {
    /// The endpoint's name.
    pub name: String,
    /// The operator's side.
    pub grant: Grant,
    /// None: any but those that are never allowed.
    pub methods: Option<Vec<Method>>,
    /// The manifest's side of the paths.
    pub patterns: Vec<Pattern>,
    /// Whether both allow websockets.
    pub websocket: bool,
    /// Whether both allow upgrades.
    pub upgrade: bool,
}

/// What came out of comparing the two sides.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// What the provider can do, by name.
    pub rights: Vec<Right>,
    /// Endpoints that the manifest calls optional and nobody granted.
    pub optional: Vec<Need>,
    /// Names that were granted and never asked for.
    pub unasked: Vec<String>,
}

/// Both sides together.
///
/// # Errors
/// All that is needed and not granted.
pub fn intersect(needs: &[Need], grants: &BTreeMap<String, Grant>) -> Result<Rights, Vec<Missing>> {
    let mut outcome = Rights::default();
    let mut missing = Vec::new();
    for need in needs {
        match grants.get(&need.name) {
            None if need.optional => outcome.optional.push(need.clone()),
            None => missing.push(Missing::endpoint(need)),
            Some(grant) => match Missing::rights(need, grant) {
                Some(lacking) => missing.push(lacking),
                None => outcome.rights.push(Right::of(need, grant)),
            },
        }
    }
    let asked = |name: &String| needs.iter().any(|need| need.name == **name);
    outcome.unasked = grants.keys().filter(|name| !asked(name)).cloned().collect();
    if missing.is_empty() { Ok(outcome) } else { Err(missing) }
}

impl Right {
    fn of(need: &Need, grant: &Grant) -> Self {
        let asked: Vec<Method> = need.methods.iter().filter_map(|method| method.parse().ok()).collect();
        // By what the manifest has: one that names only what is no method asks for none, not for all.
        let methods = match (&grant.methods, need.methods.is_empty()) {
            (Some(granted), true) => Some(granted.clone()),
            (Some(granted), false) => Some(asked.into_iter().filter(|method| granted.contains(method)).collect()),
            (None, false) => Some(asked),
            (None, true) => None,
        };
        Self {
            name: need.name.clone(),
            grant: grant.clone(),
            methods,
            patterns: need.paths.iter().map(|path| Pattern::new(path)).collect(),
            websocket: need.websocket && grant.websocket,
            upgrade: need.upgrade && grant.upgrade,
        }
    }

    /// Whether both sides allow the method.
    #[must_use]
    pub fn allows_method(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }

    /// Whether both sides allow the path, relative to the base URL and already found to be normal.
    #[must_use]
    pub fn allows_path(&self, path: &str) -> bool {
        let granted = &self.grant.path_prefixes;
        (granted.is_empty() || granted.iter().any(|prefix| crate::path::is_below(path, prefix)))
            && (self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(path)))
    }
}

/// Whether what is granted leaves anything of one of the patterns.
fn reaches(grant: &Grant, pattern: &str) -> bool {
    grant.path_prefixes.is_empty() || grant.path_prefixes.iter().any(|prefix| overlaps(prefix, &Pattern::new(pattern)))
}

#[cfg(test)]
mod tests;
