//! When to use a token, when to ask for one, when to leave the token server alone.
//!
//! In: the time, and what became of token requests. Out: a [`Decision`]. Invariant: after [`Decision::Refresh`] or
//! [`Decision::UseAndRefresh`] nobody is told to refresh until [`State::granted`] or [`State::failed`]; after a failure nobody is told
//! to before the pause is over. Pure: no clock, no I/O, no randomness.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Granted, Token};
use crate::CredentialError;

/// A long-lived token is renewed this long before its end: the token server may be away that long without anybody noticing.
const LEAD: Duration = Duration::from_secs(300);

/// By how much the renewal of a long-lived token is brought forward at most. Hosts that were started together would otherwise ask
/// together for ever.
const SPREAD: Duration = Duration::from_secs(60);

/// A token is not used in its last seconds: it would end on its way to the backend, or at a backend whose clock is ahead.
const MARGIN: Duration = Duration::from_secs(10);

/// The shortest life that is believed. A server that gives out tokens with no life left would otherwise be asked by every request.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest life that is believed. Nothing bad comes of asking once a week; an absurd number would overflow the clock.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause of our own making: what a recovered token server costs a user at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause that a token server can ask for. An absurd one (a date next year) would need a restart to get over.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A backend that refuses whatever token it gets (a wrong audience, a missing role) costs one token request in this time, not one for
/// each request.
const REJECTION_EVERY: Duration = Duration::from_secs(10);

/// What a caller is to do.
pub(super) enum Decision {
    /// Use this token.
    Use(Arc<Token>),
    /// Use this token, and start asking for the next.
    UseAndRefresh(Arc<Token>),
    /// Start asking, and wait.
    Refresh,
    /// Somebody is asking: wait.
    Wait,
    /// Asking has failed a moment ago.
    Fail(CredentialError),
}

/// What is known of one credential's token.
#[derive(Default)]
pub(super) struct State {
    token: Option<Arc<Token>>,
    refreshing: bool,
    serial: u64,
    failures: u32,
    /// The last failure, and until when it stands.
    pause: Option<(CredentialError, Instant)>,
    /// When a token was last thrown away because a backend refused it.
    rejected: Option<Instant>,
}

impl State {
    /// What to do now.
    pub(super) fn decide(&mut self, now: Instant) -> Decision {
        self.token.take_if(|token| token.usable_until <= now);
        self.pause.take_if(|(_, until)| *until <= now);
        match (&self.token, &self.pause) {
            (Some(token), None) if token.refresh_at <= now && !self.refreshing => {
                self.refreshing = true;
                Decision::UseAndRefresh(Arc::clone(token))
            }
            (Some(token), _) => Decision::Use(Arc::clone(token)),
            (None, _) if self.refreshing => Decision::Wait,
            (None, Some((error, _))) => Decision::Fail(error.clone()),
            (None, None) => {
                self.refreshing = true;
                Decision::Refresh
            }
        }
    }

    /// A token that was asked for at `asked`. `jitter` is 0 to 1.
    pub(super) fn granted(&mut self, asked: Instant, granted: Granted, jitter: f64) -> Arc<Token> {
        let Granted { secret, header, life } = granted;
        let (refresh_after, usable_for) = schedule(life, jitter);
        self.serial += 1;
        let token = Arc::new(Token {
            secret,
            header,
            serial: self.serial,
            refresh_at: asked + refresh_after,
            usable_until: asked + usable_for,
        });
        self.token = Some(Arc::clone(&token));
        self.refreshing = false;
        self.failures = 0;
        self.pause = None;
        token
    }

    /// No token. Answers how long nobody asks again, and whether there still is a token to use.
    pub(super) fn failed(&mut self, now: Instant, error: CredentialError) -> (Duration, bool) {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        let pause = error.retry_after().map_or(doubled, |told| told.min(LONGEST_RETRY_AFTER).max(doubled));
        self.failures = self.failures.saturating_add(1);
        self.refreshing = false;
        self.pause = Some((error, now + pause));
        (pause, self.token.as_ref().is_some_and(|token| token.usable_until > now))
    }

    /// A backend refused the token with this serial. Answers whether a further try would carry another one.
    pub(super) fn rejected(&mut self, serial: u64, now: Instant) -> bool {
        let paused = self.pause.as_ref().is_some_and(|(_, until)| *until > now);
        match &self.token {
            Some(token) if token.serial == serial => {
                if self.rejected.is_some_and(|last| now < last + REJECTION_EVERY) {
                    return false;
                }
                self.token = None;
                self.rejected = Some(now);
                !paused
            }
            Some(_) => true,
            // It has been thrown away by another request: the next one asks, unless asking fails at present.
            None => !paused,
        }
    }
}

/// After which time to renew a token, and for how long it can be used.
fn schedule(life: Duration, jitter: f64) -> (Duration, Duration) {
    let life = life.clamp(SHORTEST, LONGEST);
    let lead = LEAD.min(life / 5);
    let spread = SPREAD.min(life / 10).mul_f64(jitter.clamp(0.0, 1.0));
    (life - lead - spread, life - MARGIN.min(life / 10))
}

#[cfg(test)]
mod tests;
