//! Who may use which path of the node's port: each kind of caller against each path, over real TLS, with the real API server as judge.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use cluster::{Node, NodeOptions, World, is_running, pod};
use http::Method;
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde_json::json;

/// Each path of a kubelet with the right that it needs, and one that there is not.
const PATHS: [(&str, &str); 20] = [
    ("/healthz", "healthz"),
    ("/pods", "pods"),
    ("/runningpods/", "pods"),
    ("/configz", "configz"),
    ("/stats/summary", "stats"),
    ("/metrics", "metrics"),
    ("/metrics/resource", "metrics"),
    ("/metrics/cadvisor", "metrics"),
    ("/metrics/probes", "metrics"),
    ("/logs/", "log"),
    ("/checkpoint/n/p/c", "checkpoint"),
    ("/containerLogs/NAMESPACE/web/main", "proxy"),
    ("/exec/NAMESPACE/web/main?command=true&output=1", "create proxy"),
    ("/attach/NAMESPACE/web/main?output=1", "create proxy"),
    ("/portForward/NAMESPACE/web", "create proxy"),
    ("/run/NAMESPACE/web/main", "create proxy"),
    ("/exec/NAMESPACE/web/no-such-uid/main?command=true&output=1", "create proxy"),
    ("/portForward/NAMESPACE/web/no-such-uid", "create proxy"),
    ("/healthz/syncloop", "healthz"),
    ("/nothing", "proxy"),
];

/// A client of the node that shows this.
fn client(node: &Node, auth: AuthInfo) -> Result<Client> {
    let mut config = Config::new(node.url().parse()?);
    config.accept_invalid_certs = true;
    config.default_retry = false;
    config.auth_info = auth;
    Ok(Client::try_from(config)?)
}

fn certificate((certificate, key): (impl AsRef<Path>, impl AsRef<Path>)) -> AuthInfo {
    let text = |path: &Path| Some(path.to_string_lossy().into_owned());
    AuthInfo { client_certificate: text(certificate.as_ref()), client_key: text(key.as_ref()), ..AuthInfo::default() }
}

fn token(token: &str) -> AuthInfo {
    AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() }
}

/// The status of each path, 0 where there is no connection.
async fn statuses(client: &Client, namespace: &str) -> Result<Vec<u16>> {
    let mut statuses = vec![];
    for (path, needs) in PATHS {
        let mut answers = vec![];
        // What streams can begin either way, and it must not matter.
        let methods = if needs == "create proxy" { &[Method::GET, Method::POST][..] } else { &[Method::GET] };
        for method in methods {
            let request = http::Request::builder().method(method).uri(path.replace("NAMESPACE", namespace));
            let response = client.send(request.body(Body::empty())?).await;
            answers.push(response.map_or(0, |response| response.status().as_u16()));
        }
        answers.dedup();
        let [answer] = answers[..] else { anyhow::bail!("{path}: {answers:?} by method") };
        statuses.push(answer);
    }
    Ok(statuses)
}

