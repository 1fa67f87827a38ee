//! The operator's configuration and its schema.

use mock::{Mock, PLUGLET_MANIFEST};
use pluglet_sdk::testing::{Harness, check_config, json};

#[test]
fn the_example_in_the_readme_is_a_configuration() {
    let readme = include_str!("../../README.md");
    let example = readme.split("```yaml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example: serde_json::Value = serde_saphyr::from_str(example).unwrap();
    let config = &example["config"];
    assert_eq!(check_config(&PLUGLET_MANIFEST, config), Ok(()));
    let harness = Harness::<Mock>::start(&config.to_string()).unwrap();
    let node = &harness.info().node;
    assert_eq!((node.capacity["pods"].as_str(), node.architecture.as_str()), ("500", "arm64"));
    assert_eq!(node.labels["topology.kubernetes.io/zone"], "a");
}

#[test]
fn the_schema_and_the_provider_refuse_the_same() {
    for config in [json!({"cpus": 1}), json!({"labels": {"a": 1}}), json!({"architecture": 1}), json!({"cpu": true})] {
        assert!(check_config(&PLUGLET_MANIFEST, &config).is_err(), "{config}");
        assert!(Harness::<Mock>::start(&config.to_string()).is_err(), "{config}");
    }
}
