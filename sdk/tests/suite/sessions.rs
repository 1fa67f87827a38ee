//! Logs, exec, attach and port-forward.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use pluglet_sdk::testing::{Finished, Harness, TestPod, json, pod};
use pluglet_sdk::{
    ByteStream, Error, ExecRequest, Feature, Host, Info, Init, LogItem, LogLine, LogOptions, LogStream, PodRef,
    Provider, ResolvedPod, Result, Session, SessionInput, Status, Tunnel,
};

/// Answers every session with what it gets.
struct Echo(Host);

impl Provider for Echo {
    async fn start(host: Host, _init: Init) -> Result<Self> {
        Ok(Self(host))
    }

    fn info(&self) -> Info {
        Info::new([Feature::Logs, Feature::Exec, Feature::Attach, Feature::PortForward])
    }

    async fn create(&self, _pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        Ok(Status::from_json(spec.json))
    }

    async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        Ok(Vec::new())
    }

    async fn logs(&self, _pod: PodRef, options: LogOptions) -> Result<LogStream> {
        let line = |text: &str| LogLine { bytes: text.as_bytes().to_vec(), ..LogLine::default() };
        if !options.follow {
            return Ok(LogStream::lines(vec![line("one\n"), line("two\n")]));
        }
        let (mut writer, log) = LogStream::channel(1);
        let host = self.0.clone();
        self.0.spawn(async move {
            for n in 0..3 {
                if !writer.send(LogItem::Line(line(&format!("{n}\n")))).await {
                    host.info("the user has left");
                    return;
                }
                host.sleep(Duration::from_secs(1)).await;
            }
            writer.fail(Error::internal("the log broke")).await;
        });
        Ok(log)
    }

    async fn exec(&self, _pod: PodRef, request: ExecRequest, input: SessionInput) -> Result<Session> {
        let stderr = stream::iter([request.command.join(" ").into_bytes()]).boxed_local();
        Ok(Session { stdout: input.stdin, stderr, exit: Box::pin(async { Ok(7) }) })
    }

    async fn attach(&self, _pod: PodRef, _container: String, input: SessionInput) -> Result<Session> {
        let exit = Box::pin(async { Err(Error::NotFound) });
        Ok(Session { stdout: input.stdin, stderr: stream::empty().boxed_local(), exit })
    }

    async fn port_forward(&self, _pod: PodRef, port: u16, input: ByteStream) -> Result<Tunnel> {
        let greeting = stream::iter([Ok(port.to_string().into_bytes())]);
        Ok(greeting.chain(input.map(Ok)).boxed_local())
    }
}

fn start() -> (Harness<Echo>, TestPod) {
    (Harness::start("{}").unwrap(), pod(json!({})))
}

fn followed() -> LogOptions {
    LogOptions { follow: true, ..LogOptions::default() }
}

#[test]
fn a_command_gets_its_input_and_gives_output_and_exit_code() {
    let (harness, pod) = start();
    let request = ExecRequest { command: vec!["cat".into(), "-".into()], ..ExecRequest::default() };
    let expected = Finished { stdout: b"typed".to_vec(), stderr: b"cat -".to_vec(), exit_code: 7 };
    assert_eq!(harness.exec(&pod, request, b"typed"), Ok(expected));
    assert_eq!(harness.attach(&pod, "main", b"typed"), Err(Error::NotFound));
    assert_eq!(harness.port_forward(&pod, 80, b"bytes"), Ok(b"80bytes".to_vec()));
}

#[test]
fn a_log_that_is_there_is_read_whole() {
    let (harness, pod) = start();
    assert_eq!(harness.logs(&pod, LogOptions::default()).unwrap(), "one\ntwo\n");
}

#[test]
fn a_followed_log_comes_as_time_passes_and_may_end_in_an_error() {
    let (harness, pod) = start();
    let log = harness.follow(&pod, followed()).unwrap();
    assert_eq!(log.take_text(), "0\n");
    harness.advance(Duration::from_secs(2));
    assert_eq!(log.take_text(), "1\n2\n");
    assert_eq!(log.ended(), None);
    harness.advance(Duration::from_secs(1));
    assert_eq!(log.ended(), Some(Err(Error::internal("the log broke"))));
}

#[test]
fn a_writer_hears_that_the_user_has_left() {
    let (harness, pod) = start();
    drop(harness.follow(&pod, followed()).unwrap());
    harness.advance(Duration::from_secs(3));
    let said: Vec<_> = harness.world().log_lines().into_iter().map(|(_, line)| line).collect();
    assert_eq!(said, ["the user has left"]);
}
