//! The ServiceAccount tokens of one pod.
//!
//! In: which tokens the pod's volumes name, a clock. Out: tokens, and when they are to be renewed. Invariant: a token is never shared between
//! pods, since each is bound to one; one that cannot be renewed is kept for as long as it is valid.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pluglet_model::PodKey;
use pluglet_rules::references::TokenSpec;
use tokio::time::Instant;

use super::spread;
use crate::pods::port::PodStore;

/// A token is renewed when so much of its life is over, or after a day (the kubelet's token manager).
const RENEW_AT_PERCENT: u32 = 80;
const LONGEST_USE: Duration = Duration::from_secs(24 * 3600);

/// How long after a failed renewal the next is tried, while the old token is still good.
const RETRY: Duration = Duration::from_secs(30);

/// Tokens of pods that were created together are not all renewed in the same second.
const LONGEST_JITTER: Duration = Duration::from_secs(10);

/// What one pod holds: mostly one, for which a map would have room for eleven.
#[derive(Default)]
pub(super) struct Tokens(Vec<(TokenSpec, Token)>);

struct Token {
    value: Arc<str>,
    renew_at: Instant,
    expires_at: Instant,
}

impl Tokens {
    /// Asks for those that are missing or due. An error only for one that is not there or no longer valid.
    pub(super) async fn renew(
        &mut self,
        store: &dyn PodStore,
        key: &PodKey,
        service_account: &str,
        specs: &BTreeSet<TokenSpec>,
    ) -> Result<(), (TokenSpec, String)> {
        self.0.retain(|(spec, _)| specs.contains(spec));
        let mut failed = None;
        for spec in specs {
            let now = Instant::now();
            let known = self.0.iter_mut().find(|(known, _)| known == spec).map(|(_, token)| token);
            if known.as_ref().is_some_and(|token| now < token.renew_at) {
                continue;
            }
            match (store.request_token(key, service_account, spec).await, known) {
                (Ok((value, seconds)), known) => {
                    let token = Token::new(value, seconds, spread(key, LONGEST_JITTER), now);
                    match known {
                        Some(known) => *known = token,
                        None => self.0.push((spec.clone(), token)),
                    }
                }
                (Err(_), Some(token)) if now < token.expires_at => token.renew_at = now + RETRY,
                (Err(error), _) => {
                    failed.get_or_insert((spec.clone(), error));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn get(&self, spec: &TokenSpec) -> Option<Arc<str>> {
        self.0.iter().find(|(known, _)| known == spec).map(|(_, token)| token.value.clone())
    }

    /// When the next is due. None: there are none.
    pub(super) fn renew_at(&self) -> Option<Instant> {
        self.0.iter().map(|(_, token)| token.renew_at).min()
    }
}

impl Token {
    /// Its life is counted from before it was asked for, by this machine's clock: the API server's may be another.
    fn new(value: Arc<str>, seconds: i64, jitter: Duration, now: Instant) -> Self {
        let life = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let use_for = (life * RENEW_AT_PERCENT / 100).min(LONGEST_USE);
        Self { value, renew_at: now + use_for.saturating_sub(jitter), expires_at: now + life }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use serde_json::Value;

    use super::*;
    use crate::pods::port::WriteError;

    /// Hands out numbered tokens while it is not `away`.
    #[derive(Default)]
    struct Issuer {
        asked: Mutex<u32>,
        away: Mutex<bool>,
    }

    #[async_trait]
    impl PodStore for Issuer {
        async fn patch_status(&self, _: &PodKey, _: Value) -> Result<u64, WriteError> {
            Err(WriteError::Gone)
        }
        async fn delete(&self, _: &PodKey) -> Result<(), WriteError> {
            Err(WriteError::Gone)
        }
        async fn request_token(&self, _: &PodKey, _: &str, spec: &TokenSpec) -> Result<(Arc<str>, i64), String> {
            if *self.away.lock().unwrap() {
                return Err("away".to_owned());
            }
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            // No token of this issuer lives longer.
            Ok((format!("token {asked}").into(), spec.expiration_seconds.min(1000)))
        }
    }

    async fn renewed(tokens: &mut Tokens, issuer: &Issuer) -> Result<String, String> {
        let spec = TokenSpec { audience: None, expiration_seconds: 86_400 };
        let key = PodKey::new("u", "n", "p");
        let outcome = tokens.renew(issuer, &key, "default", &[spec.clone()].into()).await;
        outcome.map(|()| tokens.get(&spec).unwrap().to_string()).map_err(|(_, error)| error)
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_at_80_percent_of_its_life_and_not_before() {
        let (issuer, mut tokens) = (Issuer::default(), Tokens::default());
        assert_eq!(renewed(&mut tokens, &issuer).await.unwrap(), "token 1");
        tokio::time::advance(Duration::from_secs(789)).await;
        assert_eq!(renewed(&mut tokens, &issuer).await.unwrap(), "token 1");
        assert!(tokens.renew_at().unwrap() <= Instant::now() + Duration::from_secs(11));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(renewed(&mut tokens, &issuer).await.unwrap(), "token 2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_cannot_be_renewed_is_kept_until_it_is_invalid() {
        let (issuer, mut tokens) = (Issuer::default(), Tokens::default());
        assert_eq!(renewed(&mut tokens, &issuer).await.unwrap(), "token 1");
        *issuer.away.lock().unwrap() = true;
        tokio::time::advance(Duration::from_secs(900)).await;
        assert_eq!(renewed(&mut tokens, &issuer).await.unwrap(), "token 1");
        assert_eq!(tokens.renew_at().unwrap(), Instant::now() + RETRY);
        tokio::time::advance(Duration::from_secs(101)).await;
        assert_eq!(renewed(&mut tokens, &issuer).await.unwrap_err(), "away");
        *issuer.away.lock().unwrap() = false;
        assert_eq!(renewed(&mut tokens, &issuer).await.unwrap(), "token 2");
    }
}
