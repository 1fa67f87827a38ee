//! Room for many watches: connections, each with as many streams as an API server lets it have.
//!
//! In: the configuration of the cluster. Out: a [`Slot`] for each watch. Invariant: no connection carries more watches than
//! [`WATCHES_PER_CONNECTION`], and one that carries none is closed.
//!
//! An API server takes 100 requests at once on a connection. A client that has that many watches open would wait for ever with the next.

use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;

use super::client::{Connector, WORKLOAD_CONCURRENCY};

/// Of the 100 that an API server takes at once, some are left for the moment in which an old watch ends and its successor begins.
const WATCHES_PER_CONNECTION: usize = 80;

/// The connections. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Streams {
    connector: Connector,
    connections: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    client: Client,
    http2_only: bool,
    /// One for each slot, and one for this list.
    slots: Arc<()>,
}

/// The right to one watch. Given back by being dropped.
pub(crate) struct Slot {
    client: Client,
    _slot: Arc<()>,
}

impl Slot {
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }
}

impl Streams {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, connections: Arc::default() }
    }

    /// A place on the fullest connection that has one, so that others can run empty.
    pub(crate) fn slot(&self) -> Result<Slot, kube::Error> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| Arc::strong_count(&connection.slots) > 1);
        let http2_only = self.connector.is_http2();
        let free = connections.iter().filter(|connection| {
            connection.http2_only == http2_only && Arc::strong_count(&connection.slots) <= WATCHES_PER_CONNECTION
        });
        if let Some(connection) = free.max_by_key(|connection| Arc::strong_count(&connection.slots)) {
            return Ok(Slot { client: connection.client.clone(), _slot: connection.slots.clone() });
        }
        let client = self.connector.client(WORKLOAD_CONCURRENCY, http2_only)?;
        let connection = Connection { client, http2_only, slots: Arc::new(()) };
        let slot = Slot { client: connection.client.clone(), _slot: connection.slots.clone() };
        connections.push(connection);
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watches_share_connections_up_to_the_limit_and_an_empty_connection_is_given_up() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let config = kube::Config::new(http::Uri::from_static("https://127.0.0.1:1"));
        let streams = Streams::new(Connector::new(config).unwrap());
        let count = || streams.connections.lock().unwrap().len();
        let mut slots: Vec<Slot> = (0..WATCHES_PER_CONNECTION).map(|_| streams.slot().unwrap()).collect();
        assert_eq!(count(), 1);
        slots.push(streams.slot().unwrap());
        assert_eq!(count(), 2);
        // The first is emptied; what comes next finds room on the second.
        slots.drain(..WATCHES_PER_CONNECTION);
        slots.push(streams.slot().unwrap());
        assert_eq!(count(), 1);
    }
}
