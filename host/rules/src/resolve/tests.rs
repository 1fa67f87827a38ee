use serde_json::{Value, json};

use super::*;
use crate::fixture::{World, pod};

fn mounts(container: Value) -> Result<Value, Problem> {
    let mut container = container;
    container["name"] = "c".into();
    let resolved = World::new().resolve(json!({"containers": [container]}))?;
    let mounts = resolved.pod.spec.unwrap().containers.remove(0).volume_mounts.unwrap_or_default();
    Ok(serde_json::to_value(mounts).unwrap())
}

fn message(container: Value) -> String {
    let problem = mounts(container).unwrap_err();
    assert_eq!(problem.reason(), "CreateContainerConfigError");
    problem.to_string()
}

#[test]
fn command_and_arguments_are_expanded_in_every_kind_of_container() {
    let container = |name: &str| {
        json!({"name": name, "env": [{"name": "WHO", "value": name}], "command": ["echo", "$(WHO)"],
            "args": ["$(WHO)", "$$(WHO)", "$(NOBODY)"]})
    };
    let spec = json!({"initContainers": [container("init")], "containers": [container("main"), {"name": "bare"}],
        "ephemeralContainers": [container("debug")]});
    let spec = World::new().resolve(spec).unwrap().pod.spec.unwrap();
    let seen: Vec<_> = containers::all(&spec).map(|it| (it.name, it.command.join(" "), it.args.join(" "))).collect();
    let expected = ["init", "main", "bare", "debug"].map(|name| match name {
        "bare" => (name, String::new(), String::new()),
        _ => (name, format!("echo {name}"), format!("{name} $(WHO) $(NOBODY)")),
    });
    assert_eq!(seen, expected);
    assert_eq!(spec.containers[1].command, None);
}

#[test]
fn what_is_not_resolved_stays_as_it_was() {
    let spec = json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}, "command": []}],
        "volumes": [{"name": "cache", "emptyDir": {"medium": "Memory"}}], "nodeName": "virtual-1"});
    let world = World { kinds: ["emptyDir"].into_iter().collect(), ..World::new() };
    assert_eq!(world.resolve(spec.clone()).unwrap().pod, pod(spec));
}

#[test]
fn a_sub_path_expression_becomes_a_sub_path() {
    let container = json!({
    "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "volumeMounts": [
        {"name": "logs", "mountPath": "/logs", "subPathExpr": "$(POD_NAME)/$$(X)"},
        {"name": "data", "mountPath": "/data", "subPath": "mysql", "subPathExpr": ""},
    ]});
    let expected = json!([
        {"name": "logs", "mountPath": "/logs", "subPath": "till/$(X)"},
        {"name": "data", "mountPath": "/data", "subPath": "mysql"},
    ]);
    assert_eq!(mounts(container).unwrap(), expected);
}

#[test]
fn a_sub_path_expression_needs_a_value_for_every_variable() {
    let container = json!({"env": [{"name": "EMPTY"}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(B)/$(EMPTY)/$(A)/$(B)"}]});
    assert_eq!(message(container), "missing value for A, B, EMPTY");
}

#[test]
fn a_sub_path_stays_in_its_volume() {
    let sub_path = |path: &str| message(json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": path}]}));
    assert_eq!(sub_path("/etc"), "error SubPath `/etc` must not be an absolute path");
    assert_eq!(sub_path("a/../../b"), "unable to provision SubPath `a/../../b`: must not contain '..'");
    let container = json!({"env": [{"name": "UP", "value": "../.."}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "a/$(UP)"}]});
    assert_eq!(message(container), "unable to provision SubPath `a/../..`: must not contain '..'");
}

#[test]
fn a_sub_path_cannot_hold_the_pods_address() {
    let env = json!([
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, {"name": "DIR", "value": "d/$(IP)"}]);
    for path in ["$(IP)", "x-$(DIR)"] {
        let container = json!({"env": env, "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": path}]});
        let text =
            format!("subPathExpr \"{path}\" needs the value of IP, the pod's address, which only the provider knows");
        assert_eq!(message(container), text);
    }
}

#[test]
fn volumes_are_looked_at_before_containers() {
    let spec = json!({
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "x"}}]}],
        "volumes": [{"name": "v", "secret": {"secretName": "y"}}]});
    let problem = World::new().resolve(spec).unwrap_err();
    assert_eq!(problem.to_string(), "MountVolume.SetUp failed for volume \"v\" : secret \"y\" not found");
}

#[test]
fn services_that_cannot_be_read_hold_the_first_container() {
    let forbidden = Known::Failed("services is forbidden".to_owned());
    let world = World::new().with(ObjectRef::Services { namespace: "shop".into() }, forbidden);
    let problem = world.resolve(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]})).unwrap_err();
    let message = "failed to list services when setting up env vars: services is forbidden".to_owned();
    assert_eq!(problem, Problem::Container { container: "i".to_owned(), message });
}

#[test]
fn pull_secrets_become_credentials_and_notes() {
    let spec = json!({"containers": [{"name": "c"}], "imagePullSecrets": [{"name": "gone"}]});
    let resolved = World::new().resolve(spec.clone()).unwrap();
    assert_eq!(resolved.registry_credentials, []);
    assert_eq!(resolved.notes[0].reason, "FailedToRetrieveImagePullSecret");
    let reference = ObjectRef::secret("shop", "gone");
    let world = World::new().with(reference.clone(), Known::Loading);
    assert_eq!(world.resolve(spec).unwrap_err(), Problem::Loading(reference));
}
