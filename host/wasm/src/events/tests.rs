//! Forwarding, with the incarnation played by the test.

use pluglet_model::provider::Info;
use tokio::sync::watch;

use super::*;
use crate::bindings::exports::pluglet::provider::events::PodEvent;
use crate::bindings::exports::pluglet::provider::lifecycle::NodeFacts;
use crate::bindings::pluglet::provider::types::{self, PodRef};
use crate::call::Job;

const WATCHING: Features = Features {
    watch: true,
    update: false,
    logs: false,
    exec: false,
    attach: false,
    port_forward: false,
    stats: false,
    refresh: false,
    restart: false,
    probes: false,
    containers: false,
};

fn pod(uid: &str) -> PodRef {
    PodRef { uid: uid.to_owned(), namespace: "default".to_owned(), name: uid.to_owned(), generation: 1 }
}

fn notes() -> Notes {
    Notes::new(60, prometheus_client::metrics::counter::Counter::default())
}

/// A door, and the other side of it.
fn door() -> (Gate, mpsc::Receiver<Job>) {
    let (jobs, queue) = mpsc::channel(8);
    // The sender of the end is leaked into the channel's life: these incarnations do not end.
    let (_, end) = watch::channel(None);
    (Gate::new(jobs, end), queue)
}

/// Answer the next call, which has to be `watch`.
async fn watched(queue: &mut mpsc::Receiver<Job>, answer: Result<(), types::Error>) -> channel::Sender<Vec<Event>> {
    match queue.recv().await.map(|job| job.request) {
        Some(Request::Watch { sink, reply }) => {
            reply.send(answer).unwrap();
            sink
        }
        _ => panic!("not a watch"),
    }
}

