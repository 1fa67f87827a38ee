//! Tables: what a pod says, and what its runtime is told or has told.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use pluglet_model::PodKey;
use pluglet_model::runtime::{
    ContainerState, ContainerStatus, DnsConfig, ImageStatus, PodContents, Resources, SandboxStatus, Security,
    SecurityProfile,
};
use serde_json::{Value, json};

use super::container::{Input, Kept as _, config};
use super::status::{Notes, Waiting, status};
use super::*;

const GI: u64 = 1 << 30;

fn pod(spec: &Value) -> Pod {
    let mut whole = json!({"containers": [{"name": "main", "image": "img"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let metadata = json!({"uid": "u", "name": "web", "namespace": "shop", "generation": 3});
    serde_json::from_value(json!({"metadata": metadata, "spec": whole})).unwrap()
}

fn main_with(fields: &Value) -> Value {
    let mut container = json!({"name": "main", "image": "img"});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"containers": [container]})
}

fn made(
    spec: &Value,
    image_user: &str,
    addresses: &[&str],
) -> Result<pluglet_model::runtime::ContainerConfig, Refusal> {
    let pod = pod(spec);
    let (kind, container) = find(pod.spec.as_ref().unwrap(), "main").unwrap();
    let image =
        ImageStatus { id: "sha256:1".to_owned(), tags: vec![], digests: vec![], size: 1, user: image_user.to_owned() };
    let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
    config(&Input {
        pod: &pod,
        kind,
        container: &container,
        attempt: 2,
        image: &image,
        addresses: &addresses,
        mounts: &[],
        pause: Some(Duration::from_secs(10)),
        target: None,
        node_memory: 8 * GI,
    })
}

fn security(spec: &Value, image_user: &str) -> Result<Security, String> {
    made(spec, image_user, &[]).map(|config| config.security).map_err(|refusal| refusal.to_string())
}

#[test]
fn resources_are_reckoned_as_a_kubelet_does() {
    let of = |resources: Value| made(&main_with(&json!({"resources": resources})), "", &[]).unwrap().resources;
    let none = Resources { cpu_shares: Some(2), oom_score_adjust: 1000, ..Resources::default() };
    assert_eq!(of(json!({})), none);
    let burstable = of(json!({"requests": {"cpu": "250m", "memory": "2Gi"}, "limits": {"cpu": "1500m"}}));
    assert_eq!(
        (burstable.cpu_shares, burstable.cpu_quota, burstable.cpu_period),
        (Some(256), Some(150_000), Some(100_000))
    );
    assert_eq!((burstable.memory_limit, burstable.oom_score_adjust), (None, 750));
    let guaranteed = of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}));
    assert_eq!((guaranteed.memory_limit, guaranteed.oom_score_adjust), (Some(GI), -997));
    // The kernel takes no less; a request that is everything is still no guarantee.
    assert_eq!(of(json!({"limits": {"cpu": "1m"}})).cpu_quota, Some(1000));
    assert_eq!(of(json!({"requests": {"memory": "8Gi"}})).oom_score_adjust, 3);
}

#[test]
fn the_containers_word_about_its_user_goes_before_the_pods_and_the_images() {
    let user = |pod: Value, own: Value, image: &str| {
        let mut spec = main_with(&json!({"securityContext": own}));
        spec["securityContext"] = pod;
        security(&spec, image).unwrap().user
    };
    assert_eq!(user(json!({}), json!({}), "web"), "");
    assert_eq!(user(json!({"runAsUser": 5}), json!({}), "web"), "5");
    assert_eq!(user(json!({"runAsUser": 5, "runAsGroup": 6}), json!({"runAsUser": 7}), ""), "7:6");
    assert_eq!(user(json!({"runAsGroup": 6}), json!({}), "web:users"), "web:6");
    assert_eq!(user(json!({"runAsGroup": 6}), json!({}), ""), "0:6");
}

