//! What a provider gets without writing it, and how it starts.

use std::time::Duration;

use pluglet_sdk::testing::{Harness, json, pod};
use pluglet_sdk::{
    Error, ExecRequest, Host, Info, Init, LogOptions, PodRef, Provider, ResolvedPod, Result, Status, Volume,
};
use serde::Deserialize;

/// Writes the three methods that have no default, and knows one pod.
struct Least(Config);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    uid: String,
}

impl Provider for Least {
    async fn start(_host: Host, init: Init) -> Result<Self> {
        Ok(Self(init.config()?))
    }

    fn info(&self) -> Info {
        Info::default()
    }

    async fn create(&self, _pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        Ok(Status::from_json(spec.json))
    }

    async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
        Err(Error::NotFound)
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        let pod = PodRef { uid: self.0.uid.clone(), ..PodRef::default() };
        Ok(vec![(pod, Status::from_json(r#"{"phase":"Running"}"#.to_owned()))])
    }
}

fn is_unsupported<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Unsupported(_)))
}

#[test]
fn what_a_provider_does_not_write_is_unsupported() {
    let (harness, pod) = (Harness::<Least>::start("{}").unwrap(), pod(json!({})));
    assert!(is_unsupported(harness.update(&pod)));
    assert!(is_unsupported(harness.volumes_changed(&pod, vec![Volume::default()])));
    assert!(is_unsupported(harness.restart_container(&pod, "main", 30)));
    assert!(is_unsupported(harness.logs(&pod, LogOptions::default())));
    assert!(is_unsupported(harness.exec(&pod, ExecRequest::default(), b"")));
    assert!(is_unsupported(harness.attach(&pod, "main", b"")));
    assert!(is_unsupported(harness.port_forward(&pod, 80, b"")));
    assert!(is_unsupported(harness.stats()));
    assert_eq!(harness.stop(Duration::ZERO), Ok(None));
}

#[test]
fn a_status_is_looked_up_in_the_list_by_uid() {
    let harness = Harness::<Least>::start(r#"{"uid": "uid-pod"}"#).unwrap();
    assert!(harness.status(&pod(json!({}))).is_ok());
    assert_eq!(harness.status(&pod(json!({"metadata": {"name": "other"}}))), Err(Error::NotFound));
}

#[test]
fn a_mistake_in_the_configuration_is_invalid_and_named() {
    let error = Harness::<Least>::start(r#"{"uuid": "u"}"#).err().unwrap();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("uuid") && text.contains("config")), "{error}");
}

#[test]
fn a_default_node_can_take_pods() {
    let harness = Harness::<Least>::start("{}").unwrap();
    let node = &harness.info().node;
    assert!(["cpu", "memory", "pods"].iter().all(|name| node.capacity.contains_key(*name)));
    assert_eq!((node.architecture.as_str(), node.operating_system.as_str()), ("amd64", "linux"));
}

#[test]
fn a_pod_is_read_into_the_type_that_is_asked_for() {
    #[derive(Deserialize)]
    struct Name<'a> {
        #[serde(borrow)]
        metadata: Metadata<'a>,
    }
    #[derive(Deserialize)]
    struct Metadata<'a> {
        name: &'a str,
    }
    let pod = pod(json!({"metadata": {"name": "web", "labels": {"a": "b"}}}));
    assert_eq!(pod.spec.pod_as::<Name<'_>>().unwrap().metadata.name, "web");
    let view = pod.spec.pod().unwrap();
    assert_eq!((view.metadata.labels["a"].as_str(), view.spec.containers[0].name.as_str()), ("b", "main"));
    let broken = ResolvedPod { json: "[]x".to_owned(), ..ResolvedPod::default() };
    assert!(matches!(broken.pod(), Err(Error::Invalid(_))));
}

#[test]
fn secrets_are_not_printed() {
    let mut pod = pod(json!({"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "hunter2"}]}]}}));
    let file = pluglet_sdk::VolumeFile { path: "key".into(), mode: 0o600, bytes: b"hunter2".to_vec() };
    pod.spec.volumes = vec![Volume { name: "v".into(), files: vec![file] }];
    pod.spec.registry_credentials = vec![pluglet_sdk::RegistryCredential {
        registry: "r".into(),
        username: "u".into(),
        password: "hunter2".into(),
    }];
    assert!(!format!("{pod:?}").contains("hunter2"));
}
