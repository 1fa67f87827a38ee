//! A real container engine on a plain machine: podman behind its socket, and a registry that asks for a password.
//!
//! In: the Debian packages, which are installed if they are missing and this may be done; where it may not,
//! [`Started::Skipped`] says why. Out: an [`Engine`] with a socket that speaks the Docker Engine API and podman's own, an
//! image to run ([`BUSYBOX`]), raw requests, and lists of what it holds.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use engine::{BUSYBOX, Engine, Options, Registry};
//!
//! let options = Options { registry: true, ..Options::default() };
//! let Some(engine) = Engine::start(options).await?.ready() else { return Ok(()) }; // the reason is on stderr
//! let registry = Registry::start(&engine).await?;
//! let image = registry.push(BUSYBOX, "tools/busybox:1").await?; // 127.0.0.1:PORT/tools/busybox:1
//! // … use `engine.socket()` …
//! assert_eq!(engine.containers().await?, Vec::<serde_json::Value>::new());
//! drop(registry);
//! engine.stop().await
//! # }
//! ```
//!
//! Invariant: an engine that ends, or is dropped, takes its containers, processes, mounts and files with it. Of a run
//! that is killed, the services end with it; its containers run on until the next run finds them and removes them. Only
//! of a container that was being started at that very moment, its network namespace and control group may stay.
//!
//! What podman changes outside of an engine's directory stays, for other engines may use it: the mount on `/run/netns`,
//! addresses in `/run/containers/networks`, the cache in `/var/lib/containers/cache`, firewall chains called `NETAVARK`,
//! empty control groups called `libpod_parent`, and `ip_forward` being on. The bridge `podman0` goes with the last
//! container on it.

mod client;
mod configuration;
mod directory;
mod engine;
mod image;
mod packages;
mod programs;
mod registry;
mod service;
mod teardown;

pub use engine::{Engine, Options, Started};
pub use hyper::{Method, Request, StatusCode};
pub use image::BUSYBOX;
pub use registry::{PASSWORD, Registry, USER};
