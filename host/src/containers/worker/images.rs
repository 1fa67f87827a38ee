//! Images: whether they are there, and getting them.
//!
//! In: a container's image and policy. Out: the image, or why the container waits for it. Invariant: a registry that refuses is asked ever less often: 10 s, doubling to
//! 5 min, for each image of the pod (`pkg/kubelet/images`).

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use pluglet_model::provider::Error;
use pluglet_model::runtime::ImageStatus;
use pluglet_rules::runtime::status::Waiting;
use tokio::time::Instant;

use super::{Again, Worker};

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Failed pulls, by image.
#[derive(Default)]
pub(super) struct Pulls(BTreeMap<String, Failed>);

struct Failed {
    pause: Duration,
    until: Instant,
    why: String,
}

/// Why there is no image.
pub(super) enum NoImage {
    /// The container waits, and when it may be tried again.
    Waits(Waiting, Again),
    /// The engine cannot be asked.
    Engine(Error),
    /// The pod is to end.
    Deleted,
}

impl Worker {
    /// The image, pulled if its policy says so.
    pub(super) async fn image(&mut self, container: &Container) -> Result<ImageStatus, NoImage> {
        let name = container.image.clone().unwrap_or_default();
        let policy = container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        if policy != "Always" {
            match self.tools.runtime.image(&self.handle.key, &name).await {
                Ok(Some(image)) => {
                    let message = format!("Container image {name:?} already present on machine");
                    self.record(Some(&container.name), false, "Pulled", message).await;
                    return Ok(image);
                }
                Ok(None) => {}
                Err(Error::Invalid(why)) => {
                    self.record(Some(&container.name), true, "InspectFailed", why.clone()).await;
                    return Err(NoImage::Waits(waiting("InvalidImageName", why), Again::Never));
                }
                Err(error) => return Err(NoImage::Engine(error)),
            }
        }
        if policy == "Never" {
            let message = format!("Container image {name:?} is not present with pull policy of Never");
            self.record(Some(&container.name), true, "ErrImageNeverPull", message.clone()).await;
            return Err(NoImage::Waits(
                waiting("ErrImageNeverPull", message),
                Again::At(Instant::now() + LONGEST_PAUSE),
            ));
        }
        self.pull(container, name).await
    }

    async fn pull(&mut self, container: &Container, name: String) -> Result<ImageStatus, NoImage> {
        if let Some(failed) = self.pulls.0.get(&name).filter(|failed| failed.until > Instant::now()) {
            let (until, message) = (failed.until, format!("Back-off pulling image {name:?}"));
            let whole = format!("{message}: {}", failed.why);
            self.record(Some(&container.name), false, "BackOff", message).await;
            return Err(NoImage::Waits(waiting("ImagePullBackOff", whole), Again::At(until)));
        }
        self.record(Some(&container.name), false, "Pulling", format!("Pulling image {name:?}")).await;
        let begun = Instant::now();
        let (handle, tools) = (self.handle.clone(), self.tools.clone());
        let credentials = self.plan.as_ref().map(|plan| plan.registry_credentials.clone()).unwrap_or_default();
        let pulled = tokio::select! {
            // The pull goes on in the engine, which does no harm: its image will be there.
            () = handle.deleted() => return Err(NoImage::Deleted),
            // Not given up for anything else.
            pulled = tools.runtime.pull(&handle.key, &name, &credentials) => pulled,
        };
        match pulled {
            Ok(image) => {
                self.pulls.0.remove(&name);
                let took = begun.elapsed();
                let message =
                    format!("Successfully pulled image {name:?} in {took:.3?}. Image size: {} bytes.", image.size);
                self.record(Some(&container.name), false, "Pulled", message).await;
                Ok(image)
            }
            Err(error @ Error::Restarting(_)) => Err(NoImage::Engine(error)),
            Err(error) => Err(self.pull_failed(container, name, &error).await),
        }
    }

    async fn pull_failed(&mut self, container: &Container, name: String, error: &Error) -> NoImage {
        let message = format!("Failed to pull image {name:?}: {error}");
        self.record(Some(&container.name), true, "Failed", message.clone()).await;
        self.record(Some(&container.name), true, "Failed", "Error: ErrImagePull").await;
        let pause = self.pulls.0.get(&name).map_or(FIRST_PAUSE, |failed| (failed.pause * 2).min(LONGEST_PAUSE));
        let until = Instant::now() + pause;
        self.pulls.0.insert(name, Failed { pause, until, why: format!("ErrImagePull: {message}") });
        NoImage::Waits(waiting("ErrImagePull", message), Again::At(Instant::now() + Duration::from_secs(1)))
    }
}

pub(super) fn waiting(reason: &'static str, message: impl Into<String>) -> Waiting {
    Waiting { reason, message: message.into() }
}
