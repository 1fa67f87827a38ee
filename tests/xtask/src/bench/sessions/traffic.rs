//! One session at a time: a log, a forwarded port, a command that says back what it hears.
//!
//! In: a [`Place`]. Out: rates and times. What comes is counted: a session that brings less is an error.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use kube::api::AttachParams;
use kube::client::Body;
use kube::core::kubelet_debug::KubeletDebugParams;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{stats, usage};
use super::{LOG, Place};

/// How often a byte goes there and back.
pub(super) const TRIPS: usize = 5000;

/// How fast bytes went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    bytes: u64,
    wall: Duration,
    /// Of pluglet.
    cpu: Option<Duration>,
}

/// How long a byte took, there and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trips {
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// Measures time, and CPU time of a process.
pub(super) struct Watch {
    begun: Instant,
    process: Option<(u32, Duration)>,
}

impl Watch {
    pub(super) fn start(process: Option<u32>) -> Result<Self> {
        let process = process.map(|id| anyhow::Ok((id, usage::cpu(id)?))).transpose()?;
        Ok(Self { begun: Instant::now(), process })
    }

    pub(super) fn stop(self, bytes: u64) -> Result<Rate> {
        let wall = self.begun.elapsed();
        let cpu = self.process.map(|(id, before)| anyhow::Ok(usage::cpu(id)? - before)).transpose()?;
        Ok(Rate { bytes, wall, cpu })
    }
}

impl Rate {
    /// MiB for each second on the wall.
    pub(super) fn per_second(&self) -> f64 {
        mebibytes(self.bytes) / self.wall.as_secs_f64()
    }

    /// MiB for each second of CPU time.
    pub(super) fn per_cpu_second(&self) -> Option<f64> {
        self.cpu.map(|cpu| mebibytes(self.bytes) / cpu.as_secs_f64())
    }

    /// Seconds of CPU time.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.cpu.unwrap_or_default().as_secs_f64()
    }
}

impl Trips {
    pub(super) fn of(samples: &[Duration]) -> Self {
        let samples: Vec<f64> = samples.iter().map(|sample| sample.as_secs_f64() * 1e6).collect();
        let total: f64 = samples.iter().sum();
        let per_second = 1e6 * count_of(&samples) / total;
        Self { per_second, p50_us: stats::percentile(&samples, 50), p99_us: stats::percentile(&samples, 99) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count_of(samples: &[f64]) -> f64 {
    samples.len() as f64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Reads a whole log.
pub(super) async fn log(place: &Place, pod: &str) -> Result<Rate> {
    let path = format!("/containerLogs/{}/{pod}/main", place.namespace);
    let watch = Watch::start(Some(place.process))?;
    let mut body = place.client.send(http::Request::get(path).body(Body::empty())?).await?.into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame?.data_ref().map_or(0, |bytes| bytes.len() as u64);
    }
    ensure!(read >= LOG, "a log of {read} bytes");
    watch.stop(read)
}

/// Has a web server send many bytes through one connection.
pub(super) async fn forward(place: &Place, bytes: u64) -> Result<Rate> {
    let target = KubeletDebugParams { name: "shell", namespace: &place.namespace, pod_uid: None };
    let mut ports = place.client.kubelet_node_portforward(&target, &[80]).await?;
    let mut connection = ports.take_stream(80).context("the port")?;
    let watch = Watch::start(Some(place.process))?;
    let request = format!("GET /bytes/{bytes} HTTP/1.1\r\nHost: bench\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 256 * 1024];
    let mut read = 0;
    // The head of the answer counts too.
    while read < bytes {
        let count = connection.read(&mut buffer).await?;
        ensure!(count > 0, "the connection ended after {read} bytes");
        read += count as u64;
    }
    watch.stop(read)
}

/// Types a byte and waits for it, again and again.
pub(super) async fn trips(place: &Place) -> Result<Trips> {
    let target = KubeletDebugParams { name: "shell", namespace: &place.namespace, pod_uid: None };
    let params = AttachParams::default().stdin(true).stderr(false);
    let mut process = place.client.kubelet_node_exec(&target, "main", ["cat"], &params).await?;
    let (mut stdin, mut stdout) = (process.stdin().context("stdin")?, process.stdout().context("stdout")?);
    let mut samples = vec![];
    let mut byte = [b'x'];
    for _ in 0..TRIPS {
        let begun = Instant::now();
        stdin.write_all(&byte).await?;
        stdin.flush().await?;
        stdout.read_exact(&mut byte).await?;
        samples.push(begun.elapsed());
    }
    Ok(Trips::of(&samples))
}
