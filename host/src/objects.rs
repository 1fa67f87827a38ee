//! The objects that pods name: each is watched once, by its name, for as long as a pod needs it.
//!
//! In: what a pod names ([`Objects::hold`]). Out: what is known of each object, and a wake-up when that changes. Invariant: one watch for
//! an object however many pods name it, none for an object that no pod has named for [`LINGER`]; what was once found stays known through an
//! outage of the API server.
//!
//! A node's identity may read nothing else: not a namespace's Secrets, only those that its pods name (Node authorization). So the cost
//! follows the pods of this node, not the cluster.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use pluglet_rules::references::ObjectRef;
use pluglet_rules::resolve::{Known, Object};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::debug;

use crate::tasks::Tasks;

/// How long an object is watched that no pod names any more. Pods of one owner come and go one after another and name the same: each would
/// cost a list and a watch.
const LINGER: Duration = Duration::from_secs(30);

/// Where objects are read.
pub(crate) trait ObjectSource: Send + Sync + 'static {
    /// What is known of an object, now and after each change. A stream that ends says that nothing will change any more.
    fn watch(&self, object: &ObjectRef) -> BoxStream<'static, Known>;
}

/// All objects that pods of this node name. Clones are the same set.
#[derive(Clone)]
pub(crate) struct Objects {
    index: Arc<Index>,
    source: Arc<dyn ObjectSource>,
    tasks: Tasks,
}

#[derive(Default)]
struct Index {
    entries: Mutex<HashMap<ObjectRef, Entry>>,
}

struct Entry {
    known: Known,
    /// Those to wake when it changes. A pod is here once for each time it holds the object.
    holders: Vec<Arc<Notify>>,
    /// Tells the task that the last holder has gone.
    idle: Arc<Notify>,
}

impl Objects {
    pub(crate) fn new(source: Arc<dyn ObjectSource>, tasks: Tasks) -> Self {
        Self { index: Arc::default(), source, tasks }
    }

    /// Names objects on behalf of one pod, which `wake` wakes. They are watched until the answer is dropped.
    pub(crate) fn hold(&self, objects: BTreeSet<ObjectRef>, wake: Arc<Notify>) -> Held {
        let mut entries = self.index.lock();
        for object in &objects {
            match entries.get_mut(object) {
                Some(entry) => entry.holders.push(wake.clone()),
                None => {
                    let idle = Arc::new(Notify::new());
                    let entry = Entry { known: Known::Loading, holders: vec![wake.clone()], idle: idle.clone() };
                    entries.insert(object.clone(), entry);
                    self.follow(object.clone(), idle);
                }
            }
        }
        Held { index: self.index.clone(), objects: objects.into_iter().collect(), wake }
    }

    /// How many objects are watched.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.index.lock().len()
    }

    fn follow(&self, object: ObjectRef, idle: Arc<Notify>) {
        debug!(%object, "a pod names this object: watching it");
        let (index, stream, cancel) = (self.index.clone(), self.source.watch(&object), self.tasks.cancel_token());
        self.tasks.spawn("object", async move {
            let followed = async {
                tokio::select! {
                    // Cancel-safe: whichever wins, the entry says what is known and who holds it.
                    () = index.copy(&object, stream) => {}
                    () = index.until_unheld(&object, &idle) => {}
                }
            };
            cancel.run_until_cancelled(followed).await;
            debug!(%object, "not watched any more");
        });
    }
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the entry like the stream. Never ends, so that an object which will not change stays known.
    async fn copy(&self, object: &ObjectRef, mut stream: BoxStream<'static, Known>) {
        while let Some(known) = stream.next().await {
            let mut entries = self.lock();
            let Some(entry) = entries.get_mut(object) else { continue };
            // An outage says nothing about an object that was there.
            if matches!((&known, &entry.known), (Known::Failed(_) | Known::Loading, Known::Found(_) | Known::Missing)) {
                continue;
            }
            let is_final = is_immutable(&known);
            entry.known = known;
            entry.holders.iter().for_each(|holder| holder.notify_one());
            if is_final {
                break;
            }
        }
        // The watch is over and its memory given back.
        drop(stream);
        std::future::pending::<()>().await;
    }

    /// Ends when nobody has held the object for [`LINGER`]; the entry is gone then.
    async fn until_unheld(&self, object: &ObjectRef, idle: &Notify) {
        loop {
            idle.notified().await;
            sleep(LINGER).await;
            let mut entries = self.lock();
            if entries.get(object).is_some_and(|entry| entry.holders.is_empty()) {
                entries.remove(object);
                return;
            }
        }
    }
}

/// An object that says that it will never change need not be watched.
fn is_immutable(known: &Known) -> bool {
    let Known::Found(object) = known else { return false };
    match &**object {
        Object::ConfigMap(map) => map.immutable == Some(true),
        Object::Secret(secret) => secret.immutable == Some(true),
        Object::Services(_) | Object::TrustBundles(_) => false,
    }
}

/// Objects that one pod names. Dropping it lets go of them.
pub(crate) struct Held {
    index: Arc<Index>,
    objects: Box<[ObjectRef]>,
    wake: Arc<Notify>,
}

impl Held {
    /// What is known of an object. One that is not held is [`Known::Loading`]: it will be known once it is.
    pub(crate) fn get(&self, object: &ObjectRef) -> Known {
        self.index.lock().get(object).map_or(Known::Loading, |entry| entry.known.clone())
    }

    /// Whether all of them are known, be they missing.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loading().is_none()
    }

    /// One of which nothing is known yet.
    pub(crate) fn loading(&self) -> Option<ObjectRef> {
        let entries = self.index.lock();
        let is_known = |object| entries.get(object).is_some_and(|entry| !matches!(entry.known, Known::Loading));
        self.objects.iter().find(|object| !is_known(*object)).cloned()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut entries = self.index.lock();
        for object in &self.objects {
            let Some(entry) = entries.get_mut(object) else { continue };
            if let Some(at) = entry.holders.iter().position(|holder| Arc::ptr_eq(holder, &self.wake)) {
                entry.holders.swap_remove(at);
            }
            if entry.holders.is_empty() {
                entry.idle.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests;
