//! Providers that trap, spin and eat memory, and what becomes of the others.

use std::time::Duration;

use futures::future::join;
use pluglet_model::provider::{Error, Provider, ProviderEvent};

use crate::support::{Running, listed, options, phase, plan, start, within};

/// Create the culprit until the host knows it.
async fn convict(mock: &Running, fault: &str) -> (u32, String) {
    let culprit = plan("culprit", &[("fault", fault)]);
    match within("the verdict", mock.create_patiently(&culprit)).await {
        Err(Error::Crashed { strikes, message }) => (strikes, message),
        other => panic!("no verdict but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_survived_by_the_others_and_convicts_the_culprit() {
    let mut mock = start(options("mock")).await;
    mock.provider.create(&plan("before", &[])).await.unwrap();
    let bystander = plan("bystander", &[("create-delay", "50ms")]);
    let (verdict, bystander) = join(convict(&mock, "trap"), mock.create_patiently(&bystander)).await;
    let (strikes, message) = verdict;
    assert_eq!(strikes, 3);
    assert!(message.starts_with("wasm trap: unreachable executed (panicked at "), "{message}");
    assert!(message.ends_with("a trap, as the annotation asks for)"), "{message}");
    assert!(bystander.is_ok(), "{bystander:?}");

    mock.event("resync", |event| matches!(event, ProviderEvent::Resync).then_some(())).await;
    let health = mock.health_where("up again", |health| health.failure.is_none()).await;
    assert!(health.restarts >= 2, "{} restarts", health.restarts);
    assert_eq!(listed(&mock.provider).await, ["before", "bystander"]);
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_computes_without_end_is_stopped() {
    let mut options = options("mock");
    options.limits.cpu_stall = Duration::from_millis(200);
    let mock = start(options).await;
    let (strikes, message) = convict(&mock, "spin").await;
    assert_eq!((strikes, message.as_str()), (3, "used more than 200ms of CPU without yielding"));
    assert!(mock.create_patiently(&plan("after", &[])).await.is_ok());
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_eats_memory_is_stopped_at_its_limit() {
    let mut options = options("mock");
    options.limits.memory_bytes = 32 << 20;
    let mock = start(options).await;
    let (strikes, message) = convict(&mock, "allocate").await;
    assert_eq!((strikes, message.as_str()), (3, "memory limit of 32 MiB reached"));
    assert!(mock.create_patiently(&plan("after", &[])).await.is_ok());
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convicted_pod_is_refused_without_asking_the_provider_and_a_mended_one_is_free() {
    let mock = start(options("mock")).await;
    convict(&mock, "trap").await;
    let restarts = mock.health_where("up again", |health| health.failure.is_none()).await.restarts;
    let again = within("the verdict again", mock.create_patiently(&plan("culprit", &[("fault", "trap")]))).await;
    assert!(matches!(again, Err(Error::Crashed { strikes: 3, .. })), "{again:?}");
    assert_eq!(mock.provider.health().borrow().restarts, restarts, "the provider was asked again");
    let mended = within("the mended pod", mock.create_patiently(&plan("culprit", &[]))).await;
    assert_eq!(phase(&mended.unwrap()), "Running");
    let relapsed = mock.provider.create(&plan("other", &[("fault", "trap")])).await;
    assert!(matches!(relapsed, Err(Error::Restarting(_))), "{relapsed:?}");
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_at_a_crash_are_told_to_come_again() {
    let mock = start(options("mock")).await;
    let slow = plan("slow", &[("create-delay", "1h")]);
    let bomb = plan("bomb", &[("create-delay", "20ms"), ("fault", "trap")]);
    let (slow, bomb) = within("both", join(mock.provider.create(&slow), mock.provider.create(&bomb))).await;
    for lost in [slow, bomb] {
        let Err(Error::Restarting(message)) = lost else { panic!("not restarting but {lost:?}") };
        assert!(message.contains("panicked at"), "{message}");
    }
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_limit_that_is_too_small_to_start_is_told_by_the_health() {
    let mut options = options("mock");
    options.limits.memory_bytes = 64 << 10;
    let mock = crate::support::try_start(options).await.unwrap();
    let health = mock.provider.health().borrow().clone();
    assert_eq!(health.failure.as_deref(), Some("memory limit of 0 MiB reached"));
    assert!(health.info.is_none());
    let refused = mock.provider.create(&plan("a", &[])).await;
    assert!(matches!(refused, Err(Error::Unavailable { message, .. }) if message.contains("memory limit")));
    mock.stop().await;
}
