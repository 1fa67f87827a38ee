//! The little shell, attachments, ports, figures.

use std::cell::RefCell;
use std::rc::Rc;

use futures::StreamExt;
use pluglet_sdk::testing::{Harness, TestPod};
use pluglet_sdk::{ByteStream, Error, ExecRequest, Provider as _, SessionInput};

use super::{scripted, seconds, start};
use mock::Mock;

fn running() -> (Harness<Mock>, TestPod) {
    let (harness, pod) = (start(), scripted("Always", &[]));
    harness.create(&pod).unwrap();
    (harness, pod)
}

/// Exit code, standard output, standard error.
fn exec(harness: &Harness<Mock>, pod: &TestPod, command: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let request = ExecRequest { container: "main".to_owned(), command, tty: false };
    let ended = harness.exec(pod, request, stdin).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.exit_code, text(ended.stdout), text(ended.stderr))
}

fn shell(script: &str) -> (i32, String, String) {
    let (harness, pod) = running();
    exec(&harness, &pod, &["sh", "-c", script], b"typed")
}

#[test]
fn a_shell_runs_what_it_knows() {
    let out = |text: &str| (0, text.to_owned(), String::new());
    assert_eq!(shell("echo hello; echo 'a  b'"), out("hello\na  b\n"));
    assert_eq!(shell("cat"), out("typed"));
    assert_eq!(shell("yes | head -c 5"), out("y\ny\ny"));
    assert_eq!(shell("yes no | head -n 2"), out("no\nno\n"));
    assert_eq!(shell("yes | head -c 1000000 | wc -c"), out("1000000\n"));
    assert_eq!(shell("echo $POD_NAME-$HOSTNAME && true").0, 0);
    assert_eq!(shell("exit 3; echo no"), (3, String::new(), String::new()));
    assert_eq!(shell("false && echo no"), (1, String::new(), String::new()));
    assert_eq!(shell("echo problem >&2; exit 137"), (137, String::new(), "problem\n".to_owned()));
    assert!(shell("env").1.contains("HOSTNAME="));
}

#[test]
fn a_command_that_there_is_not_is_no_success() {
    let (code, out, error) = shell("ls /");
    assert_eq!((code, out.as_str()), (127, ""));
    assert!(error.contains("ls: not found") && error.contains("echo"), "{error}");
    assert_eq!(shell("echo 'open").0, 2);
}

#[test]
fn lines_are_run_as_they_are_typed() {
    let (harness, pod) = running();
    let (code, out, _) = exec(&harness, &pod, &["sh"], b"echo one\necho two\nexit 4\necho three\n");
    assert_eq!((code, out.as_str()), (4, "one\ntwo\n"));
}

#[test]
fn what_tar_unpacks_it_packs_again_under_its_path() {
    let (harness, pod) = running();
    let mut header = [0_u8; 512];
    header[..3].copy_from_slice(b"a/b");
    header[124..135].copy_from_slice(b"00000000005");
    let mut archive = header.to_vec();
    archive.extend(b"hello");
    archive.extend([0; 507 + 1024]);
    assert_eq!(exec(&harness, &pod, &["tar", "-xmf", "-", "-C", "/tmp"], &archive), (0, String::new(), String::new()));
    let (code, out, _) = exec(&harness, &pod, &["tar", "cf", "-", "/tmp/a"], b"");
    assert_eq!((code, &out[..7], &out[512..517], out.len()), (0, "tmp/a/b", "hello", 512 * 4));
    assert_eq!(exec(&harness, &pod, &["test", "-d", "/tmp/a"], b"").0, 0);
    assert_eq!(exec(&harness, &pod, &["test", "-d", "/tmp/b"], b"").0, 1);
    let (code, _, error) = exec(&harness, &pod, &["tar", "xf", "-", "-C", "/tmp"], &archive[..600]);
    assert_eq!((code, error.as_str()), (1, "tar: unexpected end of archive\n"));
    assert_eq!(exec(&harness, &pod, &["tar", "cf", "-", "/nothing"], b"").0, 1);
}

/// What a stream brings, as it comes.
fn collect(harness: &Harness<Mock>, mut stream: ByteStream) -> Rc<RefCell<Vec<u8>>> {
    let all = Rc::new(RefCell::new(Vec::new()));
    let into = all.clone();
    let pending = harness.begin(async move |_| {
        while let Some(bytes) = stream.next().await {
            into.borrow_mut().extend(bytes);
        }
    });
    std::mem::forget(pending.unwrap());
    all
}

#[test]
fn an_attachment_says_what_is_typed_and_ends_with_the_run() {
    let (harness, pod) = (start(), scripted("Never", &[("run-for", "10s"), ("exit-code", "5")]));
    harness.create(&pod).unwrap();
    let pod_ref = pod.pod_ref.clone();
    let session = harness.call(async move |mock| {
        let stdin = futures::stream::iter([b"hi".to_vec()]).boxed_local();
        let input = SessionInput { stdin, resize: futures::stream::empty().boxed_local() };
        mock.attach(pod_ref, "main".to_owned(), input).await
    });
    let session = session.unwrap();
    let out = collect(&harness, session.stdout);
    let exit = harness.begin(async move |_| session.exit.await).unwrap();
    harness.advance(seconds(9));
    assert_eq!((out.borrow().as_slice(), exit.take()), (&b"hi"[..], None));
    harness.advance(seconds(1));
    assert_eq!(exit.take(), Some(Ok(5)));
}

#[test]
fn port_7_echoes_port_80_speaks_http_and_nothing_listens_elsewhere() {
    let (harness, pod) = running();
    let connect = |port: u16, bytes: &'static [u8]| {
        let pod_ref = pod.pod_ref.clone();
        harness.call(async move |mock| {
            let input = futures::stream::iter([bytes.to_vec()]).boxed_local();
            let tunnel = mock.port_forward(pod_ref, port, input).await?;
            let pieces: Vec<_> = tunnel.collect().await;
            Ok(pieces.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat())
        })
    };
    assert_eq!(connect(7, b"hello").unwrap(), b"hello");
    let answer =
        String::from_utf8(connect(80, b"GET /x HTTP/1.1\r\n\r\nGET /bytes/3 HTTP/1.1\r\n\r\n").unwrap()).unwrap();
    assert!(answer.contains("port 80 path /x\n") && answer.ends_with("Content-Length: 3\r\n\r\nxxx"), "{answer}");
    assert!(matches!(connect(81, b""), Err(Error::Unavailable { .. })));
}

#[test]
fn figures_follow_the_script_and_a_counter_never_falls_within_a_run() {
    let (harness, pod) = (start(), scripted("Always", &[("cpu-usage", "500m"), ("memory-usage", "64Mi")]));
    harness.create(&pod).unwrap();
    let stats = || {
        let all = harness.call(async |mock| mock.stats().await).unwrap();
        let container = all[0].containers[0].clone();
        (container.cpu_usage_core_ns.unwrap(), container.memory_working_set.unwrap())
    };
    harness.advance(seconds(10));
    assert_eq!(stats(), (5_000_000_000, 64 << 20));
    harness.update(&scripted("Always", &[("cpu-usage", "100m")])).unwrap();
    harness.advance(seconds(10));
    assert_eq!(stats(), (6_000_000_000, 16 << 20));
}
