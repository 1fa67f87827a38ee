use serde_json::{Value as Json, json};

use super::*;
use crate::fixture::{World, pod};
use crate::objects::{Known, Object};
use crate::resolve::{Problem, Resolved, resolve};
use crate::services::ServiceFacts;

fn spec(container: Json) -> Json {
    let mut container = container;
    container["name"] = "c".into();
    json!({"containers": [container]})
}

fn env_of(resolved: &Resolved) -> Json {
    let container = &resolved.pod.spec.as_ref().unwrap().containers[0];
    assert_eq!(container.env_from, None);
    serde_json::to_value(container.env.clone().unwrap_or_default()).unwrap()
}

/// The environment of the only container.
fn env(world: &World, container: Json) -> Json {
    env_of(&world.resolve(spec(container)).unwrap())
}

fn message(world: &World, container: Json) -> String {
    match world.resolve(spec(container)).unwrap_err() {
        Problem::Container { container, message } => {
            assert_eq!(container, "c");
            message
        }
        other => panic!("{other:?}"),
    }
}

fn redis() -> World {
    let service = json!({"metadata": {"name": "redis", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 6379}]}});
    let services = vec![ServiceFacts::of(&serde_json::from_value(service).unwrap()).unwrap()];
    let known = Known::Found(Arc::new(Object::Services(services)));
    World::new().with(ObjectRef::Services { namespace: "shop".into() }, known)
}

#[test]
fn sources_come_in_order_with_their_prefix_and_later_ones_win() {
    let world = World::new()
        .config_map(
            "m",
            json!({"data": {"B": "map-b", "A": "map-a", "app.properties": "x=1"}, "binaryData": {"BIN": "AA=="}}),
        )
        .secret("s", json!({"data": {"A": "c2VjcmV0LWE=", "Z": "eg=="}}));
    let container = json!({"envFrom": [
        {"configMapRef": {"name": "m"}}, {"secretRef": {"name": "s"}}, {"prefix": "P_", "secretRef": {"name": "s"}}]});
    assert_eq!(
        env(&world, container),
        json!([
            {"name": "A", "value": "secret-a"},
            {"name": "B", "value": "map-b"},
            {"name": "app.properties", "value": "x=1"},
            {"name": "Z", "value": "z"},
            {"name": "P_A", "value": "secret-a"},
            {"name": "P_Z", "value": "z"},
        ])
    );
}

#[test]
fn env_wins_over_env_from() {
    let world = World::new().config_map("m", json!({"data": {"A": "map", "B": "map"}}));
    let container = json!({"envFrom": [{"configMapRef": {"name": "m"}}],
        "env": [{"name": "NEW", "value": "1"}, {"name": "A", "value": "own"}, {"name": "EMPTY"}]});
    assert_eq!(
        env(&world, container),
        json!([{"name": "A", "value": "own"}, {"name": "B", "value": "map"}, {"name": "NEW", "value": "1"},
            {"name": "EMPTY", "value": ""}])
    );
}

#[test]
fn values_refer_to_what_was_set_before_and_to_services() {
    let container = json!({"env": [
        {"name": "EARLY", "value": "$(LATE) $$(LATE)"},
        {"name": "LATE", "value": "late"},
        {"name": "URL", "value": "redis://$(REDIS_SERVICE_HOST)/$(LATE)$(NOBODY)"},
    ]});
    let env = env(&redis(), container);
    let expected = json!([
        {"name": "EARLY", "value": "$(LATE) $(LATE)"},
        {"name": "LATE", "value": "late"},
        {"name": "URL", "value": "redis://10.96.0.7/late$(NOBODY)"},
    ]);
    assert_eq!(env.as_array().unwrap()[..3], expected.as_array().unwrap()[..]);
}

#[test]
fn a_value_wins_over_what_it_could_be_taken_from() {
    let container = json!({"env": [
        {"name": "A", "value": "set", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}},
        {"name": "B", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]});
    assert_eq!(env(&World::new(), container), json!([{"name": "A", "value": "set"}, {"name": "B", "value": "till"}]));
}

#[test]
fn service_variables_come_last_sorted_and_only_for_names_that_are_not_set() {
    let env = env(&redis(), json!({"env": [{"name": "REDIS_PORT", "value": "mine"}]}));
    let names: Vec<_> = env.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    let expected = [
        "REDIS_PORT",
        "REDIS_PORT_6379_TCP",
        "REDIS_PORT_6379_TCP_ADDR",
        "REDIS_PORT_6379_TCP_PORT",
        "REDIS_PORT_6379_TCP_PROTO",
        "REDIS_SERVICE_HOST",
        "REDIS_SERVICE_PORT",
    ];
    assert_eq!(names, expected);
    assert_eq!(env[0]["value"], "mine");
}

