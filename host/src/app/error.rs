//! How the process fails.
//!
//! In: the errors of the parts. Out: one message with all causes, an exit code. Invariant: 2 means that the operator's input is wrong.

use std::net::SocketAddr;
use std::process::ExitCode;

use pluglet_wasm::StartError;

use crate::{api, config, kubelet, providers};

/// The exit code for wrong flags, files and components, as clap uses it for wrong flags.
const USAGE: u8 = 2;

/// A step of the start that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the configuration is not usable")]
    Config(#[source] config::Error),
    #[error("the provider is not usable")]
    Provider(#[source] providers::Error),
    #[error("the provider cannot be started")]
    Start(#[source] StartError),
    #[error("the API server cannot be used")]
    Client(#[source] api::client::Error),
    #[error(
        "the client certificate of the kubeconfig is that of {user}, and --node-name says {node}: give that name, or a kubeconfig of this node"
    )]
    Identity { user: String, node: String },
    #[error("the node cannot get its own kubeconfig from --bootstrap-kubeconfig")]
    Bootstrap(#[source] api::bootstrap::Error),
    #[error("the client certificate authorities of --client-ca-file cannot be used")]
    ClientCa(#[source] pluglet_credentials::FileError),
    #[error("cannot listen on {address}: choose another --port or --address")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot find this machine's address: give --address IP")]
    Address(#[source] std::io::Error),
    #[error("the serving certificate of --tls-cert-file and --tls-private-key-file cannot be used")]
    ServingCertificate(#[source] pluglet_credentials::FileError),
    #[error("cannot serve TLS")]
    Tls(#[source] kubelet::tls::Error),
    #[error("cannot set up probes")]
    Prober(#[source] rustls::Error),
    #[error("cannot set up the process")]
    Runtime(#[source] std::io::Error),
    #[error("a part of pluglet ended unexpectedly; the log says which")]
    Ended,
}

impl Error {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Provider(_)
            | Self::Start(_)
            | Self::Client(_)
            | Self::Bootstrap(_)
            | Self::Identity { .. }
            | Self::ServingCertificate(_)
            | Self::ClientCa(_) => ExitCode::from(USAGE),
            Self::Listen { .. }
            | Self::Address(_)
            | Self::Tls(_)
            | Self::Prober(_)
            | Self::Runtime(_)
            | Self::Ended => ExitCode::FAILURE,
        }
    }
}

/// Prints an error and its causes, one a line.
pub(super) fn report(error: &dyn std::error::Error) {
    use std::io::Write;
    let mut text = format!("error: {error}\n");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("  because: {cause}\n"));
        source = cause.source();
    }
    // Nobody is left to tell when standard error is closed.
    std::io::stderr().write_all(text.as_bytes()).ok();
}
