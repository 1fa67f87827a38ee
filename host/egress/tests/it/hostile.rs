//! Peers that send too much, too slowly, or nonsense.

use pluglet_egress::{EndpointLimits, Error, Grant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::servers::Server;
use crate::support::{PATIENCE, SHORT, egress, fetch, grant, request, text};

const CAP: usize = 64 << 10;

/// What the kernel and the HTTP stack may take in before anybody looks.
const BUFFERS: u64 = 32 << 20;

fn capped(server: &Server) -> Grant {
    let limits = EndpointLimits { max_response_bytes: CAP, timeout: PATIENCE, ..EndpointLimits::default() };
    Grant { limits, ..grant(&server.url()) }
}

/// Says `head`, then `piece` for ever. How many bytes it got rid of, and that it had to stop, is told.
async fn endless(head: &'static str, piece: Vec<u8>) -> (Server, watch::Receiver<u64>, watch::Receiver<bool>) {
    let (taken, count) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let server = Server::raw(move |mut talk| {
        let (taken, stop, piece) = (taken.clone(), stop.clone(), piece.clone());
        async move {
            talk.head().await?;
            talk.say(head).await?;
            talk.say_without_end(&piece, &taken).await;
            stop.send_replace(true);
            Ok(())
        }
    })
    .await;
    (server, count, stopped)
}

#[tokio::test]
async fn a_body_that_is_as_large_as_allowed_comes_and_one_byte_more_does_not() {
    let server = Server::raw(|mut talk| async move {
        loop {
            let head = talk.head().await?;
            let length = if head.starts_with("GET /fits ") { CAP } else { CAP + 1 };
            let body = "x".repeat(length);
            if head.contains("?chunked") {
                talk.say(format!(
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
                ))
                .await?;
            } else {
                talk.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await?;
            }
        }
    })
    .await;
    let egress = egress(capped(&server));
    assert_eq!(text(&egress, "/fits").await.len(), CAP);
    assert!(matches!(fetch(&egress, request("GET", "/more")).await, Err(Error::TooLarge)));
    assert!(matches!(fetch(&egress, request("GET", "/more?chunked")).await, Err(Error::TooLarge)));
    let less = egress.fetch(request("GET", "/fits"), bytes::Bytes::new(), CAP - 1).await;
    assert!(matches!(less, Err(Error::TooLarge)), "a request may ask for less");
}

#[tokio::test]
async fn a_body_of_10_gib_is_not_read_beyond_the_cap() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n";
    let (server, count, mut stopped) = endless(head, vec![b'x'; 1 << 16]).await;
    assert!(matches!(fetch(&egress(capped(&server)), request("GET", "/")).await, Err(Error::TooLarge)));
    timeout(PATIENCE, stopped.wait_for(|stopped| *stopped)).await.unwrap().unwrap();
    assert!(*count.borrow() < BUFFERS, "{}", *count.borrow());
}

#[tokio::test]
async fn a_body_of_chunks_without_end_is_not_read_beyond_the_cap() {
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend_from_slice(&[b'x'; 1 << 16]);
    chunk.extend_from_slice(b"\r\n");
    let (server, count, mut stopped) = endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk).await;
    assert!(matches!(fetch(&egress(capped(&server)), request("GET", "/")).await, Err(Error::TooLarge)));
    timeout(PATIENCE, stopped.wait_for(|stopped| *stopped)).await.unwrap().unwrap();
    assert!(*count.borrow() < BUFFERS);
}

#[tokio::test]
async fn headers_without_end_are_not_read_for_ever() {
    let (server, count, mut stopped) = endless("HTTP/1.1 200 OK\r\n", b"x-a: b\r\n".repeat(1000)).await;
    let outcome = fetch(&egress(capped(&server)), request("GET", "/")).await;
    assert!(matches!(outcome, Err(Error::Protocol(_))), "{outcome:?}");
    timeout(PATIENCE, stopped.wait_for(|stopped| *stopped)).await.unwrap().unwrap();
    assert!(*count.borrow() < BUFFERS);
    // Few enough, but more than is ever in one buffer.
    let fields = format!("x-a: {}\r\n", "b".repeat(2000)).repeat(90);
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n");
    let server = Server::saying(large.leak()).await;
    let outcome = fetch(&egress(capped(&server)), request("GET", "/")).await.map(|answer| answer.status);
    assert!(matches!(outcome, Err(Error::Protocol(_))), "{outcome:?}");
    let (server, ..) = endless("HTTP/1.1 200 OK\r\nx: ", vec![b'x'; 1 << 16]).await;
    let outcome = fetch(&egress(capped(&server)), request("GET", "/")).await;
    assert!(matches!(outcome, Err(Error::Protocol(_))), "{outcome:?}");
}

