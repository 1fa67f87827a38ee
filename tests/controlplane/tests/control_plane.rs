//! The control plane serves, schedules nothing by itself, survives a crash of its API server and leaves nothing behind.

use std::path::Path;

use controlplane::{ControlPlane, Options, TestNamespace};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PostParams};

#[tokio::test]
async fn it_serves_attaches_restarts_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let owner = ControlPlane::start(Options::default()).await?;
    let dir = owner.dir().to_owned();
    let client = owner.client().await?;
    let mark = owner.audit().mark()?;

    let namespace = TestNamespace::create(&owner, &client, "it-serves").await?;
    a_node_may_register_itself_only(&owner).await?;
    let calls = owner.audit().since(&mark)?;
    assert!(calls.iter().any(|call| call.kind() == "create namespaces 201"), "{calls:#?}");
    assert!(calls.iter().any(|call| call.kind() == "create nodes 403"), "{calls:#?}");

    let guest = ControlPlane::attach(&dir)?;
    guest.stop_apiserver()?;
    let impatient = guest.client_with(|config| config.default_retry = false).await?;
    assert!(impatient.apiserver_version().await.is_err(), "the API server was stopped and answers");
    guest.start_apiserver().await?;
    Api::<Pod>::namespaced(client, namespace.name()).list(&Default::default()).await?;
    let text = String::from_utf8(guest.kubectl().args(["get", "nodes"]).output()?.stdout)?;
    assert!(text.contains("node-1"), "{text}");

    drop(guest);
    assert!(dir.exists(), "a guest does not end what it attached to");
    drop(namespace);
    drop(owner);
    assert!(!dir.exists(), "{} is left behind", dir.display());
    assert_eq!(processes_that_mention(&dir), Vec::<String>::new());
    Ok(())
}

async fn a_node_may_register_itself_only(cluster: &ControlPlane) -> anyhow::Result<()> {
    let kubeconfig = kube::config::Kubeconfig::read_from(cluster.kubeconfig_node("node-1")?)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    let nodes: Api<Node> = Api::all(kube::Client::try_from(config)?);
    nodes.create(&PostParams::default(), &node("node-1")).await?;
    let refused = nodes.create(&PostParams::default(), &node("node-2")).await.err();
    assert!(refused.is_some_and(|error| error.to_string().contains("node-2")), "node-1 made node-2");
    Ok(())
}

fn node(name: &str) -> Node {
    Node { metadata: kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() }, ..Default::default() }
}

fn processes_that_mention(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .filter(|command| command.contains(&*dir) && !command.contains("kubectl"))
        .collect()
}
