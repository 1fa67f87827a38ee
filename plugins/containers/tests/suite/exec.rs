//! Commands, attached users, forwarded ports.

use std::cell::Cell;
use std::rc::Rc;

use pluglet_sdk::testing::{Peer, World, json};
use pluglet_sdk::{Error, ExecRequest, Request, Response, Upgraded};
use serde_json::Value;

use super::{
    DOCKER, Engines, PODMAN, exited, inspected, labels, main_labels, requests, running, start_in, start_with, test_pod,
    world,
};

fn frame(stream: u8, text: &str) -> Vec<u8> {
    let head = [stream, 0, 0, 0].into_iter().chain(u32::try_from(text.len()).unwrap().to_be_bytes());
    head.chain(text.bytes()).collect()
}

/// An engine in which a command repeats what it reads, complains, and ends with code 7.
fn repeating(engine: &'static str) -> World {
    let asked = Rc::new(Cell::new(0));
    let world = world(engine, move |what, _| match what {
        "GET /containers/m/json" => Some((200, inspected("m", &main_labels(), &running()))),
        "POST /containers/m/exec" | "POST /containers/s/exec" => Some((201, json!({"Id": "e"}))),
        "GET /containers/json" => Some((200, json!([{"Id": "s", "Labels": labels("sandbox", &[])}]))),
        "GET /exec/e/json" => {
            // Docker notes the end a little after the output has ended.
            asked.set(asked.get() + 1);
            let ended = asked.get() > 2;
            Some((200, json!({"ID": "e", "Running": !ended, "ExitCode": if ended { json!(7) } else { Value::Null }})))
        }
        _ => None,
    });
    world.serve_upgrade("engine", async |_, peer: Peer<Upgraded>| {
        let Upgraded { mut reader, mut writer, .. } = peer.accept(Vec::new());
        let mut typed = Vec::new();
        while let Ok(Some(bytes)) = reader.chunk().await {
            typed.extend(bytes);
        }
        writer.send(frame(1, &String::from_utf8(typed).unwrap())).await;
        writer.send(frame(2, "oh")).await;
    });
    world
}

fn exec(engines: &Engines, stdin: &[u8]) -> Result<(String, String, i32), Error> {
    let request = ExecRequest { container: "m".into(), command: vec!["cat".into()], tty: false };
    let ended = engines.exec(&test_pod(), request, stdin)?;
    Ok((String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap(), ended.exit_code))
}

#[test]
fn a_command_reads_writes_and_ends_with_its_code() {
    for engine in [DOCKER, PODMAN] {
        let engines = start_in(repeating(engine));
        assert_eq!(exec(&engines, b"hello"), Ok(("hello".to_owned(), "oh".to_owned(), 7)), "{engine}");
        let started =
            engines.world().requests().into_iter().find(|request| request.target.ends_with("/exec/e/start")).unwrap();
        let body: Value = serde_json::from_slice(&started.body).unwrap();
        assert_eq!(body, json!({"Detach": false, "Tty": false}));
        assert!(started.headers.contains(&("upgrade".to_owned(), "tcp".to_owned())));
    }
}

#[test]
fn where_nothing_runs_no_command_is_run() {
    let engines = start_in(world(PODMAN, |what, _| {
        (what == "GET /containers/m/json").then(|| (200, inspected("m", &main_labels(), &exited(0))))
    }));
    assert_eq!(exec(&engines, b""), Err(Error::NotFound));
    assert_eq!(requests(&engines), ["GET /containers/m/json"]);
}

#[test]
fn a_container_that_ends_before_the_command_starts_is_not_running() {
    let world = repeating(DOCKER);
    world.serve_upgrade("engine", async |_, peer: Peer<Upgraded>| {
        peer.refuse(Response {
            status: 409,
            body: br#"{"message": "Container m is not running"}"#.to_vec(),
            ..Response::default()
        });
    });
    assert_eq!(exec(&start_in(world), b""), Err(Error::NotFound));
}

#[test]
fn an_attached_users_end_is_not_the_containers_unless_it_is_to_be() {
    for once in [false, true] {
        let asked = Rc::new(Cell::new(false));
        let world = world(PODMAN, move |what, _| {
            let mut labels = main_labels();
            if once {
                labels["dev.pluglet.stdin-once"] = json!("true");
            }
            (what == "GET /containers/m/json").then(|| {
                let state = if asked.replace(true) { exited(9) } else { running() };
                (200, inspected("m", &labels, &state))
            })
        });
        world.serve_upgrade("engine", async move |request: Request, peer: Peer<Upgraded>| {
            assert!(request.target.ends_with("/attach?stream=1&stdin=1&stdout=1&stderr=1"));
            let Upgraded { mut reader, mut writer, .. } = peer.accept(Vec::new());
            assert_eq!(reader.chunk().await, Ok(Some(b"line\n".to_vec())));
            if once {
                assert_eq!(reader.chunk().await, Ok(None));
            }
            writer.send(frame(1, "got it")).await;
        });
        let ended = start_in(world).attach(&test_pod(), "m", b"line\n").unwrap();
        assert_eq!((ended.stdout.as_slice(), ended.exit_code), (&b"got it"[..], 9), "{once}");
    }
}

const FORWARDING: &str = r#"{"sandboxForward": ["nc", "127.0.0.1", "{port}"]}"#;

#[test]
fn a_forwarded_port_is_a_command_in_the_sandbox() {
    let world = repeating(PODMAN);
    let engines = start_with(world, FORWARDING).unwrap();
    // The scripted command fails after all, which is told after what it wrote.
    let error = engines.port_forward(&test_pod(), 8080, b"GET /").unwrap_err();
    assert!(
        matches!(error, Error::Unavailable(retry) if retry.message == "the forwarding command ended with code 7: oh")
    );
    let created =
        engines.world().requests().into_iter().find(|request| request.target.ends_with("/containers/s/exec")).unwrap();
    let body: Value = serde_json::from_slice(&created.body).unwrap();
    assert_eq!(body["Cmd"], json!(["nc", "127.0.0.1", "8080"]));
}

#[test]
fn a_pod_without_a_sandbox_has_no_ports() {
    let engines = start_with(world(PODMAN, |_, _| None), FORWARDING).unwrap();
    assert_eq!(engines.port_forward(&test_pod(), 80, b""), Err(Error::NotFound));
}
