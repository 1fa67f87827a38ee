//! The engine itself: start one, ask it, end it.
//!
//! In: [`Options`]. Out: [`Started`]: an [`Engine`], or the reason why there is none on this machine.
//!
//! Invariant: "skipped" means that the programs are not there and may not or cannot be installed. An engine that is
//! there and does not start is an error.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use serde_json::Value;

use crate::client::Client;
use crate::configuration;
use crate::directory::{Layout, OwnedDirectory};
use crate::image;
use crate::packages;
use crate::service::Service;
use crate::teardown;

/// How to start an engine. The default is what tests want that need no registry.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether there will be a [`crate::Registry`]: its program has to be there, and its address known to podman.
    pub registry: bool,
    /// Where to make the engine's directory, instead of in the directory for temporary files.
    pub parent: Option<PathBuf>,
}

/// What became of a start.
#[derive(Debug)]
pub enum Started {
    /// It runs.
    Ready(Engine),
    /// This machine has no engine and may not get one; the reason is for people.
    Skipped(String),
}

impl Started {
    /// The engine. If there is none, the reason is printed to stderr.
    pub fn ready(self) -> Option<Engine> {
        match self {
            Self::Ready(engine) => Some(engine),
            Self::Skipped(reason) => {
                eprintln!("skipped, for there is no container engine: {reason}");
                None
            }
        }
    }
}

/// A running engine, see the [crate's](crate) documentation.
#[derive(Debug)]
pub struct Engine {
    service: Service,
    directory: OwnedDirectory,
    registry: Option<u16>,
    ended: bool,
}

impl Engine {
    /// Installs what is missing, starts podman's service, waits until it answers and imports [`crate::BUSYBOX`].
    pub async fn start(options: Options) -> Result<Started> {
        let wanted = options.registry;
        if let Some(reason) = tokio::task::spawn_blocking(move || packages::ensure(wanted)).await?? {
            return Ok(Started::Skipped(reason));
        }
        let begun = Instant::now();
        let engine = tokio::task::spawn_blocking(move || Self::prepare(&options)).await??;
        engine.start_service().await?;
        let temporary = engine.layout().temporary();
        let archive = tokio::task::spawn_blocking(move || image::busybox(&temporary)).await??;
        engine.import_image(image::BUSYBOX, archive, &image::BUSYBOX_CHANGES).await?;
        eprintln!(
            "container engine: podman {} at {} after {:.1} s",
            engine.client().get("/version").await?.get("Version").and_then(Value::as_str).unwrap_or("?"),
            engine.socket().display(),
            begun.elapsed().as_secs_f64()
        );
        Ok(Started::Ready(engine))
    }

    /// The engine's files; nothing runs yet.
    fn prepare(options: &Options) -> Result<Self> {
        let parent = options.parent.clone().unwrap_or_else(std::env::temp_dir);
        let directory = OwnedDirectory::create(&parent)?;
        let layout = directory.layout().clone();
        let mut engine = Self { service: Service::new(layout), directory, registry: None, ended: false };
        if options.registry {
            engine.registry = Some(controlplane::ports::one()?);
        }
        configuration::write(engine.layout(), engine.registry)?;
        Ok(engine)
    }

    /// The directory with everything in it.
    pub fn dir(&self) -> &Path {
        self.layout().root()
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.layout().socket()
    }

    /// Kills the service, as a crash would. Containers run on.
    pub fn kill_service(&self) -> Result<()> {
        self.service.kill()
    }

    /// Starts the service again, with the same socket and containers, and waits until it answers.
    pub async fn start_service(&self) -> Result<()> {
        self.service.start().await
    }

    /// Any request to the engine; a body is taken for JSON. `path` starts with a version: `/v1.41/…`, `/v4.0.0/libpod/…`.
    ///
    /// The answer is read to its end, so this is not for streams that have none.
    pub async fn request(&self, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Result<(StatusCode, Bytes)> {
        self.client().request(method, path, body.into()).await
    }

    /// The same, with headers.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<(StatusCode, Bytes)> {
        self.client().send(request).await
    }

    /// All containers, those that ended too, as `GET /containers/json` has them.
    pub async fn containers(&self) -> Result<Vec<Value>> {
        match self.client().get("/v1.41/containers/json?all=1").await? {
            Value::Array(containers) => Ok(containers),
            other => bail!("a list of containers is {other}"),
        }
    }

    /// All volumes, as `GET /volumes` has them.
    pub async fn volumes(&self) -> Result<Vec<Value>> {
        let mut answer = self.client().get("/v1.41/volumes").await?;
        match answer.get_mut("Volumes").map(Value::take) {
            Some(Value::Array(volumes)) => Ok(volumes),
            _ => Ok(Vec::new()),
        }
    }

    /// Makes an image of an archive (tar) of its root file system; answers its identifier.
    ///
    /// `reference` has a registry's name and a tag, as in `localhost/busybox:1`. `changes` are lines as in a
    /// Containerfile: `CMD ["/bin/sh"]`, `ENV A=b`, `USER web`.
    pub async fn import_image(&self, reference: &str, archive: Vec<u8>, changes: &[&str]) -> Result<String> {
        image::import(self.client(), reference, archive, changes).await
    }

    /// podman's command line, for this engine. It works without the service too.
    pub fn podman(&self) -> Command {
        configuration::podman(self.layout())
    }

    /// The last `lines` lines of the service's output.
    pub fn log_tail(&self, lines: usize) -> String {
        controlplane::process::log_tail(&self.layout().service_log(), lines)
    }

    /// Ends it and removes all it has. Dropping it does the same, but has only stderr for errors.
    pub async fn stop(mut self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.end()).await?
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.directory.layout()
    }

    pub(crate) fn client(&self) -> &Client {
        self.service.client()
    }

    pub(crate) fn registry_port(&self) -> Option<u16> {
        self.registry
    }

    fn end(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        // Containers first: with them end the streams that clients wait on, and so the service is soon done. What it began
        // after this is removed by the second removal, which is part of the rest.
        let closed = self.service.close();
        let removed = teardown::remove_containers(self.layout());
        let ended = self.service.end();
        teardown::take_down(self.layout())?;
        closed.and(removed).and(ended)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("container engine: {error:#}");
        }
    }
}