#[test]
fn who_must_not_be_root_is_refused_in_the_kubelets_words() {
    let of = |own: Value, image: &str| security(&main_with(&json!({"securityContext": own})), image).err();
    let not_root = json!({"runAsNonRoot": true});
    let place = "(pod: \"web_shop(u)\", container: main)";
    let as_root = format!("container has runAsNonRoot and image will run as root {place}");
    assert_eq!(of(not_root.clone(), ""), Some(as_root.clone()));
    assert_eq!(of(not_root.clone(), "0:5"), Some(as_root));
    let named = format!(
        "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root {place}"
    );
    assert_eq!(of(not_root.clone(), "web"), Some(named));
    let breaks = format!("container's runAsUser breaks non-root policy {place}");
    assert_eq!(of(json!({"runAsNonRoot": true, "runAsUser": 0}), "1000"), Some(breaks));
    assert_eq!(of(not_root, "1000"), None);
    assert_eq!(of(json!({"runAsNonRoot": true, "runAsUser": 1}), ""), None);
    // The container may say otherwise than its pod.
    let mut spec = main_with(&json!({"securityContext": {"runAsNonRoot": false}}));
    spec["securityContext"] = json!({"runAsNonRoot": true});
    assert_eq!(security(&spec, "").err(), None);
}

#[test]
fn every_field_of_a_security_context_is_passed_on_or_refused() {
    let own = json!({
        "privileged": false, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "procMount": "Unmasked",
        "capabilities": {"add": ["CAP_KILL", "CHOWN"], "drop": ["ALL"]},
        "seccompProfile": {"type": "Unconfined"},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
    });
    let mut spec = main_with(&json!({"securityContext": own}));
    spec["securityContext"] = json!({"supplementalGroups": [1, 2], "fsGroup": 3});
    let expected = Security {
        supplemental_groups: vec![1, 2, 3],
        add_capabilities: vec!["KILL".to_owned(), "CHOWN".to_owned()],
        drop_capabilities: vec!["ALL".to_owned()],
        read_only_root: true,
        no_new_privileges: true,
        seccomp: SecurityProfile::Unconfined,
        apparmor: SecurityProfile::Custom("mine".to_owned()),
        unmasked_proc: true,
        ..Security::default()
    };
    assert_eq!(security(&spec, ""), Ok(expected));
    let profile = json!({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}}});
    assert!(security(&main_with(&profile), "").unwrap_err().contains("Localhost is not supported"));
}

#[test]
fn the_pods_addresses_are_put_where_only_they_are_missing() {
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let spec = main_with(&json!({
        "env": [
            {"name": "A", "value": "$(IP)"},
            {"name": "IP", "valueFrom": field("status.podIP")},
            {"name": "ALL", "valueFrom": field("status.podIPs")},
            {"name": "URL", "value": "http://$(IP):80/$(OTHER)"},
            {"name": "PLAIN", "value": "$$(IP)"},
        ],
        "command": ["serve", "$(IP)"], "args": ["$$(IP)", "$(ALL)"],
    }));
    let made_with = made(&spec, "", &["10.0.0.1", "fd00::1"]).unwrap();
    let env: Vec<_> = made_with.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        env,
        ["A=$(IP)", "IP=10.0.0.1", "ALL=10.0.0.1,fd00::1", "URL=http://10.0.0.1:80/$(OTHER)", "PLAIN=$(IP)"]
    );
    assert_eq!(
        (made_with.command, made_with.args),
        (vec!["serve".to_owned(), "10.0.0.1".to_owned()], vec!["$(IP)".to_owned(), "10.0.0.1,fd00::1".to_owned()])
    );
    assert!(made(&spec, "", &[]).unwrap_err().to_string().contains("variable IP wants the pod's address"));
}