/// A service account with these rights on nodes, and a token of it.
async fn account(world: &World, name: &str, verb: &str, resources: &str) -> Result<String> {
    let namespace = world.namespace.name();
    let role = format!("{namespace}-{name}");
    world.kubectl(&["create", "serviceaccount", name]).await?;
    let (verb, resources) = (format!("--verb={verb}"), format!("--resource={resources}"));
    world.kubectl(&["create", "clusterrole", &role, &verb, &resources]).await?;
    let (role_flag, subject) = (format!("--clusterrole={role}"), format!("--serviceaccount={namespace}:{name}"));
    world.kubectl(&["create", "clusterrolebinding", &role, &role_flag, &subject]).await?;
    Ok(world.kubectl(&["create", "token", name]).await?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_is_for_who_may_and_for_nobody_else() -> Result<()> {
    let world = World::new("access").await?;
    let namespace = world.namespace.name();
    let node = world.node_with("node-access", NodeOptions::default()).await?;
    world.create(&[pod(&node.name, "web", &json!({}), "Always")]).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let all = |status: u16| vec![status; PATHS.len()];

    assert_eq!(statuses(&client(&node, AuthInfo::default())?, namespace).await?, all(401), "nobody");
    assert_eq!(statuses(&client(&node, token("made-up"))?, namespace).await?, all(401), "a token of nobody");
    let foreign = certificate(world.plane.foreign_certificate());
    assert_eq!(statuses(&client(&node, foreign.clone())?, namespace).await?, all(401), "another authority's");
    let past = UNIX_EPOCH..SystemTime::now() - Duration::from_secs(60);
    let expired = world.plane.certificate_for("expired-admin", "admin", "system:masters", past)?;
    assert_eq!(statuses(&client(&node, certificate(expired))?, namespace).await?, all(401), "expired");

    let server = certificate(world.plane.serving_certificate());
    assert_eq!(statuses(&client(&node, server)?, namespace).await?, all(401), "a server's certificate");

    let now = SystemTime::now()..SystemTime::now() + Duration::from_secs(3600);
    let nobody = world.plane.certificate_for("no-rights", "somebody", "somewhere", now)?;
    assert_eq!(statuses(&client(&node, certificate(nobody))?, namespace).await?, all(403), "a user without rights");
    let stranger = account(&world, "stranger", "get", "pods").await?;
    assert_eq!(statuses(&client(&node, token(&stranger))?, namespace).await?, all(403), "no rights");
    let served = [200, 200, 501, 200, 200, 200, 200, 200, 200, 501, 501, 200, 400, 400, 400, 501, 404, 404, 200, 404];
    for (name, verb, resources, may) in [
        ("scraper", "get", "nodes/metrics,nodes/stats", &["metrics", "stats"][..]),
        // The right to read is not the right to run, although a WebSocket begins as a GET.
        ("reader", "get", "nodes/proxy", &["proxy", "pods", "healthz", "configz"]),
        ("runner", "create", "nodes/proxy", &["create proxy"]),
    ] {
        let bearer = token(&account(&world, name, verb, resources).await?);
        // A certificate of nobody does not stand in the way of a token.
        let both = AuthInfo { token: bearer.token.clone(), ..foreign.clone() };
        let expected: Vec<u16> = PATHS
            .iter()
            .zip(served)
            .map(|((_, needs), status)| if may.contains(needs) { status } else { 403 })
            .collect();
        assert_eq!(statuses(&client(&node, bearer)?, namespace).await?, expected, "{name}");
        assert_eq!(statuses(&client(&node, both)?, namespace).await?, expected, "{name} with a foreign certificate");
    }
    let admin = world.plane.client_with(|config| {
        config.cluster_url = node.url().parse().unwrap();
        config.accept_invalid_certs = true;
    });
    assert_eq!(statuses(&admin.await?, namespace).await?, served, "the administrator");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_clusters_authority_is_believed_and_a_self_signed_one_is_not() -> Result<()> {
    let world = World::new("serving").await?;
    let (certificate, key) = world.plane.serving_certificate();
    let flag = |name: &str, file: &Path| [name.to_owned(), file.display().to_string()];
    let flags = [flag("--tls-cert-file", &certificate), flag("--tls-private-key-file", &key)].concat();
    let signed = world.node_with("node-signed", NodeOptions { flags, ..NodeOptions::default() }).await?;
    let own = world.node("node-self-signed").await?;
    let health = async |node: &Node| -> Result<u16> {
        // The administrator's client trusts the cluster's authority and nobody else.
        let client = world.plane.client_with(|config| config.cluster_url = node.url().parse().unwrap()).await?;
        let request = http::Request::get("/healthz").body(Body::empty())?;
        Ok(client.send(request).await.map_or(0, |response| response.status().as_u16()))
    };
    assert_eq!((health(&signed).await?, health(&own).await?), (200, 0));
    Ok(())
}
