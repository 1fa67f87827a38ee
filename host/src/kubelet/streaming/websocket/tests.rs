//! Messages, and the handshake.

use axum::body::Body;

use super::remote::{PROTOCOLS, RESIZE, STDERR, STDIN, STDOUT};
use super::*;

fn frames(form: Form) -> (Frames, mpsc::Receiver<Message>) {
    let (messages, queue) = mpsc::channel(100);
    (Frames { messages, form }, queue)
}

#[tokio::test]
async fn output_is_sent_in_pieces_and_nothing_as_an_empty_message() {
    let (frames, mut queue) = frames(Form::Binary);
    frames.send(STDOUT, Bytes::from(vec![7; PIECE + 1])).await.unwrap();
    frames.send(STDERR, Bytes::new()).await.unwrap();
    drop(frames);
    let mut lengths = vec![];
    while let Some(Message::Binary(bytes)) = queue.recv().await {
        lengths.push((bytes[0], bytes.len() - 1));
    }
    assert_eq!(lengths, [(STDOUT, PIECE), (STDOUT, 1), (STDERR, 0)]);
}

#[test]
fn base64_messages_come_back() {
    let (frames, _queue) = frames(Form::Base64);
    let Message::Text(text) = frames.message(STDOUT, b"hi\xff") else { panic!("no text") };
    assert_eq!(text.as_str(), "1aGn/");
    assert_eq!(decode(&text), Some((STDOUT, Bytes::from_static(b"hi\xff"))));
    assert_eq!((decode(""), decode("!x"), decode("0***")), (None, None, None));
    assert_eq!(decode("0"), Some((STDIN, Bytes::new())));
    assert_eq!((channel(Bytes::new()), channel(Bytes::from_static(&[4]))), (None, Some((RESIZE, Bytes::new()))));
}

fn asked(offers: &[&str]) -> Request {
    let mut request = Request::get("/exec/n/p/c").header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
    for offer in offers {
        request = request.header(SEC_WEBSOCKET_PROTOCOL, *offer);
    }
    request.body(Body::empty()).unwrap()
}

fn agreed(offers: &[&str]) -> Result<String, String> {
    match agree(&mut asked(offers), &PROTOCOLS, "channel.k8s.io") {
        Ok((chosen, response, _)) => {
            let headers = response.headers();
            assert_eq!(headers[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455, section 1.3");
            assert_eq!(headers.get(SEC_WEBSOCKET_PROTOCOL).is_some(), !offers.is_empty());
            Ok(chosen.to_owned())
        }
        Err(refusal) => Err(refusal.text),
    }
}

#[test]
fn of_the_protocols_the_first_of_the_client_that_is_known_counts() {
    assert_eq!(agreed(&["v5.channel.k8s.io, v4.channel.k8s.io"]).unwrap(), "v5.channel.k8s.io");
    assert_eq!(agreed(&["v9.channel.k8s.io", "base64.channel.k8s.io"]).unwrap(), "base64.channel.k8s.io");
    assert_eq!(agreed(&[]).unwrap(), "channel.k8s.io", "binary, as the first version was");
    assert!(agreed(&["chat"]).unwrap_err().contains("v5.channel.k8s.io"));
}