#[tokio::test]
async fn chunks_and_trailers_cannot_hide_endless_bytes_that_nobody_counts() {
    let extension = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;";
    let trailers = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
    for (head, piece) in [(extension, &b"xxxxxxxx"[..]), (trailers, b"x-a: b\r\n")] {
        let (server, count, mut stopped) = endless(head, piece.repeat(1000)).await;
        let outcome = fetch(&egress(capped(&server)), request("GET", "/")).await;
        assert!(matches!(outcome, Err(Error::Protocol(_) | Error::Connect(_))), "{outcome:?}");
        timeout(PATIENCE, stopped.wait_for(|stopped| *stopped)).await.unwrap().unwrap();
        assert!(*count.borrow() < BUFFERS);
    }
}

#[tokio::test]
async fn answers_that_say_wait_without_end_end_with_the_time() {
    let (server, count, mut stopped) = endless("", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec()).await;
    let limits = EndpointLimits { timeout: SHORT, ..EndpointLimits::default() };
    let outcome = fetch(&egress(Grant { limits, ..grant(&server.url()) }), request("GET", "/")).await;
    assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");
    timeout(PATIENCE, stopped.wait_for(|stopped| *stopped)).await.unwrap().unwrap();
    assert!(*count.borrow() > 0);
}

#[tokio::test]
async fn a_server_that_sends_its_head_letter_by_letter_runs_out_of_time() {
    let server = Server::raw(|mut talk| async move {
        talk.head().await?;
        for letter in "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".bytes().cycle() {
            talk.say([letter]).await?;
            // The attack itself: nothing to wait for.
            sleep(SHORT / 6).await;
        }
        Ok(())
    })
    .await;
    let slow = Grant { limits: EndpointLimits { timeout: SHORT, ..EndpointLimits::default() }, ..grant(&server.url()) };
    assert!(matches!(fetch(&egress(slow), request("GET", "/")).await, Err(Error::Timeout)));
    let mut hasty = request("GET", "/");
    hasty.timeout = Some(SHORT);
    assert!(
        matches!(fetch(&egress(grant(&server.url())), hasty).await, Err(Error::Timeout)),
        "a request may ask for less"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_and_one_that_stops_in_its_body_run_out_of_time() {
    for said in ["", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"] {
        let server = Server::saying(said).await;
        let limits = EndpointLimits { timeout: SHORT, ..EndpointLimits::default() };
        let outcome = fetch(&egress(Grant { limits, ..grant(&server.url()) }), request("GET", "/")).await;
        assert!(matches!(outcome, Err(Error::Timeout)), "{said}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_told_as_such() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: b\r\n".repeat(200));
    for said in [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        many.leak(),
    ] {
        let server = Server::saying(said).await;
        let outcome = fetch(&egress(capped(&server)), request("GET", "/")).await;
        assert!(matches!(outcome, Err(Error::Protocol(_))), "{said}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    for said in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhell\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "",
    ] {
        let server = Server::raw(move |mut talk| async move {
            talk.head().await?;
            talk.say(said).await
        })
        .await;
        let outcome = fetch(&egress(capped(&server)), request("GET", "/")).await;
        assert!(matches!(outcome, Err(Error::Connect(_))), "{said}: {outcome:?}");
    }
}

/// Bytes beyond the told length would be the answer to the next request, if the connection were used again.
#[tokio::test]
async fn what_follows_an_answer_is_not_the_next_one() {
    let server = Server::saying(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    )
    .await;
    let egress = egress(capped(&server));
    for _ in 0..5 {
        assert_eq!(text(&egress, "/").await, "ok");
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_gives_nothing() {
    let server =
        Server::saying("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\nhello").await;
    match fetch(&egress(capped(&server)), request("GET", "/")).await {
        Ok(answer) => assert!(answer.status == 101 && answer.body.is_empty(), "{answer:?}"),
        Err(error) => assert!(matches!(error, Error::Protocol(_)), "{error:?}"),
    }
}
