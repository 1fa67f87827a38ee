//! Objects in few bytes while nobody looks at them.
//!
//! In: a decoded object. Out: the same, decoded again where it has to be. Invariant: what comes out is equal to what went in; an object that does
//! not come back equal from its packed form is never packed.
//!
//! A decoded pod with three volumes takes 15 KiB, nearly all of it fields that are not set: a volume is one of thirty kinds and has room for
//! each. Its JSON takes two. A node keeps thousands of pods that do nothing for hours.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One object.
pub(crate) struct Kept<T> {
    open: Mutex<Option<Arc<T>>>,
    packed: OnceLock<Box<[u8]>>,
}

impl<T> Kept<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Default,
{
    pub(crate) fn new(object: T) -> Arc<Self> {
        Arc::new(Self { open: Mutex::new(Some(Arc::new(object))), packed: OnceLock::new() })
    }

    /// The object. It stays decoded until [`Self::rest`].
    pub(crate) fn get(&self) -> Arc<T> {
        self.open().get_or_insert_with(|| self.unpack()).clone()
    }

    /// The object, for somebody who will not say when it is not needed any more.
    pub(crate) fn peek(&self) -> Arc<T> {
        let open = self.open().clone();
        open.unwrap_or_else(|| self.unpack())
    }

    /// The same for equal objects.
    pub(crate) fn digest(&self) -> u64 {
        match self.packed.get() {
            Some(packed) => hash(packed),
            None => hash(&serde_json::to_vec(&*self.peek()).unwrap_or_default()),
        }
    }

    /// Nobody is expected to look at it soon.
    pub(crate) fn rest(&self) {
        let Some(object) = self.open().clone() else { return };
        if self.packed.get().is_none() {
            let packed = serde_json::to_vec(&*object).ok();
            let Some(packed) =
                packed.filter(|packed| serde_json::from_slice::<T>(packed).is_ok_and(|same| same == *object))
            else {
                return;
            };
            self.packed.set(packed.into_boxed_slice()).ok();
        }
        *self.open() = None;
    }

    fn open(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is open or was packed, and what was packed was unpacked once.
    fn unpack(&self) -> Arc<T> {
        let packed = self.packed.get().map(|packed| serde_json::from_slice(packed));
        Arc::new(packed.and_then(Result::ok).unwrap_or_default())
    }
}

fn hash(packed: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    packed.hash(&mut hasher);
    hasher.finish()
}

impl<T: Serialize + DeserializeOwned + PartialEq + Default> Default for Kept<T> {
    fn default() -> Self {
        Self { open: Mutex::new(Some(Arc::default())), packed: OnceLock::new() }
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        let volumes = json!([{ "name": "v", "secret": { "secretName": "s", "items": [] } }]);
        let resources = json!({ "requests": { "cpu": "100m" } });
        let containers = json!([{ "name": "c", "resources": resources }]);
        let metadata = json!({ "name": "p", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {} });
        serde_json::from_value(
            json!({ "metadata": metadata, "spec": { "containers": containers, "volumes": volumes } }),
        )
        .unwrap()
    }

    #[test]
    fn an_object_comes_back_equal_and_is_decoded_once_until_it_rests_again() {
        let kept = Kept::new(pod());
        let (first, digest) = (kept.get(), kept.digest());
        kept.rest();
        assert_eq!(kept.digest(), digest);
        assert!(kept.open().is_none());
        assert_eq!(*kept.peek(), pod());
        assert!(kept.open().is_none(), "a look leaves nothing behind");
        let second = kept.get();
        assert!(*second == *first && !Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &kept.get()));
    }

    /// Drops half of itself on the way.
    #[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Lossy {
        #[serde(skip)]
        lost: u8,
    }

    #[test]
    fn an_object_that_would_not_come_back_equal_is_not_packed() {
        let kept = Kept::new(Lossy { lost: 1 });
        kept.rest();
        assert_eq!(*kept.peek(), Lossy { lost: 1 });
    }
}
