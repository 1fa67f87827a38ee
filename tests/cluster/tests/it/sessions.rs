//! `kubectl exec`, `attach`, `cp` and `port-forward` with the real kubectl through the real API server, over both of its transports.

use std::io::Write;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use cluster::{Node, NodeOptions, SOON, Terminal, World, is_running, pod};
use kube::api::AttachParams;
use kube::core::kubelet_debug::KubeletDebugParams;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How kubectl speaks with the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    WebSocket,
    Spdy,
}

const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::Spdy];

impl Transport {
    fn kubectl(self, world: &World) -> std::process::Command {
        let mut command = world.namespace.kubectl();
        let websockets = if self == Self::WebSocket { "true" } else { "false" };
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
        command
    }

    /// Runs kubectl to its end, with this on its standard input.
    async fn run(self, world: &World, arguments: &[&str], input: Vec<u8>) -> Result<Output> {
        let mut command = self.kubectl(world);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = tokio::task::spawn_blocking(move || -> Result<Output> {
            let mut child = command.spawn().context("kubectl")?;
            let mut stdin = child.stdin.take().context("no input")?;
            // A command may end without reading it.
            let typing = std::thread::spawn(move || stdin.write_all(&input).ok());
            let output = child.wait_with_output()?;
            typing.join().ok();
            Ok(output)
        });
        tokio::time::timeout(SOON, run).await.with_context(|| format!("kubectl {arguments:?} did not end"))??
    }
}

/// What is typed into a command.
const LARGE: u32 = 100_000_000;
/// What is copied: a hundred files of about a megabyte.
const FILES: u32 = 100;

