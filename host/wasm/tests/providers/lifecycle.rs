//! Starting, calls, events, stopping.

use futures::future::join_all;
use pluglet_model::chain;
use pluglet_model::provider::{Error, LogRequest, Provider, ProviderEvent};
use pluglet_wasm::{StartError, inspect};

use crate::support::{component, key, listed, options, phase, plan, start, try_start, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_goes_from_create_to_gone() {
    let mut mock = start(options("mock")).await;
    let info = mock.provider.health().borrow().info.clone().unwrap();
    assert!(info.features.watch && info.features.logs && info.features.probes && info.features.attach);
    assert!(info.volume_kinds.iter().any(|kind| kind == "configMap"), "{:?}", info.volume_kinds);
    assert_eq!(info.node.capacity.get("pods").map(String::as_str), Some("10000"));

    let status = mock.provider.create(&plan("a", &[("start-delay", "1ms")])).await.unwrap();
    assert_eq!(phase(&status), "Pending");
    mock.status_where("a", |status| phase(status) == "Running").await;
    assert_eq!(phase(&mock.provider.status(&key("a")).await.unwrap()), "Running");
    assert_eq!(listed(&mock.provider).await, ["a"]);
    assert!(mock.provider.create(&plan("a", &[])).await.is_ok(), "a second create is success");

    mock.provider.delete(&key("a"), std::time::Duration::ZERO).await.unwrap();
    mock.status_where("a", |status| matches!(phase(status), "Succeeded" | "Failed")).await;
    mock.event("gone", |event| matches!(event, ProviderEvent::Gone(key) if &*key.uid == "a").then_some(())).await;
    assert_eq!(listed(&mock.provider).await, Vec::<String>::new());
    assert!(matches!(mock.provider.status(&key("a")).await, Err(Error::NotFound)));
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_slow_creates_overlap() {
    let mut options = options("mock");
    options.limits.concurrency = 100;
    let mock = start(options).await;
    let plans: Vec<_> = (0..100).map(|n| plan(&format!("slow-{n}"), &[("create-delay", "300ms")])).collect();
    let begun = std::time::Instant::now();
    let created = within("the creates", join_all(plans.iter().map(|plan| mock.provider.create(plan)))).await;
    assert!(created.iter().all(Result::is_ok));
    // One after the other they would take 30 s. That is a statement about order, not about speed.
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(listed(&mock.provider).await.len(), 100);
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_places_wait_and_a_list_does_not_wait_for_them() {
    let mut options = options("mock");
    options.limits.concurrency = 2;
    let mock = start(options).await;
    let plans: Vec<_> = (0..6).map(|n| plan(&format!("slow-{n}"), &[("create-delay", "200ms")])).collect();
    let creates = join_all(plans.iter().map(|plan| mock.provider.create(plan)));
    let list = async {
        // Polled after the creates have taken their places, because `join` polls in order.
        mock.provider.list().await.unwrap().len()
    };
    let (created, listed_meanwhile) = within("the creates", async { futures::join!(creates, list) }).await;
    assert!(created.iter().all(Result::is_ok));
    assert_eq!(listed_meanwhile, 0);
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_provider_keep_their_kind() {
    let mock = start(options("mock")).await;
    let fail = |kind: &'static str| {
        let plan = plan(kind, &[("create-error", kind), ("create-error-message", "as scripted")]);
        let mock = &mock;
        async move { mock.provider.create(&plan).await.unwrap_err() }
    };
    assert!(matches!(fail("invalid").await, Error::Invalid(text) if text == "as scripted"));
    assert!(matches!(fail("denied").await, Error::Denied(_)));
    assert!(matches!(fail("unavailable").await, Error::Unavailable { .. }));
    assert!(matches!(fail("quota").await, Error::Quota { .. }));
    assert!(matches!(fail("internal").await, Error::Internal(_)));
    assert!(matches!(mock.provider.create(&plan("x", &[("no-such-name", "1")])).await, Err(Error::Invalid(_))));
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_refused_is_a_start_error() {
    let mut options = options("mock");
    options.config_json = r#"{"no-such-key":1}"#.to_owned();
    let error = try_start(options).await.err().unwrap();
    assert!(matches!(&error, StartError::Refused(message) if message.contains("no-such-key")), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_cannot_share_a_memory_until_the_first_has_stopped() {
    let first_options = options("mock");
    let first = start(first_options.clone()).await;
    let error = try_start(first_options.clone()).await.err().unwrap();
    assert!(chain(&error).contains("another pluglet uses"), "{}", chain(&error));
    first.provider.create(&plan("kept", &[])).await.unwrap();
    first.provider.stop(std::time::Duration::from_secs(5)).await;
    let stopped = first.provider.create(&plan("late", &[])).await;
    assert!(matches!(stopped, Err(Error::Unavailable { message, .. }) if message.contains("stopped")));
    let second = start(first_options).await;
    assert_eq!(listed(&second.provider).await, ["kept"]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_that_is_not_offered_is_unsupported() {
    let hello = start(options("hello")).await;
    hello.provider.create(&plan("a", &[])).await.unwrap();
    assert!(matches!(hello.provider.update(&plan("a", &[])).await, Err(Error::Unsupported(_))));
    assert!(matches!(hello.provider.logs(&key("a"), LogRequest::default()).await, Err(Error::Unsupported(_))));
    assert!(matches!(hello.provider.volumes_changed(&key("a"), 1, &[]).await, Err(Error::Unsupported(_))));
    let grace = std::time::Duration::ZERO;
    assert!(matches!(hello.provider.restart_container(&key("a"), "main", grace).await, Err(Error::Unsupported(_))));
    assert!(matches!(hello.provider.run(&key("a"), "main", &[]).await, Err(Error::Unsupported(_))));
    hello.stop().await;
}

#[test]
fn what_a_component_says_can_be_read_without_running_it() {
    for name in ["mock", "hello", "webhook"] {
        let seen = inspect(&component(name), 64 << 20).unwrap();
        let manifest = seen.manifest.unwrap();
        assert_eq!(manifest.name, name);
        assert_eq!(seen.contract, "0.1.0");
        assert!(!manifest.description.is_empty() && !manifest.version.is_empty());
        assert!(seen.imports.iter().any(|import| import.starts_with("pluglet:provider/")), "{:?}", seen.imports);
    }
    let webhook = inspect(&component("webhook"), 64 << 20).unwrap().manifest.unwrap();
    assert_eq!(webhook.endpoints.first().map(|endpoint| endpoint.name.as_str()), Some("backend"));
}
