//! Logs, commands, terminals, copies and ports of real containers.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use cluster::{SOON, Terminal, is_running};
use containers_suite::Setup;
use controlplane::wait::{Answer, until};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

async fn one_pod(name: &str, script: &str) -> Result<Option<Setup>> {
    let Some(setup) = Setup::new(name).await? else { return Ok(None) };
    setup.create("web", &json!({ "containers": [{ "name": "main", "command": ["/bin/sh", "-c", script] }] })).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    Ok(Some(setup))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_end_with_their_codes_and_their_outputs_stay_apart() -> Result<()> {
    let Some(setup) = one_pod("commands", SLEEP).await? else { return Ok(()) };
    for (script, code) in [("true", 0), ("exit 3", 3), ("exit 137", 137)] {
        let output = setup.world.kubectl_output(&["exec", "web", "--", "sh", "-c", script], None).await?;
        ensure!(output.status.code() == Some(code), "{script}: {output:?}");
    }
    let output = setup.world.kubectl_output(&["exec", "web", "--", "sh", "-c", "echo out; echo err >&2"], None).await?;
    ensure!(output.stdout == b"out\n" && output.stderr == b"err\n", "{output:?}");
    let output =
        setup.world.kubectl_output(&["exec", "-i", "web", "--", "wc", "-c"], Some("x".repeat(1_000_000))).await?;
    ensure!(output.stdout == b"1000000\n", "{output:?}");
    let output = setup.world.kubectl_output(&["exec", "web", "--", "missing"], None).await?;
    ensure!(!output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trees_are_copied_in_and_out() -> Result<()> {
    let Some(setup) = one_pod("copies", SLEEP).await? else { return Ok(()) };
    let here = tempfile_dir()?;
    for number in 0..20_u8 {
        std::fs::write(here.join(format!("in-{number}")), vec![number; 5_000_000])?;
    }
    let (from, to) = (here.to_string_lossy().into_owned(), here.join("back"));
    setup.world.kubectl(&["cp", &from, "web:/tmp/tree"]).await?;
    setup.world.kubectl(&["cp", "web:/tmp/tree", &to.to_string_lossy()]).await?;
    for number in 0..20_u8 {
        let name = format!("in-{number}");
        ensure!(std::fs::read(here.join(&name))? == std::fs::read(to.join(&name))?, "{name}");
    }
    std::fs::remove_dir_all(here)?;
    Ok(())
}

fn tempfile_dir() -> Result<std::path::PathBuf> {
    let path = std::env::temp_dir().join(format!("pluglet-copy-{}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_followed_to_its_end() -> Result<()> {
    let script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done; exit 0";
    let Some(setup) = Setup::new("follow").await? else { return Ok(()) };
    let spec =
        json!({ "restartPolicy": "Never", "containers": [{ "name": "main", "command": ["/bin/sh", "-c", script] }] });
    setup.create("web", &spec).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let all = "line 1\nline 2\nline 3\nline 4\nline 5\n";
    let followed = setup.world.kubectl(&["logs", "-f", "web"]).await?;
    ensure!(followed == all, "{followed}");
    ensure!(setup.world.kubectl(&["logs", "--tail=2", "web"]).await? == "line 4\nline 5\n");
    let times = setup.world.kubectl(&["logs", "--timestamps", "--tail=1", "web"]).await?;
    ensure!(times.starts_with("20") && times.ends_with(" line 5\n"), "{times}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_the_pod_is_reached_also_on_its_loopback() -> Result<()> {
    let script = "mkdir -p /www; echo hello > /www/index.html; httpd -p 127.0.0.1:8080 -h /www; trap 'exit 0' TERM; sleep 1000 & wait";
    let Some(setup) = one_pod("ports", script).await? else { return Ok(()) };
    let mut command = tokio::process::Command::from(setup.world.namespace.kubectl());
    command.args(["port-forward", "pod/web", ":8080"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut forward = command.spawn()?;
    let mut lines = BufReader::new(forward.stdout.take().context("no output")?).lines();
    let line = lines.next_line().await?.context("it ended")?;
    let port: u16 = line.split(':').nth(1).and_then(|rest| rest.split(' ').next()).context("no port")?.parse()?;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer.ends_with("hello\n"), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_has_the_size_of_the_users_window_and_follows_it() -> Result<()> {
    let Some(setup) = one_pod("terminal", SLEEP).await? else { return Ok(()) };
    let mut kubectl = setup.world.namespace.kubectl();
    kubectl.args(["exec", "-it", "web", "--", "/bin/sh"]);
    let mut terminal = Terminal::run(&kubectl, 24, 80)?;
    terminal.until("# ").await?;
    for (rows, columns) in [(24, 80), (50, 132)] {
        terminal.resize(rows, columns)?;
        // A size travels apart from what is typed, and may come later.
        until("the size", SOON, async || {
            terminal.type_in("stty size; echo do''ne\n")?;
            let shown = terminal.until("done").await?;
            let right = shown.contains(&format!("{rows} {columns}\r\n"));
            Ok(if right { Answer::Yes(()) } else { Answer::NotYet(shown) })
        })
        .await?;
    }
    terminal.type_in("exit 5\n")?;
    let status = tokio::time::timeout(SOON, terminal.program.wait()).await??;
    ensure!(status.code() == Some(5), "{status:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_into_an_attached_container_reaches_its_own_process() -> Result<()> {
    let Some(setup) = Setup::new("attach").await? else { return Ok(()) };
    let main = json!({ "name": "main", "stdin": true, "command": ["/bin/sh", "-c", "while read line; do echo got $line; done; exit 0"] });
    setup.create("web", &json!({ "restartPolicy": "Never", "containers": [main] })).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let mut command = tokio::process::Command::from(setup.world.namespace.kubectl());
    command.args(["attach", "-i", "web"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut attach = command.spawn()?;
    let mut stdin = attach.stdin.take().context("no input")?;
    let mut lines = BufReader::new(attach.stdout.take().context("no output")?).lines();
    stdin.write_all(b"one\ntwo\n").await?;
    for expected in ["got one", "got two"] {
        let line = tokio::time::timeout(SOON, lines.next_line()).await??;
        ensure!(line.as_deref() == Some(expected), "{line:?}");
    }
    Ok(())
}
