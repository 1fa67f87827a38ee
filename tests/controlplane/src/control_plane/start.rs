//! Starting a control plane, and starting its API server again.
//!
//! The order is etcd, API server, then controllers and scheduler side by side: each exits or backs off for seconds when
//! it comes before what it needs, so waiting is the faster way. Readiness is asked for over HTTPS, as a load balancer
//! would; every wait also looks at the processes, so that a component that cannot start is reported at once.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, PostParams};

use super::{ControlPlane, Options, Owned};
use crate::binaries::Binaries;
use crate::certificates::KUBELET_CLIENT;
use crate::components::Component;
use crate::control::{self, Request};
use crate::layout::{Description, OwnedDir, Ports};
use crate::supervisor::Supervisor;
use crate::wait::{self, Answer};

/// For any one component to become ready. It takes seconds; a machine busy with a build takes more.
const READY: Duration = Duration::from_secs(120);

impl ControlPlane {
    /// Finds or builds the binaries, starts the components and waits until they serve: about 5 s, when they are there.
    pub async fn start(options: Options) -> Result<Self> {
        let binaries = tokio::task::spawn_blocking(Binaries::locate).await??;
        let begun = Instant::now();
        let (mut dir, layout) = OwnedDir::create()?;
        if options.keep {
            dir.keep();
            eprintln!("control plane: everything stays in {}", layout.root().display());
        }
        let description = Description { binaries: binaries.dir().to_owned(), ports: Ports::free()? };
        let supervisor = Arc::new(Supervisor::prepare(
            description.binaries.clone(),
            layout.clone(),
            description.ports,
            options.extra_args,
        )?);
        let control = control::Server::listen(layout.control_socket(), Arc::clone(&supervisor))?;
        let owned = Owned { _control: control, supervisor, _dir: dir };
        let plane = Self::of(layout, description, Some(owned));
        plane.start_components().await?;
        plane.layout.describe(&plane.description)?;
        eprintln!(
            "control plane: Kubernetes {} at {} after {:.1} s",
            plane.client().await?.apiserver_version().await?.git_version,
            plane.server(),
            begun.elapsed().as_secs_f64()
        );
        Ok(plane)
    }

    /// Kills the API server, as a crash would. Nodes and controllers lose it until [`Self::start_apiserver`].
    pub fn stop_apiserver(&self) -> Result<()> {
        self.request(Request::StopApiServer)
    }

    /// Starts the API server again, with the same address and data, and waits until it is ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        self.request(Request::StartApiServer)?;
        self.healthy(Component::ApiServer, "/readyz").await
    }

    fn request(&self, request: Request) -> Result<()> {
        match &self.owned {
            Some(owned) => request.serve(&owned.supervisor),
            None => control::ask(&self.layout.control_socket(), request),
        }
    }

    async fn start_components(&self) -> Result<()> {
        self.start_component(Component::Etcd)?;
        self.etcd_listens().await?;
        self.start_component(Component::ApiServer)?;
        self.healthy(Component::ApiServer, "/readyz").await?;
        self.start_component(Component::ControllerManager)?;
        self.start_component(Component::Scheduler)?;
        self.let_the_apiserver_use_kubelets().await?;
        self.healthy(Component::ControllerManager, "/healthz").await?;
        self.healthy(Component::Scheduler, "/readyz").await?;
        self.controllers_work().await
    }

    fn start_component(&self, component: Component) -> Result<()> {
        self.owned.as_ref().map_or(Ok(()), |owned| owned.supervisor.start(component))
    }

    fn check_running(&self) -> Result<()> {
        self.owned.as_ref().map_or(Ok(()), |owned| owned.supervisor.check_running())
    }

    async fn etcd_listens(&self) -> Result<()> {
        let address = (Ipv4Addr::LOCALHOST, self.description.ports.etcd);
        wait::until("etcd to listen", READY, async || {
            self.check_running()?;
            Ok(match TcpStream::connect(address) {
                Ok(_) => Answer::Yes(()),
                Err(error) => Answer::NotYet(error.to_string()),
            })
        })
        .await
    }

    async fn healthy(&self, component: Component, page: &str) -> Result<()> {
        let client = self.health_client(component).await?;
        wait::until(&format!("{component} to answer {page} with ok"), READY, async || {
            self.check_running()?;
            let request = http_get(page)?;
            let answer = tokio::time::timeout(Duration::from_secs(10), client.request_text(request)).await;
            Ok(match answer {
                Ok(Ok(_)) => Answer::Yes(()),
                Ok(Err(error)) => Answer::NotYet(error.to_string()),
                Err(_) => Answer::NotYet("no answer in 10 s".to_owned()),
            })
        })
        .await
        .with_context(|| format!("its log is {}", self.layout.log(component).display()))
    }

    /// `kubectl logs` and `exec` reach a node as this user; nobody has the right to by default.
    async fn let_the_apiserver_use_kubelets(&self) -> Result<()> {
        let binding = ClusterRoleBinding {
            metadata: ObjectMeta { name: Some(KUBELET_CLIENT.to_owned()), ..ObjectMeta::default() },
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "ClusterRole".to_owned(),
                name: "system:kubelet-api-admin".to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "User".to_owned(),
                name: KUBELET_CLIENT.to_owned(),
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                namespace: None,
            }]),
        };
        Api::all(self.client().await?).create(&PostParams::default(), &binding).await?;
        Ok(())
    }

    /// A service account in the default namespace is the controllers' first visible deed.
    async fn controllers_work(&self) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
        wait::until("the controllers to make the first service account", READY, async || {
            self.check_running()?;
            Ok(match accounts.get_opt("default").await? {
                Some(_) => Answer::Yes(()),
                None => Answer::NotYet("no service account \"default\"".to_owned()),
            })
        })
        .await
    }
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}
