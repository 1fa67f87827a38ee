//! Images, from a registry that wants to know who asks.

use anyhow::{Context, Result};
use cluster::{container, is_running, typed_secret, uid};
use containers_suite::{CONFIG, Setup};
use engine::{BUSYBOX, Options, PASSWORD, Registry, USER};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

fn of(image: &str) -> Value {
    json!({ "name": "main", "image": image, "command": ["/bin/sh", "-c", SLEEP], "imagePullPolicy": "Always" })
}

fn waits(pod: &Pod, reason: &str) -> bool {
    let state = container(pod, "main").and_then(|status| status.state.as_ref()?.waiting.as_ref());
    state.is_some_and(|state| state.reason.as_deref() == Some(reason))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_pulled_with_the_pods_own_credentials_and_not_without() -> Result<()> {
    let options = Options { registry: true, ..Options::default() };
    let Some(setup) = Setup::with("images", options, CONFIG).await? else { return Ok(()) };
    let registry = Registry::start(&setup.engine).await?;
    let image = registry.push(BUSYBOX, "private/app:1").await?;
    let auths = json!({ "auths": { registry.address(): { "username": USER, "password": PASSWORD } } });
    let key = typed_secret("key", "kubernetes.io/dockerconfigjson", &json!({ ".dockerconfigjson": auths.to_string() }));
    setup.world.create(&[key]).await?;
    setup.create("without", &json!({ "containers": [of(&image)] })).await?;
    let pods = setup.world.until_pods("the refusal", |pods| pods.iter().any(|pod| waits(pod, "ErrImagePull"))).await?;
    let refused = pods.first().context("no pod")?;
    setup.world.until_event(uid(refused), "Failed", "Failed to pull image").await?;
    setup.world.until_pods("the pause", |pods| pods.iter().any(|pod| waits(pod, "ImagePullBackOff"))).await?;
    setup.world.kubectl(&["delete", "pod", "without"]).await?;

    let spec = json!({ "imagePullSecrets": [{ "name": "key" }], "containers": [of(&image)] });
    setup.create("with", &spec).await?;
    let pods = setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let pod = pods.first().context("no pod")?;
    for (reason, part) in [
        ("Pulling", "Pulling image"),
        ("Pulled", "Successfully pulled image"),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ] {
        setup.world.until_event(uid(pod), reason, part).await?;
    }
    setup.world.kubectl(&["delete", "pod", "with"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_not_there_and_must_not_be_pulled_is_said_so() -> Result<()> {
    let Some(setup) = Setup::new("never").await? else { return Ok(()) };
    let mut main = of("localhost/missing:1");
    main["imagePullPolicy"] = json!("Never");
    setup.create("web", &json!({ "containers": [main] })).await?;
    setup.world.until_pods("the reason", |pods| pods.iter().any(|pod| waits(pod, "ErrImageNeverPull"))).await?;
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}
