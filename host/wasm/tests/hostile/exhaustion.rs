//! Attacks on what the host has only so much of: memory, CPU, connections, disk, log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pluglet_egress::{Grant, Target};
use pluglet_model::provider::{Error, Provider};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;

use crate::attacker::{case, convict, granted, one, start, text, with};
use crate::backend::{Reply, Server};
use crate::support::{options, plan, within};

/// All metrics as text.
struct Scrape(Registry);

impl Scrape {
    fn of(options: &pluglet_wasm::ProviderOptions) -> Self {
        let mut registry = Registry::default();
        options.metrics.register(&mut registry);
        Self(registry)
    }

    /// The value of the first sample whose line starts so.
    fn value(&self, start: &str) -> f64 {
        let mut text = String::new();
        encode(&mut text, &self.0).unwrap();
        let line = text.lines().find(|line| line.starts_with(start));
        line.and_then(|line| line.rsplit_once(' ')).map_or(0.0, |(_, value)| value.parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_at_once_are_a_few_connections_and_many_refusals() {
    let backend = Server::plain("200 OK", "", "fine").await;
    let mut options = granted("target", &backend.url());
    // This is about connections. An unoptimised host on a busy machine may take seconds for so many requests at once.
    options.limits.cpu_stall = Duration::from_secs(60);
    let attacker = start(options).await;
    let seen = one(&attacker, json!({"op": "flood", "n": 10_000, "endpoint": "target", "target": "/granted/x"})).await;
    let count = |name: &str| seen["counts"][name].as_u64().unwrap_or(0);
    let (answered, refused) = (count("status 200"), count("error other"));
    assert_eq!(answered + refused, 10_000, "{seen}");
    assert!(answered > 0 && refused > 0, "{seen}");
    assert!(seen["texts"]["error other"].as_str().unwrap().contains("too many requests waiting"), "{seen}");
    // 64 requests at once, and connections that the pool had begun to open when another became free.
    let most = backend.seen.most.load(Ordering::SeqCst);
    assert!(most <= 2 * 64, "{most} connections at once");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_answers_at_once_do_not_fill_the_hosts_memory() {
    let body = "x".repeat(4 << 20);
    let backend = Server::plain("200 OK", "", &body).await;
    let mut options = granted("target", &backend.url());
    options.limits.outbound.body_bytes = 16 << 20;
    let silent = Server::start(|_| Reply::Silence).await;
    let mut grant = Grant::new(Target::base(&silent.url()).unwrap());
    grant.limits.timeout = Duration::from_secs(3);
    options.grants.insert("open".to_owned(), grant);
    let attacker = start(options).await;
    let flood = json!({"op": "flood", "n": 40, "endpoint": "target", "target": "/granted/x", "maxBytes": 8 << 20});
    let seen = one(&attacker, flood).await;
    assert!(seen["texts"]["error other"].as_str().unwrap_or_default().contains("bytes of answers"), "{seen}");
    let flood = json!({
        "op": "flood", "n": 40, "endpoint": "open", "target": "/x", "method": "POST", "bodyBytes": 1 << 20,
    });
    let seen = one(&attacker, flood).await;
    assert!(seen["texts"]["error other"].as_str().unwrap_or_default().contains("bytes of request bodies"), "{seen}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_of_ten_gibibytes_is_too_large_and_is_not_read() {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 10_u64 << 30);
    let backend = Server::start(move |_| Reply::Endless(head.clone().into_bytes(), vec![b'x'; 64 << 10])).await;
    let attacker = start(granted("target", &backend.url())).await;
    let request = json!({"op": "fetch", "endpoint": "target", "target": "/granted/x", "maxBytes": u32::MAX});
    let seen = one(&attacker, request).await;
    assert_eq!(case(&seen), "too-large", "{seen}");
    let written = backend.seen.written.load(Ordering::SeqCst);
    assert!(written < 64 << 20, "{written} bytes were taken");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_loris_is_given_up_and_does_not_hold_up_others() {
    let loris = Server::start(|_| Reply::Trickle(b"HTTP/1.1 200 OK\r\nx-a: b\r\n".to_vec())).await;
    let honest = Server::plain("200 OK", "", "fine").await;
    let mut options = granted("target", &loris.url());
    options.grants.insert("open".to_owned(), Grant::new(Target::base(&honest.url()).unwrap()));
    options.grants.values_mut().for_each(|grant| grant.limits.timeout = Duration::from_secs(1));
    let attacker = start(options).await;
    let flood = json!({"op": "flood", "n": 200, "endpoint": "target", "target": "/granted/x"});
    let honest = json!({"op": "fetch", "endpoint": "open", "target": "/"});
    let (flooded, answered) = futures::join!(one(&attacker, flood), one(&attacker, honest));
    assert_eq!(flooded["counts"], json!({"error timeout": 200}), "{flooded}");
    assert_eq!(answered["status"], 200, "{answered}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_log_is_a_few_lines_and_a_count() {
    for to in ["log", "stdout"] {
        let mut options = options("hostile");
        options.limits.log_lines_per_second = 50;
        // It does nothing else, so it would be stopped for that. What is looked at here is the log.
        options.limits.cpu_stall = Duration::from_secs(60);
        options.limits.cpu_millicores = 1000;
        let scrape = Scrape::of(&options);
        let attacker = start(options).await;
        let seen = one(&attacker, json!({"op": "logFlood", "bytes": 1 << 30, "lineBytes": 1 << 20, "to": to})).await;
        let lines = seen["lines"].as_f64().unwrap();
        assert!(lines >= 1000.0, "{seen}");
        let dropped = scrape.value("pluglet_provider_log_lines_dropped_total");
        assert!(dropped > lines * 0.5, "{to}: {dropped} of {lines} lines were dropped");
        attacker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_on_disk_has_a_quota_and_small_keys() {
    let mut options = options("hostile");
    options.limits.kv_bytes = 1 << 20;
    let attacker = start(options).await;
    let seen = one(&attacker, json!({"op": "kvFill", "keyBytes": 16, "valueBytes": 1000, "count": 5000})).await;
    assert!(seen["stored"].as_u64().unwrap() < 1100, "{seen}");
    assert_eq!(case(&seen), "too-large", "{seen}");
    for (key, value) in [(513, 1), (1, (256 << 10) + 1)] {
        let seen = one(&attacker, json!({"op": "kvFill", "keyBytes": key, "valueBytes": value, "count": 1})).await;
        assert_eq!((seen["stored"].as_u64(), case(&seen)), (Some(0), "too-large"), "{seen}");
    }
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_are_leaked_end_the_incarnation_at_the_limit() {
    let mut options = options("hostile");
    options.limits.handles = 1000;
    let attacker = start(options).await;
    let seen = one(&attacker, json!({"op": "leakStreams", "n": 100})).await;
    assert_eq!(seen["leaked"], 100);
    let why = convict(&attacker, json!({"op": "leakStreams", "n": 1_000_000})).await;
    assert!(why.contains("handle") || why.contains("full") || why.contains("limit"), "{why}");
    assert!(attacker.create_patiently(&plan("after", &[])).await.is_ok());
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_goes_off_inside() {
    let mut options = options("hostile");
    options.limits.memory_bytes = 32 << 20;
    let attacker = start(options).await;
    assert_eq!(convict(&attacker, json!({"op": "memoryBomb"})).await, "memory limit of 32 MiB reached");
    assert!(attacker.create_patiently(&plan("after", &[])).await.is_ok());
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spinning_recursion_and_traps_end_one_incarnation_each_and_convict_the_culprit() {
    for (instruction, why) in [
        (json!({"op": "spin"}), "used more than 200ms of CPU without yielding"),
        // rustc's stack is in linear memory: it ends at address 0.
        (json!({"op": "recursion"}), "wasm trap: "),
        (json!({"op": "unreachable"}), "unreachable executed"),
        (json!({"op": "panic", "text": "boo\n\u{1b}[31m"}), "boo"),
        (json!({"op": "exit", "code": 3}), "the component called exit("),
    ] {
        let mut options = options("hostile");
        options.limits.cpu_stall = Duration::from_millis(200);
        let attacker = start(options).await;
        let told = convict(&attacker, instruction.clone()).await;
        assert!(told.contains(why) && !told.contains(['\n', '\u{1b}']), "{instruction}: {told}");
        assert!(attacker.create_patiently(&plan("after", &[])).await.is_ok(), "{instruction}");
        attacker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_always_computes_is_slowed_down_to_its_share() {
    let mut options = options("hostile");
    options.limits.cpu_millicores = 100;
    let scrape = Scrape::of(&options);
    let attacker = start(options).await;
    let cpu = || scrape.value("pluglet_provider_cpu_seconds_total");
    // Until what was saved up is used: five seconds of CPU, however long the machine takes to give them.
    while scrape.value("pluglet_provider_throttled_seconds_total") == 0.0 {
        assert!(cpu() < 20.0, "four times what can be saved up was used without a pause");
        assert!(one(&attacker, json!({"op": "busy", "ms": 1000})).await["slices"].as_u64().unwrap() > 0);
    }
    let (before, started) = (cpu(), std::time::Instant::now());
    one(&attacker, json!({"op": "busy", "ms": 3000})).await;
    let (used, allowed) = (cpu() - before, started.elapsed().as_secs_f64() * 0.1);
    assert!(used < allowed + 0.1, "{used} s of CPU where {allowed} were its share");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_megabytes_is_refused_and_harms_nobody() {
    let mut options = options("hostile");
    options.limits.hostcall_bytes = 4 << 20;
    let attacker = start(options).await;
    let huge =
        |bytes: u64| crate::attacker::plot("huge", &json!([{"op": "hugeStatus", "bytes": bytes, "answer": true}]));
    let refused = within("the answer", attacker.provider.create(&huge(2 << 20))).await;
    assert!(matches!(&refused, Err(Error::Internal(_) | Error::Invalid(_))), "{refused:?}");
    // What does not fit through the door at all ends the incarnation before it is copied.
    let crashed = within(
        "the answer",
        attacker
            .provider
            .create(&crate::attacker::plot("huger", &json!([{"op": "hugeStatus", "bytes": 16 << 20, "answer": true}]))),
    )
    .await;
    assert!(matches!(&crashed, Err(Error::Restarting(_))), "{crashed:?}");
    assert!(attacker.create_patiently(&plan("after", &[])).await.is_ok());
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_few_names_and_random_bytes_an_end() {
    let options = options("hostile");
    let scrape = Scrape::of(&options);
    let attacker = start(options).await;
    one(&attacker, json!({"op": "counters", "n": 10_000})).await;
    let mut text = String::new();
    encode(&mut text, &scrape.0).unwrap();
    let series = text.lines().filter(|line| line.starts_with("pluglet_provider_own_total")).count();
    assert_eq!(series, 64);
    let seen = one(&attacker, json!({"op": "random", "bytes": 1_000_000})).await;
    assert_eq!(seen["bytes"], 4096, "{seen}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_larger_than_granted_is_not_sent() {
    let backend = Server::plain("200 OK", "", "").await;
    let mut grant = Grant::new(Target::base(&backend.url()).unwrap());
    grant.limits.max_request_bytes = 1000;
    let attacker = start(with("target", grant)).await;
    let post = |op: &str| json!({"op": op, "endpoint": "target", "target": "/granted/x", "method": "POST", "bodyBytes": 100_000});
    for op in ["fetch", "send"] {
        let seen = one(&attacker, post(op)).await;
        assert_eq!(case(&seen), "too-large", "{op}: {seen} {}", text(&seen));
    }
    attacker.stop().await;
}
