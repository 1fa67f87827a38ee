//! Why an incarnation ended, in words for an operator.
//!
//! In: what the engine and the watchdog saw. Out: one line. Invariant: it says what happened before what the engine calls it. Pure.

use std::time::Duration;

use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::capabilities::log::clean;
use crate::instance::Crash;
use crate::vitals::Stuck;

/// Longest explanation in bytes; parts of it are the guest's words.
const MAX_BYTES: usize = 1 << 10;

/// A crash. `panic` is what the guest last said on stderr about a panic.
pub(super) fn crash(crash: &Crash, panic: Option<String>) -> String {
    let what = match (crash.memory_limit, &panic) {
        // Without a panic's text: an allocation failed, and the program aborted without a word.
        (Some(bytes), None) => return format!("memory limit of {} MiB reached", bytes >> 20),
        _ => trap(&crash.error),
    };
    let text = match panic {
        Some(panic) => format!("{what} ({panic})"),
        None => what,
    };
    clean(&text, MAX_BYTES)
}

/// The same in a word for metrics.
pub(super) fn cause(ended: &Result<(), Crash>) -> &'static str {
    match ended {
        Ok(()) => "closed",
        Err(crash) if crash.memory_limit.is_some() => "memory",
        Err(crash) if crash.error.downcast_ref::<I32Exit>().is_some() => "exit",
        Err(_) => "trap",
    }
}

/// What the engine calls it.
fn trap(error: &wasmtime::Error) -> String {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("the component called exit({})", exit.0);
    }
    match error.downcast_ref::<Trap>() {
        // The instruction that a Rust program ends with when it aborts.
        Some(Trap::UnreachableCodeReached) => "wasm trap: unreachable executed".to_owned(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    }
}

/// It computed for too long.
pub(super) fn stalled(cpu_stall: Duration) -> String {
    format!("used more than {cpu_stall:?} of CPU without yielding")
}

/// A call did not end.
pub(super) fn stuck(stuck: &Stuck) -> String {
    format!("a call of `{}` did not end long after its deadline", stuck.call)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed(error: impl Into<wasmtime::Error>, memory_limit: Option<usize>) -> Crash {
        Crash { error: error.into(), memory_limit }
    }

    #[test]
    fn a_panic_is_told_with_its_text() {
        let text =
            crash(&crashed(Trap::UnreachableCodeReached, None), Some("panicked at src/lib.rs:7:1: oh no".to_owned()));
        assert_eq!(text, "wasm trap: unreachable executed (panicked at src/lib.rs:7:1: oh no)");
    }

    #[test]
    fn the_memory_limit_explains_the_trap_that_follows_it() {
        assert_eq!(
            crash(&crashed(Trap::UnreachableCodeReached, Some(256 << 20)), None),
            "memory limit of 256 MiB reached"
        );
    }

    #[test]
    fn a_panic_after_a_refused_allocation_is_still_a_panic() {
        let text = crash(
            &crashed(Trap::UnreachableCodeReached, Some(256 << 20)),
            Some("panicked at a.rs:1:1: other".to_owned()),
        );
        assert_eq!(text, "wasm trap: unreachable executed (panicked at a.rs:1:1: other)");
    }

    #[test]
    fn an_exit_and_other_traps_are_told_as_such() {
        assert_eq!(crash(&crashed(I32Exit(3), None), None), "the component called exit(3)");
        assert_eq!(crash(&crashed(Trap::StackOverflow, None), None), "wasm trap: call stack exhausted");
    }

    #[test]
    fn a_stall_is_told_with_the_limit() {
        assert_eq!(stalled(Duration::from_secs(2)), "used more than 2s of CPU without yielding");
    }
}
