//! Resource use, as scripted.
//!
//! In: `cpu-usage` and `memory-usage` of pods, the time. Out: figures of each container that runs. Invariant: a counter of CPU time begins with a
//! run and never falls while it lasts, also when the script changes.

use std::rc::Rc;

use pluglet_sdk::{ContainerStats, PodStats};

use crate::life::present_run;
use crate::pods::{Entry, Pods};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// CPU time that a container had used at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    run_started_ns: u64,
    at_ns: u64,
    core_ns: u64,
}

/// Figures of all pods that run.
pub(crate) fn all(pods: &Rc<Pods>) -> Vec<PodStats> {
    let now_ns = pods.host.now_unix_ns();
    pods.map_mut(|entry| of(entry, now_ns)).into_iter().filter(|stats| !stats.containers.is_empty()).collect()
}

fn of(entry: &mut Entry, now_ns: u64) -> PodStats {
    let (record, stopping) = (&entry.record, entry.stage().stopping_ns());
    let names = record.containers.iter().chain(&record.init_containers).map(|container| container.name.clone());
    let running = names.filter_map(|name| Some((present_run(record, stopping, &name, now_ns)?, name)));
    let running: Vec<_> = running.collect();
    let (cpu, memory) = (record.script.cpu_usage, record.script.memory_usage);
    let containers = running.into_iter().map(|(run, name)| {
        let used = entry.memory.used.entry(name.clone()).or_default();
        if used.run_started_ns != run.started_ns {
            *used = Used { run_started_ns: run.started_ns, at_ns: run.started_ns, core_ns: 0 };
        }
        // What is in use now was so since the last look.
        let passed = u128::from(now_ns.saturating_sub(used.at_ns));
        let more = passed * u128::from(cpu) / u128::from(SECOND);
        used.core_ns = used.core_ns.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        used.at_ns = now_ns;
        ContainerStats {
            name,
            time_unix_ms: now_ns / MILLISECOND,
            start_time_unix_ms: run.started_ns / MILLISECOND,
            cpu_usage_core_ns: Some(used.core_ns),
            cpu_usage_nano_cores: Some(cpu),
            memory_working_set: Some(memory),
            memory_usage: Some(memory),
        }
    });
    PodStats { pod: entry.record.pod.clone(), containers: containers.collect() }
}
