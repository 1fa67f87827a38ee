//! Waiting for something to become true, with a deadline and an error that says what was waited for.
//!
//! For what can only be asked (an HTTP health page, a file). What the API server can tell by a watch is better awaited
//! with `kube::runtime::wait::await_condition`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two questions: short against everything waited for here, long against the cost of asking.
const PERIOD: Duration = Duration::from_millis(50);

/// The answer to one question.
#[derive(Debug)]
pub enum Answer<T> {
    /// It is so.
    Yes(T),
    /// Not yet, and what was seen instead (goes into the error when time runs out).
    NotYet(String),
}

/// Asks until the answer is [`Answer::Yes`]. An error from `ask` ends the wait at once.
pub async fn until<T>(what: &str, deadline: Duration, mut ask: impl AsyncFnMut() -> Result<Answer<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let seen = match ask().await? {
            Answer::Yes(value) => return Ok(value),
            Answer::NotYet(seen) => seen,
        };
        if begun.elapsed() > deadline {
            bail!("waited {deadline:?} for {what}; last seen: {seen}");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_says_what_was_waited_for_and_what_was_seen() {
        let error = until("tea", Duration::ZERO, async || Ok(Answer::<()>::NotYet("cold water".into()))).await;
        let message = error.unwrap_err().to_string();
        assert!(message.contains("tea") && message.contains("cold water"), "{message}");
    }

    #[tokio::test]
    async fn an_error_is_not_waited_out() {
        let outcome = until::<()>("tea", Duration::from_secs(60), async || bail!("the kettle is broken")).await;
        assert_eq!(outcome.unwrap_err().to_string(), "the kettle is broken");
    }
}
