//! What happens to a pod that runs: new files, and the restart of one of its containers.

use std::time::Duration;

use futures::StreamExt as _;
use pluglet_model::pod::{Volume, VolumeFile};
use pluglet_model::provider::{Error, LogItem, Provider};
use pluglet_model::session::SessionInput;
use serde_json::{Value, json};

use crate::support::{Running, key, options, plan, start, within};

fn volume(name: &str, bytes: &[u8]) -> Volume {
    let file = VolumeFile { path: "dir/file".to_owned(), mode: 0o600, bytes: bytes.to_vec() };
    Volume { name: name.to_owned(), files: vec![file] }
}

/// What the provider holds of the pod, which asks to have it revealed.
async fn revealed(mock: &Running, uid: &str) -> Value {
    let mut log = mock.logs(uid, false).await.unwrap();
    match within("the first line", log.next()).await {
        Some(Ok(LogItem::Line { bytes, .. })) => serde_json::from_slice(&bytes).unwrap(),
        other => panic!("not a line but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_replace_the_volumes_that_they_name() {
    let mock = start(options("mock")).await;
    let mut plan = plan("a", &[("reveal", "true")]);
    plan.volumes = vec![volume("config", b"old"), volume("other", b"stays")];
    mock.provider.create(&plan).await.unwrap();
    mock.provider.volumes_changed(&key("a"), 7, &[volume("config", b"\xff\x00")]).await.unwrap();
    let held = revealed(&mock, "a").await;
    let expected = json!({
        "config": [{"path": "dir/file", "mode": "0600", "base64": "/wA="}],
        "other": [{"path": "dir/file", "mode": "0600", "text": "stays"}],
    });
    assert_eq!((&held["volumes"], &held["generation"]), (&expected, &json!(7)));
    let unknown = mock.provider.volumes_changed(&key("nobody"), 1, &[]).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_restarted_and_says_how_it_ended() {
    let mut mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("stop-exit-code", "143")])).await.unwrap();
    mock.provider.restart_container(&key("a"), "main", Duration::from_millis(1500)).await.unwrap();
    let restarts = |status: &k8s_openapi::api::core::v1::PodStatus| {
        status.container_statuses.iter().flatten().map(|container| container.restart_count).sum::<i32>()
    };
    let status = mock.status_where("a", |status| restarts(status) == 1).await;
    let container = status.container_statuses.unwrap().remove(0);
    assert!(container.state.unwrap().running.is_some());
    assert_eq!(container.last_state.unwrap().terminated.unwrap().exit_code, 143);
    let unknown = mock.provider.restart_container(&key("a"), "other", Duration::ZERO).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn powers_that_were_taken_away_are_unsupported() {
    let mut options = options("mock");
    options.config_json = r#"{"features":{"refresh":false,"restart":false,"exec":false,"attach":false,"portForward":false,"stats":false},"probes":"host"}"#.to_owned();
    let mock = start(options).await;
    let features = mock.provider.health().borrow().info.clone().unwrap().features;
    assert_eq!(features.names(), ["update", "watch", "logs"]);
    mock.provider.create(&plan("a", &[])).await.unwrap();
    let told = [
        mock.provider.volumes_changed(&key("a"), 1, &[]).await.unwrap_err(),
        mock.provider.restart_container(&key("a"), "main", Duration::ZERO).await.unwrap_err(),
        mock.provider.run(&key("a"), "main", &[]).await.unwrap_err(),
        mock.provider.attach(&key("a"), "main", SessionInput::none()).await.err().unwrap(),
        mock.provider.port_forward(&key("a"), 80, SessionInput::none().stdin).await.err().unwrap(),
        mock.provider.stats().await.unwrap_err(),
    ];
    for (error, feature) in told.into_iter().zip(["refresh", "restart", "exec"]) {
        assert!(matches!(&error, Error::Unsupported(text) if text.contains(feature)), "{feature}: {error}");
    }
    mock.stop().await;
}
