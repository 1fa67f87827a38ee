//! `send`: a request and an answer whose bodies flow.
//!
//! In: an [`Outgoing`] request and a [`RequestBody`]. Out: the answer's head, and an [`AnswerBody`]. Invariant: no direction is read further
//! than the other end has room; a body that exceeds its grant, or is silent for too long, ends with an error and never as if it were whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::answer;
use crate::check::{self, Outgoing};
use crate::egress::Egress;
use crate::endpoint::{Endpoint, Exchange, Via, body_failed};
use crate::error::Error;
use crate::fetch::{within, word};
use crate::mask::{Mask, StreamMask};
use crate::metrics::InFlight;
use crate::outflow::{Outflow, RequestBody, Wanted};

/// How long the end of what has come waits for what follows, where a secret has to be looked for. A server that writes one in two halves does
/// so within a millisecond; a user who follows a log should not wait for long.
const PAUSE: Duration = Duration::from_millis(100);

/// The head of an answer whose body is still to come.
pub struct StreamedAnswer {
    /// The status code.
    pub status: u16,
    /// Headers, without those of the connection.
    pub headers: Vec<(String, String)>,
    /// The rest.
    pub body: AnswerBody,
}

impl Egress {
    /// Send a request whose body flows. Returns with the head of the answer.
    ///
    /// # Errors
    /// See [`Error`]. Any status is a success.
    pub async fn send(&self, outgoing: Outgoing, body: impl RequestBody) -> Result<StreamedAnswer, Error> {
        let name = outgoing.endpoint.clone();
        let outcome = self.send_checked(outgoing, body).await;
        self.noted(&name, outcome)
    }

    async fn send_checked(&self, outgoing: Outgoing, body: impl RequestBody) -> Result<StreamedAnswer, Error> {
        let endpoint = self.find(&outgoing.endpoint)?;
        let mut checked = check::request(&endpoint.right, &outgoing, endpoint.owned_headers())?;
        // Servers send trailers only to those who say that they read them (RFC 9110 section 6.5.1).
        checked.headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        let limits = &endpoint.right.grant.limits;
        let _waiting = endpoint.counted(self.queue())?;
        let started = Instant::now();
        // One that is beyond all times is none.
        let deadline = outgoing.timeout.and_then(|asked| started.checked_add(asked));
        let head = async {
            let places = self.stream_places(endpoint).await?;
            let in_flight = endpoint.metrics.begin();
            let (exchange, wanted) = if matches!(checked.method, Method::GET | Method::HEAD | Method::OPTIONS) {
                // Nothing is read of the provider's body, so the request can be repeated after a 401.
                (endpoint.exchange(checked, Bytes::new(), Via::Pool).await?, None)
            } else {
                let (body, wanted) = Outflow::new(body, endpoint.owned_headers(), &checked.headers);
                let limit = usize::try_from(limits.max_request_bytes).unwrap_or(usize::MAX);
                (endpoint.stream(checked, Limited::new(body, limit).boxed_unsync()).await?, Some(wanted))
            };
            Ok((exchange, wanted, Held { _places: places, _in_flight: in_flight }))
        };
        let outcome = timeout(within(limits.timeout, outgoing.timeout), head).await.unwrap_or(Err(Error::Timeout));
        let status = outcome.as_ref().map(|(exchange, ..)| exchange.response.status().as_u16());
        endpoint.metrics.ended(word(status), started.elapsed().as_secs_f64());
        let (exchange, wanted, held) = outcome?;
        Ok(answered(endpoint, exchange, wanted, held, deadline))
    }

    /// Places among all streams and those of the endpoint, and a turn.
    pub(crate) async fn stream_places(&self, endpoint: &Endpoint) -> Result<[OwnedSemaphorePermit; 2], Error> {
        const CLOSED: Error = Error::Busy("the host is shutting down");
        // The endpoint's first, as for requests.
        let own = Arc::clone(&endpoint.streams).acquire_owned().await.map_err(|_| CLOSED)?;
        endpoint.turn().await;
        let ours = Arc::clone(&self.streams).acquire_owned().await.map_err(|_| CLOSED)?;
        Ok([own, ours])
    }
}

