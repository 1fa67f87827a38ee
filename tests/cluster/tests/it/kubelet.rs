//! A pod on pluglet means what it means on a kubelet: tables of pods, each with what the provider must receive and what the API must show.
//!
//! Expectations are literals: from kubernetes.io (the page is named), or from the source of Kubernetes 1.37 (the file is named). All of it
//! runs with the identity of a node, under the node authorizer and NodeRestriction, unless a test says otherwise.

mod admission;
mod credentials;
mod deletion;
mod environment;
mod files;
mod identity;
mod probes;
mod recovery;
mod status;
mod volume_kinds;
