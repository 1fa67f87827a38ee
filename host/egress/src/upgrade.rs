//! `upgrade`: a connection that stops being HTTP.
//!
//! In: an [`Outgoing`] request, the protocol to switch to, a body. Out: a [`Connection`] after status 101, or the answer. Invariant: until the
//! switch all checks of a request hold; after it the bytes belong to the two ends, and the host only counts the time and masks
//! credentials that come back whole.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream as _;
use http::StatusCode;
use http::header::{self, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::io::ReaderStream;

use crate::answer::{self, Answer};
use crate::check::{self, Checked, Outgoing};
use crate::egress::Egress;
use crate::endpoint::{Endpoint, Exchange, Via};
use crate::error::{Error, Refusal};
use crate::fetch::{within, word};
use crate::mask::Mask;
use crate::send::Held;

/// Bytes of an answer that is not a switch: enough for an error message.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// What came of asking for a switch.
pub enum UpgradeAnswer {
    /// The peer switched.
    Upgraded(Connection),
    /// It did not; this is what it said.
    Refused(Answer),
}

/// A connection that is no longer HTTP.
pub struct Connection {
    /// Headers of the answer that made the switch.
    pub headers: Vec<(String, String)>,
    /// From the peer.
    pub reader: Reader,
    /// To the peer.
    pub writer: Writer,
}

/// What is left of a request that was answered with 101, or the answer.
pub(crate) enum Switched {
    Yes { upgraded: Upgraded, headers: http::HeaderMap, authorized: bool, mask: Mask, held: Held },
    No(Answer),
}

impl Egress {
    /// Ask for a switch to `protocol`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upgrade(&self, outgoing: Outgoing, protocol: &str, body: Bytes) -> Result<UpgradeAnswer, Error> {
        let name = outgoing.endpoint.clone();
        let outcome = self.upgrade_checked(outgoing, protocol, body).await;
        self.noted(&name, outcome)
    }

    async fn upgrade_checked(&self, outgoing: Outgoing, protocol: &str, body: Bytes) -> Result<UpgradeAnswer, Error> {
        let endpoint = self.find(&outgoing.endpoint)?;
        let mut checked = check::request(&endpoint.right, &outgoing, endpoint.owned_headers())?;
        if !endpoint.right.upgrade {
            return Err(Error::Denied(Refusal::Upgrade));
        }
        checked.headers.insert(header::UPGRADE, protocol_name(protocol)?);
        let _bytes = endpoint.counted(self.room_for(endpoint, &body))?;
        let idle = endpoint.right.grant.limits.idle_timeout;
        Ok(match self.switch(endpoint, checked, body, outgoing.timeout).await? {
            Switched::No(answer) => UpgradeAnswer::Refused(answer),
            Switched::Yes { upgraded, headers, authorized, mask, held } => {
                let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
                let shared = Shared::new(held);
                UpgradeAnswer::Upgraded(Connection {
                    headers: answer::headers(headers, authorized, &mask),
                    reader: Reader {
                        bytes: ReaderStream::with_capacity(reader, READ_BYTES),
                        mask,
                        alarm: IdleAlarm::new(idle),
                        shared: Arc::clone(&shared),
                    },
                    writer: Writer { half: writer, shared },
                })
            }
        })
    }

    /// Send the request over a connection of its own and see whether it switches.
    pub(crate) async fn switch(
        &self,
        endpoint: &Endpoint,
        mut checked: Checked,
        body: Bytes,
        asked: Option<Duration>,
    ) -> Result<Switched, Error> {
        checked.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let _waiting = endpoint.counted(self.queue())?;
        let started = Instant::now();
        let limits = &endpoint.right.grant.limits;
        let head = async {
            let places = self.stream_places(endpoint).await?;
            let held = Held { _places: places, _in_flight: endpoint.metrics.begin() };
            let exchange = endpoint.exchange(checked, body, Via::Upgrading).await?;
            if exchange.response.status() == StatusCode::SWITCHING_PROTOCOLS {
                switched(exchange, held).await
            } else {
                answer::whole(exchange, MAX_REFUSAL_BYTES, &self.answer_bytes).await.map(Switched::No)
            }
        };
        let outcome = timeout(within(limits.timeout, asked), head).await.unwrap_or(Err(Error::Timeout));
        let status = outcome.as_ref().map(|switched| match switched {
            Switched::Yes { .. } => 101,
            Switched::No(answer) => answer.status,
        });
        endpoint.metrics.ended(word(status), started.elapsed().as_secs_f64());
        outcome
    }
}

async fn switched(exchange: Exchange, held: Held) -> Result<Switched, Error> {
    let Exchange { mut response, mask, authorized, .. } = exchange;
    let headers = std::mem::take(response.headers_mut());
    let upgraded = hyper::upgrade::on(&mut response).await;
    let upgraded = upgraded.map_err(|error| Error::Protocol(format!("the connection did not switch: {error}")))?;
    Ok(Switched::Yes { upgraded, headers, authorized, mask, held })
}

