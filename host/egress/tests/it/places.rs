//! How much may be under way at once.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use bytes::Bytes;
use futures::future::join_all;
use futures::poll;
use pluglet_egress::{Ceilings, Egress, EndpointLimits, Error, Grant};
use tokio::sync::{Barrier, Semaphore, watch};
use tokio::time::timeout;

use crate::servers::Server;
use crate::support::{API, PATIENCE, SHORT, Setup, egress, fetch, grant, request, text};

/// Holds every request until it may go; counts them.
struct Gate {
    server: Server,
    waiting: watch::Sender<usize>,
    passes: Arc<Semaphore>,
}

impl Gate {
    async fn new(answer: &'static str) -> Self {
        let (waiting, passes) = (watch::channel(0).0, Arc::new(Semaphore::new(0)));
        let (theirs, gate) = (waiting.clone(), Arc::clone(&passes));
        let router = Router::new().fallback(async move || {
            theirs.send_modify(|count| *count += 1);
            gate.acquire().await.unwrap().forget();
            answer
        });
        Self { server: Server::web(router).await, waiting, passes }
    }

    async fn holds(&self, count: usize) {
        self.waiting.subscribe().wait_for(|waiting| *waiting >= count).await.unwrap();
    }
}

fn limited(server: &Server, limits: EndpointLimits) -> Grant {
    Grant { limits: EndpointLimits { timeout: PATIENCE, ..limits }, ..grant(&server.url()) }
}

fn with(grant: Grant, ceilings: Ceilings) -> Egress {
    Setup::new().endpoint(API, grant).ceilings(ceilings).egress()
}

/// The server lets requests go only in groups of as many as are allowed, so both fewer and more would show.
#[tokio::test]
async fn of_500_requests_never_more_than_allowed_are_under_way() {
    const ALLOWED: usize = 20;
    for ceiling in [false, true] {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let barrier = Arc::new(Barrier::new(ALLOWED));
        let seen = Arc::clone(&most);
        let router = Router::new().fallback(async move || {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            barrier.wait().await;
            now.fetch_sub(1, Ordering::SeqCst);
            "ok"
        });
        let server = Server::web(router).await;
        let egress = if ceiling {
            with(grant(&server.url()), Ceilings { requests: ALLOWED, ..Ceilings::default() })
        } else {
            egress(limited(&server, EndpointLimits { concurrency: ALLOWED, ..EndpointLimits::default() }))
        };
        for outcome in join_all((0..500).map(|_| fetch(&egress, request("GET", "/")))).await {
            assert_eq!(outcome.unwrap().status, 200);
        }
        assert_eq!(most.load(Ordering::SeqCst), ALLOWED);
    }
}

