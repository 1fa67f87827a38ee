//! What the author of a provider for a container engine writes: a type that implements [`Runtime`].
//!
//! In: calls of the host, which decides what a kubelet decides above its container runtime. Out: what the engine made of them. Invariant: a runtime
//! translates and remembers nothing: what it makes carries all that [`Runtime::list`] must tell, so another incarnation finds everything again.
//!
//! ```text
//! pluglet_sdk::export!(Containers<Docker>, { name: "docker", description: "…", features: [Containers, Watch, Logs, Exec] });
//! ```

mod level;
mod types;

use std::time::Duration;

use crate::pod::{PodRef, RegistryCredential};
use crate::sessions::{ByteStream, ExecRequest, LogOptions, LogStream, Session, SessionInput, Tunnel};
use crate::{Error, Host, Info, Init, PodStats, Result};

pub use level::Containers;
pub(crate) use level::NoRuntime;
pub use types::{
    ContainerConfig, ContainerState, ContainerStatus, DnsConfig, ImageStatus, MemoryVolume, Mount, MountSource,
    PodContents, PortMapping, Propagation, Resources, SandboxConfig, SandboxStatus, Security, SecurityProfile,
};

/// A backend that knows containers, as a guest sees it: the CRI in short. Export [`Containers`] around it, with the feature
/// [`crate::Feature::Containers`].
///
/// The host keeps at most one of these calls under way for one sandbox or container, but for [`Runtime::stop_container`]. A call that misses its
/// deadline is given up by the host, may still take effect, and is made again: every method must bear being called twice.
#[expect(async_fn_in_trait, reason = "a guest has one thread, so no caller ever needs the futures to be Send")]
pub trait Runtime: Sized + 'static {
    /// As [`crate::Provider::start`].
    ///
    /// # Errors
    /// [`Error::Invalid`] means that the configuration is wrong: the host prints the text and does not try again.
    async fn start(host: Host, init: Init) -> Result<Self>;

    /// As [`crate::Provider::info`], with [`crate::Feature::Containers`] among the features.
    fn info(&self) -> Info;

    /// Make a sandbox and start it; one of this pod and attempt that exists is success. Deadline 120 s.
    ///
    /// # Errors
    /// Any; the host tries again.
    async fn create_sandbox(&self, config: SandboxConfig) -> Result<SandboxStatus>;

    /// Stop what the sandbox itself consists of. Its containers, which have ended, can still be listed and their logs read. Deadline 60 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] is taken as done.
    async fn stop_sandbox(&self, id: String) -> Result<()>;

    /// Remove the sandbox and all that is still in it, running or not. Deadline 120 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] is taken as done.
    async fn remove_sandbox(&self, id: String) -> Result<()>;

    /// Make a container in a sandbox, from an image that is there; answers its id. Deadline 60 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the image is not there.
    async fn create_container(
        &self,
        sandbox_id: String,
        sandbox: SandboxConfig,
        config: ContainerConfig,
    ) -> Result<String>;

    /// Start it; answers how it is then, which may be that it has ended already. Deadline 60 s.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the command cannot be run; the message says why.
    async fn start_container(&self, id: String) -> Result<ContainerStatus>;

    /// Tell it to end, kill it after `grace` (whole seconds), answer when it has ended. Deadline `grace` and 60 s. A later call with less grace
    /// shortens it.
    ///
    /// # Errors
    /// [`Error::NotFound`] is taken as done.
    async fn stop_container(&self, id: String, grace: Duration) -> Result<()>;

    /// Remove a container, killing it if it runs. Deadline 60 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] is taken as done.
    async fn remove_container(&self, id: String) -> Result<()>;

    /// Change what a container that runs may use. Deadline 60 s.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it would have to be restarted.
    async fn update_container(&self, _id: String, _resources: Resources) -> Result<()> {
        Err(unsupported("this provider cannot change the resources of a container that runs"))
    }

    /// How one container is. Deadline 30 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it does not exist.
    async fn container(&self, id: String) -> Result<ContainerStatus>;

    /// All that there is: of one pod, or of every pod of this node and cluster. Name nothing of others: it would be removed. Leave out nothing: an
    /// error is better than a hole. Deadline 60 s.
    ///
    /// # Errors
    /// Any, when the list cannot be complete.
    async fn list(&self, pod: Option<PodRef>) -> Result<Vec<PodContents>>;

    /// An image that is there; None where it would have to be pulled. Deadline 30 s.
    ///
    /// # Errors
    /// Any; the host tries again.
    async fn image(&self, image: String) -> Result<Option<ImageStatus>>;

    /// Pull an image, with the first of the credentials that is for its registry. Deadline 60 min.
    ///
    /// # Errors
    /// [`Error::Denied`] where the registry refuses; [`Error::NotFound`] where there is no such image.
    async fn pull(&self, pod: PodRef, image: String, credentials: Vec<RegistryCredential>) -> Result<ImageStatus>;

    /// All images that are there. Deadline 60 s.
    ///
    /// # Errors
    /// Any, when the list cannot be complete.
    async fn images(&self) -> Result<Vec<ImageStatus>> {
        Err(unsupported("this provider does not list images"))
    }

    /// Remove an image. Deadline 60 s.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where it is in use; [`Error::NotFound`] is taken as done.
    async fn remove_image(&self, _id: String) -> Result<()> {
        Err(unsupported("this provider does not remove images"))
    }

    /// As [`crate::Provider::logs`]; `options.container` is a container's id.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it has no log.
    async fn logs(&self, _pod: PodRef, _options: LogOptions) -> Result<LogStream> {
        Err(unsupported("this provider has no logs"))
    }

    /// As [`crate::Provider::exec`]; `request.container` is a container's id.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it does not run.
    async fn exec(&self, _pod: PodRef, _request: ExecRequest, _input: SessionInput) -> Result<Session> {
        Err(unsupported("this provider cannot run commands in containers"))
    }

    /// As [`crate::Provider::attach`], by a container's id.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it does not run.
    async fn attach(&self, _pod: PodRef, _id: String, _input: SessionInput) -> Result<Session> {
        Err(unsupported("this provider cannot attach to containers"))
    }

    /// As [`crate::Provider::port_forward`].
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown UID; [`Error::Unavailable`] where nothing listens.
    async fn port_forward(&self, _pod: PodRef, _port: u16, _input: ByteStream) -> Result<Tunnel> {
        Err(unsupported("this provider cannot forward ports"))
    }

    /// As [`crate::Provider::stats`].
    ///
    /// # Errors
    /// Any, when no figures can be had at all.
    async fn stats(&self) -> Result<Vec<PodStats>> {
        Err(unsupported("this provider has no figures of resource use"))
    }

    /// As [`crate::Provider::stop`].
    async fn stop(&self, _grace: Duration) -> Option<Vec<u8>> {
        None
    }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported(what.to_owned())
}
