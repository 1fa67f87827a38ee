//! What `bench --containers` prints.
//!
//! In: the rounds. Out: a table of both sides beside a real kubelet, the calls of a pod, and what the engine cannot do faster. Figures are medians over
//! rounds.

use std::fmt;

use comfy_table::Table;

use super::super::report::load_average;
use super::super::table::table;
use super::Setting;
use super::figures::{Burst, Round, Side, median, ratio};

/// pluglet's time, at most so many times that of the direct calls.
const AIM: f64 = 1.3;

/// Measured by hand, on a machine that did nothing else; there is no bench of it.
const KUBELET: &str = "a real kubelet 1.37.2 with containerd on this kind of machine";

/// All rounds.
pub(crate) struct Report {
    pods: usize,
    /// What counts as the engine's.
    counted: &'static str,
    rounds: Vec<Round>,
}

/// A line of the table.
struct Line {
    title: &'static str,
    digits: usize,
    value: fn(&Round) -> Option<f64>,
    /// That of [`KUBELET`].
    kubelet: &'static str,
    /// Whether the ratio has the aim.
    aimed: bool,
}

const fn line(title: &'static str, digits: usize, kubelet: &'static str, value: fn(&Round) -> Option<f64>) -> Line {
    Line { title, digits, value, kubelet, aimed: false }
}

const LINES: [Line; 17] = [
    line("one pod, create to Running p50, s", 2, "0.49", |round| Some(round.alone)),
    Line { aimed: true, ..line("all at once, last Running, s", 2, "3.8", |round| Some(round.create.last)) },
    line("all at once, create to Running p50, s", 2, "", |round| Some(round.create.p50)),
    line("one pod, delete to gone p50, s", 2, "1.02", |round| Some(round.alone_delete)),
    Line { aimed: true, ..line("all at once, last gone, s", 2, "3.4", |round| Some(round.delete.last)) },
    line("all at once, delete to gone p50, s", 2, "", |round| Some(round.delete.p50)),
    line("engine CPU for the creation, s", 2, "3.0", |round| Some(round.create.engine_cpu)),
    line("engine CPU for the deletion, s", 2, "", |round| Some(round.delete.engine_cpu)),
    line("all others while creating, cores", 2, "", |round| Some(round.create.others)),
    line("all others while deleting, cores", 2, "", |round| Some(round.delete.others)),
    line("node CPU for the creation, s", 2, "0.75", |round| round.create.own_cpu),
    line("node CPU for the deletion, s", 2, "", |round| round.delete.own_cpu),
    line("node RSS before, MiB", 1, "", |round| round.own.map(|own| own.memory_before)),
    line("node RSS with all pods, MiB", 1, "101", |round| round.own.map(|own| own.memory_with)),
    line("node RSS for each pod, KiB", 0, "", |round| round.own.map(|own| own.memory_with - own.memory_before)),
    line("node CPU while all run, % of a core", 2, "1.8", |round| round.idle.own.map(|own| own * 100.0)),
    line("engine CPU while all run, % of a core", 2, "3 to 4", |round| Some(round.idle.engine * 100.0)),
];

/// The line whose figure is for all pods and is told for one.
const FOR_EACH_POD: &str = "node RSS for each pod, KiB";

/// One round in a line.
pub(super) fn line_of(round: &Round) -> String {
    format!(
        "alone {:.2} s, {:.2} s to delete; all running after {:.2} s (p50 {:.2}), gone after {:.2} s (p50 {:.2}); engine CPU {:.1} and {:.1} s, others {:.1} and {:.1} cores, load average {:.1}",
        round.alone,
        round.alone_delete,
        round.create.last,
        round.create.p50,
        round.delete.last,
        round.delete.p50,
        round.create.engine_cpu,
        round.delete.engine_cpu,
        round.create.others,
        round.delete.others,
        load_average()
    )
}

