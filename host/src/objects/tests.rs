//! Watches that are shared and given back; a scripted source, paused time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::channel::mpsc;
use k8s_openapi::api::core::v1::Secret;

use super::*;

/// Counts the watches that are open and hands out the ends that feed them.
#[derive(Default)]
struct Script {
    opened: AtomicUsize,
    feeds: Mutex<Vec<mpsc::UnboundedSender<Known>>>,
}

impl ObjectSource for Script {
    fn watch(&self, _: &ObjectRef) -> BoxStream<'static, Known> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (feed, stream) = mpsc::unbounded();
        self.feeds.lock().unwrap().push(feed);
        stream.boxed()
    }
}

impl Script {
    fn tell(&self, known: Known) {
        self.feeds.lock().unwrap().last().unwrap().unbounded_send(known).unwrap();
    }

    fn open(&self) -> usize {
        self.feeds.lock().unwrap().iter().filter(|feed| !feed.is_closed()).count()
    }
}

fn secret() -> ObjectRef {
    ObjectRef::Secret { namespace: "n".into(), name: "s".into() }
}

fn found() -> Known {
    Known::Found(Arc::new(Object::Secret(Secret::default())))
}

fn objects() -> (Arc<Script>, Objects) {
    let script = Arc::new(Script::default());
    (script.clone(), Objects::new(script, Tasks::new()))
}

#[tokio::test(start_paused = true)]
async fn many_pods_that_name_one_secret_cost_one_watch_and_all_are_woken() {
    let (script, objects) = objects();
    let wakes: Vec<Arc<Notify>> = (0..100).map(|_| Arc::default()).collect();
    let held: Vec<Held> = wakes.iter().map(|wake| objects.hold([secret()].into(), wake.clone())).collect();
    assert!(matches!(held[0].get(&secret()), Known::Loading));
    script.tell(found());
    for (wake, held) in wakes.iter().zip(&held) {
        wake.notified().await;
        assert!(matches!(held.get(&secret()), Known::Found(_)));
    }
    assert_eq!(script.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_some_time_after_the_last_pod_and_not_before() {
    let (script, objects) = objects();
    let wake = Arc::new(Notify::new());
    let first = objects.hold([secret()].into(), wake.clone());
    let second = objects.hold([secret()].into(), wake.clone());
    drop(first);
    sleep(LINGER * 2).await;
    assert_eq!((script.open(), objects.len()), (1, 1));
    drop(second);
    sleep(LINGER / 2).await;
    let third = objects.hold([secret()].into(), wake.clone());
    sleep(LINGER * 2).await;
    assert_eq!((script.open(), objects.len()), (1, 1), "taken up again in time");
    drop(third);
    sleep(LINGER * 2).await;
    assert_eq!((script.open(), objects.len()), (0, 0));
    let _fourth = objects.hold([secret()].into(), wake);
    assert_eq!(script.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_make_a_known_object_unknown_and_a_deletion_does() {
    let (script, objects) = objects();
    let wake = Arc::new(Notify::new());
    let held = objects.hold([secret()].into(), wake.clone());
    script.tell(found());
    wake.notified().await;
    script.tell(Known::Failed("away".to_owned()));
    script.tell(Known::Missing);
    wake.notified().await;
    assert!(matches!(held.get(&secret()), Known::Missing));
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_watch_has_ended_stays_known() {
    let (script, objects) = objects();
    let wake = Arc::new(Notify::new());
    let held = objects.hold([secret()].into(), wake.clone());
    script.tell(found());
    script.feeds.lock().unwrap().clear();
    wake.notified().await;
    sleep(LINGER * 2).await;
    assert!(matches!(held.get(&secret()), Known::Found(_)));
}

#[tokio::test(start_paused = true)]
async fn an_immutable_object_is_read_once_and_its_watch_is_given_back() {
    let (script, objects) = objects();
    let wake = Arc::new(Notify::new());
    let held = objects.hold([secret()].into(), wake.clone());
    let immutable = Secret { immutable: Some(true), ..Secret::default() };
    script.tell(Known::Found(Arc::new(Object::Secret(immutable))));
    wake.notified().await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!((script.open(), objects.len()), (0, 1));
    assert!(matches!(held.get(&secret()), Known::Found(_)));
}
