//! What all kinds of checks share.

use std::task::Poll;

use futures::poll;

use super::super::command::tests::Commands;
use super::*;

fn runner(provider: Commands) -> NodeRunner {
    NodeRunner::new(Arc::new(provider), Reach::new(false)).unwrap()
}

fn key() -> PodKey {
    PodKey::new("uid", "default", "pod")
}

fn hanging() -> Check {
    Check::Command(vec!["cat".to_owned(), "/tmp/healthy".to_owned()])
}

#[tokio::test]
async fn an_impossible_check_and_a_pod_without_address_say_nothing() {
    let runner = runner(Commands(None));
    let second = Duration::from_secs(1);
    let impossible = Check::Impossible("why".to_owned());
    assert_eq!(
        runner.check(&key(), "c", &impossible, None, second).await,
        Outcome::Unknown { error: "why".to_owned() }
    );
    for check in [Check::Tcp { host: None, port: 1 }, Check::Grpc { port: 1, service: String::new() }] {
        assert_eq!(
            runner.check(&key(), "c", &check, None, second).await,
            Outcome::Unknown { error: "the provider reports no address for the pod".to_owned() }
        );
    }
}

#[tokio::test]
async fn a_check_goes_to_the_pod_unless_it_names_a_host() {
    let runner = runner(Commands(None));
    let pod_ip = Some("169.254.1.1".parse().unwrap());
    let second = Duration::from_secs(1);
    for (host, refused) in [(None, "169.254.1.1"), (Some("169.254.2.2".to_owned()), "169.254.2.2")] {
        let check = Check::Tcp { host, port: 1 };
        assert_eq!(
            runner.check(&key(), "c", &check, pod_ip, second).await,
            Outcome::Unknown { error: format!("{refused} is a link-local address, where no probe may go") }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_check_keeps_its_place_for_longer_than_a_minute() {
    let long = Duration::from_secs(i32::MAX as u64);
    assert_eq!(
        runner(Commands(None)).check(&key(), "c", &hanging(), None, long).await,
        Outcome::failure("command timed out: no answer within 60s")
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_waits_for_a_place_does_not_fail_over_it() {
    let runner = runner(Commands(None));
    let (key, check, minute) = (key(), hanging(), Duration::from_secs(60));
    let mut hogs: Vec<_> = (0..64).map(|_| runner.check(&key, "c", &check, None, minute)).collect();
    for hog in &mut hogs {
        assert!(poll!(hog).is_pending());
    }
    let impossible = Check::Impossible("its turn".to_owned());
    let mut late = runner.check(&key, "c", &impossible, None, Duration::from_secs(1));
    assert!(poll!(&mut late).is_pending());
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(poll!(&mut late).is_pending(), "far beyond its own second");
    drop(hogs);
    assert_eq!(poll!(&mut late), Poll::Ready(Outcome::Unknown { error: "its turn".to_owned() }));
}