fn content(number: u32) -> Vec<u8> {
    vec![number as u8; 1_000_000 + number as usize]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn one_pod(name: &str, script: &Value) -> Result<(World, Node)> {
    let world = World::new(name).await?;
    let node = world.node(&format!("node-{name}")).await?;
    world.create(&[pod(&node.name, "web", script, "Always")]).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    Ok((world, node))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_ends_with_its_exit_code_and_its_outputs_stay_apart() -> Result<()> {
    let (world, _node) = one_pod("exec-codes", &json!({})).await?;
    for transport in BOTH {
        for (script, code) in [("true", 0), ("exit 3", 3), ("exit 137", 137)] {
            let output = transport.run(&world, &["exec", "web", "--", "sh", "-c", script], vec![]).await?;
            assert_eq!(output.status.code(), Some(code), "{transport:?} {script}: {}", text(&output.stderr));
        }
        let both = ["exec", "web", "--", "sh", "-c", "echo out; echo err >&2"];
        let output = transport.run(&world, &both, vec![]).await?;
        assert_eq!((text(&output.stdout), text(&output.stderr)), ("out\n".to_owned(), "err\n".to_owned()));
        let output = transport.run(&world, &["exec", "web", "--", "nothing"], vec![]).await?;
        assert_eq!(output.status.code(), Some(127));
        assert!(text(&output.stderr).contains("nothing: not found"), "{}", text(&output.stderr));
        let output = transport.run(&world, &["exec", "web", "-c", "other", "--", "true"], vec![]).await?;
        assert!(text(&output.stderr).contains("other"), "{}", text(&output.stderr));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_comes_back_whole_and_its_end_ends_the_command() -> Result<()> {
    let (world, _node) = one_pod("exec-stdin", &json!({})).await?;
    let typed: Vec<u8> = (0..LARGE).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for transport in BOTH {
        let output = transport.run(&world, &["exec", "-i", "web", "--", "cat"], typed.clone()).await?;
        assert!(output.status.success(), "{transport:?}: {}", text(&output.stderr));
        assert!(output.stdout == typed, "{transport:?}: {} of {} bytes", output.stdout.len(), typed.len());
        let count = transport.run(&world, &["exec", "-i", "web", "--", "wc", "-c"], typed.clone()).await?;
        assert_eq!(text(&count.stdout), format!("{LARGE}\n"), "{transport:?}");
        // One that does not read ends all the same.
        let output = transport.run(&world, &["exec", "-i", "web", "--", "echo", "done"], typed.clone()).await?;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "done\n".to_owned()), "{transport:?}");
    }
    Ok(())
}

/// Asks the shell until it says so: a size travels apart from what is typed, and may come later.
async fn size_is(terminal: &mut Terminal, size: &str) -> Result<()> {
    loop {
        terminal.type_in("stty size\r")?;
        if terminal.until("$ ").await?.contains(&format!("\r\n{size}\n")) {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_in_a_terminal_knows_the_size_of_the_window_and_learns_when_it_changes() -> Result<()> {
    let (world, _node) = one_pod("exec-terminal", &json!({})).await?;
    for transport in BOTH {
        let mut kubectl = transport.kubectl(&world);
        kubectl.args(["exec", "-it", "web", "--", "sh"]);
        let mut terminal = Terminal::run(&kubectl, 24, 80)?;
        terminal.until("$ ").await?;
        tokio::time::timeout(SOON, size_is(&mut terminal, "24 80")).await.context("24 80")??;
        terminal.resize(50, 132)?;
        tokio::time::timeout(SOON, size_is(&mut terminal, "50 132")).await.context("50 132")??;
        terminal.type_in("exit 7\r")?;
        let status = tokio::time::timeout(SOON, terminal.program.wait()).await??;
        assert_eq!(status.code(), Some(7), "{transport:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_copied_into_a_container_and_back() -> Result<()> {
    let (world, _node) = one_pod("cp", &json!({})).await?;
    let directory = tempfile::tempdir()?;
    let (from, to) = (directory.path().join("tree"), directory.path().join("back"));
    for number in 0..FILES {
        let file = from.join(format!("{}/{number}", number % 7));
        std::fs::create_dir_all(file.parent().context("a parent")?)?;
        std::fs::write(file, content(number))?;
    }
    for transport in BOTH {
        // Something that the other transport has not brought.
        std::fs::write(from.join("by"), format!("{transport:?}"))?;
        let [from, to] = [&from, &to].map(|path| path.to_string_lossy().into_owned());
        let target = format!("web:/tmp/{transport:?}");
        let output = transport.run(&world, &["cp", &from, &target], vec![]).await?;
        assert!(output.status.success(), "{transport:?}: {}", text(&output.stderr));
        std::fs::remove_dir_all(&to).ok();
        let output = transport.run(&world, &["cp", &target, &to], vec![]).await?;
        assert!(output.status.success(), "{transport:?}: {}", text(&output.stderr));
        for number in 0..FILES {
            let file = directory.path().join(format!("back/{}/{number}", number % 7));
            let bytes = std::fs::read(&file).with_context(|| format!("{transport:?}: {}", file.display()))?;
            ensure!(bytes == content(number), "{transport:?}: {}", file.display());
        }
        assert_eq!(std::fs::read_to_string(directory.path().join("back/by"))?, format!("{transport:?}"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_attaches_and_leaves_kills_nothing() -> Result<()> {
    let (world, node) = one_pod("attach", &json!({})).await?;
    for transport in BOTH {
        let mut command = Command::from(transport.kubectl(&world));
        command.args(["attach", "-i", "web"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (mut stdin, stdout) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        stdin.write_all(b"hello\n").await?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(SOON, lines.next_line()).await??;
        assert_eq!(line.as_deref(), Some("hello"), "{transport:?}");
        child.kill().await?;
    }
    let pods = world.until_pods("the pod to run on", |pods| pods.iter().any(is_running)).await?;
    let restarts = |pods: &[k8s_openapi::api::core::v1::Pod]| {
        pods.iter().map(|pod| cluster::container(pod, "main").map_or(-1, |status| status.restart_count)).sum::<i32>()
    };
    assert_eq!(restarts(&pods), 0);
    drop(node);
    Ok(())
}

/// A `kubectl port-forward`.
struct Forwarded {
    _child: Child,
    /// Not read any more: some hundred lines fit into the pipe.
    _lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    /// The local port that it has chosen.
    port: u16,
}

async fn forward(world: &World, transport: Transport, port: u16) -> Result<Forwarded> {
    let mut command = Command::from(transport.kubectl(world));
    command.args(["port-forward", "web", &format!(":{port}")]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let port = local_port(&mut lines).await?;
    Ok(Forwarded { _child: child, _lines: lines, port })
}

/// Of `Forwarding from 127.0.0.1:PORT -> …`.
async fn local_port(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) -> Result<u16> {
    let line = tokio::time::timeout(SOON, lines.next_line()).await??.context("no line")?;
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).context("no port")?;
    port.parse().with_context(|| line.clone())
}

/// A connection on which this was asked for.
async fn ask(port: u16, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// How many bytes come, head included.
async fn count(port: u16, path: &str) -> Result<usize> {
    let mut stream = ask(port, path).await?;
    let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
    while let read @ 1.. = tokio::time::timeout(SOON, stream.read(&mut buffer)).await?? {
        total += read;
    }
    Ok(total)
}

async fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    let mut stream = ask(port, path).await?;
    let mut answer = vec![];
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await??;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded_one_after_the_other_and_many_at_once() -> Result<()> {
    let (world, _node) = one_pod("forward", &json!({})).await?;
    for transport in BOTH {
        let forwarded = forward(&world, transport, 80).await?;
        let port = forwarded.port;
        for number in 0..1000 {
            let answer = text(&get(port, &format!("/{number}")).await?);
            assert!(answer.ends_with(&format!("path /{number}\n")), "{transport:?} {number}: {answer}");
        }
        let many = futures::future::join_all((0..100).map(|_| get(port, "/bytes/200000"))).await;
        for answer in many {
            assert!(answer?.len() > 200_000, "{transport:?}");
        }
        let large = count(port, "/bytes/1000000000").await?;
        assert!(large > 1_000_000_000, "{transport:?}: {large} bytes");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_where_nothing_listens_says_so() -> Result<()> {
    let (world, _node) = one_pod("refused", &json!({})).await?;
    for transport in BOTH {
        let mut command = Command::from(transport.kubectl(&world));
        command.args(["port-forward", "web", ":81"]).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
        let port = local_port(&mut lines).await?;
        let mut refused = TcpStream::connect(("127.0.0.1", port)).await?;
        refused.write_all(b"x").await?;
        let mut rest = vec![];
        tokio::time::timeout(SOON, refused.read_to_end(&mut rest)).await?.ok();
        assert!(rest.is_empty());
        // kubectl gives up the whole forwarding then, as with any kubelet.
        let output = tokio::time::timeout(SOON, child.wait_with_output()).await??;
        let errors = text(&output.stderr);
        assert!(errors.contains("nothing listens on port 81"), "{transport:?}: {errors}");
    }
    Ok(())
}

/// How often the API server has passed a WebSocket on in this way.
async fn streamed(world: &World, subresource: &str, how: &str) -> Result<f64> {
    let request = http::Request::get("/metrics").body(vec![])?;
    let metrics = world.client.request_text(request).await?;
    let of_it = metrics.lines().filter(|line| {
        line.starts_with("apiserver_websocket_streaming_requests_total{")
            && line.contains(&format!("proxy_type=\"{how}\""))
            && line.contains(&format!("subresource=\"{subresource}\""))
    });
    of_it.map(|line| Ok(line.rsplit(' ').next().context("a value")?.parse::<f64>()?)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_reach_the_node_untranslated_because_it_declares_that_it_takes_them() -> Result<()> {
    let (world, node) = one_pod("transports", &json!({})).await?;
    let ways = ["proxied_to_kubelet", "translated_at_apiserver"];
    let counts = async |subresource: &str| -> Result<Vec<f64>> {
        let mut counts = vec![];
        for way in ways {
            counts.push(streamed(&world, subresource, way).await?);
        }
        Ok(counts)
    };
    let exec = async || -> Result<()> {
        let output = Transport::WebSocket.run(&world, &["exec", "-i", "web", "--", "cat"], b"over\n".to_vec()).await?;
        ensure!(text(&output.stdout) == "over\n", "{}", text(&output.stderr));
        let forwarded = forward(&world, Transport::WebSocket, 80).await?;
        ensure!(text(&get(forwarded.port, "/x").await?).contains("path /x"));
        Ok(())
    };
    let (before, ports_before) = (counts("exec").await?, counts("portforward").await?);
    exec().await?;
    let (after, ports_after) = (counts("exec").await?, counts("portforward").await?);
    // Others may run commands too, on nodes that declare the same.
    assert!(after[0] > before[0] && after[1] == before[1], "{before:?} {after:?}");
    assert!(ports_after[0] > ports_before[0] && ports_after[1] == ports_before[1], "{ports_before:?} {ports_after:?}");

    // As it was before API servers and nodes agreed on that.
    let none = r#"{"status":{"declaredFeatures":null}}"#;
    world.kubectl(&["patch", "node", &node.name, "--subresource=status", "--type=merge", "-p", none]).await?;
    exec().await?;
    let (old, ports_old) = (counts("exec").await?, counts("portforward").await?);
    assert!(old[1] > after[1], "{after:?} {old:?}");
    assert!(ports_old[1] > ports_after[1], "{ports_after:?} {ports_old:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_rs_speaks_with_the_node_itself() -> Result<()> {
    let (world, node) = one_pod("direct", &json!({})).await?;
    let client = world.plane.client_with(|config| {
        config.cluster_url = node.url().parse().unwrap();
        config.accept_invalid_certs = true;
    });
    let client = client.await?;
    let uid = cluster::uid(&world.pods().get("web").await?).to_owned();
    for pod_uid in [None, Some(uid.as_str())] {
        let target = KubeletDebugParams { name: "web", namespace: world.namespace.name(), pod_uid };
        let params = AttachParams::default().stdin(true).stderr(false);
        let mut process = client.kubelet_node_exec(&target, "main", ["cat"], &params).await?;
        let (mut stdin, mut stdout) = (process.stdin().context("stdin")?, process.stdout().context("stdout")?);
        stdin.write_all(b"direct").await?;
        stdin.shutdown().await?;
        drop(stdin);
        let mut heard = vec![];
        tokio::time::timeout(SOON, stdout.read_to_end(&mut heard)).await??;
        assert_eq!(text(&heard), "direct");
        let status = process.take_status().context("status")?.await.context("an end")?;
        assert_eq!(status.status.as_deref(), Some("Success"));

        let mut ports = client.kubelet_node_portforward(&target, &[7, 80]).await?;
        let mut echo = ports.take_stream(7).context("port 7")?;
        echo.write_all(b"hello").await?;
        let mut back = [0; 5];
        tokio::time::timeout(SOON, echo.read_exact(&mut back)).await??;
        assert_eq!(&back, b"hello");
        let mut web = ports.take_stream(80).context("port 80")?;
        web.write_all(b"GET /ws HTTP/1.1\r\nConnection: close\r\n\r\n").await?;
        // This protocol has no word for the end of one connection among several.
        let mut answer = vec![0; 1024];
        let read = tokio::time::timeout(SOON, web.read(&mut answer)).await??;
        assert!(text(&answer[..read]).starts_with("HTTP/1.1 200"), "{}", text(&answer));
    }
    let stranger = KubeletDebugParams { name: "web", namespace: world.namespace.name(), pod_uid: Some("another") };
    let refused = client.kubelet_node_exec(&stranger, "main", ["true"], &AttachParams::default()).await;
    assert!(refused.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_cannot_do_is_refused_with_the_reason() -> Result<()> {
    let world = World::new("cannot").await?;
    let config = "config: { features: { exec: false, attach: false, portForward: false } }\n";
    let node = world.node_with("node-cannot", NodeOptions { config, ..NodeOptions::default() }).await?;
    world.create(&[pod(&node.name, "web", &json!({}), "Always")]).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    for transport in BOTH {
        for (arguments, reason) in [
            (&["exec", "web", "--", "true"][..], "this node's provider cannot run commands in containers"),
            (&["attach", "web"], "this node's provider cannot attach to containers"),
            (&["port-forward", "web", ":80"], "this node's provider cannot forward ports"),
        ] {
            let output = transport.run(&world, arguments, vec![]).await?;
            let errors = text(&output.stderr);
            assert!(!output.status.success() && errors.contains(reason), "{transport:?} {arguments:?}: {errors}");
        }
    }
    Ok(())
}
