//! `/metrics/resource`, which metrics-server reads (KEP-1748 and `pkg/kubelet/metrics/collectors/resource_metrics.go`).
//!
//! In: a snapshot. Out: Prometheus' text. Invariant: samples carry the moment at which they were taken, in milliseconds; of a container of which
//! CPU or memory is unknown neither is told.

use std::fmt::Write;

use super::{Container, Pod, Snapshot, billionths};

pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut text = Text::default();
    let node = &snapshot.node;
    text.family("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds");
    text.sample("", &billionths(node.cpu_ns.unwrap_or(1)), Some(node.time_ms));
    text.family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes");
    text.sample("", &node.working_set.unwrap_or(1).to_string(), Some(node.time_ms));

    let known = || containers(snapshot).filter(|(_, container)| is_known(container));
    text.family(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
    );
    for (pod, container) in known() {
        let cpu = billionths(container.figures.cpu_ns.unwrap_or_default());
        text.sample(&labels(pod, Some(container)), &cpu, Some(container.figures.time_ms));
    }
    text.family("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes");
    for (pod, container) in known() {
        let memory = container.figures.working_set.unwrap_or_default().to_string();
        text.sample(&labels(pod, Some(container)), &memory, Some(container.figures.time_ms));
    }
    text.family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds");
    for (pod, container) in known() {
        let start = format!("{}.{:03}", container.start_ms / 1000, container.start_ms % 1000);
        text.sample(&labels(pod, Some(container)), &start, None);
    }

    let whole = || snapshot.pods.iter().filter(|pod| !pod.containers.is_empty() && pod.containers.iter().all(is_known));
    text.family("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds");
    for pod in whole() {
        let total = pod.total();
        text.sample(&labels(pod, None), &billionths(total.cpu_ns.unwrap_or_default()), Some(total.time_ms));
    }
    text.family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes");
    for pod in whole() {
        let total = pod.total();
        text.sample(&labels(pod, None), &total.working_set.unwrap_or_default().to_string(), Some(total.time_ms));
    }
    for name in ["resource_scrape_error", "scrape_error"] {
        text.family(name, "gauge", "1 if there was an error while getting container metrics, 0 otherwise");
        text.sample("", "0", None);
    }
    text.text
}

fn containers(snapshot: &Snapshot) -> impl Iterator<Item = (&Pod, &Container)> {
    snapshot.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)))
}

fn is_known(container: &Container) -> bool {
    container.figures.cpu_ns.is_some() && container.figures.working_set.is_some()
}

/// metrics-server looks for these three names anywhere in the line: no other label may end in one of them. The values are names of Kubernetes,
/// which need no escaping.
fn labels(pod: &Pod, container: Option<&Container>) -> String {
    let container = container.map(|container| format!("container=\"{}\",", container.name)).unwrap_or_default();
    format!("{{{container}namespace=\"{}\",pod=\"{}\"}}", pod.key.namespace, pod.key.name)
}

/// Lines of the text format.
#[derive(Default)]
pub(super) struct Text {
    pub(super) text: String,
    name: &'static str,
}

impl Text {
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // A String takes all that is written.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, labels: &str, value: &str, time_ms: Option<u64>) {
        let time = time_ms.map(|time| format!(" {time}")).unwrap_or_default();
        let _ = writeln!(self.text, "{}{labels} {value}{time}", self.name);
    }
}
