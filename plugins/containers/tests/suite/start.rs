//! The start, the manifest, the configuration.

use pluglet_sdk::testing::{check_config, json};
use pluglet_sdk::{Error, Feature};
use serde_json::Value;

use super::{CONFIG, DOCKER, PODMAN, asked, start, start_with, world};

#[test]
fn the_node_is_the_engines_machine() {
    let node = start(DOCKER, |_, _| None).info().node.clone();
    assert_eq!((node.capacity["cpu"].as_str(), node.capacity["memory"].as_str()), ("2", "2097152Ki"));
    assert_eq!((node.architecture.as_str(), node.capacity["pods"].as_str()), ("amd64", "110"));
}

#[test]
fn ports_are_forwarded_only_where_a_command_does_it() {
    let features = |config: &str| start_with(world(PODMAN, |_, _| None), config).unwrap().info().features.clone();
    assert!(!features(CONFIG).contains(&Feature::PortForward));
    assert!(features(CONFIG).contains(&Feature::Containers));
    assert!(features(r#"{"sandboxForward": ["nc", "127.0.0.1", "{port}"]}"#).contains(&Feature::PortForward));
}

#[test]
fn the_newest_version_that_both_speak_is_in_every_path() {
    let newer = |what: &str, _: &_| {
        (what == "GET /version").then(|| (200, json!({"ApiVersion": "1.44", "MinAPIVersion": "1.24"})))
    };
    let engines = start(DOCKER, move |what, request| {
        newer(what, request)
            .or_else(|| (request.target == "/v1.44/info").then(|| (200, json!({"NCPU": 7}))))
            .or_else(|| request.target.starts_with("/v1.44/volumes").then(|| (200, json!({}))))
    });
    assert_eq!(engines.info().node.capacity["cpu"], "7");
}

#[test]
fn an_engine_that_is_too_old_is_a_wrong_configuration_and_one_that_is_away_is_tried_again() {
    let old = world(DOCKER, |what, _| {
        (what == "GET /version").then(|| (200, json!({"ApiVersion": "1.38", "MinAPIVersion": "1.12"})))
    });
    assert!(matches!(start_with(old, CONFIG).err(), Some(Error::Invalid(text)) if text.contains("1.38")));
    let away = world(DOCKER, |what, _| (what == "GET /version").then_some((0, Value::Null)));
    assert!(matches!(start_with(away, CONFIG).err(), Some(Error::Unavailable(_))));
}

#[test]
fn volumes_that_a_broken_off_removal_has_left_go_at_the_start_and_no_others() {
    let engines = start(PODMAN, |what, _| match what {
        "GET /volumes" => Some((
            200,
            json!({"Volumes": [
                {"Name": "pluglet_u_mem", "Labels": {"dev.pluglet.cluster": "c", "dev.pluglet.node": "n"}},
                {"Name": "pluglet_v_mem", "Labels": {"dev.pluglet.cluster": "c", "dev.pluglet.node": "other"}},
                {"Name": "somebodys", "Labels": null},
            ]}),
        )),
        "DELETE /volumes/pluglet_u_mem" => Some((204, Value::Null)),
        _ => None,
    });
    let all: Vec<_> = engines.world().requests().iter().map(asked).collect();
    let asked_for = "filters={\"dangling\":[\"true\"],\"label\":[\"dev.pluglet.cluster=c\",\"dev.pluglet.node=n\"]}";
    assert!(all.contains(&("GET /volumes".to_owned(), asked_for.to_owned())), "{all:?}");
    let deleted: Vec<_> = all.iter().filter(|(what, _)| what.starts_with("DELETE")).collect();
    assert_eq!(deleted.len(), 1, "{deleted:?}");
}

#[test]
fn the_manifest_asks_for_no_more_than_is_used() {
    let manifest: Value = serde_json::from_slice(&containers::PLUGLET_MANIFEST).unwrap();
    let endpoint = &manifest["endpoints"][0];
    assert_eq!((&manifest["name"], &endpoint["name"]), (&json!("containers"), &json!("engine")));
    assert_eq!((&endpoint["methods"], &endpoint["upgrade"]), (&json!(["GET", "POST", "DELETE"]), &json!(true)));
    assert_eq!(manifest["endpoints"].as_array().unwrap().len(), 1);
}

#[test]
fn the_examples_in_the_readme_are_configurations() {
    let readme = include_str!("../../README.md");
    let mut examples = 0;
    for example in readme.split("```yaml").skip(1).filter_map(|rest| rest.split("```").next()) {
        let example: Value = serde_saphyr::from_str(example).unwrap();
        let Some(config) = example.get("config") else { continue };
        examples += 1;
        assert_eq!(check_config(&containers::PLUGLET_MANIFEST, config), Ok(()));
        start_with(world(PODMAN, |_, _| None), &config.to_string()).unwrap();
    }
    assert!(examples >= 2, "{examples}");
    let unknown = json!({"sandboximage": "x"});
    assert!(check_config(&containers::PLUGLET_MANIFEST, &unknown).is_err());
    assert!(start_with(world(PODMAN, |_, _| None), &unknown.to_string()).is_err(), "the schema and the provider agree");
}
