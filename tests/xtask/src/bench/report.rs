//! What the bench found: medians in a table, with the aims beside them, and everything in JSON.

mod lines;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::backend::Subject;
use super::round::Round;
use super::stats;
use super::table::table;
use lines::{LINES, Line};

/// All rounds, and where they ran.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    kubernetes: String,
    pods: usize,
    writers: usize,
    machine: Machine,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    processor: String,
    memory_mb: u64,
    load_average_before: f64,
}

impl Report {
    pub(super) fn new(kubernetes: String, pods: usize, writers: usize) -> Self {
        Self { kubernetes, pods, writers, machine: Machine::look(), rounds: vec![] }
    }

    pub(super) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", path.display()))
    }

    fn median(&self, subject: Subject, value: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.rounds.iter().filter(|round| round.subject == subject).filter_map(value).collect();
        (!values.is_empty()).then(|| stats::median(values))
    }

    fn subjects(&self) -> Vec<Subject> {
        let measured = |subject: &Subject| self.rounds.iter().any(|round| round.subject == *subject);
        [Subject::Bare, Subject::Pluglet, Subject::Kwok].into_iter().filter(measured).collect()
    }

    fn row(&self, line: &Line) -> Vec<String> {
        let mut cells = vec![line.title.to_owned()];
        for subject in self.subjects() {
            cells.push(show(self.median(subject, line.value), line.digits));
        }
        let bare = self.median(Subject::Bare, line.value);
        let pluglet = self.median(Subject::Pluglet, line.value);
        cells.push(show(bare.zip(pluglet).map(|(bare, pluglet)| pluglet / bare), 2));
        cells.push(line.aim.map(|aim| aim.to_string()).unwrap_or_default());
        cells.push(
            line.aim.zip(pluglet).map(|(aim, pluglet)| aim.verdict(pluglet, bare)).unwrap_or_default().to_owned(),
        );
        cells
    }

    /// The subject's calls, most frequent first, as medians are of no use for them: of its last round.
    fn calls(&self, subject: Subject) -> Option<String> {
        let round = self.rounds.iter().rev().find(|round| round.subject == subject)?;
        let mut kinds: Vec<_> = round.calls.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        Some(format!("API calls of {subject} in its last round: {}", kinds.join(", ")))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.rounds.iter().map(|round| round.number).max().unwrap_or(0);
        writeln!(
            f,
            "{} pods, {} writers, medians of {rounds} rounds, Kubernetes {}",
            self.pods, self.writers, self.kubernetes
        )?;
        writeln!(f, "{}", self.machine)?;
        let mut header = vec![String::new()];
        header.extend(self.subjects().iter().map(ToString::to_string));
        header.extend(["pluglet/bare", "aim", ""].map(str::to_owned));
        let mut table = table(header);
        for line in LINES {
            table.add_row(self.row(&line));
        }
        writeln!(f, "{table}")?;
        for subject in self.subjects() {
            if let Some(calls) = self.calls(subject) {
                writeln!(f, "{calls}")?;
            }
        }
        Ok(())
    }
}

fn show(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.digits$}"),
        _ => "-".to_owned(),
    }
}

impl Machine {
    fn look() -> Self {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
            line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let kibibytes: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            memory_mb: kibibytes * 1024 / 1_000_000,
            load_average_before: load_average(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores ({}), {} MB, load average before the first round {:.1}",
            self.cores, self.processor, self.memory_mb, self.load_average_before
        )
    }
}

/// Of the last minute; NaN where there is none.
pub(super) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}
