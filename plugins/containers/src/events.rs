//! What happens to our containers, as the engine tells it.
//!
//! In: the engine's stream of events. Out: reports to the host. Invariant: events are hints and can be lost, so after each connection the host is
//! told to list; what is not ours is not reported.

use std::time::Duration;

use pluglet_sdk::HttpError;
use serde::Deserialize;

use crate::answer::Failure;
use crate::client::{Client, query, stream};
use crate::inspect::or_default;
use crate::labels::{self, Labels};
use crate::lines::Lines;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What changes how a container is without the host's doing. Docker says `destroy`, Podman `remove`; both say `die`. Nobody but the host starts one, and each event that is
/// told costs an inspection.
const TOLD: [&str; 3] = ["die", "destroy", "remove"];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Event {
    action: String,
    actor: Actor,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    /// All labels, and a few more.
    #[serde(rename = "Attributes", deserialize_with = "or_default")]
    attributes: Labels,
}

/// Report for ever.
pub(crate) async fn watch(client: Client) {
    let mut pause = FIRST_PAUSE;
    loop {
        match follow(&client, &mut pause).await {
            Ok(()) => client.host.debug("the engine has ended its stream of events"),
            Err(failure) => client.host.warn(format!("the engine's events: {}", pluglet_sdk::Error::from(failure))),
        }
        client.host.sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Report until the stream ends.
async fn follow(client: &Client, pause: &mut Duration) -> Result<(), Failure> {
    let path = format!("/events{}", query(&[("filters", &client.owner.filter_events())]));
    let answer = stream(client.get(&path)).await?;
    *pause = FIRST_PAUSE;
    // Nobody knows what has happened until now.
    client.host.resync();
    let mut lines = Lines::new(answer.body);
    while let Some(event) = lines.next::<Event>().await.map_err(|error: HttpError| Failure::from(error))? {
        report(client, &event);
    }
    Ok(())
}

fn report(client: &Client, event: &Event) {
    let Actor { id, attributes } = &event.actor;
    if !TOLD.contains(&event.action.as_str()) || !client.owner.owns(attributes) {
        return;
    }
    if let Some(pod) = labels::pod(attributes) {
        client.host.container_changed(pod, id.clone());
    }
}
