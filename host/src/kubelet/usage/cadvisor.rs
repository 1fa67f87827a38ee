//! `/metrics/cadvisor`: what common dashboards read, as far as a provider knows it.
//!
//! In: a snapshot, the node's capacity. Out: Prometheus' text with cAdvisor's names. Invariant: a pod's own row has an empty container.

use std::collections::BTreeMap;

use pluglet_rules::quantity::Quantity;

use super::resource::Text;
use super::{Container, Figures, Pod, Snapshot, billionths};

pub(super) fn render(snapshot: &Snapshot, capacity: &BTreeMap<String, String>) -> String {
    let mut text = Text::default();
    let rows: Vec<(String, Figures)> = snapshot
        .pods
        .iter()
        .flat_map(|pod| {
            let containers = pod.containers.iter().map(|container| (labels(pod, Some(container)), container.figures));
            containers.chain([(labels(pod, None), pod.total())]).collect::<Vec<_>>()
        })
        .collect();
    text.family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.");
    for (labels, figures) in &rows {
        if let Some(cpu) = figures.cpu_ns {
            text.sample(&format!("{{{labels},cpu=\"total\"}}"), &billionths(cpu), Some(figures.time_ms));
        }
    }
    gauge(&mut text, &rows, "container_memory_working_set_bytes", "Current working set in bytes.", |figures| {
        figures.working_set
    });
    gauge(&mut text, &rows, "container_memory_usage_bytes", "Current memory usage in bytes.", |figures| figures.memory);
    text.family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.");
    for pod in &snapshot.pods {
        for container in &pod.containers {
            text.sample(
                &format!("{{{}}}", labels(pod, Some(container))),
                &(container.start_ms / 1000).to_string(),
                None,
            );
        }
    }
    for (name, resource, help) in [
        ("machine_cpu_cores", "cpu", "Number of logical CPU cores."),
        ("machine_memory_bytes", "memory", "Amount of memory installed on the machine."),
    ] {
        if let Some(amount) = capacity.get(resource).and_then(|amount| Quantity::parse(amount).ok()) {
            text.family(name, "gauge", help);
            text.sample("", &amount.value().to_string(), None);
        }
    }
    text.text
}

fn gauge(text: &mut Text, rows: &[(String, Figures)], name: &'static str, help: &str, of: fn(&Figures) -> Option<u64>) {
    text.family(name, "gauge", help);
    for (labels, figures) in rows {
        if let Some(value) = of(figures) {
            text.sample(&format!("{{{labels}}}"), &value.to_string(), Some(figures.time_ms));
        }
    }
}

/// An image is whatever the pod's author wrote: quotes and backslashes are escaped.
fn labels(pod: &Pod, container: Option<&Container>) -> String {
    let (name, image) = container.map_or(("", ""), |container| (container.name.as_str(), container.image.as_str()));
    let image = image.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let id = match container {
        Some(_) => format!("/pod{}/{name}", pod.key.uid),
        None => format!("/pod{}", pod.key.uid),
    };
    format!(
        "container=\"{name}\",id=\"{id}\",image=\"{image}\",name=\"{name}\",namespace=\"{}\",pod=\"{}\"",
        pod.key.namespace, pod.key.name
    )
}
