//! What a user of a control plane asks it for: identities, a client, `kubectl`, the audit log.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use rcgen::ExtendedKeyUsagePurpose;

use super::ControlPlane;
use crate::audit::AuditLog;
use crate::certificates::{CLUSTER_CA, FRONT_PROXY_CLIENT, SERVING, Subject, create_for, sign_request};
use crate::components::Component;
use crate::kubeconfig;

impl ControlPlane {
    /// The kubeconfig of a user who may do everything.
    pub fn kubeconfig_admin(&self) -> &Path {
        &self.admin
    }

    /// A kubeconfig for the node `name`, with the rights that the node authorizer gives to a kubelet of that name.
    pub fn kubeconfig_node(&self, name: &str) -> Result<PathBuf> {
        let user = format!("system:node:{name}");
        self.kubeconfig_user(&format!("node-{name}"), &user, Some("system:nodes"))
    }

    /// A kubeconfig for any user; `file` names the file.
    pub fn kubeconfig_user(&self, file: &str, user: &str, group: Option<&str>) -> Result<PathBuf> {
        kubeconfig::create(&self.layout, self.description.ports.apiserver, file, &Subject { user, group })
            .with_context(|| format!("cannot make a kubeconfig for {user}"))
    }

    /// A server's certificate and key for this machine, signed by the cluster's authority.
    pub fn serving_certificate(&self) -> (PathBuf, PathBuf) {
        (self.layout.certificate(SERVING), self.layout.key(SERVING))
    }

    /// Certificate and key of a client whom another authority vouches for.
    pub fn foreign_certificate(&self) -> (PathBuf, PathBuf) {
        (self.layout.certificate(FRONT_PROXY_CLIENT), self.layout.key(FRONT_PROXY_CLIENT))
    }

    /// Certificate and key of a user for some time, which may be over; `file` names the files.
    pub fn certificate_for(
        &self,
        file: &str,
        user: &str,
        group: &str,
        time: Range<SystemTime>,
    ) -> Result<(PathBuf, PathBuf)> {
        create_for(&self.layout, file, &Subject { user, group: Some(group) }, time)?;
        Ok((self.layout.certificate(file), self.layout.key(file)))
    }

    /// Signs the request of a server (PEM) with the cluster's authority, for a time from now; answers the certificate, PEM.
    pub fn sign_serving(&self, request: &str, life: Duration) -> Result<String> {
        sign_request(&self.layout, request, ExtendedKeyUsagePurpose::ServerAuth, life)
    }

    /// A kubeconfig for whoever has a token; `file` names the file.
    pub fn kubeconfig_token(&self, file: &str, token: &str) -> Result<PathBuf> {
        kubeconfig::write(&self.layout, self.description.ports.apiserver, file, &format!("token: {token}"))
    }

    /// The authority that signed the API server's client certificate: what a node verifies its callers with.
    pub fn client_ca_file(&self) -> PathBuf {
        self.layout.certificate(CLUSTER_CA)
    }

    /// The API server's URL.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.description.ports.apiserver)
    }

    /// The directory that holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl.
    pub fn binaries(&self) -> &Path {
        &self.description.binaries
    }

    /// A new client with the rights of the admin.
    ///
    /// Part of a client is a task on the runtime that made it, so one made in a `#[tokio::test]` is dead in the next:
    /// make one for each test rather than one for all.
    pub async fn client(&self) -> Result<Client> {
        self.client_with(|_| ()).await
    }

    /// A new client with the rights of the admin, after `adjust` changed its configuration.
    pub async fn client_with(&self, adjust: impl FnOnce(&mut Config)) -> Result<Client> {
        let mut config = self.admin_config().await?;
        adjust(&mut config);
        Ok(Client::try_from(config)?)
    }

    /// `kubectl`, as the admin.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.description.binaries.join("kubectl"));
        // Its own cache: the usual one would fill with the ports of control planes that are gone.
        command.env("KUBECONFIG", &self.admin).env("KUBECACHEDIR", self.layout.kubectl_cache());
        command
    }

    /// The API server's audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// The log file of a component.
    pub fn log(&self, component: Component) -> PathBuf {
        self.layout.log(component)
    }

    /// A client for a component's own port, that neither retries nor waits long: for asking until it answers.
    pub(super) async fn health_client(&self, component: Component) -> Result<Client> {
        let ports = &self.description.ports;
        let port = match component {
            Component::Etcd => ports.etcd,
            Component::ApiServer => ports.apiserver,
            Component::ControllerManager => ports.controller_manager,
            Component::Scheduler => ports.scheduler,
        };
        let url = format!("https://127.0.0.1:{port}").parse()?;
        self.client_with(|config| {
            config.cluster_url = url;
            config.default_retry = false;
        })
        .await
    }

    async fn admin_config(&self) -> Result<Config> {
        // Fails when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(&self.admin)?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }
}
