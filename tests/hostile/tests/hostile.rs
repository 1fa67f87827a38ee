//! The attacker, run natively: what it says it did is what it did.
//!
//! In: pods with instructions. Out: results and requests. Invariant: nothing that would hurt a native process is carried out here.

#![expect(clippy::unwrap_used, reason = "a test whose helper cannot go on has failed")]

use std::time::Duration;

use hostile::Hostile;
use pluglet_sdk::kubernetes::Phase;
use pluglet_sdk::testing::{Harness, Peer, TestPod, check_config, json, pod};
use pluglet_sdk::{Error, Event, HttpError, LogOptions, Message, Response, Upgraded, WebSocket};
use serde_json::Value;

fn start() -> Harness<Hostile> {
    Harness::start("{}").unwrap()
}

fn annotated(name: &str, value: &Value) -> TestPod {
    pod(
        json!({"metadata": {"name": "evil", "annotations": {format!("hostile.pluglet.dev/{name}"): value.to_string()}}}),
    )
}

/// The results of a pod's instructions.
fn results(harness: &Harness<Hostile>, instructions: &Value) -> Vec<Value> {
    let status = harness.create(&annotated("do", instructions)).unwrap();
    assert_eq!(status.phase, Phase::Running);
    serde_json::from_str(&status.message.unwrap()).unwrap()
}

fn result(harness: &Harness<Hostile>, instruction: Value) -> Value {
    let mut results = results(harness, &Value::Array(vec![instruction]));
    assert_eq!(results.len(), 1);
    results.remove(0)
}

#[test]
fn a_pod_without_instructions_is_run_as_by_a_good_provider() {
    let (harness, web) = (start(), pod(json!({"metadata": {"name": "web"}})));
    let status = harness.create(&web).unwrap();
    assert_eq!((status.phase, &status.message), (Phase::Running, &None));
    assert_eq!(harness.create(&web).unwrap(), status);
    assert_eq!(harness.status(&web).unwrap(), status);
    assert_eq!(harness.list().unwrap().len(), 1);
    assert_eq!(harness.logs(&web, LogOptions::default()).unwrap(), "xxxxxxxx\n");
    harness.delete(&web, 30).unwrap();
    assert!(matches!(harness.events()[..], [Event::Status(..), Event::Gone(..)]), "only the newest status is told");
    assert_eq!((harness.list().unwrap(), harness.delete(&web, 0)), (vec![], Err(Error::NotFound)));
}

#[test]
fn a_mistake_in_the_instructions_fails_the_pod_and_is_named() {
    let harness = start();
    for (instructions, named) in [
        (json!([{"op": "spinn"}]), "spinn"),
        (json!([{"op": "sleep", "ms": 1}, {"op": "fetch", "endpont": "x"}]), "instruction 1"),
        (json!([{"op": "flood", "endpoint": "x"}]), "`n`"),
        (json!([{"n": 1}]), "no op"),
        (json!({}), "do"),
    ] {
        let error = harness.create(&annotated("do", &instructions)).unwrap_err();
        assert!(matches!(&error, Error::Invalid(text) if text.contains(named)), "{error}");
    }
    assert!(harness.list().unwrap().is_empty());
}

#[test]
fn requests_go_out_as_they_are_and_answers_come_back_whole() {
    let harness = start();
    harness.world().serve("target", |request| match request.target.as_str() {
        "/granted/../x" => Err(HttpError::Denied("dots".to_owned())),
        _ => Ok(Response { status: 418, headers: vec![("a".into(), "b".into())], body: request.body.clone() }),
    });
    let fetch = json!({
        "op": "fetch", "endpoint": "target", "method": "PO ST", "target": "//x\u{0}", "headers": [["Host", "evil"]],
        "bodyBytes": 5000, "maxBytes": 6000, "timeoutMs": 7,
    });
    let seen = result(&harness, fetch);
    assert_eq!((&seen["op"], &seen["status"], &seen["bytes"]), (&json!("fetch"), &json!(418), &json!(5000)));
    assert_eq!((&seen["headers"], seen["text"].as_str().map(str::len)), (&json!([["a", "b"]]), Some(4096)));
    let request = harness.world().requests().remove(0);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PO ST", "//x\u{0}"));
    assert_eq!((request.timeout, request.max_bytes), (Some(Duration::from_millis(7)), 6000));

    let harness = harness.restart("{}").unwrap();
    let denied = result(&harness, json!({"op": "fetch", "endpoint": "target", "target": "/granted/../x"}));
    assert_eq!(denied["error"], json!({"case": "denied", "text": "dots"}));
}

