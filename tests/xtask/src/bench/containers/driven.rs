//! The same pods by way of the API server and pluglet.
//!
//! In: a control plane, an engine. Out: a [`Round`], with every call that the engine got. The node and its pods are gone afterwards.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result};
use engine::BUSYBOX;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::super::observer::Observer;
use super::super::round::DEADLINE;
use super::super::{Bench, usage};
use super::account::Used;
use super::figures::{self, Burst, Idle, Own, Round, Side, Span};
use super::tap::Tap;
use super::{ALONE, GRACE, IDLE, QUIET, SANDBOX_COMMAND, SCRIPT, Setting};
use crate::node::{Node, Settings, Spec};

/// For pluglet to end in order.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(40);

/// A node at work.
struct Driven<'a> {
    setting: &'a Setting<'a>,
    pods: Api<Pod>,
    node: String,
    process: u32,
    tap: Tap,
    observer: Observer,
}

/// CPU times so far; pluglet's in seconds.
struct Before {
    used: Used,
    own: f64,
}

/// Runs a round.
pub(super) async fn run(bench: &Bench<'_>, setting: &Setting<'_>, number: usize) -> Result<Round> {
    let name = format!("bench-containers-{number}");
    let tap = Tap::open(setting.engine.dir().join(format!("tap-{number}.sock")), setting.engine.socket())?;
    let settings = Settings { config: Some(config(setting, &tap)), ..Settings::default() };
    let (binary, components) = (&bench.pluglet, &bench.components);
    let mut node =
        Node::start(bench.plane, &Spec { name: &name, provider: "containers", binary, components, settings })?;
    node.ready(&bench.client).await?;
    tokio::time::sleep(QUIET).await;
    let mut driven = Driven {
        setting,
        pods: Api::namespaced(bench.client.clone(), &bench.namespace),
        node: name.clone(),
        process: node.id(),
        tap,
        observer: Observer::start(&bench.client, &bench.namespace).await?,
    };
    let round = tokio::select! {
        round = Box::pin(driven.measure()) => round?,
        error = node.ended() => return Err(error),
    };
    node.stop(DRAIN)?;
    Api::<NodeObject>::all(bench.client.clone()).delete(&name, &DeleteParams::default()).await?;
    Ok(round)
}

fn config(setting: &Setting<'_>, tap: &Tap) -> String {
    let parent = setting.account.parent().map(|parent| format!("  cgroupParent: {parent}\n")).unwrap_or_default();
    format!(
        "config:\n  sandboxImage: {BUSYBOX}\n  sandboxCommand: {}\n{parent}containers:\n  volumes: directory\n\
         endpoints:\n  engine:\n    url: unix://{}\n    upgrade: true\n",
        json!(SANDBOX_COMMAND),
        tap.socket().display()
    )
}

impl Driven<'_> {
    async fn measure(&mut self) -> Result<Round> {
        let (mut alone, mut alone_delete) = (vec![], vec![]);
        for one in 0..ALONE {
            let name = format!("{}-alone-{one}", self.node);
            let sent = self.create(&name).await?;
            self.observer.running(one + 1, DEADLINE).await?;
            alone.push(self.running(&name, sent)?);
            let sent = self.delete(&name).await?;
            self.observer.gone(one + 1, DEADLINE).await?;
            alone_delete.push(self.gone(&name, sent)?);
        }
        tokio::time::sleep(QUIET).await;
        let names: Vec<String> = (0..self.setting.pods).map(|one| format!("{}-{one}", self.node)).collect();
        let memory_before = self.memory()?;
        let before = self.begin()?;
        let sent: HashMap<&String, Instant> = try_join_all(names.iter().map(|name| self.create(name)))
            .await
            .map(|sent| names.iter().zip(sent).collect())?;
        self.observer.running(ALONE + names.len(), DEADLINE).await?;
        let spans: Result<Vec<Span>> = sent.iter().map(|(name, sent)| self.running(name, *sent)).collect();
        // What is still done for pods that run is theirs too.
        tokio::time::sleep(QUIET).await;
        let create = self.burst(&spans?, &before)?;
        let own = Own { memory_before, memory_with: self.memory()? };
        let idle = self.idle().await?;
        let before = self.begin()?;
        let sent: HashMap<&String, Instant> = try_join_all(names.iter().map(|name| self.delete(name)))
            .await
            .map(|sent| names.iter().zip(sent).collect())?;
        self.observer.gone(ALONE + names.len(), DEADLINE).await?;
        let spans: Result<Vec<Span>> = sent.iter().map(|(name, sent)| self.gone(name, *sent)).collect();
        tokio::time::sleep(QUIET).await;
        let delete = self.burst(&spans?, &before)?;
        let (alone, alone_delete) = (figures::p50(&alone), figures::p50(&alone_delete));
        Ok(Round { side: Side::Pluglet, alone, alone_delete, create, delete, idle, own: Some(own) })
    }

    fn begin(&self) -> Result<Before> {
        self.tap.book().take();
        Ok(Before { used: self.setting.account.look()?, own: usage::cpu(self.process)?.as_secs_f64() })
    }

    fn burst(&self, spans: &[Span], before: &Before) -> Result<Burst> {
        let now = self.setting.account.look()?;
        Ok(Burst {
            last: figures::whole(spans),
            p50: figures::p50(spans),
            engine_cpu: now.engine_since(&before.used),
            others: now.others_since(&before.used),
            own_cpu: Some(usage::cpu(self.process)?.as_secs_f64() - before.own),
            calls: self.tap.book().take(),
        })
    }

    async fn idle(&self) -> Result<Idle> {
        let before = self.begin()?;
        tokio::time::sleep(IDLE).await;
        let seconds = IDLE.as_secs_f64();
        let own = (usage::cpu(self.process)?.as_secs_f64() - before.own) / seconds;
        Ok(Idle { engine: self.setting.account.look()?.engine_since(&before.used) / seconds, own: Some(own) })
    }

    /// Resident, in MiB.
    fn memory(&self) -> Result<f64> {
        let (megabytes, _) = usage::memory(self.process)?;
        Ok(megabytes * 1e6 / f64::from(1 << 20))
    }

    async fn create(&self, name: &str) -> Result<Instant> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "nodeName": self.node,
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": GRACE.as_secs(),
                "containers": [{"name": "main", "image": BUSYBOX, "command": ["sh", "-c", SCRIPT]}],
            },
        }))?;
        let sent = Instant::now();
        self.pods.create(&PostParams::default(), &pod).await?;
        Ok(sent)
    }

    async fn delete(&self, name: &str) -> Result<Instant> {
        let grace = DeleteParams::default().grace_period(u32::try_from(GRACE.as_secs())?);
        let sent = Instant::now();
        self.pods.delete(name, &grace).await?;
        Ok(sent)
    }

    fn running(&self, name: &str, from: Instant) -> Result<Span> {
        let seen = self.observer.seen();
        let to = seen.running.get(name).with_context(|| format!("nobody saw {name} run"))?;
        Ok(Span { from, to: *to })
    }

    fn gone(&self, name: &str, from: Instant) -> Result<Span> {
        let seen = self.observer.seen();
        let to = seen.gone.get(name).with_context(|| format!("nobody saw the end of {name}"))?;
        Ok(Span { from, to: *to })
    }
}