#[test]
fn a_sandbox_has_the_names_and_servers_that_its_pod_asks_for() {
    let names = sandbox::NodeNames {
        node: "node-1".to_owned(),
        cluster_dns: vec!["10.96.0.10".to_owned()],
        cluster_domain: "cluster.local".to_owned(),
    };
    let key = PodKey::new("u", "shop", "web");
    let of = |spec: Value| sandbox::config(&key, &pod(&spec), 1, &names);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let cluster = DnsConfig {
        servers: words(&["10.96.0.10"]),
        searches: words(&["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]),
        options: words(&["ndots:5"]),
    };
    assert_eq!((of(json!({})).hostname.as_str(), of(json!({})).dns), ("web", Some(cluster.clone())));
    assert_eq!(of(json!({"dnsPolicy": "Default"})).dns, None);
    let added = of(
        json!({"dnsConfig": {"searches": ["example.com"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}}),
    );
    let added = added.dns.unwrap();
    assert_eq!((added.servers, added.options), (cluster.servers.clone(), words(&["ndots:2", "rotate"])));
    assert_eq!(added.searches.last().unwrap(), "example.com");
    assert_eq!(
        of(json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}})).dns.unwrap().servers,
        ["1.1.1.1"]
    );
    let host = of(json!({"hostNetwork": true}));
    assert_eq!((host.hostname.as_str(), host.dns), ("node-1", None));
    assert_eq!(of(json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"})).dns, Some(cluster));
    let named = of(json!({"hostname": "front", "subdomain": "s", "setHostnameAsFQDN": true}));
    assert_eq!(named.hostname, "front.s.shop.svc.cluster.local");
    let ports = of(main_with(
        &json!({"ports": [{"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "UDP"}]}),
    ))
    .ports;
    assert_eq!(
        ports.iter().map(|port| (port.container_port, port.host_port, port.protocol.as_str())).collect::<Vec<_>>(),
        [(53, 5353, "UDP")]
    );
    let memory = of(
        json!({"securityContext": {"fsGroup": 7}, "volumes": [{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "d", "emptyDir": {}}]}),
    );
    assert_eq!(
        memory.memory_volumes.iter().map(|it| (it.name.as_str(), it.size_limit, it.group)).collect::<Vec<_>>(),
        [("m", Some(1 << 20), Some(7))]
    );
}

#[test]
fn the_hosts_file_is_the_kubelets() {
    let aliases =
        serde_json::from_value::<Vec<_>>(json!([{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}])).unwrap();
    let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
    let ips = ["203.0.113.1".to_owned(), "fd00::6".to_owned()];
    let own = hosts::file(&ips, "podFoo", "domainFoo", &aliases);
    let expected = format!(
        "# Kubernetes-managed hosts file.\n{local}203.0.113.1\tpodFoo.domainFoo\tpodFoo\nfd00::6\tpodFoo.domainFoo\tpodFoo\n\n# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n"
    );
    assert_eq!(own, expected);
    assert_eq!(
        hosts::file(&ips[..1], "podFoo", "", &[]),
        format!("# Kubernetes-managed hosts file.\n{local}203.0.113.1\tpodFoo\n")
    );
    assert_eq!(hosts::file_of_host("a\tb\n", &[]), "# Kubernetes-managed hosts file (host network).\na\tb\n");
}

fn attempt(name: &str, number: u32, state: ContainerState, code: Option<i32>) -> ContainerStatus {
    ContainerStatus {
        id: format!("{name}-{number}"),
        sandbox_id: "s".to_owned(),
        name: name.to_owned(),
        attempt: number,
        state,
        image: "img".to_owned(),
        image_id: "sha256:1".to_owned(),
        created_unix_ns: u64::from(number),
        started_unix_ns: Some(1_000_000_000),
        finished_unix_ns: code.map(|_| 2_000_000_000),
        exit_code: code,
        reason: if code == Some(137) { "OOMKilled".to_owned() } else { String::new() },
        message: String::new(),
        labels: vec![("list".to_owned(), if name == "init" { "init" } else { "regular" }.to_owned())],
    }
}

fn contents(containers: Vec<ContainerStatus>) -> PodContents {
    let sandbox = |attempt, address: &str| SandboxStatus {
        id: format!("s{attempt}"),
        attempt,
        ready: attempt == 1,
        created_unix_ns: 0,
        addresses: vec![address.to_owned()],
    };
    let sandboxes = vec![sandbox(0, "10.0.0.1"), sandbox(1, "10.0.0.2")];
    PodContents { key: PodKey::new("u", "shop", "web"), sandboxes, containers }
}

#[test]
fn the_newest_run_is_the_state_and_the_one_before_it_the_last() {
    use ContainerState::{Exited, Running};
    let there = contents(vec![
        attempt("main", 0, Exited, Some(1)),
        attempt("main", 2, Running, None),
        attempt("main", 1, Exited, Some(137)),
    ]);
    let mut notes = Notes::default();
    notes.messages.insert("main-1".to_owned(), "last words".to_owned());
    let told = status(Some(&pod(&json!({}))), &there, &notes);
    assert_eq!(told.pod_ip.as_deref(), Some("10.0.0.2"), "that of the present sandbox");
    let main = &told.container_statuses.unwrap()[0];
    assert_eq!((main.restart_count, main.container_id.as_deref()), (2, Some("containers://main-2")));
    assert!(main.state.as_ref().unwrap().running.is_some());
    let last = main.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref(), last.message.as_deref()),
        (137, Some("OOMKilled"), Some("last words"))
    );
}

#[test]
fn one_that_waits_for_its_next_run_shows_why_and_its_end_as_the_last_state() {
    let there = contents(vec![attempt("main", 0, ContainerState::Exited, Some(0))]);
    let ended = status(Some(&pod(&json!({}))), &there, &Notes::default()).container_statuses.unwrap().remove(0);
    assert_eq!(ended.state.unwrap().terminated.unwrap().reason.as_deref(), Some("Completed"));
    let mut notes = Notes::default();
    notes.waiting.insert("main".to_owned(), Waiting { reason: "CrashLoopBackOff", message: "back-off".to_owned() });
    let waits = status(Some(&pod(&json!({}))), &there, &notes).container_statuses.unwrap().remove(0);
    assert_eq!(waits.state.unwrap().waiting.unwrap().reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(waits.last_state.unwrap().terminated.unwrap().exit_code, 0);
    let once = pod(&json!({"restartPolicy": "Never"}));
    let ended = status(Some(&once), &there, &notes).container_statuses.unwrap().remove(0);
    assert!(ended.state.unwrap().terminated.is_some(), "it is not started again, whatever was said before");
}

#[test]
fn without_its_pod_the_runs_alone_tell_which_containers_there_are() {
    let there = contents(vec![
        attempt("init", 0, ContainerState::Exited, Some(0)),
        attempt("main", 0, ContainerState::Running, None),
    ]);
    let told = status(None, &there, &Notes::default());
    assert_eq!(told.container_statuses.unwrap().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["main"]);
    assert_eq!(told.init_container_statuses.unwrap().len(), 1);
    assert_eq!(told.ephemeral_container_statuses, None);
}

#[test]
fn what_must_be_known_again_is_in_the_labels() {
    let spec = main_with(&json!({"terminationMessagePolicy": "FallbackToLogsOnError"}));
    let made = made(&spec, "", &[]).unwrap();
    let back = ContainerStatus { labels: made.labels, ..attempt("main", 2, ContainerState::Exited, Some(1)) };
    assert_eq!(
        (back.kind(), back.pause(), back.falls_back_to_logs()),
        (crate::lifecycle::Kind::Regular, Some(Duration::from_secs(10)), true)
    );
    let lost = ContainerStatus { labels: vec![], ..back };
    assert_eq!(lost.pause(), Some(Duration::ZERO), "it is not the first all the same");
    assert_eq!(ContainerStatus { attempt: 0, ..lost }.pause(), None);
}
