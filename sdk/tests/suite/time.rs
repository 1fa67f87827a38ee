//! The clock of the harness, and calls that overlap.

use std::cell::Cell;
use std::time::Duration;

use pluglet_sdk::testing::Harness;
use pluglet_sdk::{Error, Host, Info, Init, Level, PodRef, Provider, ResolvedPod, Result, Status};

struct Sleeper {
    host: Host,
    awake: Cell<u32>,
}

impl Provider for Sleeper {
    async fn start(host: Host, _init: Init) -> Result<Self> {
        host.sleep(Duration::from_millis(10)).await;
        Ok(Self { host, awake: Cell::new(0) })
    }

    fn info(&self) -> Info {
        Info::default()
    }

    async fn create(&self, _pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        Ok(Status::from_json(spec.json))
    }

    async fn delete(&self, _pod: PodRef, grace: Duration) -> Result<()> {
        self.host.sleep(grace).await;
        self.awake.set(self.awake.get() + 1);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        std::future::pending().await
    }
}

fn start() -> Harness<Sleeper> {
    Harness::start("{}").unwrap()
}

fn now(harness: &Harness<Sleeper>) -> u64 {
    harness.call(async |sleeper| Ok(sleeper.host.now_unix_ns())).unwrap()
}

#[test]
fn calls_overlap_and_end_in_the_order_of_their_sleep() {
    let harness = start();
    let sleep = |seconds: u64| {
        harness.begin(async move |sleeper| sleeper.delete(PodRef::default(), Duration::from_secs(seconds)).await)
    };
    let (long, short) = (sleep(5).unwrap(), sleep(2).unwrap());
    harness.advance(Duration::from_secs(2));
    assert_eq!((long.take(), short.take()), (None, Some(Ok(()))));
    harness.advance(Duration::from_secs(3));
    assert_eq!(long.take(), Some(Ok(())));
}

#[test]
fn a_call_that_sleeps_moves_the_clock_just_as_far() {
    let harness = start();
    let before = now(&harness);
    harness.call(async |sleeper| sleeper.delete(PodRef::default(), Duration::from_micros(1500)).await).unwrap();
    assert_eq!(now(&harness) - before, 2_000_000, "sleep is rounded up to the millisecond");
}

#[test]
fn a_call_that_can_never_end_is_an_error() {
    assert!(matches!(start().list(), Err(Error::Internal(_))));
}

#[test]
fn a_background_task_outlives_the_call_that_spawned_it() {
    let harness = start();
    harness
        .call(async |sleeper| {
            let task = std::rc::Rc::clone(&sleeper);
            sleeper.host.spawn(async move {
                for _ in 0..3 {
                    let nested = std::rc::Rc::clone(&task);
                    task.host.spawn(async move { nested.awake.set(nested.awake.get() + 1) });
                    task.host.sleep(Duration::from_secs(1)).await;
                }
            });
            Ok(())
        })
        .unwrap();
    harness.advance(Duration::from_millis(1500));
    assert_eq!(harness.call(async |sleeper| Ok(sleeper.awake.get())), Ok(2));
    let restarted = harness.restart("{}").unwrap();
    restarted.advance(Duration::from_secs(5));
    assert_eq!(restarted.call(async |sleeper| Ok(sleeper.awake.get())), Ok(0), "tasks end with their incarnation");
}

#[test]
fn log_lines_and_random_bytes_are_the_same_in_each_run() {
    let bytes = || {
        let harness = start();
        harness
            .call(async |sleeper| {
                sleeper.host.log_with(Level::Warn, "careful", &[("uid", "u")]);
                Ok((sleeper.host.random_bytes(8), sleeper.host.random_bytes(8)))
            })
            .map(|bytes| (bytes, harness.world().log_lines()))
            .unwrap()
    };
    let ((first, second), log) = bytes();
    assert_eq!(bytes().0, (first.clone(), second.clone()));
    assert!(first != second && first.len() == 8);
    assert_eq!(log, [(Level::Warn, "careful uid=u".to_owned())]);
}