#[test]
fn a_flood_is_counted_by_outcome() {
    let harness = start();
    let count = std::cell::Cell::new(0);
    harness.world().serve("target", move |_| {
        count.set(count.get() + 1);
        if count.get() % 2 == 0 { Err(HttpError::Timeout) } else { Ok(Response { status: 200, ..Response::default() }) }
    });
    let seen = result(&harness, json!({"op": "flood", "n": 5, "endpoint": "target", "target": "/"}));
    assert_eq!(seen["counts"], json!({"status 200": 3, "error timeout": 2}));
}

#[test]
fn streams_can_be_whole_or_without_end() {
    let harness = start();
    harness.world().serve_stream("target", async |request, responder| {
        let (mut writer, mut body) = responder.respond(200, Vec::new());
        while let Ok(Some(chunk)) = body.chunk().await {
            if !writer.send(chunk).await {
                return;
            }
        }
        assert_eq!(request.method, "PUT");
        writer.finish_with(body.trailers().to_vec()).await;
    });
    let put = |more: Value| {
        let mut send = json!({"op": "send", "endpoint": "target", "method": "PUT", "target": "/"});
        send.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        send
    };
    let seen = results(
        &harness,
        &json!([
            put(json!({"bodyBytes": 100_000, "trailers": [["x", "y"]]})),
            put(json!({"endless": true, "readAtMost": 200_000})),
        ]),
    );
    assert_eq!((&seen[0]["bytes"], &seen[0]["sent"]), (&json!(100_000), &json!(100_000)));
    assert_eq!(seen[0]["trailers"], json!([["x", "y"]]));
    assert!(seen[1]["bytes"].as_u64().unwrap() >= 200_000, "{}", seen[1]["bytes"]);
}

#[test]
fn connections_that_stop_being_http_carry_what_the_test_says() {
    let harness = start();
    harness.world().serve_upgrade("target", async |_, peer: Peer<Upgraded>| {
        let mut connection = peer.accept(Vec::new());
        while let Ok(Some(chunk)) = connection.reader.chunk().await {
            connection.writer.send(chunk).await;
        }
    });
    harness.world().serve_websocket("target", async |_, peer: Peer<WebSocket>| {
        let mut socket = peer.accept("b");
        while let Some(message) = socket.next().await {
            match message {
                Message::Close(code) => return socket.close(code).await,
                message => {
                    socket.send(message).await;
                }
            }
        }
    });
    let seen = results(
        &harness,
        &json!([
            {"op": "upgrade", "endpoint": "target", "method": "POST", "protocol": "tcp", "write": "hi", "readAtMost": 2},
            {"op": "upgrade", "endpoint": "target", "protocol": "tcp", "write": "hi", "halfClose": true},
            {
                "op": "websocket", "endpoint": "target", "protocols": ["a", "b"], "expect": 9,
                "messages": ["t", {"textBytes": 3}, {"binary": "b"}, {"binaryBytes": 5000}, {"close": 4001}],
            },
            {"op": "websocket", "endpoint": "other"},
        ]),
    );
    for upgraded in &seen[..2] {
        assert_eq!((&upgraded["status"], &upgraded["text"]), (&json!(101), &json!("hi")));
    }
    assert_eq!((&seen[2]["protocol"], &seen[2]["sent"]), (&json!("b"), &json!(5)));
    let received = seen[2]["received"].as_array().unwrap();
    assert_eq!((&received[1]["text"], &received[3]["bytes"]), (&json!("xxx"), &json!(5000)));
    assert_eq!(received[4..], [json!({"kind": "close", "code": 4001}), json!({"kind": "end"})]);
    assert_eq!(seen[3]["error"]["case"], "denied");
}

#[test]
fn the_store_is_filled_and_the_first_failure_told() {
    let harness = start();
    let seen = results(
        &harness,
        &json!([
            {"op": "kvFill", "keyBytes": 16, "valueBytes": 8, "count": 3},
            {"op": "kvFill", "keyBytes": 600, "valueBytes": 1, "count": 2},
            {"op": "kvPut", "key": "a", "value": "b"},
            {"op": "kvGet", "key": "a"},
            {"op": "kvGet", "key": "../a"},
            {"op": "kvEntries", "prefix": "0"},
        ]),
    );
    assert_eq!(seen[0], json!({"op": "kvFill", "stored": 3}));
    assert_eq!((&seen[1]["stored"], &seen[1]["failedAt"]), (&json!(0), &json!(0)));
    assert_eq!(seen[1]["error"]["case"], "too-large");
    assert_eq!((&seen[3]["text"], &seen[4]["found"]), (&json!("b"), &json!(false)));
    assert_eq!((&seen[5]["count"], &seen[5]["bytes"]), (&json!(3), &json!(24)));
}

