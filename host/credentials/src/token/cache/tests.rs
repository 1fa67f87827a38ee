use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::Secret;
use crate::secret::header_value;

const HOUR: Duration = Duration::from_secs(3600);

/// Grants `token-1`, `token-2` … each time a permit is given.
#[derive(Clone)]
struct Script {
    asked: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    /// Told when a request has come.
    came: Arc<Semaphore>,
    panics: bool,
}

impl Script {
    fn new(permits: usize) -> Self {
        Self {
            asked: Arc::default(),
            permits: Arc::new(Semaphore::new(permits)),
            came: Arc::new(Semaphore::new(0)),
            panics: false,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn came(&self) {
        self.came.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl TokenSource for Script {
    async fn fetch(&self) -> Result<Granted, CredentialError> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.came.add_permits(1);
        assert!(!self.panics, "as scripted");
        self.permits.acquire().await.unwrap().forget();
        let token = format!("token-{number}");
        let header = header_value("Bearer ", token.as_bytes()).unwrap();
        Ok(Granted { secret: Secret::new(token), header, life: HOUR })
    }
}

async fn token(cache: &TokenCache) -> String {
    cache.token().await.unwrap().header.to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_without_a_token_make_one_request() {
    let script = Script::new(1);
    let cache = TokenCache::new(script.clone());
    let tokens = join_all((0..1000).map(|_| token(&cache))).await;
    assert!(tokens.iter().all(|token| token == "Bearer token-1"));
    assert_eq!(script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_old_token_is_good_nobody_waits_for_the_new_one() {
    let script = Script::new(1);
    let cache = TokenCache::new(script.clone());
    token(&cache).await;
    tokio::time::advance(HOUR - Duration::from_secs(300)).await;
    let tokens = join_all((0..1000).map(|_| token(&cache))).await;
    assert!(tokens.iter().all(|token| token == "Bearer token-1"));
    script.came().await;
    script.came().await;
    assert_eq!(script.asked(), 2);
    // The renewal goes on although everybody who could have caused it has gone.
    script.permits.add_permits(1);
    let mut outcome = locked(&cache.shared.inner).outcome.clone();
    outcome.wait_for(Option::is_some).await.unwrap();
    assert_eq!(token(&cache).await, "Bearer token-2");
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_caused_a_request_may_go_away_without_harm_to_the_others() {
    let script = Script::new(0);
    let cache = TokenCache::new(script.clone());
    tokio::select! {
        // Dropping it is what is tested.
        _ = cache.token() => panic!("there is no token yet"),
        () = script.came() => {}
    }
    let (other, ()) = tokio::join!(token(&cache), async { script.permits.add_permits(1) });
    assert_eq!(other, "Bearer token-1");
    assert_eq!(script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_request_is_a_failure_for_a_second_and_nobody_hangs() {
    let script = Script { panics: true, ..Script::new(0) };
    let cache = TokenCache::new(script.clone());
    let results = join_all((0..10).map(|_| cache.token())).await;
    assert!(results.iter().all(|result| matches!(result, Err(CredentialError::Interrupted))));
    assert!(matches!(cache.token().await, Err(CredentialError::Interrupted)));
    assert_eq!(script.asked(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(cache.token().await.is_err());
    assert_eq!(script.asked(), 2);
}

#[test]
fn a_runtime_that_is_shut_down_in_the_middle_leaves_the_cache_usable_on_another() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let script = Script::new(0);
    let cache = TokenCache::new(script.clone());
    let first = runtime();
    first.block_on(async {
        tokio::select! {
            // Dropping it is what is tested.
            _ = cache.token() => panic!("there is no token yet"),
            () = script.came() => {}
        }
    });
    drop(first);
    runtime().block_on(async {
        script.permits.add_permits(1);
        assert!(matches!(cache.token().await, Err(CredentialError::Interrupted)));
        // The clock of a paused runtime starts where the real one is, which the pause began before.
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(token(&cache).await, "Bearer token-2");
    });
}

#[tokio::test(start_paused = true)]
async fn dropping_the_cache_ends_its_request() {
    let script = Script::new(0);
    let cache = TokenCache::new(script.clone());
    tokio::select! {
        // Dropping it is what is tested.
        _ = cache.token() => panic!("there is no token yet"),
        () = script.came() => {}
    }
    let shared = Arc::downgrade(&cache.shared);
    drop(cache);
    while shared.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}
