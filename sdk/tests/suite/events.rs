//! What a provider reports.

use std::time::Duration;

use pluglet_sdk::testing::Harness;
use pluglet_sdk::{
    Event, Feature, Host, Info, Init, NodeFacts, PodEvent, PodRef, Provider, ResolvedPod, Result, Status,
};

struct Reporter(Host);

impl Provider for Reporter {
    async fn start(host: Host, _init: Init) -> Result<Self> {
        Ok(Self(host))
    }

    fn info(&self) -> Info {
        Info::new([Feature::Watch])
    }

    async fn create(&self, _pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        Ok(Status::from_json(spec.json))
    }

    async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        Ok(Vec::new())
    }
}

fn pod(uid: &str) -> PodRef {
    PodRef { uid: uid.to_owned(), ..PodRef::default() }
}

fn status(text: &str) -> Status {
    Status::from_json(text.to_owned())
}

fn reports(report: impl Fn(&Host) + 'static) -> Vec<Event> {
    let harness = Harness::<Reporter>::start("{}").unwrap();
    harness
        .call(async move |provider| {
            report(&provider.0);
            Ok(())
        })
        .unwrap();
    harness.events()
}

#[test]
fn events_come_in_the_order_of_their_reports() {
    let events = reports(|host| {
        host.pod_event(pod("a"), "Pulled", "the image is there");
        host.report(pod("a"), status("1"));
        host.gone(pod("a"));
        host.pod_warning(pod("b"), "Evicted", "no room");
        host.node_changed(NodeFacts::default());
        host.resync();
    });
    let told = |pod, warning, reason: &str, message: &str| {
        Event::Pod(PodEvent { pod, warning, reason: reason.to_owned(), message: message.to_owned() })
    };
    assert_eq!(
        events,
        [
            told(pod("a"), false, "Pulled", "the image is there"),
            Event::Status(pod("a"), status("1")),
            Event::Gone(pod("a")),
            told(pod("b"), true, "Evicted", "no room"),
            Event::Node(NodeFacts::default()),
            Event::Resync,
        ]
    );
}

#[test]
fn only_the_newest_status_of_a_pod_is_delivered() {
    let events = reports(|host| {
        host.report(pod("a"), status("1"));
        host.report(pod("b"), status("2"));
        host.report(pod("a"), status("3"));
        host.gone(pod("a"));
    });
    assert_eq!(
        events,
        [Event::Status(pod("a"), status("3")), Event::Status(pod("b"), status("2")), Event::Gone(pod("a")),]
    );
}

#[test]
fn a_queue_that_nobody_reads_turns_into_one_resync() {
    let events = reports(|host| {
        for n in 0..250_000 {
            host.gone(pod(&n.to_string()));
        }
    });
    assert!(events.len() <= 100_001, "{}", events.len());
    assert_eq!(events.first(), Some(&Event::Resync));
    assert_eq!(events.last(), Some(&Event::Gone(pod("249999"))));
}
