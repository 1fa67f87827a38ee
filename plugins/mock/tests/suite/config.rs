//! The operator's configuration and its schema.

use mock::{Mock, PLUGLET_MANIFEST};
use pluglet_sdk::Feature;
use pluglet_sdk::testing::{Harness, check_config, json, pod};

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
    let info = harness.info();
    assert_eq!(info.volume_kinds, ["emptyDir", "configMap", "secret", "projected"]);
    assert!(!info.features.contains(&Feature::Probes) && !info.features.contains(&Feature::Update));
}

#[test]
fn a_provider_can_do_everything_unless_powers_are_taken_away() {
    let info = |config: &str| Harness::<Mock>::start(config).unwrap().info().clone();
    let all = info("{}");
    let features = [
        Feature::Watch,
        Feature::Update,
        Feature::Logs,
        Feature::Exec,
        Feature::Refresh,
        Feature::Restart,
        Feature::Attach,
        Feature::PortForward,
        Feature::Stats,
        Feature::Probes,
    ];
    assert_eq!((all.features.as_slice(), all.volume_kinds.len()), (&features[..], 30));
    let none = info(
        r#"{"probes": "host", "volumeKinds": [],
            "features": {"update": false, "logs": false, "exec": false, "refresh": false, "restart": false,
                "attach": false, "portForward": false, "stats": false}}"#,
    );
    assert_eq!((none.features, none.volume_kinds), (vec![Feature::Watch], vec![]));
}

#[test]
fn where_the_host_runs_the_probes_the_provider_says_nothing_of_them() {
    let web = pod(json!({"spec": {
        "initContainers": [{"name": "init", "image": "i"}, {"name": "proxy", "image": "p", "restartPolicy": "Always"}],
        "containers": [{"name": "main", "image": "m"}],
    }}));
    let verdicts = |config: &str| {
        let status = Harness::<Mock>::start(config).unwrap().create(&web).unwrap();
        let all = status.init_container_statuses.into_iter().chain(status.container_statuses);
        all.map(|container| (container.ready, container.started)).collect::<Vec<_>>()
    };
    assert_eq!(verdicts("{}"), [(true, Some(false)), (true, Some(true)), (true, Some(true))]);
    assert_eq!(verdicts(r#"{"probes": "host"}"#), [(true, Some(false)), (false, None), (false, None)]);
}

#[test]
fn the_schema_and_the_provider_refuse_the_same() {
    for config in [
        json!({"cpus": 1}),
        json!({"labels": {"a": 1}}),
        json!({"architecture": 1}),
        json!({"cpu": true}),
        json!({"volumeKinds": "emptyDir"}),
        json!({"probes": "kubelet"}),
        json!({"features": {"watch": false}}),
        json!({"features": {"update": "no"}}),
    ] {
        assert!(check_config(&PLUGLET_MANIFEST, &config).is_err(), "{config}");
        assert!(Harness::<Mock>::start(&config.to_string()).is_err(), "{config}");
    }
}
