//! What reviews have answered, for as long as it may be relied on.
//!
//! In: answers. Out: the same again. Invariant: bounded, and nothing is kept for longer than its kind of answer may be.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Answers that are kept. Whoever reaches the port can make up tokens: each is a key.
const MOST: usize = 4096;

/// Answers by question.
pub(super) struct Cache<K, V> {
    answers: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new() -> Self {
        Self { answers: Mutex::new(HashMap::new()) }
    }

    pub(super) fn get(&self, question: &K, now: Instant) -> Option<V> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(question).filter(|(_, until)| now < *until).map(|(answer, _)| answer.clone())
    }

    pub(super) fn put(&self, question: K, answer: V, valid: Duration, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.retain(|_, (_, until)| now < *until);
        }
        // All are asked again: better than a search for the oldest at each question of an attacker.
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.insert(question, (answer, now + valid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_time_and_no_more_of_them_than_may_be() {
        let (cache, now) = (Cache::new(), Instant::now());
        cache.put("a".to_owned(), 1, Duration::from_secs(10), now);
        assert_eq!(cache.get(&"a".to_owned(), now + Duration::from_secs(9)), Some(1));
        assert_eq!(cache.get(&"a".to_owned(), now + Duration::from_secs(10)), None);
        for number in 0..3 * MOST {
            cache.put(number.to_string(), 2, Duration::from_secs(10), now);
        }
        assert!(cache.answers.lock().unwrap().len() <= MOST);
    }
}
