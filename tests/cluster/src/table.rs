//! A table of pods: each row says what is created and what must come of it, to the letter.
//!
//! In: [`Row`]s, a node. Out: all pods created at once; an error that names every row that came out otherwise, with what was expected and what
//! was seen. Invariant: expectations are literals of the row. Only `{namespace}`, `{node}` and `{uid}` are put in, which nobody can know before.

mod check;
mod row;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use controlplane::wait::{Answer, until};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::{SOON, World, name, uid};
use check::{Complaint, Seen};
pub use row::Row;

/// Logs that are read at the same time.
const READERS: usize = 8;

/// Creates what the rows ask for, pods last, and waits until each row's expectations hold.
///
/// A row has held once each of its expectations about the API's pod held at the same moment, and each of the others at some moment after.
pub async fn check_rows(world: &World, node: &str, rows: Vec<Row>) -> Result<()> {
    let objects = rows.iter().flat_map(|row| row.objects.iter().cloned());
    let pods = rows.iter().filter_map(|row| row.manifest(node));
    let all: Vec<Value> = objects.chain(pods).collect();
    if !all.is_empty() {
        world.create(&all).await?;
    }
    let shown = api_shows(world, node, &rows).await;
    // Those that the API shows otherwise are looked at once more, for the report.
    let bound = if shown.iter().all(Option::is_some) { SOON } else { Duration::ZERO };
    let failures = RefCell::new(BTreeMap::new());
    let settled = until("every row to hold", bound, async || {
        let failed = look(world, node, &rows, &shown).await?;
        let answer = if failed.is_empty() { Answer::Yes(()) } else { Answer::NotYet(format!("{} rows", failed.len())) };
        failures.replace(failed);
        Ok(answer)
    })
    .await;
    let failures = failures.into_inner();
    if failures.is_empty() { settled } else { bail!("{}", report(&rows, &failures)) }
}

/// Waits until the API shows every row's pod as it should; answers each pod as it was at that moment.
async fn api_shows(world: &World, node: &str, rows: &[Row]) -> Vec<Option<Value>> {
    let shown = RefCell::new(vec![None; rows.len()]);
    let all_shown = |pods: &[Pod]| {
        let mut shown = shown.borrow_mut();
        for (row, shown) in rows.iter().zip(shown.iter_mut()).filter(|(_, shown)| shown.is_none()) {
            let Some(pod) = pods.iter().find(|pod| name(pod) == row.name) else { continue };
            let seen = Seen::api(world.namespace.name(), node, pod);
            if row.checks.iter().filter(|check| check.is_of_api()).all(|check| check.complaint(&seen).is_none()) {
                *shown = Some(seen.pod);
            }
        }
        shown.iter().all(Option::is_some)
    };
    // What did not come true is told by the report.
    let _ = world.until_pods("the API to show all rows as they should be", all_shown).await;
    shown.into_inner()
}

/// What does not hold now, by the row's index.
async fn look(
    world: &World,
    node: &str,
    rows: &[Row],
    shown: &[Option<Value>],
) -> Result<BTreeMap<usize, Vec<Complaint>>> {
    let pods = world.pods().list(&kube::api::ListParams::default()).await?.items;
    let events = world.events().await?;
    let looks = rows.iter().zip(shown).enumerate().map(async |(index, (row, shown))| {
        let Some(pod) = pods.iter().find(|pod| name(pod) == row.name) else {
            return (index, vec![Complaint::no_pod(row.name)]);
        };
        let mut seen = Seen::api(world.namespace.name(), node, pod);
        if let Some(pod) = shown {
            seen.pod = pod.clone();
        }
        let of_pod =
            |event: &&k8s_openapi::api::core::v1::Event| event.involved_object.uid.as_deref() == Some(uid(pod));
        seen.events = events.iter().filter(of_pod).map(check::told).collect();
        for container in row.containers() {
            let held = world.revealed(row.name, container).await.map_err(|error| format!("{error:#}"));
            seen.held.insert(container.to_owned(), held);
        }
        (index, row.checks.iter().filter_map(|check| check.complaint(&seen)).collect())
    });
    let found: Vec<(usize, Vec<Complaint>)> = stream::iter(looks).buffer_unordered(READERS).collect().await;
    Ok(found.into_iter().filter(|(_, complaints)| !complaints.is_empty()).collect())
}

fn report(rows: &[Row], failures: &BTreeMap<usize, Vec<Complaint>>) -> String {
    let mut text = format!("{} of {} rows do not hold", failures.len(), rows.len());
    for (row, complaints) in failures.iter().filter_map(|(index, complaints)| Some((rows.get(*index)?, complaints))) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n\n✗ {} (pod {})", row.sentence, row.name);
        for complaint in complaints {
            let _ = write!(text, "\n  {complaint}");
        }
    }
    text
}
