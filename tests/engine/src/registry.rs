//! A registry that hands out nothing without a password.
//!
//! In: an engine that was started with [`crate::Options::registry`]. Out: images under `127.0.0.1:PORT/…`, over plain
//! HTTP, for those who say that they are [`USER`] and know [`PASSWORD`]. Its files are in the engine's directory.
//!
//! Invariant: the process ends when this is dropped, or with this process; an engine that ends takes it with it too.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use controlplane::Process;
use controlplane::wait::{self, Answer};
use hyper::{Request, StatusCode};
use serde_json::json;

use crate::client::{self, Client};
use crate::directory::Layout;
use crate::engine::Engine;
use crate::programs;

/// The only user of the registry.
pub const USER: &str = "alice";

/// Her password.
pub const PASSWORD: &str = "s3cret";

/// [`USER`], and [`PASSWORD`] through bcrypt, which is all that the registry reads.
const HTPASSWD: &str = "alice:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

/// For the registry to listen.
const READY: Duration = Duration::from_secs(60);

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    port: u16,
    client: Client,
}

impl Registry {
    /// Starts the registry of `engine`, at the address that this one knows to be without TLS.
    pub async fn start(engine: &Engine) -> Result<Self> {
        let port = engine.registry_port().context("the engine was started without Options::registry")?;
        let process = spawn(engine.layout(), port)?;
        let mut registry = Self { process, port, client: engine.client().clone() };
        wait::until("the registry to listen", READY, async || {
            registry.process.check_running()?;
            Ok(match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(_) => Answer::Yes(()),
                Err(error) => Answer::NotYet(error.to_string()),
            })
        })
        .await?;
        Ok(registry)
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What an image that is `name` in the registry is called in full: `127.0.0.1:PORT/NAME`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// The value of the header `X-Registry-Auth` with which an engine may pull.
    pub fn authorization(&self) -> String {
        self.authorization_of(USER, PASSWORD)
    }

    /// The same for anyone who says anything.
    pub fn authorization_of(&self, user: &str, password: &str) -> String {
        let account = json!({ "username": user, "password": password, "serveraddress": self.address() });
        URL_SAFE.encode(account.to_string())
    }

    /// Pushes an image of the engine as `name`, for example `tools/busybox:1`; answers its [`Self::reference`].
    pub async fn push(&self, image: &str, name: &str) -> Result<String> {
        let reference = self.reference(name);
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("destination", &reference).finish();
        let path = format!("/v4.0.0/libpod/images/{image}/push?{query}");
        let request = Request::post(path).header("X-Registry-Auth", self.authorization()).body(Vec::new())?;
        let (status, body) = self.client.send(request).await?;
        let what = format!("the push of {image} to {reference}");
        client::expect(status, StatusCode::OK, &body, &what)?;
        client::expect_no_error(&body, &what)?;
        Ok(reference)
    }

    /// The last `lines` lines of its output.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }
}

fn spawn(layout: &Layout, port: u16) -> Result<Process> {
    let directory = layout.registry();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let (configuration, passwords) = (directory.join("config.yml"), directory.join("htpasswd"));
    fs::write(&passwords, HTPASSWD)?;
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {data}}}\n  \
         delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\nauth:\n  \
         htpasswd: {{realm: test, path: {passwords}}}\n",
        data = directory.join("data").display(),
        passwords = passwords.display(),
    );
    fs::write(&configuration, text)?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&configuration).env("PATH", programs::search_path());
    Process::spawn("docker-registry", &command, &directory.join("log"))
}
