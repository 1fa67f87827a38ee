use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{World, pod};
use crate::objects::Known;

fn json_secret(config: Value) -> Value {
    let bytes = BASE64_STANDARD.encode(config.to_string());
    json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": bytes}})
}

fn read(world: &World, names: &[&str]) -> (Vec<(String, String, String)>, Option<String>) {
    let secrets: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
    let pod = pod(json!({"containers": [], "imagePullSecrets": secrets}));
    let (credentials, note) = credentials(&pod, &|reference| world.object(reference)).unwrap();
    let credentials = credentials.into_iter().map(|it| (it.registry, it.username, it.password)).collect();
    (credentials, note.map(|note| format!("{}: {}", note.reason, note.message)))
}

fn credential(registry: &str, username: &str, password: &str) -> (String, String, String) {
    (registry.to_owned(), username.to_owned(), password.to_owned())
}

#[test]
fn both_types_of_secret_are_read() {
    let auths = json!({"registry.example.com": {"username": "u", "password": "p"}});
    let legacy = BASE64_STANDARD.encode(auths.to_string());
    let world = World::new()
        .secret("new", json_secret(json!({"auths": auths})))
        .secret("old", json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": legacy}}));
    let expected = vec![credential("registry.example.com", "u", "p"); 2];
    assert_eq!(read(&world, &["new", "old"]), (expected, None));
}

#[test]
fn auth_wins_over_fields_and_its_password_may_hold_colons() {
    let auth = BASE64_STANDARD.encode("robot:a:b:c");
    let unpadded = BASE64_STANDARD.encode("me:x").trim_end_matches('=').to_owned();
    let auths = json!({"a.io": {"auth": auth, "username": "other", "password": "other"}, "b.io": {"auth": unpadded}});
    let world = World::new().secret("s", json_secret(json!({"auths": auths})));
    let expected = vec![credential("a.io", "robot", "a:b:c"), credential("b.io", "me", "x")];
    assert_eq!(read(&world, &["s"]), (expected, None));
}

#[test]
fn entries_without_credentials_are_passed_over() {
    let auths = json!({"a.io": {}, "b.io": null, "c.io": {"email": "x@example.com"}, "d.io": {"username": "token"}});
    let world = World::new().secret("s", json_secret(json!({"auths": auths, "HttpHeaders": {}})));
    assert_eq!(read(&world, &["s"]), (vec![credential("d.io", "token", "")], None));
    let world = World::new().secret("s", json_secret(json!({"auths": null})));
    assert_eq!(read(&world, &["s"]), (vec![], None));
}

#[test]
fn a_registry_is_a_host_without_scheme_and_version() {
    let cases = [
        ("https://quay.io/v1/", "quay.io"),
        ("https://index.docker.io/v1/", "index.docker.io"),
        ("http://localhost:5000/v2/", "localhost:5000"),
        ("registry.example.com", "registry.example.com"),
        ("registry.example.com/", "registry.example.com"),
        ("https://registry.example.com/v2/team", "registry.example.com/team"),
        ("registry.example.com/team/app", "registry.example.com/team/app"),
        ("https://user@registry.example.com:443?x#y", "registry.example.com:443"),
    ];
    for (key, host) in cases {
        assert_eq!(registry(key).as_deref(), Some(host), "{key}");
    }
    for key in ["", "https://", "/v1/", "bad host"] {
        assert_eq!(registry(key), None, "{key}");
    }
}

#[test]
fn secrets_that_are_missing_or_cannot_be_read_are_noted() {
    let world = World::new()
        .secret("good", json_secret(json!({"auths": {"a.io": {"username": "u", "password": "p"}}})))
        .secret("bad", json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}))
        .secret("torn", json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "ew=="}}))
        .secret("auth", json_secret(json!({"auths": {"a.io": {"auth": "!"}}})))
        .secret("colon", json_secret(json!({"auths": {"a.io": {"auth": BASE64_STANDARD.encode("nobody")}}})))
        .with(ObjectRef::secret("shop", "denied"), Known::Failed("forbidden".to_owned()));
    let (credentials, note) = read(&world, &["gone", "good", "", "bad", "torn", "auth", "colon", "denied"]);
    assert_eq!(credentials, [credential("a.io", "u", "p")]);
    let text = "FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets \
                (gone, torn, auth, colon, denied); attempting to pull the image may not succeed.";
    assert_eq!(note.unwrap(), text);
}

#[test]
fn a_secret_of_another_type_has_no_credentials() {
    let mut opaque = json_secret(json!({"auths": {"a.io": {"username": "u", "password": "p"}}}));
    opaque["type"] = "Opaque".into();
    let empty = json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": ""}});
    let world = World::new().secret("opaque", opaque).secret("empty", empty);
    assert_eq!(read(&world, &["opaque", "empty"]), (vec![], None));
}

#[test]
fn a_secret_that_is_not_known_yet_holds_the_pod() {
    let reference = ObjectRef::secret("shop", "s");
    let pod = pod(json!({"containers": [], "imagePullSecrets": [{"name": "s"}]}));
    assert_eq!(credentials(&pod, &|_| Known::Loading).unwrap_err(), reference);
}