#[test]
fn keys_of_objects_become_values() {
    let world = World::new()
        .config_map("m", json!({"data": {"k": "$(A)"}}))
        .secret("s", json!({"data": {"password": "aHVudGVyMg=="}}));
    let container = json!({"env": [
        {"name": "A", "value": "a"},
        {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
    ]});
    // What comes from an object is not expanded.
    assert_eq!(
        env(&world, container),
        json!([{"name": "A", "value": "a"}, {"name": "MAP", "value": "$(A)"}, {"name": "SECRET", "value": "hunter2"}])
    );
}

#[test]
fn a_missing_object_or_key_is_told_in_the_kubelets_words() {
    let world = World::new().config_map("m", json!({"binaryData": {"k": "AA=="}})).secret("s", json!({}));
    let of = |source: Json| message(&world, json!({"env": [{"name": "A", "valueFrom": source}]}));
    assert_eq!(of(json!({"configMapKeyRef": {"name": "x", "key": "k"}})), "configmap \"x\" not found");
    assert_eq!(of(json!({"secretKeyRef": {"name": "x", "key": "k"}})), "secret \"x\" not found");
    assert_eq!(of(json!({"configMapKeyRef": {"name": "m", "key": "k"}})), "couldn't find key k in ConfigMap shop/m");
    assert_eq!(of(json!({"secretKeyRef": {"name": "s", "key": "k"}})), "couldn't find key k in Secret shop/s");
    let from = |source: Json| message(&world, json!({"envFrom": [source]}));
    assert_eq!(from(json!({"configMapRef": {"name": "x"}})), "configmap \"x\" not found");
    assert_eq!(from(json!({"secretRef": {"name": "x", "optional": false}})), "secret \"x\" not found");
}

#[test]
fn optional_leaves_out_what_is_missing() {
    let world = World::new().config_map("m", json!({})).secret("s", json!({}));
    let container = json!({
    "envFrom": [{"configMapRef": {"name": "x", "optional": true}}, {"secretRef": {"name": "x", "optional": true}},
        {"secretRef": {"name": "", "optional": true}}],
    "env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": true}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k", "optional": true}}},
        {"name": "D", "value": "[$(A)]"},
    ]});
    assert_eq!(env(&world, container), json!([{"name": "D", "value": "[$(A)]"}]));
}

#[test]
fn optional_does_not_hide_an_answer_that_is_not_about_existence() {
    let reference = ObjectRef::secret("shop", "s");
    let container = json!({"envFrom": [{"secretRef": {"name": "s", "optional": true}}]});
    let world = World::new().with(reference.clone(), Known::Failed("secrets \"s\" is forbidden".to_owned()));
    assert_eq!(message(&world, container.clone()), "secrets \"s\" is forbidden");
    let world = World::new().with(reference.clone(), Known::Loading);
    assert_eq!(world.resolve(spec(container)).unwrap_err(), Problem::Loading(reference));
}

#[test]
fn a_secret_that_is_no_text_cannot_be_a_variable() {
    let world = World::new().secret("s", json!({"data": {"k": "//4="}}));
    let text = message(&world, json!({"envFrom": [{"secretRef": {"name": "s"}}]}));
    assert_eq!(text, "the value of key k in Secret shop/s is not valid UTF-8");
}

