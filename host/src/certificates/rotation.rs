//! Keeps a certificate fresh.
//!
//! In: what is wanted, where it is kept, who signs. Out: pairs in the store, and what the server shows. Invariant: there is at most one request
//! under way for each certificate, over restarts too; the present certificate is used until the next one is there.

use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use super::pair::{Pair, Unusable};
use super::request::Wanted;
use super::shown::Shown;
use super::store::{self, Store};
use super::{Signer, SigningError};

/// Pause after a request that came to nothing, doubling up to the longest one. What is missing is a decision by a person or a controller.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);
/// How often the clock is looked at while there is nothing to do: timers stand still while a machine sleeps, certificates do not.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Why there is no new pair.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("cannot make a request")]
    Request(#[source] rcgen::Error),
    #[error("what was signed is of no use")]
    Unusable(#[source] Unusable),
}

/// One certificate that is kept fresh.
pub(crate) struct Rotation<S> {
    pub(crate) wanted: Wanted,
    pub(crate) store: Store,
    pub(crate) signer: S,
}

impl<S: Signer> Rotation<S> {
    /// That of a server, which has another one until there is one. The next is asked for at `renewal`, or at once. Until it is dropped.
    pub(crate) async fn serving(self, shown: Shown, mut renewal: Option<SystemTime>) {
        loop {
            if let Some(renewal) = renewal {
                until(renewal).await;
            }
            let pair = obtain(&self.wanted, &self.store, &self.signer).await;
            shown.set(pair.certified.clone());
            renewal = Some(pair.renewal(Some(SystemTime::now())));
        }
    }

    /// That of a client, which reads the store's file, and asks with the present one for the next. Ends when there is none that is good.
    pub(crate) async fn client(self) {
        let mut present = self.store.load(&self.wanted).map(|pair| (pair.renewal(None), pair.not_after()));
        while let Some((renewal, end)) = present {
            until(renewal).await;
            present = tokio::select! {
                pair = obtain(&self.wanted, &self.store, &self.signer) => {
                    Some((pair.renewal(Some(SystemTime::now())), pair.not_after()))
                }
                // Cancel-safe: what was asked for is found again by the next process.
                () = until(end) => None,
            };
        }
        error!(
            "the client certificate's time is over, and no other one was signed: only --bootstrap-kubeconfig, or another kubeconfig, helps"
        );
    }
}

/// Asks until there is a certificate.
pub(crate) async fn obtain(wanted: &Wanted, store: &Store, signer: &impl Signer) -> Pair {
    let mut pause = FIRST_PAUSE;
    loop {
        match ask(wanted, store, signer).await {
            Ok(pair) => {
                let days = pair.not_after().duration_since(SystemTime::now()).unwrap_or_default().as_secs() / 86_400;
                info!(purpose = wanted.purpose(), file = %store.current().display(), days, "there is a new certificate");
                return pair;
            }
            Err(error) => {
                let error = pluglet_model::chain(&error);
                warn!(purpose = wanted.purpose(), error, ?pause, "no certificate yet, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn ask(wanted: &Wanted, store: &Store, signer: &impl Signer) -> Result<Pair, Error> {
    let key = store.pending_key()?;
    let request = wanted.request(&key).map_err(Error::Request)?;
    match signer.sign(&request).await {
        Ok(certificate) => store.complete(&certificate, &key, wanted)?.map_err(Error::Unusable),
        Err(error) => {
            // A decision stays: with the same key it would be the same request again. One that was not taken has not been decided about.
            if !matches!(error, SigningError::Refused { .. }) {
                store.give_up();
            }
            Err(error.into())
        }
    }
}

/// By the clock on the wall.
async fn until(time: SystemTime) {
    while let Ok(left) = time.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::super::pair::tests::signed;
    use super::super::request::Request;
    use super::*;

    /// Says no first, then does not take the request, then signs for the wrong node, then well.
    struct Fickle {
        store: Store,
        wanted: Wanted,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Signer for Fickle {
        async fn sign(&self, request: &Request) -> Result<String, SigningError> {
            let mut asked = self.asked.lock().unwrap();
            asked.push(request.name.clone());
            let (name, message) = (request.name.clone(), "no".to_owned());
            let key = self.store.pending_key().unwrap();
            let chain = |wanted: &Wanted| {
                let pem = signed(wanted, &key, &["n", "10.0.0.7"]);
                pem.split_once("-----BEGIN PRIVATE").unwrap().0.to_owned()
            };
            match asked.len() {
                1 => Err(SigningError::Denied { name, message }),
                2 => Err(SigningError::Refused { name, message }),
                3 => Ok(chain(&Wanted::client("m"))),
                _ => Ok(chain(&self.wanted)),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_until_there_is_a_certificate_and_anew_only_after_a_decision() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = Wanted::serving("n", "10.0.0.7".parse().unwrap());
        let store = Store::new(directory.path(), &wanted);
        let signer = Fickle { store: store.clone(), wanted: wanted.clone(), asked: Mutex::default() };
        let begun = tokio::time::Instant::now();
        obtain(&wanted, &store, &signer).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(60 + 120 + 240));
        let asked = signer.asked.lock().unwrap().clone();
        let [denied, refused, wrong, good] = &asked[..] else { panic!("{asked:?}") };
        assert!(denied != refused && refused == wrong && wrong != good, "{asked:?}");
        let asked = signer.asked.lock().unwrap().len();
        // The next process begins with it.
        let rotation = Rotation { wanted, store, signer };
        let running = tokio::time::timeout(Duration::from_secs(3600), rotation.client()).await;
        assert!(running.is_err(), "it waits for the renewal");
        assert_eq!(asked, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_a_good_certificate_ends_instead_of_asking_as_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = Wanted::client("n");
        let store = Store::new(directory.path(), &wanted);
        let signer = Fickle { store: store.clone(), wanted: wanted.clone(), asked: Mutex::default() };
        Rotation { wanted, store, signer }.client().await;
    }
}
