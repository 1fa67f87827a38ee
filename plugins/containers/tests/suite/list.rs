//! All that there is.

use pluglet_sdk::testing::json;
use pluglet_sdk::{ContainerState, Error, Runtime};
use serde_json::Value;

use super::{DOCKER, PODMAN, asked, call, exited, inspected, labels, main_labels, running, runtime, start, web};

fn entries() -> Value {
    json!([
        {"Id": "s", "Labels": labels("sandbox", &[])},
        {"Id": "m", "Labels": main_labels()},
        {"Id": "theirs", "Labels": {"dev.pluglet.cluster": "c", "dev.pluglet.node": "other"}},
        {"Id": "x", "Labels": null},
    ])
}

#[test]
fn everything_of_ours_is_listed_by_pod_and_nothing_else() {
    for engine in [DOCKER, PODMAN] {
        let engines = start(engine, |what, _| match what {
            "GET /containers/json" => Some((200, entries())),
            "GET /containers/s/json" => Some((200, inspected("s", &labels("sandbox", &[]), &running()))),
            "GET /containers/m/json" => Some((200, inspected("m", &main_labels(), &exited(3)))),
            _ => None,
        });
        let pods = call(&engines, async |calls| runtime(calls).list(Some(web())).await).unwrap();
        assert_eq!(pods.len(), 1, "{engine}");
        assert_eq!((pods[0].pod.uid.as_str(), pods[0].pod.to_string().as_str()), ("u", "default/web"));
        assert_eq!((pods[0].sandboxes.len(), pods[0].containers.len()), (1, 1));
        let main = &pods[0].containers[0];
        assert_eq!((main.name.as_str(), main.state, main.exit_code), ("main", ContainerState::Exited, Some(3)));
        assert_eq!((main.sandbox_id.as_str(), main.image.as_str()), ("s", "nginx"));
        let query =
            engines.world().requests().iter().map(asked).find(|(what, _)| what == "GET /containers/json").unwrap().1;
        assert_eq!(
            query,
            r#"all=1&filters={"label":["dev.pluglet.cluster=c","dev.pluglet.node=n","dev.pluglet.uid=u"]}"#
        );
    }
}

#[test]
fn what_goes_away_while_it_is_looked_at_is_gone() {
    let engines = start(PODMAN, |what, _| match what {
        "GET /containers/json" => Some((200, entries())),
        "GET /containers/m/json" => Some((200, inspected("m", &main_labels(), &exited(0)))),
        _ => None,
    });
    let pods = call(&engines, async |calls| runtime(calls).list(None).await).unwrap();
    assert_eq!((pods[0].sandboxes.len(), pods[0].containers.len()), (0, 1));
}

#[test]
fn a_list_with_a_hole_is_an_error() {
    let engines = start(DOCKER, |what, _| match what {
        "GET /containers/json" => Some((200, entries())),
        "GET /containers/m/json" => Some((500, json!({"message": "trouble"}))),
        _ => None,
    });
    assert!(matches!(call(&engines, async |calls| runtime(calls).list(None).await), Err(Error::Unavailable(_))));
}
