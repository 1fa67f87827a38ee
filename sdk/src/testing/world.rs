//! What a provider under test sees of the host.
//!
//! In: the provider's imports and the test's script. Out: scripted answers, and a record of what was asked. Invariant: the memory's
//! limits are those of the real host.

mod metrics;
mod peers;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::LocalBoxStream;

pub use self::peers::{Peer, Responder};
use super::clock::Clock;
use crate::host::{Handshake, Headers, Imports};
use crate::tasks::Tasks;
use crate::{Body, HttpError, KvError, Level, Message, Request, Response, StreamingResponse};

const LONGEST_KEY: usize = 512;
const LARGEST_VALUE: usize = 256 << 10;
const MOST_RANDOM_BYTES: u32 = 4096;

type Handler = Rc<dyn Fn(&Request) -> Result<Response, HttpError>>;

#[derive(Default)]
struct Shared {
    clock: Clock,
    kv: RefCell<BTreeMap<String, Vec<u8>>>,
    kv_writes: Cell<usize>,
    kv_broken: Cell<bool>,
    endpoints: RefCell<BTreeMap<String, Handler>>,
    peers: peers::Peers,
    requests: RefCell<Vec<Request>>,
    log: RefCell<Vec<(Level, String)>>,
    random: Cell<u64>,
    metrics: metrics::Metrics,
    /// When the host gives up the calls that are under way; nanoseconds since 1970.
    deadline_ns: Cell<Option<u64>>,
}

/// Clock, memory, endpoints and log of a provider under test. A clone is the same world.
#[derive(Clone, Default)]
pub struct World {
    shared: Rc<Shared>,
}

impl World {
    /// A world at 2026-01-01T00:00:00Z with an empty memory and no endpoints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with something in memory.
    #[must_use]
    pub fn with_kv(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let world = Self::default();
        world.shared.kv.replace(entries);
        world
    }

    /// Everything in memory.
    #[must_use]
    pub fn kv(&self) -> BTreeMap<String, Vec<u8>> {
        self.shared.kv.borrow().clone()
    }

    /// How often the memory was written: puts and deletes.
    #[must_use]
    pub fn kv_writes(&self) -> usize {
        self.shared.kv_writes.get()
    }

    /// Let every use of the memory fail, or work again.
    pub fn break_kv(&self, broken: bool) {
        self.shared.kv_broken.set(broken);
    }

    /// Grant an endpoint and answer its requests. Replaces the answers of before.
    pub fn serve(&self, endpoint: &str, handler: impl Fn(&Request) -> Result<Response, HttpError> + 'static) {
        self.shared.endpoints.borrow_mut().insert(endpoint.to_owned(), Rc::new(handler));
    }

    /// Grant an endpoint and answer all its requests alike.
    pub fn reply(&self, endpoint: &str, status: u16, body: &str) {
        let response = Response { status, body: body.as_bytes().to_vec(), ..Response::default() };
        self.serve(endpoint, move |_| Ok(response.clone()));
    }

    /// All requests so far, in order; also those to endpoints that were not granted.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.borrow().clone()
    }

    /// All log lines so far.
    #[must_use]
    pub fn log_lines(&self) -> Vec<(Level, String)> {
        self.shared.log.borrow().clone()
    }

    /// Give all calls a deadline, so long from now, or none. When it has passed they are cancelled.
    pub fn set_deadline(&self, after: Option<Duration>) {
        let after = after.map(|after| u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        self.shared.deadline_ns.set(after.map(|after| self.clock().now_ns().saturating_add(after)));
    }

    /// The provider's counters.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.shared.metrics.counters()
    }

    /// The provider's gauges.
    #[must_use]
    pub fn gauges(&self) -> BTreeMap<String, f64> {
        self.shared.metrics.gauges()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    fn record(&self, request: &Request) {
        self.shared.requests.borrow_mut().push(request.clone());
    }

    fn handler(&self, endpoint: &str) -> Option<Handler> {
        self.shared.endpoints.borrow().get(endpoint).cloned()
    }

    fn kv_works(&self) -> Result<(), KvError> {
        if self.shared.kv_broken.get() {
            return Err(KvError::Io("broken by the test".to_owned()));
        }
        Ok(())
    }

    fn kv_written(&self) {
        self.shared.kv_writes.set(self.shared.kv_writes.get() + 1);
    }
}