#[test]
fn fields_of_the_pod_and_resources_become_values() {
    let container = json!({
    "resources": {"limits": {"memory": "64Mi"}},
    "env": [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TIER", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['tier']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]});
    assert_eq!(
        env(&World::new(), container),
        json!([{"name": "POD", "value": "till"}, {"name": "TIER", "value": "front"},
            {"name": "NODE", "value": "virtual-1"}, {"name": "CPU", "value": "8"}, {"name": "MEMORY", "value": "64"}])
    );
}

#[test]
fn the_pods_address_is_left_to_the_provider_and_so_are_references_to_it() {
    let container = json!({
    "command": ["serve", "--bind=$(POD_IP)", "--name=$(NAME)"],
    "args": ["$(URL)"],
    "env": [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "URL", "value": "http://$(POD_IP):80"},
        {"name": "TEXT", "value": "$$(POD_IP) $$(NAME)"},
        {"name": "NAME", "value": "n"},
    ]});
    let resolved = World::new().resolve(spec(container)).unwrap();
    assert_eq!(
        env_of(&resolved),
        json!([
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(POD_IP):80"},
            {"name": "TEXT", "value": "$$(POD_IP) $(NAME)"},
            {"name": "NAME", "value": "n"},
        ])
    );
    let container = &resolved.pod.spec.unwrap().containers[0];
    assert_eq!(container.command.clone().unwrap(), ["serve", "--bind=$(POD_IP)", "--name=n"]);
    assert_eq!(container.args.clone().unwrap(), ["http://$(POD_IP):80"]);
}

#[test]
fn the_pods_address_hides_a_service_variable_of_the_same_name() {
    let container = json!({"args": ["$(REDIS_PORT)"], "env": [
        {"name": "REDIS_PORT", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}]});
    let resolved = redis().resolve(spec(container)).unwrap();
    assert_eq!(env_of(&resolved)[0]["valueFrom"]["fieldRef"]["fieldPath"], "status.podIPs");
    assert_eq!(resolved.pod.spec.unwrap().containers[0].args.clone().unwrap(), ["$(REDIS_PORT)"]);
}

#[test]
fn other_sources_are_refused() {
    let of = |source: Json| message(&World::new(), json!({"env": [{"name": "A", "valueFrom": source}]}));
    assert_eq!(of(json!({"fieldRef": {"fieldPath": "status.phase"}})), "unsupported fieldPath: status.phase");
    assert_eq!(
        of(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
        "unsupported container resource : limits.gpu"
    );
    let file = json!({"fileKeyRef": {"volumeName": "shared", "path": "vars.env", "key": "A", "optional": true}});
    let text = "pluglet cannot read files of a container's volume: fileKeyRef to \"vars.env\" in volume \"shared\"";
    assert_eq!(of(file), text);
}

/// A pod with one container that names a ConfigMap and one that does not.
fn two_containers() -> Json {
    json!({"containers": [
        {"name": "c", "envFrom": [{"configMapRef": {"name": "m"}}], "args": ["$(A) $(REDIS_SERVICE_HOST)"],
            "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
        {"name": "plain", "env": [{"name": "X", "value": "x"}]},
    ]})
}

#[test]
fn what_came_from_objects_at_creation_stays_when_they_change_or_go() {
    let world = redis().config_map("m", json!({"data": {"A": "first"}}));
    let created = world.resolve(two_containers()).unwrap();
    let frozen = created.environment.clone().unwrap();
    assert_eq!(frozen.containers.keys().map(|name| &**name).collect::<Vec<_>>(), ["c"]);
    let names: Vec<_> = frozen.containers["c"].iter().map(|variable| &*variable.name).collect();
    assert_eq!(names, ["A", "IP"]);
    for world in [redis(), redis().config_map("m", json!({"data": {"A": "second"}}))] {
        let again = world.with_context(Some(&frozen), |context| resolve(&pod(two_containers()), context)).unwrap();
        assert_eq!(again.pod, created.pod);
        assert_eq!(again.environment, Some(frozen.clone()));
        let args = again.pod.spec.unwrap().containers[0].args.clone().unwrap();
        assert_eq!(args, ["first 10.96.0.7"]);
    }
}

#[test]
fn a_container_that_came_later_is_looked_up_and_frozen_too() {
    let world = redis().config_map("m", json!({"data": {"A": "first"}}));
    let frozen = world.resolve(two_containers()).unwrap().environment.unwrap();
    let mut later = two_containers();
    later["ephemeralContainers"] = json!([{"name": "debug", "envFrom": [{"configMapRef": {"name": "n"}}]}]);
    let world = redis().config_map("n", json!({"data": {"B": "b"}}));
    let resolved = world.with_context(Some(&frozen), |context| resolve(&pod(later), context)).unwrap();
    let names: Vec<_> = resolved.environment.as_ref().unwrap().containers.keys().map(|name| &**name).collect();
    assert_eq!(names, ["c", "debug"]);
    let debug = resolved.pod.spec.unwrap().ephemeral_containers.unwrap()[0].env.clone().unwrap();
    assert_eq!((debug[0].name.as_str(), debug[0].value.as_deref()), ("B", Some("b")));
}

#[test]
fn a_pod_that_names_no_object_has_nothing_to_freeze() {
    let resolved = redis().resolve(spec(json!({"env": [{"name": "A", "value": "1"}]}))).unwrap();
    assert_eq!(resolved.environment, None);
}

#[test]
fn values_are_never_printed() {
    let world = World::new().secret("s", json!({"data": {"A": "aHVudGVyMg=="}}));
    let resolved = world.resolve(spec(json!({"envFrom": [{"secretRef": {"name": "s"}}]}))).unwrap();
    let printed = format!("{resolved:?}");
    assert!(printed.contains("\"A\"") && !printed.contains("hunter2"), "{printed}");
    assert!(!format!("{:?}", world.object(&ObjectRef::secret("shop", "s"))).contains("hunter2"));
}
