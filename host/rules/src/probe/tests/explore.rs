//! Any order of events, against what must hold in all of them.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    /// Time passes, in tenths of a second.
    Wait(u64),
    /// The container of that number is seen, running or not.
    See(u8, bool),
    Vanish,
    Begin(Kind),
    Finish(usize, Option<bool>),
    Terminate,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let kind = prop_oneof![Just(Kind::Startup), Just(Kind::Readiness), Just(Kind::Liveness)];
    let event = prop_oneof![
        4 => (1_u64..40).prop_map(Event::Wait),
        3 => (0_u8..3, prop::bool::weighted(0.8)).prop_map(|(which, running)| Event::See(which, running)),
        1 => Just(Event::Vanish),
        8 => kind.prop_map(Event::Begin),
        8 => (0_usize..3, prop::option::weighted(0.9, any::<bool>())).prop_map(|(at, end)| Event::Finish(at, end)),
        1 => prop::bool::weighted(0.05).prop_map(|end| if end { Event::Terminate } else { Event::Wait(1) }),
    ];
    prop::collection::vec(event, 1..200)
}

const FAILURES: u32 = 2;

/// What an observer knows without the machine.
#[derive(Default)]
struct Truth {
    seen: Option<(u8, bool)>,
    /// Counts changes of the container.
    life: u64,
    /// Failures in a row by probe, of this life.
    failures: [u32; 3],
    dead: bool,
    terminating: bool,
}

impl Truth {
    fn runs(&self) -> bool {
        matches!(self.seen, Some((_, true)))
    }

    fn see(&mut self, which: u8, running: bool) {
        if self.seen.map(|(known, _)| known) != Some(which) {
            self.life += 1;
            self.failures = [0; 3];
            self.dead = false;
        }
        if !running {
            self.failures = [0; 3];
        }
        self.seen = Some((which, running));
    }
}

fn position(kind: Kind) -> usize {
    Kind::ALL.iter().position(|at| *at == kind).unwrap()
}

fn step(one: &mut Container, truth: &mut Truth, pending: &mut Vec<(Ticket, u64)>, now: &mut Duration, event: Event) {
    match event {
        Event::Wait(tenths) => *now += Duration::from_millis(100 * tenths),
        Event::See(which, running) => {
            truth.see(which, running);
            let seen = if running { super::running(&which.to_string()) } else { stopped(&which.to_string()) };
            one.observe(*now, Some(&seen));
        }
        Event::Vanish => {
            truth.seen = truth.seen.map(|(which, _)| (which, false));
            truth.failures = [0; 3];
            one.observe(*now, None);
        }
        Event::Begin(kind) => {
            if let Some(ticket) = one.begin(kind, *now) {
                assert!(truth.runs(), "checked what does not run");
                assert!(kind == Kind::Startup || one.verdict().started == Some(true), "checked before it started");
                assert!(!truth.dead || kind == Kind::Readiness, "checked what is to be restarted");
                assert!(pending.iter().all(|(other, _)| other.kind != kind), "two checks of one probe");
                pending.push((ticket, truth.life));
            }
        }
        Event::Finish(at, success) if at < pending.len() => {
            let (ticket, life) = pending.swap_remove(at);
            let effect = one.finished(ticket, *now, success);
            assert!(effect == Effect::Void || life == truth.life, "an outcome of another container counts");
            let failures = &mut truth.failures[position(ticket.kind)];
            match (effect, success) {
                (Effect::Void, _) | (_, None) => {}
                (_, Some(true)) => *failures = 0,
                (_, Some(false)) => *failures += 1,
            }
            if effect == Effect::Restart {
                assert_eq!(truth.failures[position(ticket.kind)], FAILURES);
                assert_ne!(ticket.kind, Kind::Readiness);
                assert!(truth.runs() && life == truth.life && !truth.terminating && !truth.dead);
                truth.dead = true;
            }
        }
        Event::Finish(..) => {}
        Event::Terminate => {
            truth.terminating = true;
            one.terminating(*now);
        }
    }
}

proptest! {
    #[test]
    fn in_no_order_of_events_is_ready_what_does_not_run_or_restarted_what_did_not_fail_enough(events in events()) {
        let mut one = container(
            r#"{"name":"c",
                "startupProbe":{"periodSeconds":1,"failureThreshold":2},
                "readinessProbe":{"periodSeconds":1,"failureThreshold":2,"successThreshold":2},
                "livenessProbe":{"periodSeconds":1,"failureThreshold":2,"initialDelaySeconds":2}}"#,
        );
        let (mut truth, mut pending, mut now) = (Truth::default(), vec![], ZERO);
        for event in events {
            step(&mut one, &mut truth, &mut pending, &mut now, event);
            let verdict = one.verdict();
            let nothing = Verdict { started: Some(false), ready: Some(false) };
            prop_assert!(truth.runs() || verdict == nothing);
            prop_assert!(verdict.started == Some(true) || verdict.ready == Some(false));
            prop_assert!(truth.runs() || one.due().is_none());
        }
    }
}
