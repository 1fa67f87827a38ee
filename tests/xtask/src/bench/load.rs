//! The load: creates, binds and deletes pods, a fixed number of requests in flight.
//!
//! In: names. Out: for each pod when its creation, or its deletion, was sent. Whoever has to act for a pod without
//! watching (the bare client) is told through a channel the moment the answer is there.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use tokio::sync::mpsc::UnboundedSender;

use super::bare::Work;
use super::requests::{self, PodView};

/// Grace with which pods are deleted: what a user's delete has unless told otherwise.
const GRACE: u32 = 30;

/// A created pod.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) sent: Instant,
}

/// What a pod names besides its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Nothing,
    /// The Secret and the ConfigMap of its own name, and a token.
    Objects,
}

/// Where the load goes.
pub(super) struct Load<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    pub(super) node: &'a str,
    pub(super) writers: usize,
    pub(super) tell: Option<UnboundedSender<Work>>,
    pub(super) names: Names,
}

impl Load<'_> {
    /// Creates and binds pods.
    pub(super) async fn create(&self, names: Vec<String>) -> Result<Vec<Made>> {
        stream::iter(names).map(|name| self.create_one(name)).buffer_unordered(self.writers).try_collect().await
    }

    /// Deletes pods; answers when each deletion was sent.
    pub(super) async fn delete(&self, pods: &[Made]) -> Result<HashMap<String, Instant>> {
        stream::iter(pods.to_vec()).map(|pod| self.delete_one(pod)).buffer_unordered(self.writers).try_collect().await
    }

    async fn create_one(&self, name: String) -> Result<Made> {
        let sent = Instant::now();
        let created: PodView = self.client.request(requests::create(self.namespace, &name, self.names)?).await?;
        requests::send(self.client, requests::bind(self.namespace, &name, self.node)?).await?;
        let made = Made { name, uid: created.metadata.uid, sent };
        self.tell(|| Work::Run(made.clone()));
        Ok(made)
    }

    async fn delete_one(&self, pod: Made) -> Result<(String, Instant)> {
        let sent = Instant::now();
        requests::send(self.client, requests::delete(self.namespace, &pod.name, GRACE, None)?).await?;
        self.tell(|| Work::End(pod.clone()));
        Ok((pod.name, sent))
    }

    fn tell(&self, work: impl FnOnce() -> Work) {
        if let Some(channel) = &self.tell {
            // Nobody listens only if the bare client failed, and then its own error is reported.
            let _ = channel.send(work());
        }
    }
}
