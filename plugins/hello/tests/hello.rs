//! The smallest provider, run natively.
//!
//! In: one pod. Out: its life as the host sees it. Invariant: no host, no cluster.

use hello::Hello;
use pluglet_sdk::kubernetes::Phase;
use pluglet_sdk::testing::{Harness, check_config, json, pod};
use pluglet_sdk::{Error, Event};

#[test]
fn a_pod_runs_until_it_is_deleted() {
    let harness = Harness::<Hello>::start("{}").unwrap();
    let web = pod(json!({"metadata": {"name": "web"}}));
    let status = harness.create(&web).unwrap();
    assert_eq!(status.phase, Phase::Running);
    assert_eq!(harness.create(&web).unwrap(), status, "a second create changes nothing");
    assert_eq!(harness.status(&web).unwrap(), status);

    harness.delete(&web, 30).unwrap();
    let events = harness.events();
    let [Event::Status(_, last), Event::Gone(gone)] = &events[..] else { panic!("{events:?}") };
    assert!(last.as_json().contains("Succeeded"));
    assert_eq!(gone, &web.pod_ref);
    assert_eq!(harness.list().unwrap(), []);
    assert_eq!(harness.delete(&web, 30), Err(Error::NotFound));
}

#[test]
fn there_is_nothing_to_configure() {
    assert_eq!(check_config(&hello::PLUGLET_MANIFEST, &json!({})), Ok(()));
    assert!(check_config(&hello::PLUGLET_MANIFEST, &json!({"cpu": 1})).is_err());
}
