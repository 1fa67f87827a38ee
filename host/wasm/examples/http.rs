//! What the way out costs: `cargo run --release -p pluglet-wasm --example http`.
//!
//! In: the hostile provider (its `load` instruction), a server in this process. Out: requests per second, latency and throughput of the guest
//! beside a native client with the same pool. Invariant: both talk to the same server, one after the other, in the same run.

#[path = "support/bench.rs"]
mod bench;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use pluglet_egress::{Grant, Target};
use serde_json::{Value, json};

use bench::{Provided, Result};

const REQUESTS: usize = 30_000;
const IN_FLIGHT: usize = 64;
const BODY: usize = 1 << 10;
const STREAM: usize = 2 << 30;
const ROUNDS: usize = 3;

type Native = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

/// One figure of each side.
#[derive(Default)]
struct Figures {
    native: Vec<f64>,
    guest: Vec<f64>,
}

fn main() -> Result<ExitCode> {
    bench::run(bench)
}

async fn bench() -> Result<()> {
    let server = bench::serve()?;
    let url = format!("http://{server}");
    let mut grant = Grant::new(Target::base(&url)?);
    grant.limits.max_stream_bytes = u64::MAX;
    let guest = Provided::start("hostile", |options| {
        options.grants.insert("target".to_owned(), grant);
        // Half of a core would be the limit otherwise.
        options.limits.cpu_millicores = 1000;
    })
    .await?;
    let native: Native = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IN_FLIGHT).build_http();

    let (mut many, mut alone, mut streams) = (Figures::default(), Figures::default(), Figures::default());
    for round in 0..=ROUNDS {
        let seen = [
            (
                &mut many,
                native_load(&native, &url, REQUESTS, IN_FLIGHT).await?.0,
                guest_load(&guest, REQUESTS, IN_FLIGHT).await?.0,
            ),
            (
                &mut alone,
                native_load(&native, &url, REQUESTS / 10, 1).await?.1,
                guest_load(&guest, REQUESTS / 10, 1).await?.1,
            ),
            (&mut streams, native_stream(&native, &url).await?, guest_stream(&guest).await?),
        ];
        // The first round warms up connections and caches.
        for (figures, native, guest) in seen.into_iter().filter(|_| round > 0) {
            figures.native.push(native);
            figures.guest.push(guest);
        }
    }
    report("requests/s, 64 in flight, 1 KiB each way", &mut many, 1.0);
    report("one at a time, p50 in µs", &mut alone, 1e6);
    report("one stream from the server, MiB/s", &mut streams, 1.0 / f64::from(1 << 20));
    guest.stop().await;
    Ok(())
}

fn report(what: &str, figures: &mut Figures, factor: f64) {
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default() * factor
    };
    let (native, guest) = (median(&mut figures.native), median(&mut figures.guest));
    println!(
        "{what}: native {native:.1}, guest {guest:.1}, ratio {:.2}, difference {:.1}",
        guest / native,
        guest - native
    );
}

/// Requests per second, and the median of one in seconds.
async fn native_load(client: &Native, url: &str, requests: usize, in_flight: usize) -> Result<(f64, f64)> {
    let body = Bytes::from(vec![b'x'; BODY]);
    let uri: http::Uri = format!("{url}/granted/echo").parse()?;
    let one = || async {
        let begun = Instant::now();
        let request = http::Request::post(uri.clone()).body(Full::new(body.clone()))?;
        let answer = client.request(request).await?;
        let got = answer.into_body().collect().await?.to_bytes().len();
        Ok::<_, Box<dyn Error>>((got, begun.elapsed()))
    };
    let begun = Instant::now();
    let outcomes: Vec<_> =
        futures::stream::iter(0..requests).map(|_| one()).buffer_unordered(in_flight).collect().await;
    let elapsed = begun.elapsed();
    let mut times = outcomes.into_iter().map(|outcome| Ok(outcome?.1)).collect::<Result<Vec<Duration>>>()?;
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok((requests as f64 / elapsed.as_secs_f64(), median.as_secs_f64()))
}

async fn guest_load(guest: &Provided, requests: usize, in_flight: usize) -> Result<(f64, f64)> {
    let seen = guest
        .perform(&json!({
            "op": "load", "n": requests, "inFlight": in_flight, "endpoint": "target", "target": "/granted/echo",
            "method": "POST", "bodyBytes": BODY,
        }))
        .await?;
    if number(&seen, "failed")? > 0.0 {
        return Err(format!("requests failed: {seen}").into());
    }
    Ok((requests as f64 / (number(&seen, "elapsedNs")? / 1e9), number(&seen, "p50Ns")? / 1e9))
}

/// Bytes per second.
async fn native_stream(client: &Native, url: &str) -> Result<f64> {
    let begun = Instant::now();
    let mut body = client.get(format!("{url}/granted/stream/{STREAM}").parse()?).await?.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.into_data().map_or(0, |data| data.len());
    }
    Ok(bytes as f64 / begun.elapsed().as_secs_f64())
}

async fn guest_stream(guest: &Provided) -> Result<f64> {
    let target = format!("/granted/stream/{STREAM}");
    let seen = guest.perform(&json!({"op": "send", "discard": true, "endpoint": "target", "target": target})).await?;
    if number(&seen, "bytes")? < STREAM as f64 {
        return Err(format!("the stream broke off: {seen}").into());
    }
    Ok(number(&seen, "bytes")? / (number(&seen, "elapsedNs")? / 1e9))
}

fn number(seen: &Value, field: &str) -> Result<f64> {
    seen.get(field).and_then(Value::as_f64).ok_or_else(|| format!("no {field} in {seen}").into())
}
