//! Bodies that flow, both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use pluglet_egress::{EndpointLimits, Error, Grant, Outgoing, Piece, Refusal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::bodies::{Endless, Pieces, piped, whole};
use crate::servers::Server;
use crate::support::{PATIENCE, SHORT, egress, grant, header, request, to, with_header};

fn limited(server: &Server, limits: EndpointLimits) -> Grant {
    Grant { limits: EndpointLimits { timeout: PATIENCE, ..limits }, ..grant(&server.url()) }
}

/// Answers, and tells all that comes from the head on until the other end says no more.
async fn recorder(answer: &'static str) -> (Server, mpsc::UnboundedReceiver<String>) {
    let (told, heard) = mpsc::unbounded_channel();
    let server = Server::raw(move |mut talk| {
        let told = told.clone();
        async move {
            let mut all = talk.head().await?;
            talk.say(answer).await?;
            all.push_str(&String::from_utf8_lossy(&talk.rest().await));
            told.send(all).unwrap();
            Ok(())
        }
    })
    .await;
    (server, heard)
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn pieces_flow_both_ways_while_the_other_direction_is_open() {
    let server = Server::raw(|mut talk| async move {
        talk.head().await?;
        talk.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        for _ in 0..3 {
            talk.until(b"\r\n").await?;
            let piece = talk.until(b"\r\n").await?;
            talk.say(format!("{:x}\r\n{piece}", piece.len() - 2)).await?;
        }
        talk.until(b"0\r\n\r\n").await?;
        talk.say("0\r\nx-digest: 42\r\nconnection: close\r\n\r\n").await
    })
    .await;
    let egress = egress(grant(&server.url()));
    let (feed, body) = piped();
    let mut answer = egress.send(request("POST", "/exec"), body).await.unwrap();
    assert_eq!((answer.status, header(&answer.headers, "transfer-encoding")), (200, None));
    for piece in ["one", "two", "three"] {
        feed.send(Bytes::from(piece)).unwrap();
        assert_eq!(answer.body.next().await.unwrap().unwrap(), Piece::Bytes(Bytes::from(piece)));
    }
    drop(feed);
    let (rest, trailers) = whole(&mut answer.body).await;
    assert!(rest.is_empty());
    assert_eq!(trailers.unwrap(), [("x-digest".to_owned(), "42".to_owned())]);
    assert!(answer.body.next().await.is_none());
}

#[tokio::test]
async fn trailers_that_were_announced_are_sent_and_nothing_else_is_on_the_wire() {
    let (server, mut heard) = recorder(EMPTY).await;
    let egress = egress(grant(&server.url()));
    let outgoing = with_header(request("PUT", "/x"), "Trailer", "x-digest, x-other");
    let body = Pieces::of(&["hello", "0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"]).trailer("X-Digest", "42");
    // Which of the two comes first, the answer or the end of the request, is the server's business.
    let _ = egress.send(outgoing, body).await;
    let all = heard.recv().await.unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\ntransfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    assert_eq!(body, "5\r\nhello\r\n1B\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n\r\n0\r\nx-digest: 42\r\n\r\n");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn trailers_that_are_not_allowed_break_the_request_off() {
    for (name, value) in [
        ("host", "evil.example"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("authorization", "Bearer mine"),
        ("cookie", "a=b"),
        ("trailer", "x"),
        ("x-digest", "1\r\nhost: evil.example"),
        ("x-digest\r\n\r\nGET /evil HTTP/1.1\r\nhost: x\r\n\r\n", "1"),
        ("x-unannounced", "1"),
    ] {
        let (server, mut heard) = recorder("").await;
        let egress = egress(grant(&server.url()));
        let outgoing = with_header(request("PUT", "/x"), "Trailer", "x-digest");
        let outcome =
            egress.send(outgoing, Pieces::of(&["hello"]).trailer(name, value)).await.map(|answer| answer.status);
        assert!(matches!(outcome, Err(Error::Denied(Refusal::Header(_)))), "{name}: {outcome:?}");
        let all = heard.recv().await.unwrap();
        assert!(!all.ends_with("0\r\n\r\n") && !all.contains("evil"), "{name}: {all}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_a_whole_request_for_the_server() {
    let (server, mut heard) = recorder("").await;
    let outcome =
        egress(grant(&server.url())).send(request("POST", "/"), Pieces::of(&["half"]).then_breaks_off()).await;
    assert!(outcome.is_err());
    let all = heard.recv().await.unwrap();
    assert!(all.ends_with("4\r\nhalf\r\n"), "{all}");
}

#[tokio::test]
async fn a_body_that_grows_beyond_its_grant_breaks_off() {
    let (server, mut heard) = recorder("").await;
    let egress = egress(limited(&server, EndpointLimits { max_request_bytes: 10, ..EndpointLimits::default() }));
    let outcome =
        egress.send(request("POST", "/"), Pieces::of(&["01234", "56789", "x"])).await.map(|answer| answer.status);
    assert!(matches!(outcome, Err(Error::TooLarge)), "{outcome:?}");
    assert!(!heard.recv().await.unwrap().ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn a_server_that_does_not_read_makes_the_provider_wait() {
    let (_hold, held) = watch::channel(());
    let server = Server::raw(move |mut talk| {
        let mut held = held.clone();
        async move {
            talk.head().await?;
            // Until the test is over.
            let _ = held.changed().await;
            Ok(())
        }
    })
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let limits = EndpointLimits { max_request_bytes: u64::MAX, ..EndpointLimits::default() };
    let outgoing = Outgoing { timeout: Some(SHORT), ..request("POST", "/") };
    let outcome = egress(limited(&server, limits)).send(outgoing, Endless(Arc::clone(&asked))).await;
    assert!(matches!(outcome, Err(Error::Timeout)));
    let bytes = asked.load(Ordering::SeqCst) * Endless::PIECE;
    assert!(bytes < 32 << 20, "{bytes} bytes were taken from the provider");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_makes_the_server_wait() {
    let (taken, mut count) = watch::channel(0);
    let (stop, mut stopped) = watch::channel(false);
    let server = Server::raw(move |mut talk| {
        let (taken, stop) = (taken.clone(), stop.clone());
        async move {
            talk.head().await?;
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n").await?;
            talk.say_without_end(&[b'x'; 1 << 16], &taken).await;
            stop.send_replace(true);
            Ok(())
        }
    })
    .await;
    let answer = egress(grant(&server.url())).send(request("GET", "/"), Pieces::default()).await.unwrap();
    // Until nothing more is taken for a while; 10 GiB would take far longer.
    while timeout(SHORT, count.changed()).await.is_ok() {}
    assert!(*count.borrow() < 32 << 20, "{}", *count.borrow());
    drop(answer);
    timeout(PATIENCE, stopped.wait_for(|stopped| *stopped)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_after_its_bytes() {
    for said in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhell\r\n",
    ] {
        let server = Server::raw(move |mut talk| async move {
            talk.head().await?;
            talk.say(said).await
        })
        .await;
        let mut answer = egress(grant(&server.url())).send(request("GET", "/"), Pieces::default()).await.unwrap();
        let (bytes, end) = whole(&mut answer.body).await;
        assert_eq!(bytes, b"hell");
        assert!(matches!(end, Err(Error::Connect(_))), "{end:?}");
        assert!(answer.body.next().await.is_none());
    }
}

#[tokio::test]
async fn a_streamed_answer_ends_at_its_grant() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
    for (max_stream_bytes, fits) in [(10, true), (9, false)] {
        let limits = EndpointLimits { max_stream_bytes, ..EndpointLimits::default() };
        let egress = egress(limited(&server, limits));
        let mut answer = egress.send(request("GET", "/"), Pieces::default()).await.unwrap();
        let (_, end) = whole(&mut answer.body).await;
        assert_eq!(end.is_ok(), fits);
        assert!(fits || matches!(end, Err(Error::TooLarge)));
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_and_so_does_one_whose_time_is_over() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234").await;
    let idle = limited(&server, EndpointLimits { idle_timeout: SHORT, ..EndpointLimits::default() });
    let hasty = Outgoing { timeout: Some(SHORT), ..request("GET", "/") };
    let eternal = Outgoing { timeout: Some(std::time::Duration::MAX), ..request("GET", "/") };
    for (grant, outgoing) in [(idle.clone(), request("GET", "/")), (grant(&server.url()), hasty), (idle, eternal)] {
        let mut answer = egress(grant).send(outgoing, Pieces::default()).await.unwrap();
        let (bytes, end) = whole(&mut answer.body).await;
        assert_eq!(bytes, b"01234");
        assert!(matches!(end, Err(Error::Timeout)), "{end:?}");
    }
}

#[tokio::test]
async fn get_and_head_carry_no_body() {
    let (server, mut heard) = recorder("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let asked = Arc::new(AtomicUsize::new(0));
    for method in ["GET", "HEAD", "OPTIONS"] {
        let egress = egress(grant(&server.url()));
        drop(egress.send(request(method, "/"), Endless(Arc::clone(&asked))).await.unwrap());
        drop(egress);
        let all = heard.recv().await.unwrap();
        assert!(all.ends_with("\r\n\r\n") && !all.contains("chunked"), "{all}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stream_over_a_socket_of_this_machine_flows_too() {
    let files = crate::support::Files::new();
    let path = files.0.path().join("engine.sock");
    let router = axum::Router::new().fallback(async |request: axum::extract::Request| request.into_body());
    let _server = crate::servers::unix(&path, router);
    let egress = egress(to(pluglet_egress::Target::Unix(path)));
    let mut answer = egress.send(request("POST", "/build"), Pieces::of(&["a", "b"])).await.unwrap();
    assert_eq!(whole(&mut answer.body).await.0, b"ab");
}
