//! What one pod is made of: the objects it names, its tokens, what the provider was last given of them.
//!
//! In: the pod, the objects as they are. Out: a [`PodPlan`] to create or update it with, or the volumes that have changed. Invariant: what is
//! here is in use by at most one provider call at a time, which owns it for so long; nothing is looked up or asked for that the provider
//! does not take.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use pluglet_model::pod::Volume;
use pluglet_model::{PodKey, PodPlan};
use pluglet_rules::environment::Environment;
use pluglet_rules::references::{self, ObjectRef, VolumeKinds};
use pluglet_rules::resolve::{self, Context, Known, Problem};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use super::tokens::Tokens;
use crate::objects::Held;
use crate::pods::state::{Failure, Place};

/// What one pod is made of.
#[derive(Default)]
pub(super) struct Material {
    held: Option<Held>,
    tokens: Tokens,
    /// Environment that was resolved from objects when the pod was created: it does not change any more, whatever becomes of them.
    frozen: Option<Environment>,
    /// The content of each volume that the provider was last given.
    given: Vec<(Box<str>, u64)>,
}

/// Why there is no plan.
pub(super) struct Unresolved {
    problem: Problem,
    /// Nobody will tell when it has changed, as of a token; an object's next change does.
    pub needs_retry: bool,
}

impl Material {
    /// Names all that is needed to create or update the pod.
    pub(super) fn hold_all(&mut self, shared: &Shared, pod: &Pod, wake: &Arc<Notify>) {
        self.hold(shared, references::references(pod, &shared.kinds()), wake);
    }

    /// Names only what its files are made of, since they alone change while it runs. Nothing, for a provider that takes no new files.
    pub(super) fn hold_files(&mut self, shared: &Shared, pod: &Pod, wake: &Arc<Notify>) {
        if shared.features().refresh {
            self.hold(shared, references::file_references(pod, &shared.kinds()), wake);
        } else {
            (self.held, self.tokens, self.given) = (None, Tokens::default(), vec![]);
        }
    }

    fn hold(&mut self, shared: &Shared, objects: BTreeSet<ObjectRef>, wake: &Arc<Notify>) {
        // The old ones are let go of after the new ones are held: what is in both is watched without a gap.
        let held = (!objects.is_empty()).then(|| shared.objects.hold(objects, wake.clone()));
        self.held = held;
    }

    /// Whether all that is named is known, be it missing.
    pub(super) fn is_loaded(&self) -> bool {
        self.held.as_ref().is_none_or(Held::is_loaded)
    }

    /// When a token is to be renewed.
    pub(super) fn renew_at(&self) -> Option<Instant> {
        self.tokens.renew_at()
    }

    /// The pod with nothing left to look up. One that is `running` keeps what cannot be made any more.
    pub(super) async fn plan(
        &mut self,
        shared: &Shared,
        key: &PodKey,
        pod: &Pod,
        running: bool,
    ) -> Result<PodPlan, Unresolved> {
        if let Some(object) = self.held.as_ref().and_then(Held::loading) {
            return Err(Problem::Loading(object).into());
        }
        let kinds = shared.kinds();
        match self.renew(shared, key, pod, &kinds).await {
            Err(unresolved) if !running => return Err(unresolved),
            _ => {}
        }
        let resolved = self.with_context(shared, &kinds, running, |context| resolve::resolve(pod, context));
        let resolved = resolved.map_err(Unresolved::from)?;
        for note in &resolved.notes {
            shared.events.record(key, true, note.reason, &note.message);
        }
        self.frozen = resolved.environment;
        Ok(PodPlan {
            key: key.clone(),
            generation: generation(pod),
            pod: Arc::new(resolved.pod),
            volumes: resolved.volumes,
            registry_credentials: resolved.registry_credentials,
        })
    }

    /// The volumes whose files differ from what the provider was last given, and why another cannot be made.
    pub(super) async fn changed(
        &mut self,
        shared: &Shared,
        key: &PodKey,
        pod: &Pod,
    ) -> (Vec<Volume>, Option<Unresolved>) {
        let kinds = shared.kinds();
        let mut unresolved = self.renew(shared, key, pod, &kinds).await.err();
        let mut changed = vec![];
        for volume in self.with_context(shared, &kinds, true, |context| resolve::volumes(pod, context)) {
            match volume {
                Ok(volume) if self.given.contains(&digest(&volume)) => {}
                Ok(volume) => changed.push(volume),
                Err(problem) => {
                    unresolved.get_or_insert(problem.into());
                }
            }
        }
        (changed, unresolved)
    }

    /// The provider has these now.
    pub(super) fn gave(&mut self, volumes: &[Volume]) {
        for (name, content) in volumes.iter().map(digest) {
            match self.given.iter_mut().find(|(given, _)| *given == name) {
                Some((_, given)) => *given = content,
                None => self.given.push((name, content)),
            }
        }
    }

    async fn renew(&mut self, shared: &Shared, key: &PodKey, pod: &Pod, kinds: &VolumeKinds) -> Result<(), Unresolved> {
        let specs = references::token_specs(pod, kinds);
        if specs.is_empty() {
            return Ok(());
        }
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        self.tokens.renew(&*shared.store, key, account, &specs).await.map_err(|(spec, error)| Unresolved {
            problem: Problem::Mount {
                volume: references::volume_of_token(pod, &spec).unwrap_or_default().to_owned(),
                message: format!("failed to fetch token: {error}"),
            },
            needs_retry: true,
        })
    }

    fn with_context<T>(
        &self,
        shared: &Shared,
        kinds: &VolumeKinds,
        running: bool,
        run: impl FnOnce(&Context<'_>) -> T,
    ) -> T {
        let health = shared.provider.health();
        let health = health.borrow();
        let empty = std::collections::BTreeMap::new();
        let allocatable = health.info.as_ref().map_or(&empty, |info| info.node.allocatable());
        run(&Context {
            node_name: &shared.node.name,
            host_ips: std::slice::from_ref(&shared.node.address),
            allocatable,
            kubernetes_service: shared.node.kubernetes_service.as_ref().map(|(host, port)| (host.as_str(), *port)),
            kinds,
            object: &|object| self.held.as_ref().map_or(Known::Loading, |held| held.get(object)),
            token: &|spec| self.tokens.get(spec),
            frozen: self.frozen.as_ref(),
            running,
        })
    }
}

/// `metadata.generation`, 0 where it is unknown.
pub(super) fn generation(pod: &Pod) -> u64 {
    pod.metadata.generation.and_then(|generation| u64::try_from(generation).ok()).unwrap_or(0)
}

/// Name and content of a volume, in few bytes: a Secret need not be kept to see that it changed.
fn digest(volume: &Volume) -> (Box<str>, u64) {
    let mut hasher = DefaultHasher::new();
    for file in &volume.files {
        (&file.path, file.mode, &file.bytes).hash(&mut hasher);
    }
    (volume.name.as_str().into(), hasher.finish())
}

impl From<Problem> for Unresolved {
    fn from(problem: Problem) -> Self {
        Self { problem, needs_retry: false }
    }
}

impl Unresolved {
    /// As a kubelet tells it. None: it will be known in a moment, which is not worth telling.
    pub(super) fn failure(&self) -> Option<Failure> {
        let place = match &self.problem {
            Problem::Loading(_) | Problem::Token(_) => return None,
            Problem::Container { container, .. } => Place::Container(container.clone()),
            Problem::Mount { .. } => Place::Volumes,
            Problem::Unsupported(_) => Place::Pod,
        };
        Some(Failure { reason: self.problem.reason().into(), message: self.problem.to_string(), place })
    }
}
