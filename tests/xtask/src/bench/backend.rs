//! Who acts for a node in a round: the bare client, pluglet, or a peer.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use controlplane::Process;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use super::bare::{Bare, Work};
use super::{Bench, kwok};
use crate::node::{Node, Settings, Spec};

/// For a subject to end in order.
const DRAIN: Duration = Duration::from_secs(40);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    /// The bare API client, which is the limit
    Bare,
    /// Us
    Pluglet,
    /// The peer
    Kwok,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare",
            Self::Pluglet => "pluglet",
            Self::Kwok => "kwok",
        })
    }
}

/// A subject at work.
pub(super) enum Backend {
    Bare(Bare),
    Pluglet(Node),
    Kwok(Process),
}

impl Backend {
    /// Starts `subject` for the node `name`, and waits until that is Ready.
    pub(super) async fn start(bench: &Bench<'_>, subject: Subject, name: &str) -> Result<Self> {
        match subject {
            Subject::Bare => Ok(Self::Bare(Bare::start(bench, name).await?)),
            Subject::Pluglet => {
                let spec = Spec {
                    name,
                    provider: "mock",
                    binary: &bench.pluglet,
                    components: &bench.components,
                    settings: Settings::default(),
                };
                let mut node = Node::start(bench.plane, &spec)?;
                node.ready(&bench.client).await?;
                Ok(Self::Pluglet(node))
            }
            Subject::Kwok => {
                let kwok = bench.kwok.as_ref().context("KWOK was not built")?;
                Ok(Self::Kwok(kwok::start(bench, kwok, name).await?))
            }
        }
    }

    /// Who the API server knows it as.
    pub(super) fn user(&self, node: &str) -> String {
        match self {
            Self::Bare(_) | Self::Pluglet(_) => format!("system:node:{node}"),
            Self::Kwok(_) => kwok::USER.to_owned(),
        }
    }

    /// Its process, if it is not this one.
    pub(super) fn process(&self) -> Option<u32> {
        match self {
            Self::Bare(_) => None,
            Self::Pluglet(node) => Some(node.id()),
            Self::Kwok(process) => Some(process.id()),
        }
    }

    /// Whom the load has to tell about pods, because it does not watch.
    pub(super) fn channel(&self) -> Option<UnboundedSender<Work>> {
        match self {
            Self::Bare(bare) => Some(bare.channel()),
            Self::Pluglet(_) | Self::Kwok(_) => None,
        }
    }

    /// Returns when it has failed.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match self {
            Self::Bare(bare) => bare.failed().await,
            Self::Pluglet(node) => node.ended().await,
            Self::Kwok(process) => crate::node::ended(process).await,
        }
    }

    /// Ends it in order.
    pub(super) fn stop(self) -> Result<()> {
        match self {
            Self::Bare(_) => Ok(()),
            Self::Pluglet(mut node) => node.stop(DRAIN),
            Self::Kwok(mut process) => process.terminate(DRAIN).map(drop),
        }
    }
}
