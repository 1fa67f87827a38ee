//! The state machine, event by event, and its invariants over any sequence of events.

use proptest::prelude::*;

use super::machine::FIRST_POLL;
use super::*;

const POLICY: Policy = Policy { may_restart: true, watches: true, updates: true, grace: 30 };

fn away() -> Error {
    Error::Unavailable { message: "away".to_owned(), retry_after: None }
}

/// Runs events through a machine and gives the actions of the last.
fn run(machine: Machine, events: Vec<Event>) -> (Machine, Vec<Action>) {
    events.into_iter().fold((machine, vec![]), |(machine, _), event| machine.next(event))
}

fn running() -> Machine {
    let (machine, _) = run(Machine::new(POLICY), vec![Event::Due, Event::Created(Ok(false))]);
    assert_eq!(machine.state, State::Running);
    machine
}

#[test]
fn a_pod_is_created_once_and_runs() {
    let (machine, actions) = Machine::new(POLICY).next(Event::Due);
    assert_eq!((machine.state, actions), (State::Creating, vec![Action::Create]));
    let (machine, actions) = machine.next(Event::Created(Ok(false)));
    assert_eq!((machine.state, actions), (State::Running, vec![Action::Clear]));
}

#[test]
fn deletion_stops_then_writes_then_removes() {
    let (machine, actions) = running().next(Event::Wished(Wish::Stop(30)));
    assert_eq!((machine.state, actions), (State::Stopping, vec![Action::Delete(30)]));
    let (machine, actions) = machine.next(Event::Reported(true));
    assert_eq!((machine.state, actions), (State::Finishing, vec![]));
    let (machine, actions) = machine.next(Event::Written);
    assert_eq!((machine.state, actions), (State::Removing, vec![Action::Remove]));
    let (machine, actions) = run(machine, vec![Event::Removed, Event::Wished(Wish::Vanished)]);
    assert_eq!((machine.state, actions), (State::Gone, vec![]));
}

#[test]
fn a_force_deleted_pod_is_stopped_at_once_and_nothing_is_written() {
    let (machine, actions) = running().next(Event::Wished(Wish::Vanished));
    assert_eq!((machine.state, actions), (State::Stopping, vec![Action::Delete(0)]));
    let (machine, actions) = machine.next(Event::Lost);
    assert_eq!((machine.state, actions), (State::Gone, vec![]));
}

#[test]
fn a_shorter_grace_period_is_passed_on_and_a_longer_one_is_not() {
    let (machine, _) = running().next(Event::Wished(Wish::Stop(30)));
    let (machine, actions) = machine.next(Event::Wished(Wish::Stop(60)));
    assert_eq!(actions, vec![]);
    let (_, actions) = machine.next(Event::Wished(Wish::Stop(1)));
    assert_eq!(actions, vec![Action::Delete(1)]);
}

#[test]
fn a_pod_deleted_while_it_is_being_created_is_deleted_when_the_call_ends_even_in_vain() {
    for outcome in [Ok(false), Err(away())] {
        let (machine, actions) = run(Machine::new(POLICY), vec![Event::Due, Event::Wished(Wish::Stop(5))]);
        assert_eq!((machine.state, actions), (State::Creating, vec![]));
        let (machine, actions) = machine.next(Event::Created(outcome));
        assert_eq!((machine.state, actions), (State::Stopping, vec![Action::Delete(5)]));
    }
}

#[test]
fn a_pod_deleted_before_the_provider_was_asked_needs_no_provider() {
    let (machine, actions) = Machine::new(POLICY).next(Event::Wished(Wish::Stop(30)));
    assert_eq!((machine.state, actions), (State::Finishing, vec![]));
}

#[test]
fn a_refused_pod_fails_and_says_why() {
    let (machine, actions) =
        run(Machine::new(POLICY), vec![Event::Due, Event::Created(Err(Error::Invalid("no GPUs".to_owned())))]);
    let failure = Failure::of_pod("ProviderInvalid", "no GPUs");
    assert_eq!((machine.state, actions), (State::Ended, vec![Action::Record(failure.clone()), Action::Fail(failure)]));
}