/// Play one incarnation against `forward` until the play is over.
async fn play(
    features: Features,
    act: impl AsyncFnOnce(mpsc::Receiver<Job>, mpsc::Receiver<ProviderEvent>, &Publisher),
) {
    let (gate, queue) = door();
    let (publisher, _seen) = Publisher::new(crate::metrics::Metrics::default().of("test"));
    publisher.up(Info::default(), gate.clone());
    let (events, told) = mpsc::channel(16);
    tokio::select! {
        // Cancel-safe: the test is over.
        () = forward(gate, features, events, &publisher, notes()) => panic!("forwarding ended"),
        // As above.
        () = act(queue, told, &publisher) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn events_keep_their_order_and_what_is_no_status_is_dropped() {
    play(WATCHING, async |mut queue, mut told, _| {
        let mut sink = watched(&mut queue, Ok(())).await;
        let status = |uid: &str, json: &str| Event::Status((pod(uid), json.to_owned()));
        let note = PodEvent { pod: pod("a"), warning: true, reason: "Odd".to_owned(), message: "two\nlines".to_owned() };
        let batch = vec![status("a", r#"{"phase":"Running"}"#), status("b", "phase: Running"), Event::Gone(pod("b"))];
        sink.try_send(batch).unwrap();
        sink.try_send(vec![Event::PodEvent(note), Event::Resync]).unwrap();
        assert!(matches!(told.recv().await, Some(ProviderEvent::Status(key, status))
            if &*key.uid == "a" && status.phase.as_deref() == Some("Running")));
        assert!(matches!(told.recv().await, Some(ProviderEvent::Gone(key)) if &*key.uid == "b"));
        assert!(matches!(told.recv().await, Some(ProviderEvent::PodEvent { warning: true, message, .. }) if message == "two lines"));
        assert!(matches!(told.recv().await, Some(ProviderEvent::Resync)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn node_facts_change_the_health_and_are_no_event() {
    let (publisher, seen) = Publisher::new(crate::metrics::Metrics::default().of("test"));
    let (gate, mut queue) = door();
    publisher.up(Info::default(), gate.clone());
    let (events, _told) = mpsc::channel(16);
    let facts = NodeFacts {
        capacity: vec![("cpu".to_owned(), "8".to_owned())],
        allocatable: Vec::new(),
        architecture: "arm64".to_owned(),
        operating_system: "linux".to_owned(),
        labels: Vec::new(),
        taints: Vec::new(),
        conditions: Vec::new(),
    };
    let act = async {
        let mut sink = watched(&mut queue, Ok(())).await;
        sink.try_send(vec![Event::Node(facts)]).unwrap();
        let mut health = seen.health.clone();
        let changed =
            health.wait_for(|health| health.info.as_ref().is_some_and(|info| info.node.architecture == "arm64")).await;
        assert_eq!(changed.unwrap().info.as_ref().unwrap().node.capacity["cpu"], "8");
    };
    tokio::select! {
        // Cancel-safe: the test is over.
        () = forward(gate, WATCHING, events, &publisher, notes()) => panic!("forwarding ended"),
        // As above.
        () = act => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_is_a_resync_and_is_opened_again() {
    play(WATCHING, async |mut queue, mut told, _| {
        drop(watched(&mut queue, Ok(())).await);
        assert!(matches!(told.recv().await, Some(ProviderEvent::Resync)));
        let mut sink = watched(&mut queue, Ok(())).await;
        sink.try_send(vec![Event::Gone(pod("a"))]).unwrap();
        assert!(matches!(told.recv().await, Some(ProviderEvent::Gone(_))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_watch_the_host_is_asked_to_list_again_and_again() {
    play(Features::default(), async |_queue, mut told, _| {
        let begun = tokio::time::Instant::now();
        for _ in 0..3 {
            assert!(matches!(told.recv().await, Some(ProviderEvent::Resync)));
        }
        assert_eq!(begun.elapsed(), POLL_INTERVAL * 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_is_tried_again_with_lists_in_between() {
    play(WATCHING, async |mut queue, mut told, _| {
        let failed = types::Error::Unavailable(types::Retry { message: "away".to_owned(), retry_after_ms: None });
        drop(watched(&mut queue, Err(failed)).await);
        assert!(matches!(told.recv().await, Some(ProviderEvent::Resync)));
        watched(&mut queue, Ok(())).await;
    })
    .await;
}

fn cut(event: Event) -> Event {
    let mut out = VecDeque::new();
    bounded(event, &mut out);
    out.pop_front().unwrap()
}

#[test]
fn what_waits_is_no_larger_than_what_is_allowed() {
    let megabytes = || "x".repeat(8 << 20);
    let Event::Status((pod, json)) = cut(Event::Status((pod(&megabytes()), megabytes()))) else { panic!() };
    assert!(pod.uid.capacity() <= 256 && pod.name.capacity() <= 256);
    assert!(json.capacity() <= MAX_STATUS_BYTES + 4);
    assert!(matches!(adapt::status(&json), Err(pluglet_model::provider::Error::Invalid(_))));
    let note = PodEvent { pod, warning: true, reason: megabytes(), message: megabytes() };
    let Event::PodEvent(note) = cut(Event::PodEvent(note)) else { panic!() };
    assert!(note.reason.capacity() + note.message.capacity() <= 2 * (MAX_TEXT_BYTES + 4));
}

#[test]
fn node_facts_that_wait_are_few_and_short() {
    let pairs = || vec![("k".repeat(10_000), "v".repeat(10_000)); 1000];
    let facts = NodeFacts {
        capacity: pairs(),
        allocatable: pairs(),
        architecture: "a".repeat(10_000),
        operating_system: "linux".to_owned(),
        labels: pairs(),
        taints: Vec::new(),
        conditions: Vec::new(),
    };
    let Event::Node(facts) = cut(Event::Node(facts)) else { panic!() };
    for pairs in [&facts.capacity, &facts.allocatable, &facts.labels] {
        assert!(pairs.capacity() <= 128 && pairs.iter().all(|(k, v)| k.capacity() + v.capacity() < 1000));
    }
    assert_eq!((facts.architecture.len(), facts.operating_system.as_str()), (321, "linux"));
}

#[tokio::test(start_paused = true)]
async fn rubbish_is_told_once_a_minute_however_much_there_is() {
    let (publisher, _seen) = Publisher::new(crate::metrics::Metrics::default().of("test"));
    let (events, _told) = mpsc::channel(1);
    let (bad_status, odd_facts) = (Seldom::default(), Seldom::default());
    let mut sorter = Sorter { events, publisher: &publisher, notes: notes(), bad_status, odd_facts };
    for _ in 0..100 {
        assert!(sorter.sort(Event::Status((pod("a"), "rubbish".to_owned()))).is_none());
    }
    let later = Instant::now() + Duration::from_secs(60);
    assert_eq!(sorter.bad_status.admit(later), Some(99));
}
