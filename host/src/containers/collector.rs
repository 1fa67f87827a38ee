//! Removes images that nobody needs, when there are too many (`pkg/kubelet/images/image_gc_manager.go`).
//!
//! In: what the engine has of images and of containers, the operator's two limits. Out: images removed, the longest unused first. Invariant: an image that a
//! container was made of, or that has been here for less than two minutes, is never touched; below the upper limit nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pluglet_model::provider::Error;
use pluglet_model::runtime::{ImageStatus, Runtime};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

/// How often it is looked (`ImageGCPeriod`).
const PERIOD: Duration = Duration::from_secs(300);
/// A pod may be about to use what was just pulled (`imageMinimumGCAge`).
const YOUNGEST: Duration = Duration::from_secs(120);

/// How many bytes of images there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// From here on images are removed.
    pub(crate) high: u64,
    /// Until there are no more than this.
    pub(crate) low: u64,
}

/// When an image was first seen, and when it was last in use.
#[derive(Clone, Copy)]
struct Known {
    first: Instant,
    used: Option<Instant>,
}

/// Looks for ever.
pub(super) async fn run(runtime: &dyn Runtime, limits: Limits) {
    let mut known = BTreeMap::new();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = collect(runtime, limits, &mut known).await {
            info!(%error, "images are not looked at this time");
        }
    }
}

async fn collect(runtime: &dyn Runtime, limits: Limits, known: &mut BTreeMap<String, Known>) -> Result<(), Error> {
    let images = runtime.images().await?;
    let pods = runtime.pods().await?;
    let used: BTreeSet<&str> =
        pods.iter().flat_map(|pod| &pod.containers).map(|container| container.image_id.as_str()).collect();
    let now = Instant::now();
    known.retain(|id, _| images.iter().any(|image| image.id == *id));
    for image in &images {
        let known = known.entry(image.id.clone()).or_insert(Known { first: now, used: None });
        if used.contains(image.id.as_str()) {
            known.used = Some(now);
        }
    }
    for image in to_remove(&images, &used, known, limits, now) {
        match runtime.remove_image(&image.id).await {
            Ok(()) | Err(Error::NotFound) => {
                info!(id = image.id, tags = ?image.tags, size = image.size, "removed an unused image")
            }
            // Others than pods use it.
            Err(Error::AlreadyExists) => {}
            Err(error) => warn!(id = image.id, tags = ?image.tags, %error, "an unused image cannot be removed"),
        }
    }
    Ok(())
}

/// What has to go, in order.
fn to_remove<'a>(
    images: &'a [ImageStatus],
    used: &BTreeSet<&str>,
    known: &BTreeMap<String, Known>,
    limits: Limits,
    now: Instant,
) -> Vec<&'a ImageStatus> {
    let mut total: u64 = images.iter().map(|image| image.size).sum();
    if total < limits.high {
        return vec![];
    }
    let age = |image: &ImageStatus| known.get(&image.id).map(|known| (known.used, known.first));
    let old = |image: &&ImageStatus| {
        age(image).is_some_and(|(_, first)| now.duration_since(first) >= YOUNGEST) && !used.contains(image.id.as_str())
    };
    let mut candidates: Vec<&ImageStatus> = images.iter().filter(old).collect();
    candidates.sort_by_key(|image| age(image));
    let mut gone = vec![];
    for image in candidates {
        if total <= limits.low {
            break;
        }
        total = total.saturating_sub(image.size);
        gone.push(image);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_images_go_until_there_is_room_and_those_in_use_stay() {
        let begin = Instant::now();
        let now = begin + Duration::from_secs(1000);
        let image =
            |id: &str| ImageStatus { id: id.to_owned(), tags: vec![], digests: vec![], size: 10, user: String::new() };
        let images: Vec<_> = ["used", "late", "early", "never", "new"].map(image).to_vec();
        let mut known: BTreeMap<String, Known> =
            images.iter().map(|image| (image.id.clone(), Known { first: begin, used: None })).collect();
        known.get_mut("late").unwrap().used = Some(begin + Duration::from_secs(900));
        known.get_mut("early").unwrap().used = Some(begin + Duration::from_secs(100));
        known.get_mut("new").unwrap().first = now - Duration::from_secs(119);
        let used = BTreeSet::from(["used"]);
        let gone = |high, low| {
            let gone = to_remove(&images, &used, &known, Limits { high, low }, now);
            gone.iter().map(|image| image.id.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(gone(51, 0), "", "there is room");
        assert_eq!(gone(50, 40), "never");
        assert_eq!(gone(50, 25), "never early late");
        assert_eq!(gone(50, 0), "never early late", "no more than that");
    }
}
