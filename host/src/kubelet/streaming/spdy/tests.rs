//! A remote command over SPDY, with the client and the container played by the test; time is paused.

use std::sync::Arc;

use pluglet_model::PodKey;
use pluglet_spdy::frame::Frame;
use tokio::time::Instant;

use super::super::command::Action;
use super::super::fake::{Client, Pod, data};
use super::*;

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
const NEWEST: Version = Version { status: true, resize: true };

/// A client, and what must be polled to serve it.
fn connect(version: Version) -> (Client, impl Future<Output = Result<(), &'static str>>) {
    let (client, theirs) = Client::new();
    let command = Command {
        provider: Arc::new(Pod::default()),
        key: PodKey::new("u", "n", "p"),
        container: "c".to_owned(),
        tty: false,
        action: Action::Exec(vec!["cat".to_owned()]),
    };
    (client, converse(theirs, move |incoming| serve(incoming, ALL, version, command)))
}

async fn open_all(client: &mut Client) {
    for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        client.open(stream, kind).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_outcome_comes_after_all_output_and_every_stream_is_finished() {
    let (mut client, served) = connect(NEWEST);
    let talk = async {
        open_all(&mut client).await;
        client.data(3, "typed", true).await;
        let mut output = [client.hear().await, client.hear().await];
        output.sort_by_key(|frame| if let Frame::Data { stream, .. } = frame { *stream } else { 0 });
        assert_eq!(output, [data(5, "typed", false), data(7, "err", false)]);
        assert_eq!(client.hear().await, Frame::RstStream { stream: 3, status: Reset::Cancel as u32 });
        let status = Outcome::Exited(3).told(true).unwrap();
        assert_eq!(client.hear().await, data(1, status, false));
        for stream in [5, 7, 1] {
            assert_eq!(client.hear().await, data(stream, "", true));
        }
        // It is the client that closes, however long it takes.
        tokio::time::sleep(LINGER / 2).await;
        client.say(Frame::Ping(1)).await;
        assert_eq!(client.hear().await, Frame::Ping(1));
        drop(client);
    };
    let ((), outcome) = tokio::join!(talk, served);
    assert_eq!(outcome, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn old_clients_hear_a_failure_as_text() {
    let (mut client, served) = connect(Version { status: false, resize: false });
    let talk = async {
        open_all(&mut client).await;
        client.data(3, "", true).await;
        let told = loop {
            if let Frame::Data { stream: 1, bytes, .. } = client.hear().await {
                break bytes;
            }
        };
        assert_eq!(told, "command terminated with non-zero exit code: 3");
        drop(client);
    };
    tokio::join!(talk, served).1.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_open_its_streams_is_given_up_after_30_s() {
    let (mut client, served) = connect(NEWEST);
    let begin = Instant::now();
    let some = async {
        client.open(1, "error").await;
        client.open(3, "stdin").await;
    };
    let ((), outcome) = tokio::join!(some, served);
    assert_eq!((outcome.is_err(), begin.elapsed()), (true, STREAM_CREATION));
}
