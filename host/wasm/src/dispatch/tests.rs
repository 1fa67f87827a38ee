//! Places, turns, carried jobs and the verdict on lost ones, with the incarnations played by the test.

use std::collections::HashMap;

use futures::future::join;
use tokio::sync::mpsc;

use super::*;
use crate::bindings::pluglet::provider::types;
use crate::call::{CREATE, LIST, STATUS};
use crate::gate::End;

/// A dispatcher with its phase in the test's hand.
fn dispatcher(concurrency: usize) -> (Arc<Dispatch>, watch::Sender<Phase>) {
    let (tell, phase) = watch::channel(Phase::Down { why: "not yet".to_owned(), next: Instant::now() });
    (Arc::new(Dispatch::new(phase, concurrency, Gauge::default())), tell)
}

/// An incarnation: its queue and the way to end it.
struct Played {
    gate: Gate,
    queue: mpsc::Receiver<Job>,
    tell_end: watch::Sender<Option<Arc<End>>>,
}

fn incarnation() -> Played {
    let (jobs, queue) = mpsc::channel(64);
    let (tell_end, end) = watch::channel(None);
    Played { gate: Gate::new(jobs, end), queue, tell_end }
}

fn end(message: &str, strikes: HashMap<Arc<str>, u32>) -> Option<Arc<End>> {
    Some(Arc::new(End { message: message.to_owned(), strikes }))
}

async fn status(dispatch: &Dispatch, uid: &str) -> Result<String, Error> {
    let uid: Arc<str> = uid.into();
    let pod = types::PodRef { uid: uid.to_string(), namespace: String::new(), name: String::new(), generation: 0 };
    dispatch.call(STATUS, Some(&uid), |reply| Request::Status { pod, reply }).await.map(|(json, _)| json)
}

