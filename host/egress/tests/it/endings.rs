//! Exchanges that end before they are over, in both versions of HTTP.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use pluglet_egress::{Ceilings, Egress, EndpointLimits, Error, Grant, Piece};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bodies::{Pieces, piped, whole};
use crate::servers::Server;
use crate::support::{API, Files, PATIENCE, SHORT, Setup, fetch, grant, request, text};
use crate::tls::Authority;

/// A server of each version, and a way to it.
struct Both {
    servers: Vec<(Server, Grant)>,
    _files: Files,
}

impl Both {
    async fn new(router: Router) -> Self {
        let (authority, files) = (Authority::new(), Files::new());
        let plain = Server::web(router.clone()).await;
        let tls = Server::tls(router, authority.server("127.0.0.1")).await;
        let to_plain = grant(&plain.url());
        let to_tls = Grant { tls: authority.trusted(&files), ..grant(&format!("https://{}", tls.address)) };
        Self { servers: vec![(plain, to_plain), (tls, to_tls)], _files: files }
    }

    fn ways(&self) -> impl Iterator<Item = &Grant> {
        self.servers.iter().map(|(_, grant)| grant)
    }
}

fn way(grant: &Grant) -> Egress {
    Setup::new().endpoint(API, grant.clone()).egress()
}

/// Answers at once with a first piece, goes on for ever, and tells how the request's body ended.
fn early() -> (Router, watch::Receiver<Option<bool>>) {
    let (tell, ended) = watch::channel(None);
    let router = Router::new().fallback(async move |request: Request| {
        let body = request.into_body();
        let watcher = tell.clone();
        let reading = futures::stream::once(async move {
            let whole = body.collect().await.is_ok();
            watcher.send_replace(Some(whole));
            Ok::<_, std::io::Error>(Bytes::from_static(b"end"))
        });
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"first"))]);
        Body::from_stream(first.chain(reading))
    });
    (router, ended)
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended() {
    let (router, _) = early();
    for grant in Both::new(router).await.ways() {
        let (feed, body) = piped();
        let way = way(grant);
        let mut answer = timeout(PATIENCE, way.send(request("POST", "/"), body)).await.unwrap().unwrap();
        assert_eq!(answer.body.next().await.unwrap().unwrap(), Piece::Bytes(Bytes::from_static(b"first")));
        feed.send(Bytes::from_static(b"more")).unwrap();
        drop(feed);
        assert_eq!(whole(&mut answer.body).await.0, b"end");
    }
}

/// With HTTP/2 the stack would go on reading a body that never ends, without an answer or a place that somebody could give back.
#[tokio::test]
async fn dropping_the_answer_ends_the_request_as_well() {
    let (router, mut ended) = early();
    for grant in Both::new(router).await.ways() {
        let (feed, body) = piped();
        let way = way(grant);
        let mut answer = way.send(request("POST", "/"), body).await.unwrap();
        answer.body.next().await.unwrap().unwrap();
        drop(answer);
        timeout(PATIENCE, feed.closed()).await.unwrap();
        assert_eq!(
            *ended.wait_for(Option::is_some).await.unwrap(),
            Some(false),
            "the server knows that it is not whole"
        );
        ended.mark_unchanged();
    }
}

#[tokio::test]
async fn a_request_that_times_out_is_not_read_on() {
    let router = Router::new().fallback(async |_: Request| std::future::pending::<()>().await);
    for grant in Both::new(router).await.ways() {
        let (feed, body) = piped();
        let outgoing = pluglet_egress::Outgoing { timeout: Some(SHORT), ..request("POST", "/") };
        let way = way(grant);
        assert!(matches!(way.send(outgoing, body).await, Err(Error::Timeout)));
        timeout(PATIENCE, feed.closed()).await.unwrap();
    }
}

/// One stream of an HTTP/2 connection that is not read takes its own window, not the connection's.
#[tokio::test]
async fn answers_that_nobody_reads_do_not_hold_up_the_others() {
    let router = Router::new().fallback(async |request: Request| {
        if request.uri().path() == "/log" {
            let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1 << 16])));
            return Body::from_stream(endless);
        }
        Body::from("x".repeat(1 << 20))
    });
    for grant in Both::new(router).await.ways() {
        let limits = EndpointLimits { concurrency: 4, timeout: PATIENCE, ..EndpointLimits::default() };
        let way = way(&Grant { limits, ..grant.clone() });
        let mut unread = Vec::new();
        for _ in 0..4 {
            unread.push(way.send(request("GET", "/log"), Pieces::default()).await.unwrap());
        }
        for _ in 0..20 {
            assert_eq!(timeout(PATIENCE, text(&way, "/")).await.unwrap().len(), 1 << 20);
        }
    }
}

#[tokio::test]
async fn the_place_of_a_stream_is_free_again_when_it_is_dropped() {
    let router = Router::new()
        .fallback(async |_: Request| Body::from_stream(futures::stream::pending::<std::io::Result<Bytes>>()));
    for grant in Both::new(router).await.ways() {
        let way =
            Setup::new().endpoint(API, grant.clone()).ceilings(Ceilings { streams: 1, ..Ceilings::default() }).egress();
        for _ in 0..20 {
            drop(timeout(PATIENCE, way.send(request("GET", "/"), Pieces::default())).await.unwrap().unwrap());
        }
        let held = way.send(request("GET", "/"), Pieces::default()).await.unwrap();
        let outgoing = pluglet_egress::Outgoing { timeout: Some(SHORT), ..request("GET", "/") };
        assert!(matches!(way.send(outgoing, Pieces::default()).await, Err(Error::Timeout)));
        drop(held);
        drop(way.send(request("GET", "/"), Pieces::default()).await.unwrap());
    }
}

#[tokio::test]
async fn streams_do_not_take_the_places_of_requests() {
    let router = Router::new().fallback(async |request: Request| match request.uri().path() {
        "/log" => Body::from_stream(futures::stream::pending::<std::io::Result<Bytes>>()),
        _ => Body::from("ok"),
    });
    for grant in Both::new(router).await.ways() {
        let limits = EndpointLimits { concurrency: 1, timeout: PATIENCE, ..EndpointLimits::default() };
        let way = way(&Grant { limits, ..grant.clone() });
        let _log = way.send(request("GET", "/log"), Pieces::default()).await.unwrap();
        assert_eq!(fetch(&way, request("GET", "/")).await.unwrap().body, b"ok");
    }
}
