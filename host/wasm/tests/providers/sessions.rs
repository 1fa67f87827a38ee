//! Sessions through the sandbox: both directions, ends, and who leaves.

use bytes::Bytes;
use futures::StreamExt;
use pluglet_model::provider::{Error, Provider};
use pluglet_model::session::{ExecRequest, Session, SessionInput, TerminalSize};
use tokio::sync::mpsc;

use crate::support::{Running, key, options, plan, start, within};

async fn mock() -> Running {
    let mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[])).await.unwrap();
    mock
}

fn request(command: &[&str], tty: bool) -> ExecRequest {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    ExecRequest { container: "main".to_owned(), command, tty }
}

/// Output, standard error, exit code.
async fn collect(session: Session) -> (Vec<u8>, Vec<u8>, Result<i32, Error>) {
    let all = |stream: futures::stream::BoxStream<'static, Bytes>| stream.collect::<Vec<_>>();
    let ended = async { tokio::join!(all(session.stdout), all(session.stderr), session.exit) };
    let (out, err, exit) = within("the session", ended).await;
    (out.concat(), err.concat(), exit)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_comes_back_and_its_end_is_seen() {
    let mock = mock().await;
    let (stdin, typed) = mpsc::channel(1);
    let input = SessionInput { stdin: typed, resize: SessionInput::none().resize };
    let session = mock.provider.exec(&key("a"), request(&["cat"], false), input).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let typing = async {
        for chunk in sent.chunks(10_007) {
            stdin.send(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        drop(stdin);
    };
    let ((), (out, err, exit)) = tokio::join!(typing, collect(session));
    assert!(out == sent && err.is_empty());
    assert_eq!(exit.unwrap(), 0);
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_stay_apart_and_a_terminal_has_one_and_a_size() {
    let mock = mock().await;
    let script = ["sh", "-c", "echo out; echo err >&2; exit 3"];
    let session = mock.provider.exec(&key("a"), request(&script, false), SessionInput::none()).await.unwrap();
    let (out, err, exit) = collect(session).await;
    assert_eq!((out.as_slice(), err.as_slice(), exit.unwrap()), (&b"out\n"[..], &b"err\n"[..], 3));

    let resize = futures::stream::iter([TerminalSize { width: 100, height: 40 }]).boxed();
    let input = SessionInput { stdin: SessionInput::none().stdin, resize };
    let script = ["sh", "-c", "sleep 0.2; stty size; echo err >&2"];
    let session = mock.provider.exec(&key("a"), request(&script, true), input).await.unwrap();
    let (out, err, exit) = collect(session).await;
    assert_eq!((out.as_slice(), err.as_slice(), exit.unwrap()), (&b"40 100\nerr\n"[..], &b""[..], 0));
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_reads_slowly_or_leaves_holds_nobody_up() {
    let mock = mock().await;
    let endless = request(&["yes"], false);
    let unread = mock.provider.exec(&key("a"), endless.clone(), SessionInput::none()).await.unwrap();
    let left = mock.provider.exec(&key("a"), endless, SessionInput::none()).await.unwrap();
    drop(left);
    for _ in 0..20 {
        let session =
            mock.provider.exec(&key("a"), request(&["echo", "hi"], false), SessionInput::none()).await.unwrap();
        assert_eq!(collect(session).await.0, b"hi\n");
    }
    drop(unread);
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_answers_and_what_does_not_listen_is_an_error() {
    let mock = mock().await;
    let (input, sent) = mpsc::channel(1);
    let forward = mock.provider.port_forward(&key("a"), 7, sent).await.unwrap();
    input.send(Bytes::from("hello")).await.unwrap();
    drop(input);
    let (output, end) =
        within("the end", async { tokio::join!(forward.output.collect::<Vec<_>>(), forward.end) }).await;
    assert_eq!(output.concat(), b"hello");
    end.unwrap();
    let refused = mock.provider.port_forward(&key("a"), 81, SessionInput::none().stdin).await.err().unwrap();
    assert!(matches!(&refused, Error::Unavailable { message, .. } if message.contains("port 81")), "{refused:?}");
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_running_containers_are_told() {
    let mock = mock().await;
    let stats = mock.provider.stats().await.unwrap();
    let container = &stats.first().unwrap().containers[0];
    assert_eq!((container.name.as_str(), container.memory_working_set), ("main", Some(16 << 20)));
    assert!(container.cpu_usage_core_ns.is_some() && container.start_time_unix_ms <= container.time_unix_ms);
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_the_sessions_with_the_reason() {
    let mock = mock().await;
    let session = mock.provider.exec(&key("a"), request(&["sleep", "60"], false), SessionInput::none()).await.unwrap();
    let forward = mock.provider.port_forward(&key("a"), 7, SessionInput::none().stdin).await;
    mock.provider.create(&plan("bad", &[("fault", "trap")])).await.unwrap_err();
    let (_, _, exit) = collect(session).await;
    assert!(exit.is_err(), "{exit:?}");
    drop(forward);
    mock.stop().await;
}
