//! Named objects in a cluster: ConfigMaps, Secrets, Services, trust bundles.
//!
//! In: an [`ObjectRef`]. Out: a stream of what is known of it. Invariant: a list and a watch name one object (or one namespace's Services, or
//! one signer's bundles): no more than a node's identity may read.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, future};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use pluglet_rules::references::ObjectRef;
use pluglet_rules::resolve::{Known, Object, ServiceFacts, TrustBundle};
use serde::de::DeserializeOwned;

use super::pods::describe;
use super::streams::{Slot, Streams};
use super::watch::Pauses;
use crate::objects::ObjectSource;

/// How many attempts in a row fail before the failure is told. The first are often refused: the API server learns from a watch of its own
/// that a pod of this node names the object.
const FAILURES_UNTOLD: u32 = 4;

/// The API server ends a watch after this long, seconds; the next goes on where it ended.
const WATCH_SECONDS: u32 = 280;

/// The cluster's objects.
pub(crate) struct ClusterObjects {
    streams: Streams,
}

impl ClusterObjects {
    pub(crate) fn new(streams: Streams) -> Self {
        Self { streams }
    }
}

impl ObjectSource for ClusterObjects {
    fn watch(&self, object: &ObjectRef) -> BoxStream<'static, Known> {
        let slot = match self.streams.slot() {
            Ok(slot) => slot,
            Err(error) => return stream::iter([Known::Failed(describe(&error))]).boxed(),
        };
        match object {
            ObjectRef::ConfigMap { namespace, name } => one::<ConfigMap>(slot, namespace, name, config_map),
            ObjectRef::Secret { namespace, name } => one::<Secret>(slot, namespace, name, secret),
            ObjectRef::KubernetesService => {
                one::<Service>(slot, "default", "kubernetes", |service| services(&mut std::iter::once(&service)))
            }
            ObjectRef::Services { namespace } => {
                all(slot, |client| Api::<Service>::namespaced(client, namespace), watcher::Config::default(), services)
            }
            ObjectRef::TrustBundle { name } => {
                all(slot, Api::<ClusterTrustBundle>::all, named(name), |bundles| trust_bundle(bundles))
            }
            ObjectRef::TrustBundles { signer_name } => {
                let config = watcher::Config::default().fields(&format!("spec.signerName={signer_name}"));
                all(slot, Api::<ClusterTrustBundle>::all, config, |bundles| {
                    Known::Found(Arc::new(trust_bundles(bundles)))
                })
            }
        }
    }
}

fn named(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

/// One object.
fn one<K>(
    slot: Slot,
    namespace: &str,
    name: &str,
    read: impl Fn(K) -> Known + Send + Sync + 'static,
) -> BoxStream<'static, Known>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = |client| Api::<K>::namespaced(client, namespace);
    all(slot, api, named(name), move |objects| objects.next().map_or(Known::Missing, |object| read(object.clone())))
}

/// All objects of a list, read together after each change.
fn all<K>(
    slot: Slot,
    api: impl FnOnce(Client) -> Api<K>,
    config: watcher::Config,
    read: impl Fn(&mut dyn Iterator<Item = &K>) -> Known + Send + Sync + 'static,
) -> BoxStream<'static, Known>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher(api(slot.client()), config.timeout(WATCH_SECONDS)).backoff(Pauses::default());
    let state = Collected { objects: BTreeMap::new(), listing: true, failures: 0, read, _slot: slot };
    events.scan(state, |state, event| future::ready(Some(state.take(event)))).flat_map(stream::iter).boxed()
}

/// The list so far, by name.
struct Collected<K, F> {
    objects: BTreeMap<String, K>,
    /// A list is being read: what is known is not complete.
    listing: bool,
    failures: u32,
    read: F,
    /// Its place on a connection, for as long as the stream lives.
    _slot: Slot,
}

impl<K, F> Collected<K, F>
where
    K: Resource<DynamicType = ()>,
    F: Fn(&mut dyn Iterator<Item = &K>) -> Known,
{
    fn take(&mut self, event: Result<Event<K>, watcher::Error>) -> Option<Known> {
        match event {
            Ok(Event::Init) => {
                self.objects.clear();
                self.listing = true;
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                self.objects.insert(object.name_any(), object);
            }
            Ok(Event::InitDone) => {
                self.listing = false;
                self.failures = 0;
            }
            Ok(Event::Delete(object)) => {
                self.objects.remove(&object.name_any());
            }
            Err(error) => {
                self.failures += 1;
                // Once there was a list, what is known stays true until the watch says otherwise.
                return (self.listing && self.failures >= FAILURES_UNTOLD).then(|| Known::Failed(describe(&error)));
            }
        }
        (!self.listing).then(|| (self.read)(&mut self.objects.values()))
    }
}

/// Only what pods can use of it is kept.
fn config_map(map: ConfigMap) -> Known {
    let ConfigMap { data, binary_data, immutable, .. } = map;
    Known::Found(Arc::new(Object::ConfigMap(ConfigMap { data, binary_data, immutable, ..ConfigMap::default() })))
}

fn secret(secret: Secret) -> Known {
    let Secret { data, type_, immutable, .. } = secret;
    Known::Found(Arc::new(Object::Secret(Secret { data, type_, immutable, ..Secret::default() })))
}

fn services(services: &mut dyn Iterator<Item = &Service>) -> Known {
    Known::Found(Arc::new(Object::Services(services.filter_map(ServiceFacts::of).collect())))
}

fn trust_bundle(bundles: &mut dyn Iterator<Item = &ClusterTrustBundle>) -> Known {
    let Object::TrustBundles(found) = trust_bundles(bundles) else { return Known::Missing };
    if found.is_empty() { Known::Missing } else { Known::Found(Arc::new(Object::TrustBundles(found))) }
}

fn trust_bundles(bundles: &mut dyn Iterator<Item = &ClusterTrustBundle>) -> Object {
    let bundle = |bundle: &ClusterTrustBundle| TrustBundle {
        name: bundle.name_any(),
        signer_name: bundle.spec.signer_name.clone().unwrap_or_default(),
        labels: bundle.metadata.labels.clone().unwrap_or_default(),
        pem: bundle.spec.trust_bundle.clone(),
    };
    Object::TrustBundles(bundles.map(bundle).collect())
}