#[test]
fn reports_are_about_whomever_the_test_names() {
    let harness = start();
    results(
        &harness,
        &json!([
            {"op": "status", "uid": "u", "namespace": "kube-system", "name": "dns", "phase": "Failed", "message": "lie"},
            {"op": "status", "uid": "v", "json": "not JSON"},
            {"op": "gone", "uid": "u"},
            {"op": "podEvent", "uid": "u", "reason": "R", "message": "m", "warning": true, "n": 3},
            {"op": "nodeFacts", "capacity": {"pods": "1"}, "taints": [["k", "v", "NoExecute"]]},
            {"op": "hugeStatus", "bytes": 100_000},
        ]),
    );
    let events = harness.events();
    let [Event::Status(first, failed), Event::Status(_, broken), Event::Gone(_), rest @ ..] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(first.to_string(), "kube-system/dns");
    assert!(failed.as_json().contains("lie") && broken.as_json() == "not JSON");
    assert!(matches!(rest, [Event::Pod(_), Event::Pod(_), Event::Pod(_), Event::Node(_), Event::Status(..)]));
}

#[test]
fn calls_answer_what_the_test_says() {
    let harness = start();
    let fail = json!([{"op": "fail", "case": "quota", "text": "no room"}]);
    assert_eq!(harness.create(&annotated("do", &fail)), Err(Error::quota("no room")));
    let lying = json!([{"op": "answer", "json": {"phase": "Succeeded"}}]);
    assert_eq!(harness.create(&annotated("do", &lying)).unwrap().phase, Phase::Succeeded);
    let harness = harness.restart("{}").unwrap();
    let pod = annotated("on-delete", &json!([{"op": "fetch", "endpoint": "target"}]));
    harness.create(&pod).unwrap();
    harness.delete(&pod, 0).unwrap();
    let [Event::Status(_, last), Event::Gone(_)] = &harness.events()[..] else { panic!("not two events") };
    assert!(last.as_json().contains("denied"));
}

#[test]
fn what_the_host_tells_is_told() {
    let harness = start();
    harness.world().set_deadline(Some(Duration::from_secs(2)));
    let seen = results(
        &harness,
        &json!([
            {"op": "remaining", "every": 1500, "times": 3},
            {"op": "random", "bytes": 100_000},
            {"op": "counters", "n": 70},
            {"op": "counters", "n": 2, "name": "hostile_0"},
            {"op": "gauge", "name": "g", "value": 0.5},
            {"op": "log", "level": "error", "message": "a\nb", "fields": [["k", "v"]]},
            {"op": "logFlood", "bytes": 10, "lineBytes": 4},
            {"op": "memoryBomb", "bytes": 2_000_000},
        ]),
    );
    assert_eq!(seen[0]["seen"][1], json!({"ms": 500, "cancelled": false}));
    assert_eq!(seen[0]["seen"][2], json!({"ms": 0, "cancelled": true}));
    assert_eq!(seen[1]["bytes"], 4096);
    assert_eq!((harness.world().counters().len(), harness.world().counters()["hostile_0"]), (64, 3));
    assert!(harness.world().log_lines().iter().any(|(_, line)| line == "a\nb k=v"));
    assert_eq!((&seen[6]["lines"], &seen[7]["taken"]), (&json!(3), &json!(2 << 20)));
}

#[test]
fn logs_can_be_broken_or_idle() {
    let harness = start();
    let broken = annotated("logs", &json!({"lines": 2, "lineBytes": 1, "fail": "torn"}));
    harness.create(&broken).unwrap();
    assert_eq!(harness.logs(&broken, LogOptions::default()), Err(Error::internal("torn")));
    let harness = harness.restart("{}").unwrap();
    let idle = annotated("logs", &json!({"idle": true}));
    harness.create(&idle).unwrap();
    let log = harness.follow(&idle, LogOptions::default()).unwrap();
    harness.advance(Duration::from_secs(60));
    assert_eq!((log.take_text().as_str(), log.ended()), ("xxxxxxxx\n", None));
}

#[test]
fn the_example_in_the_readme_is_a_configuration() {
    let readme = include_str!("../README.md");
    let example = readme.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config: Value = serde_json::from_str(example).unwrap();
    assert_eq!(check_config(&hostile::PLUGLET_MANIFEST, &config), Ok(()));
    let harness = Harness::<Hostile>::start(&config.to_string()).unwrap();
    assert_eq!(harness.info().node.capacity["pods"], "1000000");
    assert_eq!(harness.list().unwrap()[0].0.uid, "made-up");
    let failing = Harness::<Hostile>::start(r#"{"listError": "why"}"#).unwrap();
    assert_eq!(failing.list(), Err(Error::internal("why")));
}

#[test]
fn the_instructions_in_the_readme_can_be_read() {
    let readme = include_str!("../README.md");
    let example = readme.split("hostile.pluglet.dev/do: '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let seen = results(&start(), &serde_json::from_str(example).unwrap());
    assert_eq!(seen[0]["error"]["case"], "denied");
}