impl Report {
    pub(super) fn new(setting: &Setting<'_>, rounds: Vec<Round>) -> Self {
        Self { pods: setting.pods, counted: setting.account.what(), rounds }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of pods stay far below 2^52")]
    fn pods(&self) -> f64 {
        self.pods as f64
    }

    fn row(&self, line: &Line) -> Vec<String> {
        let scale = if line.title == FOR_EACH_POD { 1024.0 / self.pods() } else { 1.0 };
        let [direct, pluglet] =
            [Side::Direct, Side::Pluglet].map(|side| median(&self.rounds, side, line.value).map(|value| value * scale));
        let ratio = ratio(&self.rounds, line.value);
        let aim = match ratio {
            Some(ratio) if line.aimed && ratio <= AIM => format!("<= {AIM}: met"),
            Some(_) if line.aimed => format!("<= {AIM}: MISSED"),
            _ => String::new(),
        };
        let digits = line.digits;
        let show = |value: Option<f64>, digits| value.map_or_else(String::new, |value| format!("{value:.digits$}"));
        vec![
            line.title.to_owned(),
            show(direct, digits),
            show(pluglet, digits),
            show(ratio, 2),
            aim,
            line.kubelet.to_owned(),
        ]
    }

    /// Calls of each kind for one pod, and how long one took.
    fn calls(&self, burst: fn(&Round) -> &Burst) -> Table {
        let mut kinds: Vec<&String> = self.rounds.iter().flat_map(|round| burst(round).calls.keys()).collect();
        kinds.sort();
        kinds.dedup();
        let mut table = table(["", "direct, a pod", "pluglet, a pod", "direct, ms each", "pluglet, ms each"]);
        for kind in kinds {
            let tally = |side, value: &dyn Fn(f64, f64) -> f64| {
                let of = |round: &Round| {
                    let tally = burst(round).calls.get(kind)?;
                    Some(value(f64::from(tally.count), tally.time.as_secs_f64()))
                };
                median(&self.rounds, side, of)
            };
            let mut row = vec![kind.clone()];
            for side in [Side::Direct, Side::Pluglet] {
                row.push(format!("{:.2}", tally(side, &|count, _| count / self.pods()).unwrap_or(0.0)));
            }
            for side in [Side::Direct, Side::Pluglet] {
                let each = tally(side, &|count, seconds| seconds * 1e3 / count);
                row.push(each.map_or_else(String::new, |each| format!("{each:.0}")));
            }
            table.add_row(row);
        }
        table
    }

    /// What the engine needs at least, however it is asked.
    #[expect(clippy::cast_precision_loss, reason = "a machine has less than 2^52 cores")]
    fn limit(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let of = |value: fn(&Round) -> f64| {
            median(&self.rounds, Side::Direct, |round| Some(value(round))).unwrap_or(f64::NAN)
        };
        let (create, delete) = (of(|round| round.create.engine_cpu), of(|round| round.delete.engine_cpu));
        let (creating, deleting) = (of(|round| round.create.last), of(|round| round.delete.last));
        format!(
            "The engine is the limit: driven directly it uses {:.0} % of {cores} cores while it creates ({:.0} ms of CPU a pod) and {:.0} % while it deletes ({:.0} ms a pod); others have {:.1} and {:.1} cores meanwhile.",
            100.0 * create / cores / creating,
            1e3 * create / self.pods(),
            100.0 * delete / cores / deleting,
            1e3 * delete / self.pods(),
            of(|round| round.create.others),
            of(|round| round.delete.others)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.rounds.len() / 2;
        writeln!(f, "{} pods, medians of {rounds} rounds of each side; ratios are medians of each round's", self.pods)?;
        writeln!(f, "the engine's CPU time is that of {}", self.counted)?;
        let mut sides = table(["", "direct", "pluglet", "pluglet/direct", "aim", KUBELET]);
        for line in &LINES {
            sides.add_row(self.row(line));
        }
        writeln!(f, "{sides}\n\n{}\n", self.limit())?;
        writeln!(f, "calls to the engine while all are created:")?;
        writeln!(f, "{}\n", self.calls(|round| &round.create))?;
        writeln!(f, "calls to the engine while all are deleted:")?;
        writeln!(f, "{}", self.calls(|round| &round.delete))
    }
}
