//! The node's certificates, asked of a real cluster: its server's, and its own as a client.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use cluster::{Identity, Node, NodeOptions, SOON, World};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use serde_json::json;

const SERVING: &str = "kubernetes.io/kubelet-serving";

/// The serving certificates that the node has asked for.
async fn requests(world: &World, node: &Node) -> Result<Vec<CertificateSigningRequest>> {
    let user = format!("system:node:{}", node.name);
    let all = Api::<CertificateSigningRequest>::all(world.client.clone()).list(&ListParams::default()).await?;
    let of_node = |request: &CertificateSigningRequest| {
        request.spec.username.as_ref() == Some(&user) && request.spec.signer_name == SERVING
    };
    Ok(all.items.into_iter().filter(of_node).collect())
}

/// Waits for a request that is not among `known`.
async fn request(
    world: &World,
    node: &Node,
    known: &[&CertificateSigningRequest],
) -> Result<CertificateSigningRequest> {
    until("a request for a serving certificate", SOON, async || {
        let is_known = |request: &CertificateSigningRequest| {
            known.iter().any(|known| known.metadata.name == request.metadata.name)
        };
        let new = requests(world, node).await?.into_iter().find(|request| !is_known(request));
        Ok(new.map_or_else(|| Answer::NotYet("none".to_owned()), Answer::Yes))
    })
    .await
}

async fn approve(world: &World, request: &CertificateSigningRequest) -> Result<()> {
    let name = request.metadata.name.as_deref().context("a name")?;
    world.kubectl(&["certificate", "approve", name]).await.map(drop)
}

/// Whether who trusts the cluster's authority and nobody else can call the node.
async fn is_trusted(world: &World, node: &Node) -> Result<bool> {
    let url = node.url().parse()?;
    let client = world.plane.client_with(|config| {
        config.cluster_url = url;
        config.default_retry = false;
    });
    let request = http::Request::get("/healthz").body(Body::empty())?;
    Ok(client.await?.send(request).await.is_ok_and(|response| response.status().is_success()))
}

