//! Deadlines and metrics.

use std::time::Duration;

use pluglet_sdk::Level;

use crate::exchange::start;

#[test]
fn a_call_knows_how_long_it_is_waited_for() {
    let harness = start();
    let seen = || harness.call(async |client| Ok((client.0.remaining(), client.0.is_cancelled()))).unwrap();
    assert_eq!(seen(), (None, false), "no deadline unless the test sets one");
    harness.world().set_deadline(Some(Duration::from_secs(30)));
    harness.advance(Duration::from_millis(10_500));
    assert_eq!(seen(), (Some(Duration::from_millis(19_500)), false));
    harness.advance(Duration::from_secs(60));
    assert_eq!(seen(), (Some(Duration::ZERO), true));
    harness.world().set_deadline(None);
    assert_eq!(seen(), (None, false));
}

#[test]
fn counters_add_up_and_gauges_keep_the_last_value() {
    let harness = start();
    harness
        .call(async |client| {
            client.0.counter_add("requests_total", 2);
            client.0.counter_add("requests_total", 3);
            client.0.gauge_set("pods", 1.5);
            client.0.gauge_set("pods", 7.0);
            Ok(())
        })
        .unwrap();
    assert_eq!(harness.world().counters()["requests_total"], 5);
    assert_eq!(harness.world().gauges()["pods"].to_bits(), 7.0_f64.to_bits());
}

#[test]
fn names_that_the_host_would_drop_are_dropped_here_too() {
    let harness = start();
    harness
        .call(async |client| {
            for name in ["", "Big", "with-dash", &"x".repeat(65)] {
                client.0.counter_add(name, 1);
                client.0.gauge_set(name, 1.0);
            }
            for n in 0..65 {
                client.0.counter_add(&format!("name_{n}"), 1);
            }
            client.0.counter_add("name_0", 1);
            Ok(())
        })
        .unwrap();
    assert_eq!((harness.world().counters().len(), harness.world().gauges().len()), (64, 0));
    assert_eq!(harness.world().counters()["name_0"], 2);
    let warnings = harness.world().log_lines().into_iter().filter(|(level, _)| *level == Level::Warn);
    assert_eq!(warnings.count(), 9);
}
