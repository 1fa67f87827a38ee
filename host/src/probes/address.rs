//! Where probes may go: the one place where their connections are made.
//!
//! In: a host as the provider (the pod's address) or the pod's author (`httpGet.host`) wrote it. Out: a connection. Invariant: the address
//! that is dialled is one that was judged, in the same breath; a name is resolved once for a connection.
//!
//! A kubelet probes what its own container runtime started. Here the pod's address comes from a sandboxed provider, whose egress is
//! limited to what the operator granted: a probe must not be its way around that to the host's own services or to the credentials of the
//! machine. Private addresses are where pods live and stay reachable; a cluster that does not want authors to aim probes at them forbids
//! `host` in probes (Pod Security Standards, baseline, since 1.34).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pluglet_egress::{Class, Resolve, SystemResolver, classify};
use tokio::net::TcpStream;

use super::Outcome;

/// Addresses of one name that are tried. A name with a thousand of them would make the host a port scanner.
const MAX_ADDRESSES: usize = 8;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("{host} is {class}, where no probe may go")]
    Refused { host: String, class: Class },
    #[error("{0} cannot be resolved: {1}")]
    Resolve(String, #[source] io::Error),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("dial tcp {0}: {1}")]
    Dial(SocketAddr, #[source] io::Error),
}

impl Unreachable {
    /// What a check comes to that could not connect. Where the host itself did not want to, that says nothing about the container.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Refused { .. } => Outcome::Unknown { error: self.to_string() },
            Self::Resolve(..) | Self::NoAddress(_) | Self::Dial(..) => Outcome::failure(self.to_string()),
        }
    }
}

/// Makes connections for probes.
#[derive(Clone)]
pub(crate) struct Reach {
    loopback: bool,
    resolver: Arc<dyn Resolve>,
}

impl Reach {
    /// `loopback` lets probes reach this machine, for providers whose pods run on it.
    pub(crate) fn new(loopback: bool) -> Self {
        Self::resolved_by(loopback, Arc::new(SystemResolver::default()))
    }

    /// The same with another resolver.
    pub(crate) fn resolved_by(loopback: bool, resolver: Arc<dyn Resolve>) -> Self {
        Self { loopback, resolver }
    }

    /// A connection to a host: an address, without brackets, or a name. The caller sets the deadline.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, Unreachable> {
        let mut last = Unreachable::NoAddress(host.to_owned());
        for address in self.addresses(host).await? {
            let address = SocketAddr::new(address, port);
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Requests are small and written whole. A socket that refuses works.
                    stream.set_nodelay(true).ok();
                    return Ok(stream);
                }
                Err(source) => last = Unreachable::Dial(address, source),
            }
        }
        Err(last)
    }

    /// The addresses that may be dialled. A name of which only some are allowed is dialled at those.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unreachable> {
        let found = match host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => {
                let resolved = self.resolver.resolve(host.to_owned()).await;
                resolved.map_err(|source| Unreachable::Resolve(host.to_owned(), source))?
            }
        };
        let mut allowed = vec![];
        let mut refused = None;
        for address in found.into_iter().take(MAX_ADDRESSES) {
            match self.judge(address) {
                Ok(()) => allowed.push(address),
                Err(class) => refused = refused.or(Some(class)),
            }
        }
        match refused {
            Some(class) if allowed.is_empty() => Err(Unreachable::Refused { host: host.to_owned(), class }),
            _ => Ok(allowed),
        }
    }

    fn judge(&self, address: IpAddr) -> Result<(), Class> {
        match classify(address) {
            None | Some(Class::Private | Class::CarrierGrade) => Ok(()),
            Some(Class::Loopback) if self.loopback => Ok(()),
            Some(Class::Special) if is_pod_range(address) => Ok(()),
            Some(class) => Err(class),
        }
    }
}

/// Ranges that are nobody's on the internet and that clusters therefore give to pods: benchmarks (RFC 2544) and the former class E
/// (GKE's non-RFC 1918 ranges). Not so the unspecified address, which leads to this machine, nor multicast and broadcast.
fn is_pod_range(address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    match address.octets() {
        [198, 18..=19, ..] => true,
        [240..=255, ..] => address != Ipv4Addr::BROADCAST,
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests;
