//! `/stats/summary` (`k8s.io/kubelet/pkg/apis/stats/v1alpha1`).
//!
//! In: a snapshot. Out: JSON. Invariant: numbers are whole, times RFC 3339, what is unknown is absent.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Figures, Pod, Snapshot};
use crate::pods::view::PodsView;

pub(super) fn render(snapshot: &Snapshot, node_name: &str, view: &PodsView, only_cpu_and_memory: bool) -> Value {
    let pods: Vec<Value> = snapshot.pods.iter().map(|pod| of_pod(pod, view)).collect();
    let mut node = usage(&snapshot.node);
    node.insert("nodeName".to_owned(), json!(node_name));
    if !only_cpu_and_memory {
        node.insert("systemContainers".to_owned(), json!([]));
    }
    json!({ "node": node, "pods": pods })
}

fn of_pod(pod: &Pod, view: &PodsView) -> Value {
    let containers: Vec<Value> = pod
        .containers
        .iter()
        .map(|container| {
            let mut told = usage(&container.figures);
            told.insert("name".to_owned(), json!(container.name));
            told.insert("startTime".to_owned(), json!(time(container.start_ms)));
            Value::Object(told)
        })
        .collect();
    let mut told = usage(&pod.total());
    let key = &pod.key;
    told.insert("podRef".to_owned(), json!({ "name": &*key.name, "namespace": &*key.namespace, "uid": &*key.uid }));
    told.insert("containers".to_owned(), json!(containers));
    let started = view.find(&key.namespace, &key.name).and_then(|seen| seen.status.peek().start_time.clone());
    if let Some(started) = started {
        told.insert("startTime".to_owned(), json!(started));
    }
    Value::Object(told)
}

fn usage(figures: &Figures) -> Map<String, Value> {
    let time = time(figures.time_ms);
    let part = |fields: &[(&str, Option<u64>)]| {
        let known = fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!((*value)?))));
        let mut part: Map<String, Value> = known.collect();
        part.insert("time".to_owned(), json!(time));
        Value::Object(part)
    };
    let cpu = part(&[("usageNanoCores", figures.nano_cores), ("usageCoreNanoSeconds", figures.cpu_ns)]);
    let memory = part(&[("workingSetBytes", figures.working_set), ("usageBytes", figures.memory)]);
    [("cpu".to_owned(), cpu), ("memory".to_owned(), memory)].into_iter().collect()
}

fn time(ms: u64) -> String {
    let time = Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_string()
}