#[tokio::test]
async fn who_would_wait_behind_too_many_is_told_at_once() {
    let gate = Gate::new("ok").await;
    let egress = with(grant(&gate.server.url()), Ceilings { requests: 1, waiting: 2, ..Ceilings::default() });
    let mut held: Vec<_> = (0..3).map(|_| Box::pin(fetch(&egress, request("GET", "/")))).collect();
    for request in &mut held {
        assert!(poll!(request).is_pending());
    }
    assert!(matches!(fetch(&egress, request("GET", "/")).await, Err(Error::Busy(_))));
    assert!(matches!(egress.upgrade(request("POST", "/"), "tcp", Bytes::new()).await, Err(Error::Busy(_))));
    assert!(matches!(egress.websocket(request("GET", "/"), &[]).await, Err(Error::Busy(_))));
    gate.passes.add_permits(4);
    for outcome in join_all(held).await {
        assert_eq!(outcome.unwrap().body, b"ok");
    }
    assert_eq!(text(&egress, "/").await, "ok");
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_its_place_back() {
    let gate = Gate::new("ok").await;
    let egress =
        with(grant(&gate.server.url()), Ceilings { requests: 1, waiting: 1, body_bytes: 10, ..Ceilings::default() });
    for number in 1..=5 {
        let mut held = Box::pin(egress.fetch(request("PUT", "/"), Bytes::from_static(b"0123456789"), 10));
        assert!(poll!(&mut held).is_pending());
        tokio::select! {
            // Cancel-safe: the request is dropped on purpose.
            outcome = &mut held => panic!("{outcome:?}"),
            () = gate.holds(number) => {}
        }
    }
    gate.passes.add_permits(10);
    assert_eq!(text(&egress, "/").await, "ok");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_does_not_take_the_places_of_another() {
    let gate = Gate::new("late").await;
    let quick = Server::web(Router::new().fallback(async || "quick")).await;
    let slow = limited(&gate.server, EndpointLimits { concurrency: 2, ..EndpointLimits::default() });
    let egress = Setup::new()
        .endpoint(API, grant(&quick.url()))
        .endpoint("slow", slow)
        .ceilings(Ceilings { requests: 4, ..Ceilings::default() })
        .egress();
    let to_slow = || {
        let mut outgoing = request("GET", "/");
        "slow".clone_into(&mut outgoing.endpoint);
        outgoing
    };
    let mut held: Vec<_> = (0..20).map(|_| Box::pin(fetch(&egress, to_slow()))).collect();
    for request in &mut held {
        assert!(poll!(request).is_pending());
    }
    assert_eq!(timeout(PATIENCE, text(&egress, "/")).await.unwrap(), "quick");
    gate.passes.add_permits(20);
    for outcome in join_all(held).await {
        assert_eq!(outcome.unwrap().body, b"late");
    }
}

#[tokio::test]
async fn a_request_body_larger_than_allowed_is_not_sent() {
    let server = Server::web(Router::new().fallback(async || "ok")).await;
    let egress = egress(limited(&server, EndpointLimits { max_request_bytes: 10, ..EndpointLimits::default() }));
    let put = |length| egress.fetch(request("PUT", "/"), Bytes::from(vec![b'x'; length]), 10);
    assert!(matches!(put(11).await, Err(Error::TooLarge)));
    assert_eq!(server.connections(), 0);
    assert_eq!(put(10).await.unwrap().status, 200);
}

#[tokio::test]
async fn bodies_that_together_are_too_large_are_not_taken() {
    let gate = Gate::new("ok").await;
    let egress = with(grant(&gate.server.url()), Ceilings { body_bytes: 1000, ..Ceilings::default() });
    let put = |length| egress.fetch(request("PUT", "/"), Bytes::from(vec![b'x'; length]), 10);
    let mut first = pin!(put(600));
    assert!(poll!(&mut first).is_pending());
    assert!(matches!(put(401).await, Err(Error::Busy(_))));
    gate.passes.add_permits(3);
    assert_eq!(put(400).await.unwrap().status, 200);
    first.await.unwrap();
    assert_eq!(put(1000).await.unwrap().status, 200);
}

#[tokio::test]
async fn answers_that_together_are_too_large_are_not_collected() {
    let server = Server::web(Router::new().fallback(async || "x".repeat(600))).await;
    let egress = with(grant(&server.url()), Ceilings { body_bytes: 1000, ..Ceilings::default() });
    let first = fetch(&egress, request("GET", "/")).await.unwrap();
    assert!(matches!(fetch(&egress, request("GET", "/")).await, Err(Error::Busy(_))));
    drop(first);
    for _ in 0..5 {
        assert_eq!(text(&egress, "/").await.len(), 600);
    }
}

fn hasty() -> pluglet_egress::Outgoing {
    pluglet_egress::Outgoing { timeout: Some(SHORT), ..request("GET", "/") }
}

#[tokio::test]
async fn beyond_the_rate_requests_wait_and_those_that_give_up_take_no_turn() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let rate = EndpointLimits { requests_per_second: NonZeroU32::new(1), ..EndpointLimits::default() };
    let egress = egress(limited(&server, rate));
    assert_eq!(text(&egress, "/").await, "ok");
    for outcome in join_all((0..40).map(|_| fetch(&egress, hasty()))).await {
        assert!(matches!(outcome, Err(Error::Timeout)));
    }
    assert_eq!(server.heads().len(), 1);
    // Forty turns would be forty seconds, longer than this may wait.
    assert_eq!(text(&egress, "/").await, "ok");
    assert_eq!(server.heads().len(), 2);
}
