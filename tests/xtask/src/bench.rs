//! `bench`: a burst of pods through the real control plane, pluglet beside a bare API client in the same run.
//!
//! In: how many pods, how many rounds, perhaps a peer. Out: a table on stdout and everything measured in a JSON file.
//!
//! Method. Every subject gets the same load in every round: for each pod, 16 at a time, create it (for a scheduler that
//! does not exist, so that nobody else acts on it) and bind it to the subject's node. When all are Running, delete some
//! one at a time, each when the one before is gone; then the rest, 16 requests at a time, without waiting for any. Every
//! delete has a grace of 30 s. One watch tells when a pod is Running and when it is gone. Subjects alternate
//! (ABAB), each round starts a new process and a new node, and the table shows medians over rounds.
//!
//! In a burst the load sends faster than the API server can serve node and load together, so latencies are mostly those
//! of a queue in front of it, the bare client's too. The deletions one at a time show what a subject adds by itself.
//!
//! The bare client is the limit: it makes the writes that any node has to make (Running, terminal status, final delete),
//! at once, from this process, with a node's identity. Nobody is throttled by us, and nobody is exempt from the API
//! server's priorities, except the load itself.
//!
//! Both this program and pluglet are built with optimisations, since they share the machine's cores.

mod backend;
mod bare;
mod containers;
mod kwok;
mod load;
mod observer;
mod references;
mod report;
mod requests;
mod round;
mod sessions;
mod stats;
mod table;
mod usage;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use controlplane::{ControlPlane, Options, TestNamespace};
use kube::Client;

use crate::cargo::{self, Workspace};
use crate::test::{BINARY, COMPONENTS};
use crate::{failure, interrupt, plugins};
use backend::Subject;
use report::Report;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pods in a burst [default: 500; 2000 with --references, 30 with --containers]
    #[arg(long)]
    pods: Option<usize>,
    /// Rounds of each subject [default: 3; 2 with --containers]
    #[arg(long)]
    rounds: Option<usize>,
    /// Requests that the load and the bare client have in flight
    #[arg(long, default_value_t = 16)]
    writers: usize,
    /// Another virtual kubelet to run the same load on
    #[arg(long)]
    peer: Option<Peer>,
    /// Only this subject; may be given several times
    #[arg(long, value_name = "SUBJECT")]
    only: Vec<Subject>,
    /// Not pods, but the sandbox alone, without a control plane
    #[arg(long, conflicts_with_all = ["peer", "only", "json"])]
    sandbox: Option<Sandbox>,
    /// Not a burst, but what pods cost that name a Secret, a ConfigMap and a token, beside as many that name nothing
    #[arg(long, conflicts_with_all = ["peer", "only", "json", "sandbox", "rounds"])]
    references: bool,
    /// Not a burst, but what logs, commands and forwarded ports cost, beside a bare TCP connection
    #[arg(long, conflicts_with_all = ["peer", "only", "json", "sandbox", "rounds", "references", "pods", "writers"])]
    sessions: bool,
    /// Not the mock's pods, but real ones on an engine of the bench's own, beside the same calls sent straight to the engine
    #[arg(long, conflicts_with_all = ["peer", "only", "json", "sandbox", "references", "sessions", "writers"])]
    containers: bool,
    /// Where everything measured goes; by default bench.json in cargo's target directory
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Another virtual kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Kubernetes WithOut Kubelet, built from its Go module
    Kwok,
}

/// What is measured of the sandbox. Each is an example of pluglet-wasm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sandbox {
    /// What warm calls of a provider take
    Calls,
    /// What a provider's HTTP costs beside a native client
    Http,
    /// What a well-behaved provider feels while another one attacks
    Attacks,
}

/// Tells the optimised build of this program that everything was just built, itself included.
const BUILT: &str = "PLUGLET_BENCH_BUILT";

/// Pods in a burst, unless told otherwise.
const PODS: usize = 500;
/// Rounds of each subject, unless told otherwise.
const ROUNDS: usize = 3;