#[test]
fn a_pod_that_exists_with_other_content_is_brought_up_to_date_and_does_not_fail() {
    let (machine, actions) = run(Machine::new(POLICY), vec![Event::Due, Event::Created(Err(Error::AlreadyExists))]);
    assert_eq!((machine.state, actions), (State::Updating, vec![Action::Update]));
    let without = Policy { updates: false, ..POLICY };
    let (machine, actions) = run(Machine::new(without), vec![Event::Due, Event::Created(Err(Error::AlreadyExists))]);
    assert_eq!((machine.state, actions), (State::Running, vec![Action::Clear, Action::Poll]));
}

#[test]
fn a_change_ends_the_pause_after_a_failed_attempt() {
    let (machine, _) = run(Machine::new(POLICY), vec![Event::Due, Event::Created(Err(away()))]);
    let (_, actions) = machine.next(Event::Changed);
    assert_eq!(actions, vec![Action::Wake(Duration::ZERO)]);
}

#[test]
fn failed_attempts_are_spaced_wider_and_wider_up_to_five_minutes() {
    let mut machine = Machine::new(POLICY);
    let mut pauses = vec![];
    for _ in 0..12 {
        let (next, actions) = run(machine, vec![Event::Due, Event::Created(Err(away()))]);
        pauses.extend(actions.iter().filter_map(|action| match action {
            Action::Wake(pause) => Some(pause.as_secs()),
            _ => None,
        }));
        machine = next;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
}

#[test]
fn a_backend_that_asks_for_patience_gets_it() {
    let error = Error::Quota { message: "full".to_owned(), retry_after: Some(Duration::from_secs(90)) };
    let (_, actions) = run(Machine::new(POLICY), vec![Event::Due, Event::Created(Err(error))]);
    assert!(actions.contains(&Action::Wake(Duration::from_secs(90))), "{actions:?}");
}

#[test]
fn a_restart_of_the_provider_is_nobodys_fault_and_makes_no_event() {
    let (machine, actions) =
        run(Machine::new(POLICY), vec![Event::Due, Event::Created(Err(Error::Restarting("trap".to_owned())))]);
    assert_eq!(machine.state, State::Pending);
    assert!(!actions.iter().any(|action| matches!(action, Action::Record(_))), "{actions:?}");
}

#[test]
fn a_lost_pod_is_created_again_if_it_may_restart() {
    let (machine, actions) = running().next(Event::Lost);
    assert_eq!(machine.state, State::Pending);
    assert!(actions.contains(&Action::Wake(Duration::ZERO)), "{actions:?}");
    let never = Policy { may_restart: false, ..POLICY };
    let (machine, actions) = Machine::adopted(never, false).next(Event::Lost);
    assert_eq!(machine.state, State::Ended);
    assert!(actions.iter().any(|action| matches!(action, Action::Fail(_))), "{actions:?}");
}

#[test]
fn a_pod_that_ended_never_runs_again() {
    let (machine, _) = running().next(Event::Reported(true));
    assert_eq!(machine.state, State::Ended);
    for event in [Event::Reported(false), Event::Lost, Event::Changed, Event::Due] {
        let (machine, actions) = machine.clone().next(event);
        assert_eq!((machine.state, actions), (State::Ended, vec![]));
    }
}

#[test]
fn a_change_during_an_update_leads_to_another_update() {
    let (machine, actions) = running().next(Event::Changed);
    assert_eq!((machine.state, actions), (State::Updating, vec![Action::Update]));
    let (machine, actions) = run(machine, vec![Event::Changed, Event::Updated(Ok(false))]);
    assert_eq!((machine.state, actions), (State::Updating, vec![Action::Update]));
}

#[test]
fn a_provider_without_watch_is_polled_soon_after_a_delete() {
    let quiet = Policy { watches: false, ..POLICY };
    let (_, actions) = run(Machine::adopted(quiet, false), vec![Event::Wished(Wish::Stop(30)), Event::Deleted(Ok(()))]);
    assert_eq!(actions, vec![Action::Wake(FIRST_POLL)]);
    let (machine, _) = running().next(Event::Wished(Wish::Stop(30)));
    let (_, actions) = machine.next(Event::Deleted(Ok(())));
    assert_eq!(actions, vec![Action::Wake(Duration::from_secs(35))]);
}

#[test]
fn a_delete_that_fails_is_tried_again_until_the_provider_has_nothing_left() {
    let (machine, _) = run(running(), vec![Event::Wished(Wish::Stop(30)), Event::Deleted(Err(away()))]);
    assert_eq!(machine.state, State::Stopping);
    let (machine, actions) = machine.next(Event::Due);
    assert_eq!(actions, vec![Action::Delete(30)]);
    let (machine, _) = machine.next(Event::Deleted(Err(Error::NotFound)));
    assert_eq!(machine.state, State::Finishing);
}

#[test]
fn finalizers_of_others_keep_the_object_and_we_leave_it_alone() {
    let (machine, _) = run(running(), vec![Event::Wished(Wish::Stop(0)), Event::Lost, Event::Written, Event::Removed]);
    let (machine, actions) = machine.next(Event::Wished(Wish::Stop(0)));
    assert_eq!((machine.state, actions), (State::Removing, vec![]));
}

#[test]
fn a_pod_that_cannot_be_resolved_waits_and_its_deletion_needs_no_provider() {
    let missing = Failure::of_pod("FailedMount", "no such ConfigMap");
    let (machine, actions) = run(Machine::new(POLICY), vec![Event::Due, Event::Unresolved(missing.clone())]);
    assert_eq!(machine.state, State::Pending);
    assert_eq!(actions, vec![Action::Record(missing.clone()), Action::Hold(missing.clone())]);
    let (deleted, actions) = machine.clone().next(Event::Wished(Wish::Stop(30)));
    assert_eq!((deleted.state, actions), (State::Finishing, vec![]));
    // The object is there by now.
    let (machine, actions) = machine.next(Event::Due);
    assert_eq!((machine.state, actions), (State::Creating, vec![Action::Create]));
    // Deleted while it was being looked up.
    let (machine, _) = machine.next(Event::Wished(Wish::Stop(30)));
    let (machine, actions) = machine.next(Event::Unresolved(missing));
    assert_eq!((machine.state, actions), (State::Finishing, vec![]));
}

#[test]
fn a_running_pod_whose_change_cannot_be_resolved_runs_on_and_the_change_is_owed() {
    let missing = Failure::of_pod("FailedMount", "no such ConfigMap");
    let (machine, actions) = run(running(), vec![Event::Changed, Event::Unresolved(missing.clone())]);
    assert_eq!((machine.state, actions), (State::Running, vec![Action::Record(missing)]));
    let (machine, actions) = machine.next(Event::Due);
    assert_eq!((machine.state, actions), (State::Updating, vec![Action::Update]));
}

#[test]
fn a_pod_that_ran_for_too_long_is_stopped_and_stays_with_the_verdict() {
    let late = Failure::of_pod("DeadlineExceeded", "too long");
    let (machine, actions) = running().next(Event::Expired(late.clone()));
    assert_eq!((machine.state, actions), (State::Stopping, vec![Action::Delete(30), Action::Record(late.clone())]));
    let (ended, actions) = machine.clone().next(Event::Reported(true));
    assert_eq!((ended.state, actions), (State::Ended, vec![Action::Fail(late.clone())]));
    // Deleted meanwhile: the shorter grace counts, and the object goes.
    let (machine, actions) = machine.next(Event::Wished(Wish::Stop(1)));
    assert_eq!(actions, vec![Action::Delete(1)]);
    let (machine, actions) = machine.next(Event::Lost);
    assert_eq!((machine.state, actions), (State::Finishing, vec![Action::Fail(late)]));
}

#[test]
fn a_pod_that_ran_for_too_long_while_a_call_was_under_way_is_stopped_when_it_ends() {
    let late = Failure::of_pod("DeadlineExceeded", "too long");
    let (machine, actions) = run(Machine::new(POLICY), vec![Event::Due, Event::Expired(late.clone())]);
    assert_eq!((machine.state, actions), (State::Creating, vec![Action::Record(late)]));
    let (machine, actions) = machine.next(Event::Created(Ok(false)));
    assert_eq!((machine.state, actions), (State::Stopping, vec![Action::Delete(30)]));
}

#[test]
fn a_pod_that_was_not_admitted_fails_and_the_provider_never_hears_of_it() {
    let full = Failure::of_pod("OutOfcpu", "full");
    let (machine, actions) = Machine::new(POLICY).next(Event::Rejected(full.clone()));
    assert_eq!((machine.state, actions), (State::Ended, vec![Action::Fail(full)]));
    let (machine, actions) = machine.next(Event::Wished(Wish::Stop(30)));
    assert_eq!((machine.state, actions), (State::Finishing, vec![]));
}

#[test]
fn a_provider_that_was_started_again_during_a_deletion_is_told_again_with_what_is_left() {
    let (machine, _) = run(running(), vec![Event::Wished(Wish::Stop(30)), Event::Deleted(Ok(()))]);
    let (machine, actions) = machine.next(Event::Forgotten(12));
    assert_eq!((machine.state, actions), (State::Stopping, vec![Action::Delete(12)]));
    let (machine, actions) = running().next(Event::Forgotten(12));
    assert_eq!((machine.state, actions), (State::Running, vec![]));
}

fn event() -> impl Strategy<Value = Event> {
    let error = prop_oneof![
        Just(away()),
        Just(Error::NotFound),
        Just(Error::Invalid("x".to_owned())),
        Just(Error::Restarting("x".to_owned())),
    ];
    let outcome = prop_oneof![any::<bool>().prop_map(Ok), error.clone().prop_map(Err)];
    let wish = prop_oneof![(0..60_u32).prop_map(Wish::Stop), Just(Wish::Vanished)];
    prop_oneof![
        wish.prop_map(Event::Wished),
        Just(Event::Changed),
        Just(Event::Due),
        Just(Event::Loading),
        Just(Event::Unresolved(Failure::of_pod("x", "x"))),
        Just(Event::Unreachable(Failure::of_pod("x", "x"))),
        Just(Event::Rejected(Failure::of_pod("x", "x"))),
        Just(Event::Expired(Failure::of_pod("x", "x"))),
        outcome.clone().prop_map(Event::Created),
        outcome.prop_map(Event::Updated),
        prop_oneof![Just(Ok(())), error.prop_map(Err)].prop_map(Event::Deleted),
        any::<bool>().prop_map(Event::Reported),
        Just(Event::Lost),
        (0..60_u32).prop_map(Event::Forgotten),
        Just(Event::Written),
        Just(Event::Removed),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_events_removes_an_object_before_its_status_is_written_or_stops_a_wanted_pod(
        events in proptest::collection::vec(event(), 1..40),
        watches: bool,
        may_restart: bool,
    ) {
        let mut machine = Machine::new(Policy { watches, may_restart, ..POLICY });
        let (mut ever_unwanted, mut ended) = (false, false);
        for event in events {
            // The API server never brings back what it has deleted.
            if matches!(event, Event::Wished(Wish::Stop(_))) && machine.wish == Wish::Vanished {
                continue;
            }
            ever_unwanted |= matches!(event, Event::Wished(_) | Event::Expired(_));
            let before = machine.state;
            let written = matches!(event, Event::Written);
            let (next, actions) = machine.next(event);
            for action in &actions {
                match action {
                    Action::Remove => prop_assert!((before == State::Finishing && written) || before == State::Removing),
                    Action::Delete(_) => prop_assert!(ever_unwanted),
                    Action::Create => prop_assert!(!ended && next.wish == Wish::Run),
                    _ => {}
                }
            }
            ended |= next.state == State::Ended;
            if ended {
                prop_assert!(!matches!(next.state, State::Pending | State::Creating | State::Running | State::Updating));
            }
            machine = next;
        }
    }
}

/// What a provider and an API server that answer in the end say to a machine in this state.
fn fair(machine: &Machine) -> Event {
    match machine.state {
        State::Pending | State::Running | State::Ended => Event::Wished(Wish::Vanished),
        State::Creating => Event::Created(Ok(false)),
        State::Updating => Event::Updated(Ok(false)),
        State::Stopping => Event::Deleted(Err(Error::NotFound)),
        State::Finishing => Event::Written,
        State::Removing | State::Gone => Event::Wished(Wish::Vanished),
    }
}

proptest! {
    #[test]
    fn whatever_happened_a_deleted_pod_comes_to_its_end_once_everybody_answers(
        events in proptest::collection::vec(event(), 0..40),
        watches: bool,
        may_restart: bool,
    ) {
        let machine = Machine::new(Policy { watches, may_restart, ..POLICY });
        let (mut machine, _) = run(machine, events.into_iter().filter(|event| !matches!(event, Event::Wished(Wish::Vanished))).collect());
        (machine, _) = machine.next(Event::Wished(Wish::Vanished));
        for _ in 0..8 {
            let event = fair(&machine);
            (machine, _) = machine.next(event);
        }
        prop_assert_eq!(machine.state, State::Gone);
    }
}
