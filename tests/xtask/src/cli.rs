//! The command line, and which function serves each command.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench, conformance, control_plane, demo, fuzz, lint, pin, plugins, soak, test};

/// Builds, demonstrates, tests and measures pluglet. Each command does all of its own set-up.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Examples:
  cargo xtask demo                 a cluster with a pluglet node, until Ctrl-C
  cargo xtask demo --exit          the same, checked, then taken down
  cargo xtask demo --provider containers --exit
                                   the same with real containers
  cargo xtask test                 every rung
  cargo xtask test --rung unit     only what needs neither components nor a cluster
  cargo xtask test deployment      only tests whose name contains \"deployment\"
  cargo xtask soak --minutes 5     random pods, faults and restarts; at the end all must agree
  cargo xtask fuzz --minutes 10    random bytes to what reads the network's, ten minutes for each target
  cargo xtask conformance          Kubernetes' own suite against real containers
  cargo xtask bench --pods 500     a burst of pods, beside a bare API client
  cargo xtask bench --sessions     what logs, commands and forwarded ports cost
  cargo xtask bench --references   what pods cost that name a Secret, a ConfigMap and a token
  cargo xtask bench --containers   what pods of real containers cost, beside the same calls sent straight to the engine
  cargo xtask control-plane        only the control plane, until Ctrl-C

The Kubernetes binaries come from $KUBEBUILDER_ASSETS, the user's cache, a download or a Go build; see tests/README.md."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a node with a Deployment and a Job on a real control plane
    Demo(demo::Arguments),
    /// Runs the tests, rung by rung
    Test(test::Arguments),
    /// Lets random things happen to pods, provider and API server for minutes, and checks that all agree in the end
    Soak(soak::Arguments),
    /// Runs Kubernetes' own node suite against a node with real containers
    Conformance(conformance::Arguments),
    /// Measures a burst of pods against a bare API client
    Bench(bench::Arguments),
    /// Throws bytes at what reads bytes of the network
    Fuzz(fuzz::Arguments),
    /// Builds the components in plugins/ and tests/hostile
    BuildPlugins(plugins::Arguments),
    /// Runs clippy over everything, and over the plugins on their own target
    Lint,
    /// Checks dependencies: bans, licences, sources
    Deny,
    /// Runs a control plane until Ctrl-C
    ControlPlane,
    /// Records the checksums of an official Kubernetes release, for review
    PinKubernetes(pin::Arguments),
}

/// Runs what the command line asks for.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::BuildPlugins(arguments) => plugins::run(&arguments),
        Command::Lint => lint::lint(),
        Command::Deny => lint::deny(),
        Command::ControlPlane => control_plane::run(),
        Command::PinKubernetes(arguments) => pin::run(&arguments),
    }
}
