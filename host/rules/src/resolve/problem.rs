//! Why a pod cannot be resolved.
//!
//! In: obstacles, and what they stand in the way of. Out: problems with the reasons and texts of the kubelet.
//! Invariant: a problem names the container or volume that it is about.

use thiserror::Error;

use crate::downward::quote::quote;
use crate::objects::Obstacle;
use crate::references::{ObjectRef, TokenSpec};

/// Why a pod cannot be resolved; `Display` is what a kubelet says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The answer about an object is not here yet: wait, it is not worth telling.
    #[error("waiting for {0}")]
    Loading(ObjectRef),
    /// A token is not here yet. Whoever asks for it knows why.
    #[error("waiting for a token of the pod's ServiceAccount")]
    Token(TokenSpec),
    /// A container cannot be made now: it waits with reason `CreateContainerConfigError`.
    #[error("{message}")]
    Container {
        /// Its name.
        container: String,
        /// As in `state.waiting.message`.
        message: String,
    },
    /// A volume cannot be made now: containers wait in `ContainerCreating`, events say `FailedMount`.
    #[error("MountVolume.SetUp failed for volume {} : {message}", quote(.volume))]
    Mount {
        /// Its name.
        volume: String,
        /// What failed.
        message: String,
    },
    /// The pod needs what pluglet cannot do at all: it should be rejected.
    #[error("{0}")]
    Unsupported(String),
}

impl Problem {
    /// A container's waiting reason, an event's reason, or a rejected pod's reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Loading(_) | Self::Token(_) => "ContainerCreating",
            Self::Container { .. } => "CreateContainerConfigError",
            Self::Mount { .. } => "FailedMount",
            Self::Unsupported(_) => "UnexpectedAdmissionError",
        }
    }

    pub(crate) fn of_container(name: &str, obstacle: Obstacle) -> Self {
        Self::of(obstacle, |message| Self::Container { container: name.to_owned(), message })
    }

    pub(crate) fn of_volume(name: &str, obstacle: Obstacle) -> Self {
        Self::of(obstacle, |message| Self::Mount { volume: name.to_owned(), message })
    }

    fn of(obstacle: Obstacle, otherwise: impl FnOnce(String) -> Self) -> Self {
        match obstacle {
            Obstacle::Loading(reference) => Self::Loading(reference),
            Obstacle::Token(token) => Self::Token(token),
            Obstacle::Unsupported(message) => Self::Unsupported(message),
            Obstacle::Message(message) => otherwise(message),
        }
    }
}
