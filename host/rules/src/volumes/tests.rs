use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::fixture::World;
use crate::objects::{Known, Object, TrustBundle};
use crate::references::{TokenSpec, VolumeKinds};

fn spec(volume: Value) -> Value {
    let mut volume = volume;
    volume["name"] = "v".into();
    json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}], "volumes": [volume]})
}

/// Path, mode and text of each file of the only volume.
fn files(world: &World, volume: Value) -> Vec<(String, u32, String)> {
    let mut volumes = world.volumes(spec(volume)).unwrap();
    assert_eq!(volumes.len(), 1);
    let Volume { name, files } = volumes.remove(0);
    assert_eq!(name, "v");
    files.into_iter().map(|file| (file.path, file.mode, String::from_utf8(file.bytes).unwrap())).collect()
}

fn file(path: &str, mode: u32, text: &str) -> (String, u32, String) {
    (path.to_owned(), mode, text.to_owned())
}

fn problem(world: &World, volume: Value) -> String {
    let problem = world.volumes(spec(volume)).unwrap_err();
    assert_eq!(problem.reason(), "FailedMount");
    problem.to_string()
}

fn map() -> World {
    World::new().config_map("m", json!({"data": {"b": "text", "a": "1"}, "binaryData": {"bin": "AAE="}}))
}

#[test]
fn a_config_map_gives_a_file_for_each_key_of_data_and_binary_data() {
    let expected = [file("a", 0o644, "1"), file("b", 0o644, "text"), file("bin", 0o644, "\0\u{1}")];
    assert_eq!(files(&map(), json!({"configMap": {"name": "m"}})), expected);
}

#[test]
fn items_choose_keys_paths_and_modes() {
    let volume = json!({"configMap": {"name": "m", "defaultMode": 0o400, "items": [
        {"key": "b", "path": "etc/app.conf"}, {"key": "bin", "path": "bin", "mode": 0o555}]}});
    assert_eq!(files(&map(), volume), [file("bin", 0o555, "\0\u{1}"), file("etc/app.conf", 0o400, "text")]);
}

#[test]
fn a_secret_gives_a_file_for_each_key() {
    let world = World::new().secret("s", json!({"data": {"password": "aHVudGVyMg==", "user": "YWRtaW4="}}));
    let volume = json!({"secret": {"secretName": "s", "defaultMode": 0o400}});
    assert_eq!(files(&world, volume), [file("password", 0o400, "hunter2"), file("user", 0o400, "admin")]);
}

