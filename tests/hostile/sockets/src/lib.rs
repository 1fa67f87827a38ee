//! A provider that opens sockets by itself. The host must refuse it before anything of it runs.
//!
//! In: nothing that matters. Out: imports of `wasi:sockets`. Invariant: whoever sees this provider start has found a hole.

use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use pluglet_sdk::{Error, Host, Info, Init, PodRef, Provider, ResolvedPod, Result, Status};

/// The provider.
pub struct Sockets;

impl Provider for Sockets {
    async fn start(host: Host, init: Init) -> Result<Self> {
        // The address comes from the configuration, so that the compiler has to keep the calls.
        let tcp = TcpStream::connect(&init.config_json).map(|_| ());
        let udp = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"hello", &init.config_json));
        host.error(format_args!("TCP: {tcp:?}, UDP: {udp:?}"));
        Ok(Self)
    }

    fn info(&self) -> Info {
        Info::default()
    }

    async fn create(&self, _pod: PodRef, _spec: ResolvedPod) -> Result<Status> {
        Err(Error::internal("this provider must never be asked"))
    }

    async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
        Err(Error::NotFound)
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        Ok(Vec::new())
    }
}

pluglet_sdk::export!(Sockets, { name: "hostile-sockets", description: "Must not be loaded: it imports sockets." });