async fn until_trusted(world: &World, node: &Node) -> Result<()> {
    until("the node to show a certificate of the cluster", SOON, async || {
        Ok(if is_trusted(world, node).await? { Answer::Yes(()) } else { Answer::NotYet("not trusted".to_owned()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serving_certificate_is_asked_for_once_and_shown_as_soon_as_it_is_approved() -> Result<()> {
    let world = World::new("csr").await?;
    let mut node = world.node("node-csr").await?;
    let first = request(&world, &node, &[]).await?;
    assert_eq!(first.spec.usages.as_deref(), Some(&["digital signature".to_owned(), "server auth".to_owned()][..]));
    assert!(!is_trusted(&world, &node).await?);
    node.terminate()?;
    node.restart()?;
    node.logged(&["waiting for the certificate that was asked for earlier"]).await?;
    approve(&world, &first).await?;
    until_trusted(&world, &node).await?;
    node.kill()?;
    node.restart()?;
    until_trusted(&world, &node).await?;
    assert_eq!(requests(&world, &node).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serving_certificate_is_renewed_before_its_time_is_over_and_shown_at_once() -> Result<()> {
    let world = World::new("csr-renewal").await?;
    let node = world.node("node-csr-renewal").await?;
    let first = request(&world, &node, &[]).await?;
    // Signed here, since the controller manager signs for ten minutes at least.
    let signed = world.plane.sign_serving(std::str::from_utf8(&first.spec.request.0)?, Duration::from_secs(20))?;
    let status = json!({"status": {"certificate": k8s_openapi::ByteString(signed.into_bytes())}});
    let all = Api::<CertificateSigningRequest>::all(world.client.clone());
    let name = first.metadata.name.as_deref().context("a name")?;
    all.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    approve(&world, &first).await?;
    until_trusted(&world, &node).await?;
    let second = request(&world, &node, &[&first]).await?;
    // The first is still good.
    assert!(is_trusted(&world, &node).await?);
    until("the first to be over", SOON, async || {
        Ok(if is_trusted(&world, &node).await? { Answer::NotYet("still good".to_owned()) } else { Answer::Yes(()) })
    })
    .await?;
    approve(&world, &second).await?;
    until_trusted(&world, &node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serving_certificate_that_is_denied_is_told_and_one_of_files_is_not_asked_for() -> Result<()> {
    let world = World::new("csr-denied").await?;
    let node = world.node("node-csr-denied").await?;
    let asked = request(&world, &node, &[]).await?;
    world.kubectl(&["certificate", "deny", asked.metadata.name.as_deref().context("a name")?]).await?;
    node.logged(&["WARN", "was denied: This CSR was denied by kubectl"]).await?;

    let flag = |name: &str, file: &Path| [name.to_owned(), file.display().to_string()];
    let (certificate, key) = world.plane.serving_certificate();
    let flags = [flag("--tls-cert-file", &certificate), flag("--tls-private-key-file", &key)].concat();
    let files = world.node_with("node-csr-files", NodeOptions { flags, ..NodeOptions::default() }).await?;
    let off = vec!["--rotate-server-certificates=false".to_owned()];
    let off = world.node_with("node-csr-off", NodeOptions { flags: off, ..NodeOptions::default() }).await?;
    for node in [&files, &off] {
        assert!(requests(&world, node).await?.is_empty(), "{}", node.name);
    }
    Ok(())
}

/// Lets whoever has a bootstrap token become a node, as the documentation of TLS bootstrapping says, and makes one.
async fn bootstrap_token(world: &World, id: &str) -> Result<String> {
    for (name, role, group) in [
        ("bootstrap", "system:node-bootstrapper", "system:bootstrappers"),
        ("approve", "system:certificates.k8s.io:certificatesigningrequests:nodeclient", "system:bootstrappers"),
        ("renew", "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", "system:nodes"),
    ] {
        let (role, group) = (format!("--clusterrole={role}"), format!("--group={group}"));
        let name = format!("{}-{name}", world.namespace.name());
        world.kubectl(&["create", "clusterrolebinding", &name, &role, &group]).await?;
    }
    let secret = "0123456789abcdef";
    let object = serde_json::from_value(json!({
        "type": "bootstrap.kubernetes.io/token", "metadata": {"name": format!("bootstrap-token-{id}")},
        "stringData": {"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true"},
    }))?;
    let secrets = Api::<Secret>::namespaced(world.client.clone(), "kube-system");
    secrets.create(&PostParams::default(), &object).await?;
    Ok(format!("{id}.{secret}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_with_a_bootstrap_token_and_renews_its_own_certificate_then() -> Result<()> {
    let world = World::new("bootstrap").await?;
    let token = bootstrap_token(&world, "plug01").await?;
    let bootstrap = world.plane.kubeconfig_token("bootstrap", &token)?.display().to_string();
    let flags = vec!["--bootstrap-kubeconfig".to_owned(), bootstrap];
    let name = "node-bootstrap";
    let mut node =
        world.node_with(name, NodeOptions { flags, identity: Identity::None, ..NodeOptions::default() }).await?;
    let kubeconfig = node.state().join("kubeconfig");
    assert_eq!(std::fs::metadata(&kubeconfig)?.permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&kubeconfig)?.contains(&token));

    // A certificate that is nearly over: the node gets another one with it, and goes on with that.
    node.terminate()?;
    let pair = node.state().join("pki").join(name).join("kubelet-client-current.pem");
    let first = std::fs::read_to_string(&pair)?;
    let end = SystemTime::now() + Duration::from_secs(20);
    let time = SystemTime::now() - Duration::from_secs(200)..end;
    let (certificate, key) = world.plane.certificate_for(name, &format!("system:node:{name}"), "system:nodes", time)?;
    let short = format!("{}{}", std::fs::read_to_string(certificate)?, std::fs::read_to_string(key)?);
    std::fs::write(&pair, &short)?;
    node.restart()?;
    node.logged(&["there is a new certificate", "client"]).await?;
    let renewed = std::fs::read_to_string(&pair)?;
    assert!(renewed != short && renewed != first);
    let leases = Api::<Lease>::namespaced(world.client.clone(), "kube-node-lease");
    until("the lease to be renewed after the end of the old certificate", SOON, async || {
        let lease = leases.get(name).await?;
        let renewed = lease.spec.and_then(|spec| spec.renew_time).context("renewTime")?.0;
        let is_later = SystemTime::from(renewed) > end + Duration::from_secs(1);
        Ok(if is_later { Answer::Yes(()) } else { Answer::NotYet(renewed.to_string()) })
    })
    .await
}