#[test]
fn what_is_missing_is_told_in_the_kubelets_words() {
    let world = map().secret("s", json!({}));
    let of = |volume: Value| problem(&world, volume);
    let prefix = "MountVolume.SetUp failed for volume \"v\" : ";
    assert_eq!(of(json!({"configMap": {"name": "x"}})), format!("{prefix}configmap \"x\" not found"));
    assert_eq!(of(json!({"secret": {"secretName": "x"}})), format!("{prefix}secret \"x\" not found"));
    let key = json!({"configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}});
    assert_eq!(of(key), format!("{prefix}configmap references non-existent config key: k"));
    let key = json!({"secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}});
    assert_eq!(of(key), format!("{prefix}references non-existent secret key: k"));
}

#[test]
fn optional_gives_an_empty_volume_or_leaves_out_keys() {
    assert_eq!(files(&World::new(), json!({"configMap": {"name": "x", "optional": true}})), []);
    assert_eq!(files(&World::new(), json!({"secret": {"secretName": "x", "optional": true}})), []);
    let volume = json!({"configMap": {"name": "m", "optional": true, "items": [
        {"key": "k", "path": "k"}, {"key": "a", "path": "a"}]}});
    assert_eq!(files(&map(), volume), [file("a", 0o644, "1")]);
}

#[test]
fn optional_does_not_hide_an_answer_that_is_not_about_existence() {
    let reference = ObjectRef::secret("shop", "s");
    let volume = json!({"secret": {"secretName": "s", "optional": true}});
    let world = World::new().with(reference.clone(), Known::Failed("secrets \"s\" is forbidden".to_owned()));
    assert!(problem(&world, volume.clone()).ends_with(" : secrets \"s\" is forbidden"));
    let world = World::new().with(reference.clone(), Known::Loading);
    assert_eq!(world.volumes(spec(volume)).unwrap_err(), Problem::Loading(reference));
}

#[test]
fn the_downward_api_gives_labels_fields_and_resources() {
    let volume = json!({"downwardAPI": {"items": [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "name", "mode": 0o400, "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Gi"}},
    ]}});
    let expected = [
        file("cpu", 0o644, "2000"),
        file("labels", 0o644, "app=\"till\"\ntier=\"front\""),
        file("memory", 0o644, "16"),
        file("name", 0o400, "till"),
    ];
    assert_eq!(files(&World::new(), volume), expected);
    let volume = json!({"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "status.podIP"}}]}});
    assert!(problem(&World::new(), volume).ends_with(" : unsupported fieldPath: status.podIP"));
}

/// The volume that the ServiceAccount admission plugin adds to every pod.
fn injected() -> Value {
    json!({"containers": [{"name": "c"}], "volumes": [{"name": "kube-api-access-8x2zq", "projected": {
    "defaultMode": 0o644,
    "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}}]})
}

#[test]
fn the_injected_volume_holds_token_authority_and_namespace() {
    let world = World::new().config_map("kube-root-ca.crt", json!({"data": {"ca.crt": "PEM"}}));
    let volumes = world.volumes(injected()).unwrap();
    assert_eq!(volumes[0].name, "kube-api-access-8x2zq");
    let files: Vec<_> = volumes[0].files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())).collect();
    assert_eq!(files, [("ca.crt", &b"PEM"[..]), ("namespace", b"shop"), ("token", b"a-token")]);
}

#[test]
fn a_provider_without_projected_volumes_gets_no_injected_volume_but_no_problem_either() {
    let world = World { kinds: ["configMap"].into_iter().collect(), ..World::new() };
    assert_eq!(world.volumes(injected()).unwrap(), []);
}

#[test]
fn a_token_that_is_not_there_yet_holds_the_pod() {
    let world = World { token: None, ..World::new() };
    let spec_of = TokenSpec { audience: None, expiration_seconds: 3607 };
    assert_eq!(world.volumes(injected()).unwrap_err(), Problem::Token(spec_of));
}

#[test]
fn a_later_source_wins_where_paths_are_equal() {
    let world = map().secret("s", json!({"data": {"a": "c2VjcmV0"}}));
    let volume = json!({"projected": {"defaultMode": 0o600, "sources": [
        {"configMap": {"name": "m", "items": [{"key": "a", "path": "dir/a"}]}},
        {"secret": {"name": "s", "items": [{"key": "a", "path": "dir//a", "mode": 0o400}]}},
        {"secret": {"name": "none", "optional": true}}]}});
    assert_eq!(files(&world, volume), [file("dir/a", 0o400, "secret")]);
}

#[test]
fn a_token_is_readable_by_the_group_of_the_pod() {
    let mut spec = spec(json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}));
    spec["securityContext"] = json!({"fsGroup": 2000});
    assert_eq!(World::new().volumes(spec).unwrap()[0].files[0].mode, 0o640);
}

#[test]
fn a_projection_that_nobody_can_make_rejects_the_pod() {
    let volume = json!({"projected": {"sources": [
        {"podCertificate": {"signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "bundle"}}]}});
    let problem = World::new().volumes(spec(volume)).unwrap_err();
    assert_eq!(problem.reason(), "UnexpectedAdmissionError");
}

fn bundle(name: &str, signer: &str, tier: &str, text: &str) -> TrustBundle {
    TrustBundle {
        name: name.to_owned(),
        signer_name: signer.to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
        pem: format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"),
    }
}

fn trust() -> World {
    let by_name = ObjectRef::TrustBundle { name: "root".into() };
    let by_signer = ObjectRef::TrustBundles { signer_name: "example.com/ca".into() };
    // The last one is of another signer: nobody should take the caller's word for it.
    let of_signer = vec![
        bundle("a", "example.com/ca", "prod", "YWFh"),
        bundle("b", "example.com/ca", "test", "YmJi"),
        bundle("c", "example.com/other", "prod", "Y2Nj"),
    ];
    World::new()
        .with(by_name, Known::Found(Arc::new(Object::TrustBundles(vec![bundle("root", "", "x", "cm9v")]))))
        .with(by_signer, Known::Found(Arc::new(Object::TrustBundles(of_signer))))
}

fn projected(bundle: Value) -> Value {
    json!({"projected": {"sources": [{"clusterTrustBundle": bundle}]}})
}

#[test]
fn trust_bundles_are_chosen_by_name_or_by_signer_and_labels() {
    let named = files(&trust(), projected(json!({"name": "root", "path": "ca.pem"})));
    let pem = |text| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    assert_eq!(named, [file("ca.pem", 0o644, &pem("cm9v"))]);
    let labelled =
        json!({"signerName": "example.com/ca", "path": "p", "labelSelector": {"matchLabels": {"tier": "prod"}}});
    assert_eq!(files(&trust(), projected(labelled)), [file("p", 0o644, &pem("YWFh"))]);
    let all = json!({"signerName": "example.com/ca", "path": "p", "labelSelector": {}});
    assert_eq!(files(&trust(), projected(all)), [file("p", 0o644, &(pem("YWFh") + &pem("YmJi")))]);
}

#[test]
fn no_trust_bundle_is_a_problem_unless_it_is_optional() {
    let none = "combination of signerName and labelSelector matched zero ClusterTrustBundles";
    // A selector that is not set matches nothing.
    let unset = projected(json!({"signerName": "example.com/ca", "path": "p"}));
    assert!(problem(&trust(), unset).ends_with(none));
    let missing = projected(json!({"name": "x", "path": "p"}));
    let text = "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"x\" not found";
    assert!(problem(&trust(), missing).ends_with(text));
    for optional in [
        json!({"name": "x", "path": "p", "optional": true}),
        json!({"signerName": "example.com/ca", "path": "p", "optional": true}),
        json!({"signerName": "example.com/other", "path": "p", "labelSelector": {}, "optional": true}),
    ] {
        assert_eq!(files(&trust(), projected(optional)), [file("p", 0o644, "")]);
    }
}

#[test]
fn a_path_that_leaves_the_volume_is_a_problem_that_names_it() {
    let volume = json!({"configMap": {"name": "m", "items": [{"key": "a", "path": "../../etc/passwd"}]}});
    assert!(problem(&map(), volume).ends_with(" : invalid path: must not contain '..': ../../etc/passwd"));
    let volume = json!({"projected": {"sources": [{"serviceAccountToken": {"path": "/token"}}]}});
    assert!(problem(&map(), volume).ends_with(" : invalid path: must be relative path: /token"));
}

#[test]
fn a_path_cannot_be_a_file_and_a_directory() {
    for paths in [["x", "x/y"], ["x/y", "x"]] {
        let items: Vec<_> = paths.iter().map(|path| json!({"key": "a", "path": path})).collect();
        let volume = json!({"configMap": {"name": "m", "items": items}});
        assert!(problem(&map(), volume).ends_with(" : invalid path: is a file and a directory: x"));
    }
    let items = ["x0/y", "x-1", "x", "x.z", "x0-"].map(|path| json!({"key": "a", "path": path}));
    assert_eq!(files(&map(), json!({"configMap": {"name": "m", "items": items}})).len(), 5);
}

#[test]
fn a_kind_that_the_provider_does_not_take_is_a_problem() {
    let text = "MountVolume.SetUp failed for volume \"v\" : the provider does not take volumes of kind emptyDir";
    assert_eq!(problem(&World::new(), json!({"emptyDir": {}})), text);
    let world = World { kinds: VolumeKinds::default(), ..map() };
    assert!(problem(&world, json!({"configMap": {"name": "m"}})).ends_with("of kind configMap"));
    assert!(problem(&World::new(), json!({"holographic": {}})).ends_with("volumes that pluglet does not know"));
}

#[test]
fn volumes_that_the_provider_makes_itself_are_left_to_it() {
    let world = World { kinds: ["emptyDir"].into_iter().collect(), ..World::new() };
    assert_eq!(world.volumes(spec(json!({"emptyDir": {"sizeLimit": "1Gi"}}))).unwrap(), []);
}
