//! Named objects in a cluster: ConfigMaps, Secrets, Services, trust bundles.
//!
//! In: an [`ObjectRef`]. Out: a stream of what is known of it. Invariant: a list and a watch name one object (or one namespace's Services, or
//! one signer's bundles): no more than a node's identity may read.

mod follow;

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::{Resource, ResourceExt};
use pluglet_rules::references::ObjectRef;
use pluglet_rules::resolve::{Known, Object, ServiceFacts, TrustBundle};
use serde::de::DeserializeOwned;

use super::streams::Streams;
use crate::objects::ObjectSource;
use follow::{Follower, InitialEvents, Wanted};

/// The cluster's objects.
pub(crate) struct ClusterObjects {
    streams: Streams,
    initial_events: InitialEvents,
}

impl ClusterObjects {
    pub(crate) fn new(streams: Streams) -> Self {
        Self { streams, initial_events: InitialEvents::default() }
    }

    /// Objects of one kind, told together after each change.
    fn follow<K, T>(
        &self,
        namespace: Option<&str>,
        fields: Option<String>,
        keep: fn(K) -> T,
        gather: fn(&mut dyn Iterator<Item = &T>) -> Known,
    ) -> BoxStream<'static, Known>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send + 'static,
        T: Send + 'static,
    {
        let wanted = Wanted { path: K::url_path(&(), namespace), fields };
        let follower = Follower::new(self.streams.clone(), wanted, self.initial_events.clone(), keep);
        stream::unfold(follower, move |mut follower| async move { Some((follower.next(gather).await, follower)) })
            .boxed()
    }
}

impl ObjectSource for ClusterObjects {
    fn watch(&self, object: &ObjectRef) -> BoxStream<'static, Known> {
        match object {
            ObjectRef::ConfigMap { namespace, name } => self.follow(Some(namespace), named(name), config_map, single),
            ObjectRef::Secret { namespace, name } => self.follow(Some(namespace), named(name), secret, single),
            ObjectRef::KubernetesService => {
                self.follow(Some("default"), named("kubernetes"), service, |services| match services.next() {
                    Some(service) => known_services(&mut std::iter::once(service)),
                    None => Known::Missing,
                })
            }
            ObjectRef::Services { namespace } => self.follow(Some(namespace), None, service, known_services),
            ObjectRef::TrustBundle { name } => self.follow(None, named(name), trust_bundle, |bundles| {
                let found: Vec<TrustBundle> = bundles.cloned().collect();
                if found.is_empty() { Known::Missing } else { known(Object::TrustBundles(found)) }
            }),
            ObjectRef::TrustBundles { signer_name } => {
                let fields = Some(format!("spec.signerName={signer_name}"));
                self.follow(None, fields, trust_bundle, |bundles| {
                    known(Object::TrustBundles(bundles.cloned().collect()))
                })
            }
        }
    }
}

fn named(name: &str) -> Option<String> {
    Some(format!("metadata.name={name}"))
}

fn known(object: Object) -> Known {
    Known::Found(Arc::new(object))
}

fn single(objects: &mut dyn Iterator<Item = &Arc<Object>>) -> Known {
    objects.next().map_or(Known::Missing, |object| Known::Found(object.clone()))
}

/// Only what pods can use of it is kept.
fn config_map(map: ConfigMap) -> Arc<Object> {
    let ConfigMap { data, binary_data, immutable, .. } = map;
    Arc::new(Object::ConfigMap(ConfigMap { data, binary_data, immutable, ..ConfigMap::default() }))
}

fn secret(secret: Secret) -> Arc<Object> {
    let Secret { data, type_, immutable, .. } = secret;
    Arc::new(Object::Secret(Secret { data, type_, immutable, ..Secret::default() }))
}

/// None for one without an address.
fn service(service: Service) -> Option<ServiceFacts> {
    ServiceFacts::of(&service)
}

fn known_services(services: &mut dyn Iterator<Item = &Option<ServiceFacts>>) -> Known {
    known(Object::Services(services.flatten().cloned().collect()))
}

fn trust_bundle(bundle: ClusterTrustBundle) -> TrustBundle {
    TrustBundle {
        name: bundle.name_any(),
        labels: bundle.metadata.labels.unwrap_or_default(),
        signer_name: bundle.spec.signer_name.unwrap_or_default(),
        pem: bundle.spec.trust_bundle,
    }
}