/// What all rounds share.
struct Bench<'a> {
    plane: &'a ControlPlane,
    client: Client,
    namespace: String,
    pods: usize,
    writers: usize,
    pluglet: PathBuf,
    components: PathBuf,
    kwok: Option<kwok::Kwok>,
    subjects: Vec<Subject>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    if let Some(sandbox) = arguments.sandbox {
        return measure(&workspace, sandbox);
    }
    let subjects = if arguments.of_pluglet() { vec![Subject::Pluglet] } else { subjects(arguments) };
    if std::env::var_os(BUILT).is_none() {
        build(&workspace, subjects.contains(&Subject::Pluglet) && arguments.named(BINARY).is_none())?;
    }
    if cfg!(debug_assertions) {
        let program = workspace.binary("xtask", "release");
        let error = Command::new(&program).args(std::env::args_os().skip(1)).env(BUILT, "1").exec();
        return Err(error).with_context(|| format!("cannot run {}", program.display()));
    }
    let components = arguments.named(COMPONENTS).map_or_else(|| plugins::build(&workspace, "component"), Ok)?;
    let kwok = subjects.contains(&Subject::Kwok).then(kwok::install).transpose()?;
    let json = arguments.json.clone().unwrap_or_else(|| workspace.target.join("bench.json"));
    interrupt::block_on(interrupt::unless_requested(Box::pin(async {
        let plane = ControlPlane::start(Options::default()).await?;
        let client = plane.client().await?;
        let namespace = TestNamespace::create(&plane, &client, "bench").await?;
        let bench = Bench {
            plane: &plane,
            client,
            namespace: namespace.name().to_owned(),
            pods: arguments.pods(),
            writers: arguments.writers,
            pluglet: arguments.named(BINARY).unwrap_or_else(|| workspace.binary("pluglet", "release")),
            components,
            kwok,
            subjects,
        };
        let outcome = if arguments.sessions {
            sessions::measure(&bench).await.map(|figures| println!("\n{figures}"))
        } else if arguments.references {
            references::compare(&bench).await.map(|comparison| println!("\n{comparison}"))
        } else if arguments.containers {
            let rounds = arguments.rounds.unwrap_or(containers::ROUNDS);
            containers::measure(&bench, rounds).await.map(|report| println!("\n{report}"))
        } else {
            bench.report(arguments.rounds.unwrap_or(ROUNDS), &json).await
        };
        if outcome.is_err() {
            failure::dump(&plane, &failure::directory(&workspace, "bench"), &bench.logs());
        }
        outcome
    })))
}

impl Arguments {
    /// Whether pluglet has nobody to take turns with, or not another subject.
    fn of_pluglet(&self) -> bool {
        self.references || self.sessions || self.containers
    }

    fn pods(&self) -> usize {
        self.pods.unwrap_or(match (self.references, self.containers) {
            (true, _) => references::PODS,
            (_, true) => containers::PODS,
            _ => PODS,
        })
    }

    /// What the environment names to be measured in place of what is built here. Only beside an engine, which is as slow with any build.
    fn named(&self, name: &str) -> Option<PathBuf> {
        let value = std::env::var_os(name).filter(|value| self.containers && !value.is_empty());
        value.map(PathBuf::from)
    }
}

/// Who takes turns, in this order.
fn subjects(arguments: &Arguments) -> Vec<Subject> {
    if !arguments.only.is_empty() {
        return arguments.only.clone();
    }
    let mut subjects = vec![Subject::Bare, Subject::Pluglet];
    subjects.extend(arguments.peer.map(|Peer::Kwok| Subject::Kwok));
    subjects
}

/// Both in one call, so that cargo chooses the features of what they share once.
fn build(workspace: &Workspace, with_pluglet: bool) -> Result<()> {
    let mut packages = vec!["xtask"];
    packages.extend(with_pluglet.then_some("pluglet"));
    cargo::heading(&format!("build {} (profile release)", packages.join(" and ")));
    let mut command = cargo::cargo();
    command.args(["build", "--release"]);
    for package in packages {
        command.args(["--package", package]);
    }
    command.arg("--target-dir").arg(&workspace.target);
    cargo::run(&mut command)
}

impl Bench<'_> {
    /// All rounds, told and written down.
    async fn report(&self, rounds: usize, json: &Path) -> Result<()> {
        let report = self.rounds(rounds).await?;
        report.write(json)?;
        println!("\n{report}");
        println!("everything measured: {}", json.display());
        Ok(())
    }

    async fn rounds(&self, rounds: usize) -> Result<Report> {
        let version = self.client.apiserver_version().await?.git_version;
        let mut report = Report::new(version, self.pods, self.writers);
        for number in 1..=rounds {
            for subject in &self.subjects {
                cargo::heading(&format!("round {number} of {rounds}: {subject}, {} pods", self.pods));
                let round = Box::pin(round::run(self, *subject, number))
                    .await
                    .with_context(|| format!("round {number} of {subject}"))?;
                eprintln!("{round}");
                report.add(round);
            }
        }
        Ok(report)
    }

    /// Logs of the subjects so far.
    fn logs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.plane.dir().join("logs")) else { return vec![] };
        let logs = entries.flatten().map(|entry| entry.path());
        logs.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("bench-"))).collect()
    }
}

/// Builds and runs one of the examples of pluglet-wasm.
fn measure(workspace: &Workspace, sandbox: Sandbox) -> Result<()> {
    let components = plugins::build(workspace, "component")?;
    let name = match sandbox {
        Sandbox::Calls => "calls",
        Sandbox::Http => "http",
        Sandbox::Attacks => "attacks",
    };
    let mut command = cargo::cargo();
    command.args(["run", "--release", "-p", "pluglet-wasm", "--example", name]).env("PLUGLET_COMPONENTS", components);
    cargo::run(&mut command)
}
