//! What the demo runs, what state it should reach, and what is looked at then.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use controlplane::ControlPlane;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::Client;
use kube::api::Api;
use kube::runtime::wait::await_condition;

use crate::node::Node;

/// For the Deployment and the Job to get where they should be.
const REACHED: Duration = Duration::from_secs(120);

/// A Deployment and a Job.
pub(super) const MANIFEST: &str = include_str!("workload.yaml");

/// What `kubectl` shows at the end.
pub(super) const LOOK: &[&[&str]] = &[
    &["get", "nodes,pods", "-o", "wide"],
    &["get", "deployments,jobs"],
    &["logs", "deployment/web"],
    &["logs", "job/batch"],
];

/// Sends a manifest to the cluster, as a user would.
pub(super) fn apply(plane: &ControlPlane, manifest: &str) -> Result<()> {
    let mut kubectl = plane
        .kubectl()
        .args(["apply", "--filename", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run kubectl")?;
    // Taken, so that it is closed and kubectl sees the end.
    kubectl.stdin.take().context("kubectl has no stdin")?.write_all(manifest.as_bytes())?;
    let status = kubectl.wait()?;
    if !status.success() {
        bail!("kubectl apply failed ({status}); its output is above");
    }
    Ok(())
}

/// Waits until the Deployment is available and the Job is complete.
pub(super) async fn reached(node: &mut Node, client: &Client) -> Result<()> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let available = await_condition(deployments, "web", |web: Option<&Deployment>| web.is_some_and(all_available));
    node.meanwhile("the Deployment to have 3 available pods", REACHED, Box::pin(available)).await??;
    println!("Deployment web is available");

    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let complete = await_condition(jobs, "batch", |job: Option<&Job>| job.is_some_and(is_complete));
    node.meanwhile("the Job to complete", REACHED, Box::pin(complete)).await??;
    println!("Job batch is complete");
    Ok(())
}

/// Whether all pods of a Deployment are there.
pub(super) fn all_available(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.replicas;
    let available = deployment.status.as_ref().and_then(|status| status.available_replicas);
    wanted.is_some() && wanted == available
}

fn is_complete(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Complete" && one.status == "True"))
}