/// Take the next job, which has to be a status, and give back how to answer it. The permit is in what is given back.
async fn take(queue: &mut mpsc::Receiver<Job>) -> (Arc<str>, Reply<String>, Permit) {
    let Job { request, uid, permit, .. } = queue.recv().await.unwrap();
    match request {
        Request::Status { reply, .. } => (uid.unwrap(), reply, permit),
        _ => panic!("not a status"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_provider_that_is_on_its_way() {
    let (dispatch, tell) = dispatcher(4);
    let mut played = incarnation();
    let serve = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        tell.send_replace(Phase::Up(played.gate.clone()));
        let (_, reply, _permit) = take(&mut played.queue).await;
        reply.send(Ok("{}".to_owned())).unwrap();
    };
    let (answer, ()) = join(status(&dispatch, "a"), serve).await;
    assert_eq!(answer.unwrap(), "{}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_for_long_fails_calls_at_once_and_says_for_how_long() {
    let (dispatch, tell) = dispatcher(4);
    tell.send_replace(Phase::Down { why: "wasm trap".to_owned(), next: Instant::now() + Duration::from_secs(30) });
    let begun = Instant::now();
    let Err(Error::Unavailable { message, retry_after }) = status(&dispatch, "a").await else {
        panic!("not unavailable")
    };
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(message, "the provider is not running: wasm trap");
    assert!(retry_after.unwrap() > Duration::from_secs(25));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_let_go_is_unavailable() {
    let (dispatch, tell) = dispatcher(4);
    tell.send_replace(Phase::Stopped);
    assert!(matches!(status(&dispatch, "a").await, Err(Error::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_pod_calls_are_inside_and_a_list_has_its_own_place() {
    let (dispatch, tell) = dispatcher(1);
    let mut played = incarnation();
    tell.send_replace(Phase::Up(played.gate.clone()));
    let serve = async {
        let (_, first, first_permit) = take(&mut played.queue).await;
        let Some(Job { request: Request::List { reply }, .. }) = played.queue.recv().await else {
            panic!("not the list")
        };
        reply.send(Ok(Vec::new())).unwrap();
        assert!(played.queue.try_recv().is_err(), "the second status is still outside");
        first.send(Ok("1".to_owned())).unwrap();
        drop(first_permit);
        let (_, second, _permit) = take(&mut played.queue).await;
        second.send(Ok("2".to_owned())).unwrap();
    };
    let calls = join(
        join(status(&dispatch, "a"), status(&dispatch, "b")),
        dispatch.call(LIST, None, |reply| Request::List { reply }),
    );
    let (((a, b), listed), ()) = join(calls, serve).await;
    assert_eq!((a.unwrap().as_str(), b.unwrap().as_str()), ("1", "2"));
    assert!(listed.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_by_the_guest_and_not_by_a_caller_who_gave_up() {
    let (dispatch, tell) = dispatcher(1);
    let mut played = incarnation();
    tell.send_replace(Phase::Up(played.gate.clone()));
    let (answer, taken) = join(status(&dispatch, "a"), take(&mut played.queue)).await;
    assert!(matches!(answer, Err(Error::Timeout { call: "status", .. })), "{answer:?}");
    let busy = status(&dispatch, "b").await;
    assert!(matches!(&busy, Err(Error::Unavailable { message, .. }) if message.contains("busy")), "{busy:?}");
    drop(taken);
    let (answer, _) =
        join(status(&dispatch, "c"), async { take(&mut played.queue).await.1.send(Ok("3".to_owned())) }).await;
    assert_eq!(answer.unwrap(), "3");
}

#[tokio::test(start_paused = true)]
async fn suspects_go_in_one_at_a_time_and_others_pass_them() {
    let (dispatch, tell) = dispatcher(8);
    let mut played = incarnation();
    tell.send_replace(Phase::Up(played.gate.clone()));
    dispatch.suspects().crashed(vec!["s1".into(), "s2".into()], "trap");
    let serve = async {
        let (first, reply, permit) = take(&mut played.queue).await;
        let (second, other, _other_permit) = take(&mut played.queue).await;
        assert_eq!((&*first, &*second), ("s1", "free"));
        other.send(Ok(String::new())).unwrap();
        assert!(played.queue.try_recv().is_err(), "s2 waits for its turn");
        dispatch.suspects().answered("s1");
        reply.send(Ok(String::new())).unwrap();
        drop(permit);
        let (third, reply, _permit) = take(&mut played.queue).await;
        assert_eq!(&*third, "s2");
        reply.send(Ok(String::new())).unwrap();
    };
    let calls = futures::future::join3(status(&dispatch, "s1"), status(&dispatch, "s2"), status(&dispatch, "free"));
    let ((a, b, c), ()) = join(calls, serve).await;
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_hears_the_verdict_only_once_it_is_put_down() {
    let (dispatch, tell) = dispatcher(8);
    let Played { gate, mut queue, tell_end } = incarnation();
    tell.send_replace(Phase::Up(gate));
    let crash = async {
        for _ in 0..2 {
            // Taken and dropped: the reply is gone before anybody knows why.
            drop(take(&mut queue).await);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let strikes = HashMap::from([("culprit".into(), 3), ("other".into(), 1)]);
        tell_end.send_replace(end("wasm trap", strikes));
    };
    let ((culprit, other), ()) = join(join(status(&dispatch, "culprit"), status(&dispatch, "other")), crash).await;
    assert!(matches!(culprit, Err(Error::Crashed { strikes: 3, .. })), "{culprit:?}");
    assert!(matches!(other, Err(Error::Restarting(message)) if message == "wasm trap"));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_not_begun_is_carried_to_the_next_incarnation() {
    let (dispatch, tell) = dispatcher(8);
    let Played { gate, queue, tell_end } = incarnation();
    tell.send_replace(Phase::Up(gate));
    drop(queue);
    let mut next = incarnation();
    let restart = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tell.send_replace(Phase::Down { why: "wasm trap".to_owned(), next: Instant::now() });
        tell_end.send_replace(end("wasm trap", HashMap::new()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        tell.send_replace(Phase::Up(next.gate.clone()));
        let (_, reply, _permit) = take(&mut next.queue).await;
        reply.send(Ok("carried".to_owned())).unwrap();
    };
    let (answer, ()) = join(status(&dispatch, "a"), restart).await;
    assert_eq!(answer.unwrap(), "carried");
}

#[test]
fn sessions_are_bounded_and_leave_room_for_the_commands_of_probes() {
    let (dispatch, _tell) = dispatcher(1);
    let open: Vec<_> = (0..MAX_SESSIONS).map(|_| dispatch.session().unwrap()).collect();
    assert!(matches!(dispatch.session(), Err(Error::Unavailable { .. })));
    let probes: Vec<_> = (0..MAX_COMMANDS).map(|_| dispatch.command().unwrap()).collect();
    assert!(matches!(dispatch.command(), Err(Error::Unavailable { .. })));
    drop((open, probes));
    assert!(dispatch.session().is_ok());
    assert_eq!(CREATE.lane, Lane::Pods);
}
