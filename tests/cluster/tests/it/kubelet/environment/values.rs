//! What the pod itself says: literal values, their expansion, its fields and resources.

use cluster::Row;
use serde_json::{Value, json};

fn row(name: &'static str, sentence: &'static str) -> Row {
    Row::new(name, sentence).spec(&json!({ "enableServiceLinks": false }))
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        // https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
        row("dependent", "a reference to a variable defined before is expanded, one to a later one is not, $$ escapes")
            .main(&json!({ "env": [
                { "name": "SERVICE_PORT", "value": "80" },
                { "name": "SERVICE_IP", "value": "172.17.0.1" },
                { "name": "UNCHANGED_REFERENCE", "value": "$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)" },
                { "name": "PROTOCOL", "value": "https" },
                { "name": "SERVICE_ADDRESS", "value": "$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)" },
                { "name": "ESCAPED_REFERENCE", "value": "$$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)" },
            ] }))
            .runs()
            .env(&[
                ("SERVICE_PORT", "80"),
                ("SERVICE_IP", "172.17.0.1"),
                ("UNCHANGED_REFERENCE", "$(PROTOCOL)://172.17.0.1:80"),
                ("PROTOCOL", "https"),
                ("SERVICE_ADDRESS", "https://172.17.0.1:80"),
                ("ESCAPED_REFERENCE", "$(PROTOCOL)://172.17.0.1:80"),
            ]),
        // https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/#using-environment-variables-inside-of-your-config
        row("arguments", "command and arguments are expanded with the whole environment")
            .main(&json!({
                "env": [
                    { "name": "GREETING", "value": "Warm greetings to" },
                    { "name": "HONORIFIC", "value": "The Most Honorable" },
                    { "name": "NAME", "value": "Kubernetes" },
                ],
                "command": ["echo", "$(NAME)"],
                "args": ["$(GREETING) $(HONORIFIC) $(NAME)", "$(NOPE)", "$$(NAME)", "$NAME"],
            }))
            .runs()
            .held("/command", json!(["echo", "Kubernetes"]))
            .held("/args", json!(["Warm greetings to The Most Honorable Kubernetes", "$(NOPE)", "$(NAME)", "$NAME",])),
        row("plain", "an empty value is a value; names may hold dots and dashes; of one name the last counts")
            .main(&json!({ "env": [
                { "name": "EMPTY", "value": "" },
                { "name": "log.level-x", "value": "debug" },
                { "name": "TWICE", "value": "first" },
                { "name": "TWICE", "value": "$(TWICE) and second" },
            ] }))
            .runs()
            .env(&[("EMPTY", ""), ("log.level-x", "debug"), ("TWICE", "first and second")]),
        row("init-environment", "an init container has an environment of its own")
            .spec(&json!({ "initContainers": [{ "name": "setup", "env": [{ "name": "STAGE", "value": "init" }],
                                                "args": ["--stage=$(STAGE)"] }] }))
            .main(&json!({ "env": [{ "name": "STAGE", "value": "main" }] }))
            .runs()
            .env(&[("STAGE", "main")])
            .held_of("setup", "/args", json!(["--stage=init"])),
    ]
}

