//! How long a container waits before it is started again (`CrashLoopBackOff`).
//!
//! In: the pause before its last attempt, how long that ran. Out: the next pause. Invariant: the pause of an attempt is kept with it, so nothing else has
//! to be remembered.
//!
//! The first restart is immediate; then 10 s, doubling to 5 min. After ten minutes of running all begins anew.

use std::time::Duration;

/// Before the second restart.
pub const FIRST: Duration = Duration::from_secs(10);
/// At most.
pub const LONGEST: Duration = Duration::from_secs(300);
/// Who ran for longer is not in a loop (`MaxContainerBackOff`, twice).
pub const CALM: Duration = Duration::from_secs(600);

/// The pause between the end of an attempt and the beginning of the next. `last` is the pause before that attempt; None: it was the first.
#[must_use]
pub fn pause(last: Option<Duration>, ran: Duration) -> Duration {
    match last {
        None => Duration::ZERO,
        Some(_) if ran > CALM => Duration::ZERO,
        Some(last) if last.is_zero() => FIRST,
        Some(last) => last.saturating_mul(2).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_begin_anew_after_ten_of_running() {
        let mut last = None;
        let mut next = |ran: u64| {
            let pause = pause(last, Duration::from_secs(ran));
            last = Some(pause);
            pause.as_secs()
        };
        assert_eq!([(); 8].map(|()| next(1)), [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!([next(601), next(1), next(1)], [0, 10, 20]);
        assert_eq!(next(600), 40);
    }
}