/// A protocol's name, and maybe its version (RFC 9110 section 7.8). Not those that the host itself would have to speak: HTTP/2 without TLS, TLS,
/// and websockets, which are a right of their own.
fn protocol_name(protocol: &str) -> Result<HeaderValue, Refusal> {
    let lower = protocol.to_ascii_lowercase();
    let well_formed = (1..=64).contains(&protocol.len())
        && protocol.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+/".contains(&byte));
    let own = ["h2c", "h2", "http", "tls", "websocket"].iter().any(|own| lower.split('/').next() == Some(*own));
    match HeaderValue::from_str(protocol) {
        Ok(value) if well_formed && !own => Ok(value),
        _ => Err(Refusal::Protocol),
    }
}

/// What both halves have in common. The place is given back when both are gone: one of them alone keeps the connection open.
pub(crate) struct Shared {
    /// When bytes last went either way.
    active: Mutex<Instant>,
    _held: Held,
}

impl Shared {
    pub(crate) fn new(held: Held) -> Arc<Self> {
        Arc::new(Self { active: Mutex::new(Instant::now()), _held: held })
    }

    pub(crate) fn touch(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn active(&self) -> Instant {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest time that is counted. One that an operator means as "never" would be beyond the end of the clock.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Rings when nothing has gone either way for a while.
pub(crate) struct IdleAlarm {
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleAlarm {
    pub(crate) fn new(idle: Duration) -> Self {
        Self { idle: idle.min(FOR_EVER), timer: None }
    }

    /// Bytes came.
    pub(crate) fn quiet(&mut self) {
        self.timer = None;
    }

    /// Ready when it rings; `active` is when bytes last went.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, active: impl Fn() -> Instant) -> Poll<()> {
        loop {
            let idle = self.idle;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(active() + idle)));
            std::task::ready!(timer.as_mut().poll(cx));
            let due = active() + idle;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            // The other direction was busy meanwhile.
            timer.as_mut().reset(due);
        }
    }
}

/// Bytes from the peer.
pub struct Reader {
    bytes: ReaderStream<ReadHalf<TokioIo<Upgraded>>>,
    mask: Mask,
    alarm: IdleAlarm,
    shared: Arc<Shared>,
}

impl Reader {
    /// The next bytes. None at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next bytes, as a poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match Pin::new(&mut self.bytes).poll_next(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.alarm.quiet();
                self.shared.touch();
                Poll::Ready(Some(Ok(self.masked(bytes))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Error::Connect(error.to_string())))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let shared = &self.shared;
                std::task::ready!(self.alarm.poll(cx, || shared.active()));
                Poll::Ready(Some(Err(Error::Timeout)))
            }
        }
    }

    /// Without holding anything back: a terminal's echo of one letter must not wait for the next.
    fn masked(&self, bytes: Bytes) -> Bytes {
        if !self.mask.finds(&bytes) {
            return bytes;
        }
        let mut copy = BytesMut::from(bytes);
        self.mask.apply(&mut copy);
        copy.freeze()
    }
}

/// Bytes to the peer. Dropping it without [`Writer::finish`] closes the connection when the reader is gone, too.
pub struct Writer {
    half: WriteHalf<TokioIo<Upgraded>>,
    shared: Arc<Shared>,
}

impl Writer {
    /// Write all of it.
    ///
    /// # Errors
    /// [`Error::Connect`] when the connection broke.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.half.write_all(bytes).await.map_err(|error| Error::Connect(error.to_string()))?;
        self.half.flush().await.map_err(|error| Error::Connect(error.to_string()))?;
        self.shared.touch();
        Ok(())
    }

    /// Say that nothing more comes in this direction.
    ///
    /// # Errors
    /// [`Error::Connect`] when the connection broke.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.half.shutdown().await.map_err(|error| Error::Connect(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_that_the_host_speaks_itself_cannot_be_asked_for() {
        for name in ["h2c", "HTTP/2.0", "TLS/1.2", "websocket", "WebSocket", "a, websocket", "", "a\r\nb", "a b"] {
            assert_eq!(protocol_name(name), Err(Refusal::Protocol), "{name:?}");
        }
        assert!(protocol_name("tcp").is_ok() && protocol_name("SPDY/3.1").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_idle_alarm_waits_for_both_directions() {
        let start = Instant::now();
        let mut alarm = IdleAlarm::new(Duration::from_secs(10));
        std::future::poll_fn(|cx| alarm.poll(cx, || start)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        let busy_until = start + Duration::from_secs(15);
        alarm.quiet();
        std::future::poll_fn(|cx| alarm.poll(cx, || Instant::now().min(busy_until))).await;
        assert!(start.elapsed() >= Duration::from_secs(25));
    }
}
