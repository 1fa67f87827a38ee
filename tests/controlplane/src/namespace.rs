//! A namespace of its own for each test.
//!
//! In: a name that says what the test shows. Out: a fresh namespace in which pods can be created. When the test ends
//! the namespace is deleted; when it ends by a panic, a dump is made first, and the latest of its objects and events are
//! printed.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::control_plane::ControlPlane;
use crate::dump;
use crate::wait::{self, Answer};

/// For the controllers to make the namespace's service account, without which no pod is admitted.
const USABLE: Duration = Duration::from_secs(60);

/// Lines of each listing that a failing test prints; all of them are in the dump.
const PRINTED: usize = 40;

/// A namespace that ends with this value.
#[derive(Debug)]
pub struct TestNamespace<'a> {
    control_plane: &'a ControlPlane,
    name: String,
}

impl<'a> TestNamespace<'a> {
    /// Creates `prefix-xxxxx` and waits until pods can be created in it.
    pub async fn create(control_plane: &'a ControlPlane, client: &Client, prefix: &str) -> Result<Self> {
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let created = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let name = created.metadata.name.context("the API server made a namespace without a name")?;
        // Made before the wait, so that it is deleted also if that fails.
        let namespace = Self { control_plane, name };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace.name);
        wait::until("the namespace's service account", USABLE, async || {
            Ok(match accounts.get_opt("default").await? {
                Some(_) => Answer::Yes(()),
                None => Answer::NotYet("none".to_owned()),
            })
        })
        .await?;
        Ok(namespace)
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `kubectl --namespace NAME`, as the admin.
    pub fn kubectl(&self) -> std::process::Command {
        let mut command = self.control_plane.kubectl();
        command.args(["--namespace", &self.name]);
        command
    }

    fn keep_and_print(&self) {
        let dir = dump::directory().join(&self.name);
        match self.control_plane.dump(&dir) {
            Ok(()) => eprintln!("--- the state of the cluster is in {}", dir.display()),
            Err(error) => eprintln!("--- cannot keep the state of the cluster in {}: {error:#}", dir.display()),
        }
        let parts: [&[&str]; 2] =
            [&["get", "all", "-o", "wide"], &["get", "events", "--sort-by=.metadata.creationTimestamp"]];
        for arguments in parts {
            let text = dump::output(self.kubectl().args(arguments).arg("--request-timeout=20s"));
            let lines: Vec<&str> = text.lines().collect();
            let skipped = lines.len().saturating_sub(PRINTED);
            eprintln!("--- kubectl --namespace {} {} ({skipped} lines skipped)", self.name, arguments.join(" "));
            lines.iter().skip(skipped).for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Drop for TestNamespace<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.keep_and_print();
        }
        // Through kubectl, because a drop cannot await. Not waited for: the controllers empty it in their own time,
        // and the next test has a namespace of its own.
        let _ = self
            .control_plane
            .kubectl()
            .args(["delete", "namespace", &self.name, "--wait=false", "--request-timeout=20s"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
