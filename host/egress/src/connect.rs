//! Connections: the one place where an address is chosen and dialled.
//!
//! In: a URI that was checked. Out: a socket. Invariant: the address that is dialled is one that was judged, in the same breath; a name is
//! resolved once for a connection, so an answer that changes afterwards changes nothing.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::address::{Class, classify};
use crate::grant::Grant;
use crate::target::Target;

/// How long one address may take to answer. Shorter than a request may last, so that a dead address is told as such.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one name that are tried. A name with a thousand addresses would make the host a port scanner.
const MAX_ADDRESSES: usize = 8;

/// Finds the addresses of a name. Tests bring their own.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, best first.
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// Look-ups of one provider that are under way. Each takes one of the process's 512 threads for blocking work, until the system answers and not
/// only until the request is given up: a provider that asked for slow names with short times would leave none to the others.
const LOOK_UPS: usize = 16;

/// The system's resolver.
#[derive(Debug)]
pub struct SystemResolver {
    places: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LOOK_UPS)) }
    }
}

impl SystemResolver {
    async fn run<T: Send + 'static>(
        places: Arc<Semaphore>,
        look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = places.acquire_owned().await.map_err(io::Error::other)?;
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            look_up()
        });
        task.await.map_err(io::Error::other)?
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let look_up = move || Ok((host.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect());
        Box::pin(Self::run(Arc::clone(&self.places), look_up))
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{host} is {address}, {class}")]
    Forbidden { host: String, address: IpAddr, class: Class },
    #[error("{0} cannot be resolved")]
    Resolve(String, #[source] io::Error),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("cannot connect to {0}")]
    Dial(String, #[source] io::Error),
    #[error("{0} did not answer within {CONNECT_TIMEOUT:?}")]
    Timeout(String),
    #[error("the URI has no host")]
    NoHost,
}

/// Which addresses one endpoint may reach.
#[derive(Clone, Debug)]
enum Policy {
    /// The one that the operator wrote.
    Literal(IpAddr),
    /// `localhost`, which is this machine by definition (RFC 6761 section 6.3).
    Localhost,
    /// Those of the network that the operator wrote.
    Network(IpNet),
    /// What names resolve to: public addresses, and with permission private ones.
    Names { private: bool },
}

impl Policy {
    fn of(grant: &Grant) -> Self {
        let private = grant.private_addresses;
        match &grant.target {
            Target::Base(url) => match url.host() {
                Some(url::Host::Ipv4(address)) => Self::Literal(address.into()),
                Some(url::Host::Ipv6(address)) => Self::Literal(address.into()),
                Some(url::Host::Domain("localhost")) => Self::Localhost,
                _ => Self::Names { private },
            },
            Target::Addresses { network, .. } => Self::Network(*network),
            Target::Hosts { .. } | Target::Unix(_) => Self::Names { private },
        }
    }

    fn judge(&self, address: IpAddr) -> Result<(), Class> {
        let Some(class) = classify(address) else {
            return match self {
                Self::Literal(literal) if *literal != address => Err(Class::Special),
                Self::Localhost => Err(Class::Special),
                Self::Network(network) if !network.contains(&address) => Err(Class::Special),
                _ => Ok(()),
            };
        };
        let allowed = match (self, class) {
            (_, Class::Metadata | Class::LinkLocal) => false,
            (Self::Literal(literal), _) => *literal == address,
            (Self::Localhost, class) => class == Class::Loopback,
            (Self::Network(network), _) => network.contains(&address),
            (Self::Names { private }, class) => *private && class.can_be_granted(),
        };
        if allowed { Ok(()) } else { Err(class) }
    }
}

/// Makes connections for one endpoint.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: Policy,
    socket: Option<PathBuf>,
    resolver: Arc<dyn Resolve>,
}

impl Connector {
    pub(crate) fn new(grant: &Grant, resolver: Arc<dyn Resolve>) -> Self {
        let socket = match &grant.target {
            Target::Unix(path) => Some(path.clone()),
            _ => None,
        };
        Self { policy: Policy::of(grant), socket, resolver }
    }

    async fn connect(self, uri: Uri) -> Result<Socket, ConnectError> {
        if let Some(path) = self.socket {
            let shown = path.display().to_string();
            let stream = UnixStream::connect(path).await.map_err(|source| ConnectError::Dial(shown, source))?;
            return Ok(Socket::new(stream));
        }
        let host = uri.host().ok_or(ConnectError::NoHost)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses = self.addresses(&host).await?;
        dial(&addresses, port).await
    }

    /// The addresses that may be dialled. A name of which only some are allowed is dialled at those.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let found = match host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => {
                let resolved = self.resolver.resolve(host.to_owned()).await;
                resolved.map_err(|source| ConnectError::Resolve(host.to_owned(), source))?
            }
        };
        let mut forbidden = None;
        let mut allowed = Vec::new();
        for address in found.into_iter().take(MAX_ADDRESSES) {
            match self.policy.judge(address) {
                Ok(()) => allowed.push(address),
                Err(class) => forbidden = forbidden.or(Some((address, class))),
            }
        }
        match (allowed.is_empty(), forbidden) {
            (false, _) => Ok(allowed),
            (true, Some((address, class))) => Err(ConnectError::Forbidden { host: host.to_owned(), address, class }),
            (true, None) => Err(ConnectError::NoAddress(host.to_owned())),
        }
    }
}

/// One after the other; the last error is told.
async fn dial(addresses: &[IpAddr], port: u16) -> Result<Socket, ConnectError> {
    let mut last = None;
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small and written whole; waiting to fill a segment only delays them. A socket that refuses works.
                stream.set_nodelay(true).ok();
                return Ok(Socket::new(stream));
            }
            Ok(Err(source)) => last = Some(ConnectError::Dial(address.to_string(), source)),
            Err(_) => last = Some(ConnectError::Timeout(address.to_string())),
        }
    }
    Err(last.unwrap_or(ConnectError::NoHost))
}

impl tower::Service<Uri> for Connector {
    type Response = Socket;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Socket, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, over TCP or a socket of this machine.
pub(crate) struct Socket(TokioIo<Box<dyn Stream>>);

impl Socket {
    fn new(stream: impl Stream + 'static) -> Self {
        Self(TokioIo::new(Box::new(stream)))
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }
}

#[cfg(test)]
mod tests;