fn answered(
    endpoint: &Endpoint,
    exchange: Exchange,
    wanted: Option<Wanted>,
    held: Held,
    deadline: Option<Instant>,
) -> StreamedAnswer {
    let authorized = exchange.authorized;
    let limits = &endpoint.right.grant.limits;
    let (head, body) = exchange.response.into_parts();
    StreamedAnswer {
        status: head.status.as_u16(),
        headers: answer::headers(head.headers, authorized, &exchange.mask),
        body: AnswerBody {
            body,
            authorized,
            stream: StreamMask::new(exchange.mask.clone(), endpoint.suspicions.clone()),
            mask: exchange.mask,
            left: limits.max_stream_bytes,
            idle: limits.idle_timeout,
            deadline,
            alarm: None,
            pause: None,
            state: State::Flowing,
            _wanted: wanted,
            _held: held,
        },
    }
}

/// What is given back when a stream ends.
pub(crate) struct Held {
    pub(crate) _places: [OwnedSemaphorePermit; 2],
    pub(crate) _in_flight: InFlight,
}

/// The body of an answer, piece by piece. Dropping it ends the exchange.
pub struct AnswerBody {
    body: Incoming,
    authorized: bool,
    mask: Mask,
    stream: StreamMask,
    /// Bytes that may still come.
    left: u64,
    idle: Duration,
    /// When the provider itself wants it to be over.
    deadline: Option<Instant>,
    /// Set while nothing comes.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Set while the mask holds bytes back.
    pause: Option<Pin<Box<Sleep>>>,
    state: State,
    /// The request's body, if it flows, ends with this.
    _wanted: Option<Wanted>,
    _held: Held,
}

enum State {
    Flowing,
    /// The bytes have ended; these are the trailers.
    Trailers(Vec<(String, String)>),
    Done,
}

/// A piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes, at least one.
    Bytes(Bytes),
    /// The end, in order.
    Trailers(Vec<(String, String)>),
}

impl AnswerBody {
    /// The next piece. After trailers or an error there is none.
    pub async fn next(&mut self) -> Option<Result<Piece, Error>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next piece, as a poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Error>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Trailers(trailers) => return Poll::Ready(Some(Ok(Piece::Trailers(trailers)))),
                State::Flowing => {}
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    self.state = State::Flowing;
                    if self.poll_pause(cx).is_ready() {
                        let rest = self.stream.pause();
                        if !rest.is_empty() {
                            return Poll::Ready(Some(Ok(Piece::Bytes(rest))));
                        }
                    }
                    std::task::ready!(self.poll_alarm(cx));
                    self.state = State::Done;
                    return Poll::Ready(Some(Err(Error::Timeout)));
                }
            };
            self.alarm = None;
            self.pause = None;
            match frame {
                Some(Err(error)) => return Poll::Ready(Some(Err(body_failed(&error, &self.mask)))),
                Some(Ok(frame)) => {
                    if let Some(piece) = self.took(frame) {
                        return Poll::Ready(Some(piece));
                    }
                }
                None => {
                    if let Some(rest) = self.ended(HeaderMap::new()) {
                        return Poll::Ready(Some(Ok(rest)));
                    }
                }
            }
        }
    }

    /// A frame of the peer; None when nothing can go on yet.
    fn took(&mut self, frame: Frame<Bytes>) -> Option<Result<Piece, Error>> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return self.ended(frame.into_trailers().unwrap_or_default()).map(Ok),
        };
        // A peer that never pauses never lets the alarm ring.
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Some(Err(Error::Timeout));
        }
        match self.left.checked_sub(data.len() as u64) {
            Some(left) => self.left = left,
            None => return Some(Err(Error::TooLarge)),
        }
        self.state = State::Flowing;
        let ready = self.stream.push(data);
        (!ready.is_empty()).then_some(Ok(Piece::Bytes(ready)))
    }

    /// The end: what the mask still held comes first.
    fn ended(&mut self, trailers: HeaderMap) -> Option<Piece> {
        let trailers = answer::headers(trailers, self.authorized, &self.mask);
        self.state = State::Trailers(trailers);
        let rest = self.stream.finish();
        (!rest.is_empty()).then_some(Piece::Bytes(rest))
    }

    /// Ready when what is held back has waited long enough for what may follow.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.stream.is_holding() {
            return Poll::Pending;
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
        std::task::ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }

    /// Ready when the peer has been silent for too long, or the provider's own time is over.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (idle, deadline) = (self.idle, self.deadline);
        let alarm = self.alarm.get_or_insert_with(|| {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            Box::pin(sleep(left.map_or(idle, |left| left.min(idle))))
        });
        alarm.as_mut().poll(cx)
    }
}