/// <https://kubernetes.io/docs/tasks/inject-data-application/environment-variable-expose-pod-information/>
pub(super) fn of_the_pod() -> Vec<Row> {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    vec![
        row("fields", "every field of the pod that fieldRef knows")
            .labels(&json!({ "app": "shop" }))
            .annotations(&json!({ "example.com/owner": "sales" }))
            .main(&json!({ "env": [
                field("MY_NODE_NAME", "spec.nodeName"),
                field("MY_POD_NAME", "metadata.name"),
                field("MY_POD_NAMESPACE", "metadata.namespace"),
                field("MY_POD_UID", "metadata.uid"),
                field("MY_POD_SERVICE_ACCOUNT", "spec.serviceAccountName"),
                field("MY_APP", "metadata.labels['app']"),
                field("MY_NOTHING", "metadata.labels['nothing']"),
                field("MY_OWNER", "metadata.annotations['example.com/owner']"),
                field("MY_HOST_IP", "status.hostIP"),
                field("MY_HOST_IPS", "status.hostIPs"),
            ] }))
            .runs()
            .env(&[
                ("MY_NODE_NAME", "{node}"),
                ("MY_POD_NAME", "fields"),
                ("MY_POD_NAMESPACE", "{namespace}"),
                ("MY_POD_UID", "{uid}"),
                ("MY_POD_SERVICE_ACCOUNT", "default"),
                ("MY_APP", "shop"),
                ("MY_NOTHING", ""),
                ("MY_OWNER", "sales"),
                ("MY_HOST_IP", "127.0.0.1"),
                ("MY_HOST_IPS", "127.0.0.1"),
            ]),
        row("addresses", "the pod's own address")
            .annotations(&json!({ "mock.pluglet.dev/pod-ip": "10.1.2.3" }))
            .main(&json!({ "env": [field("MY_POD_IP", "status.podIP"), field("MY_POD_IPS", "status.podIPs")] }))
            .runs()
            .env(&[("MY_POD_IP", "10.1.2.3"), ("MY_POD_IPS", "10.1.2.3")]),
        // .../environment-variable-expose-pod-information/#use-container-fields-as-values-for-environment-variables
        row("resources", "requests and limits in whole cores and in bytes")
            .main(&json!({
                "resources": { "requests": { "memory": "32Mi", "cpu": "125m" }, "limits": { "memory": "64Mi", "cpu": "250m" } },
                "env": [
                    resource("MY_CPU_REQUEST", "requests.cpu", None),
                    resource("MY_CPU_LIMIT", "limits.cpu", None),
                    resource("MY_MEM_REQUEST", "requests.memory", None),
                    resource("MY_MEM_LIMIT", "limits.memory", None),
                ],
            }))
            .runs()
            .env(&[
                ("MY_CPU_REQUEST", "1"),
                ("MY_CPU_LIMIT", "1"),
                ("MY_MEM_REQUEST", "33554432"),
                ("MY_MEM_LIMIT", "67108864"),
            ]),
        row("divisors", "a divisor gives the unit, what is left over is rounded up")
            .main(&json!({
                "resources": { "limits": { "memory": "100M", "cpu": "1500m", "ephemeral-storage": "2Gi" } },
                "env": [
                    resource("CPU", "limits.cpu", None),
                    resource("CPU_MILLI", "limits.cpu", Some("1m")),
                    resource("MEMORY_MI", "limits.memory", Some("1Mi")),
                    resource("STORAGE_MI", "limits.ephemeral-storage", Some("1Mi")),
                    resource("CPU_REQUEST", "requests.cpu", Some("1m")),
                ],
            }))
            .runs()
            // Where only a limit is given the API server makes the request equal to it.
            .env(&[
                ("CPU", "2"),
                ("CPU_MILLI", "1500"),
                ("MEMORY_MI", "96"),
                ("STORAGE_MI", "2048"),
                ("CPU_REQUEST", "1500"),
            ]),
        // https://kubernetes.io/docs/concepts/workloads/pods/downward-api/#fallback-information-for-resource-limits
        row("allocatable", "without a limit the node's allocatable counts; without a request nothing is requested")
            .main(&json!({ "env": [
                resource("CPU", "limits.cpu", None),
                resource("MEMORY", "limits.memory", None),
                resource("CPU_REQUEST", "requests.cpu", None),
            ] }))
            .runs()
            .env(&[("CPU", "16"), ("MEMORY", "68719476736"), ("CPU_REQUEST", "0")]),
    ]
}

fn resource(name: &str, resource: &str, divisor: Option<&str>) -> Value {
    json!({ "name": name, "valueFrom": { "resourceFieldRef": { "resource": resource, "divisor": divisor } } })
}
