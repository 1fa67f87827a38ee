//! The create call: slow, failing, repeated; and the start of the provider.

use mock::Mock;
use pluglet_sdk::testing::{Harness, World};
use pluglet_sdk::{Error, Feature, Init};

use super::{scripted, seconds, shown, start};

#[test]
fn the_node_is_as_large_as_the_configuration_says() {
    let harness = Harness::<Mock>::start(r#"{"cpu": 8, "labels": {"zone": "a"}, "architecture": "arm64"}"#).unwrap();
    let node = &harness.info().node;
    assert_eq!((node.capacity["cpu"].as_str(), node.capacity["pods"].as_str()), ("8", "10000"));
    assert_eq!((node.labels["zone"].as_str(), node.architecture.as_str()), ("a", "arm64"));
    assert!(harness.info().features.contains(&Feature::Watch));
}

#[test]
fn an_unknown_key_of_the_configuration_is_refused_by_name() {
    let error = Harness::<Mock>::start(r#"{"cpus": "8"}"#).err().unwrap();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("cpus")), "{error}");
}

#[test]
fn creating_the_same_pod_again_gives_its_present_status() {
    let (harness, pod) = (start(), scripted("Always", &[("run-for", "10s")]));
    let first = harness.create(&pod).unwrap();
    assert_eq!(harness.create(&pod).unwrap(), first);
    harness.advance(seconds(11));
    assert_eq!(shown(&harness.create(&pod).unwrap()), "Running: running, 1 restarts");
    assert_eq!(harness.list().unwrap().len(), 1);
    assert_eq!(harness.world().kv_writes(), 1);
}

#[test]
fn a_slow_create_does_not_hold_up_others() {
    let (harness, slow) = (start(), scripted("Always", &[("create-delay", "10s")]));
    let mut quick = scripted("Always", &[]);
    quick.pod_ref.uid = "quick".to_owned();
    let call = slow.clone();
    let pending = harness.begin(async move |mock| {
        use pluglet_sdk::Provider;
        mock.create(call.pod_ref, call.spec).await
    });
    let pending = pending.unwrap();
    harness.create(&quick).unwrap();
    harness.advance(seconds(9));
    assert!(pending.take().is_none());
    assert_eq!(harness.list().unwrap().len(), 1);
    harness.advance(seconds(1));
    assert!(pending.take().unwrap().is_ok());
    assert_eq!(harness.list().unwrap().len(), 2);
}

#[test]
fn a_create_fails_as_scripted() {
    for (kind, check) in [
        ("invalid", (|error| matches!(error, Error::Invalid(_))) as fn(&Error) -> bool),
        ("denied", |error| matches!(error, Error::Denied(_))),
        ("unavailable", |error| matches!(error, Error::Unavailable(_))),
        ("quota", |error| matches!(error, Error::Quota(_))),
        ("internal", |error| matches!(error, Error::Internal(_))),
    ] {
        let harness = start();
        let pod = scripted("Always", &[("create-error", kind), ("create-error-message", "no luck")]);
        for _ in 0..3 {
            let error = harness.create(&pod).unwrap_err();
            assert!(check(&error) && error.to_string().contains("no luck"), "{kind}: {error}");
        }
        assert_eq!(harness.list().unwrap(), []);
    }
}

#[test]
fn a_create_works_after_the_scripted_number_of_failures() {
    let harness = start();
    let pod = scripted("Always", &[("create-error", "unavailable"), ("create-error-times", "2")]);
    assert!(harness.create(&pod).is_err());
    assert!(harness.create(&pod).is_err());
    assert_eq!(shown(&harness.create(&pod).unwrap()), "Running: running, 0 restarts");
}

#[test]
fn a_script_that_cannot_be_read_fails_the_pod_for_good() {
    let error = start().create(&scripted("Always", &[("run-for", "soon")])).unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("mock.pluglet.dev/run-for")), "{error}");
}

#[test]
fn a_pod_that_cannot_be_remembered_is_not_taken() {
    let world = World::new();
    let init = Init { config_json: "{}".to_owned(), ..Init::default() };
    let harness = Harness::<Mock>::start_in(world.clone(), init).unwrap();
    let pod = scripted("Always", &[]);
    world.break_kv(true);
    assert!(matches!(harness.create(&pod), Err(Error::Unavailable(_))));
    assert_eq!(harness.list().unwrap(), []);
    world.break_kv(false);
    assert!(harness.create(&pod).is_ok());
}

#[test]
fn a_create_whose_reply_is_lost_has_taken_effect() {
    let (harness, pod) = (start(), scripted("Always", &[("create-lost-reply", "true")]));
    assert!(matches!(harness.create(&pod), Err(Error::Unavailable(_))));
    assert_eq!(harness.list().unwrap().len(), 1);
    assert_eq!(shown(&harness.create(&pod).unwrap()), "Running: running, 0 restarts");
    assert_eq!(harness.world().kv_writes(), 1);
}