fn not_granted(endpoint: &str) -> HttpError {
    HttpError::Denied(format!("endpoint {endpoint:?} is not granted"))
}

impl Imports for World {
    async fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        self.record(&request);
        let handler = self.handler(&request.endpoint).ok_or_else(|| not_granted(&request.endpoint))?;
        let response = handler(&request)?;
        if response.body.len() > usize::try_from(request.max_bytes).unwrap_or(usize::MAX) {
            return Err(HttpError::TooLarge);
        }
        Ok(response)
    }

    async fn send(&self, tasks: &Tasks, request: Request, body: Body) -> Result<StreamingResponse, HttpError> {
        self.stream(tasks, request, body).await
    }

    async fn upgrade(
        &self,
        tasks: &Tasks,
        request: Request,
        protocol: &str,
        output: Body,
    ) -> Result<Handshake<(Headers, Body)>, HttpError> {
        self.switch(tasks, request, protocol, output).await
    }

    async fn websocket(
        &self,
        tasks: &Tasks,
        request: Request,
        protocols: Vec<String>,
        outgoing: mpsc::Receiver<Message>,
    ) -> Result<Handshake<(String, LocalBoxStream<'static, Message>)>, HttpError> {
        self.connect(tasks, request, &protocols, outgoing).await
    }

    async fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.kv_works()?;
        Ok(self.shared.kv.borrow().get(key).cloned())
    }

    async fn kv_put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.kv_works()?;
        if key.len() > LONGEST_KEY || value.len() > LARGEST_VALUE {
            return Err(KvError::TooLarge(format!("key {} bytes, value {} bytes", key.len(), value.len())));
        }
        self.kv_written();
        self.shared.kv.borrow_mut().insert(key.to_owned(), value);
        Ok(())
    }

    async fn kv_delete(&self, key: &str) -> Result<(), KvError> {
        self.kv_works()?;
        self.kv_written();
        self.shared.kv.borrow_mut().remove(key);
        Ok(())
    }

    async fn kv_entries(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, KvError> {
        self.kv_works()?;
        let kv = self.shared.kv.borrow();
        let matching = kv.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(matching.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: String = fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        self.shared.log.borrow_mut().push((level, format!("{message}{fields}")));
    }

    fn counter_add(&self, name: &str, value: u64) {
        if !self.shared.metrics.add(name, value) {
            self.log(Level::Warn, &format!("the metric {name:?} is dropped"), &[]);
        }
    }

    fn gauge_set(&self, name: &str, value: f64) {
        if !self.shared.metrics.set(name, value) {
            self.log(Level::Warn, &format!("the metric {name:?} is dropped"), &[]);
        }
    }

    fn remaining_ms(&self) -> Option<u64> {
        let deadline = self.shared.deadline_ns.get()?;
        Some(deadline.saturating_sub(self.clock().now_ns()) / 1_000_000)
    }

    fn is_cancelled(&self) -> bool {
        self.remaining_ms() == Some(0)
    }

    fn now_unix_ns(&self) -> u64 {
        self.clock().now_ns()
    }

    async fn sleep_ms(&self, ms: u64) {
        self.clock().sleep_ms(ms).await;
    }

    /// Different at each call, but the same in each run of the test.
    fn random_bytes(&self, length: u32) -> Vec<u8> {
        let next = || {
            // SplitMix64: one addition and three mixing steps give well spread bits from a counter.
            let state = self.shared.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.shared.random.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed >> 56).to_le_bytes()[0]
        };
        (0..length.min(MOST_RANDOM_BYTES)).map(|_| next()).collect()
    }
}
