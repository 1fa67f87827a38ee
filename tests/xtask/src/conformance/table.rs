//! What a run amounts to: the summary for the terminal and the table for the repository.
//!
//! In: a [`Report`] and the [`Reasons`]. Out: text. Invariant: the same results give the same table: no times, names of
//! namespaces, or paths of the machine are in it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::reasons::Reasons;
use super::report::{End, Report, Spec};

/// What ran.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) kubernetes: String,
    pub(super) engine: String,
}

/// Specs by what became of them.
#[derive(Debug, Default)]
pub(super) struct Verdict<'a> {
    passed: Vec<&'a Spec>,
    /// Those of them that failed first.
    later: Vec<&'a Spec>,
    /// With the first line of what they said, and the reason.
    failed: Vec<(&'a Spec, String, Option<&'a str>)>,
    skipped: Vec<(&'a Spec, String)>,
    names: Vec<&'a str>,
}

impl<'a> Verdict<'a> {
    /// Sorts a run's specs.
    pub(super) fn of(report: &'a Report, reasons: &'a Reasons) -> Self {
        let mut verdict = Self::default();
        for spec in &report.specs {
            match &spec.end {
                End::Passed => verdict.passed.push(spec),
                End::PassedLater => {
                    verdict.passed.push(spec);
                    verdict.later.push(spec);
                }
                End::Failed(message) => {
                    let reason = reasons.of(&spec.name).map(|reason| reason.why.as_str());
                    verdict.failed.push((spec, first_line(message), reason));
                    verdict.names.push(&spec.name);
                }
                End::Skipped(message) => verdict.skipped.push((spec, first_line(message))),
            }
        }
        verdict
    }

    /// How many failed for no known reason.
    pub(super) fn unexplained(&self) -> usize {
        self.failed.iter().filter(|(_, _, reason)| reason.is_none()).count()
    }

    /// Patterns of the file that no failed spec needs.
    pub(super) fn idle<'r>(&self, reasons: &'r Reasons) -> Vec<&'r str> {
        let used: Vec<&str> =
            self.names.iter().filter_map(|name| reasons.of(name)).map(|one| one.spec.as_str()).collect();
        reasons.reason.iter().map(|one| one.spec.as_str()).filter(|pattern| !used.contains(pattern)).collect()
    }

    /// For the terminal.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        for (spec, message, reason) in &self.failed {
            let reason = reason.unwrap_or("NOT EXPLAINED YET");
            let _ = writeln!(text, "FAILED after {} s: {}\n    {message}\n    {reason}", spec.seconds, spec.name);
        }
        let _ = write!(text, "{}", self.totals());
        text
    }

    fn totals(&self) -> String {
        let ran = self.passed.len() + self.failed.len();
        let later = if self.later.is_empty() { String::new() } else { format!(" ({} not at once)", self.later.len()) };
        format!(
            "{ran} specs ran: {} passed{later}, {} failed ({} of them not explained); {} more skipped themselves",
            self.passed.len(),
            self.failed.len(),
            self.unexplained(),
            self.skipped.len()
        )
    }

    /// For the repository.
    pub(super) fn markdown(&self, setting: &Setting) -> String {
        let mut text = format!(
            "# What Kubernetes' own suite says\n\nWritten by `cargo xtask conformance`, see [README.md](README.md): the \
             `[NodeConformance]` specs of Kubernetes {} against a pluglet node with the provider `containers` on {}.\n\n{}.\n",
            setting.kubernetes,
            setting.engine,
            self.totals()
        );
        text.push_str(&self.areas());
        text.push_str(&self.failures());
        if !self.later.is_empty() {
            text.push_str("\n## Passed, but not at once\n\n");
            text.extend(self.later.iter().map(|spec| format!("- {}\n", short(&spec.name))));
        }
        text.push_str(&self.skips());
        text
    }

    fn areas(&self) -> String {
        let mut areas: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        let mut add = |area: &'a str, column: usize| {
            if let Some(count) = areas.entry(area).or_default().get_mut(column) {
                *count += 1;
            }
        };
        self.passed.iter().for_each(|spec| add(&spec.area, 0));
        self.failed.iter().for_each(|(spec, ..)| add(&spec.area, 1));
        self.skipped.iter().for_each(|(spec, _)| add(&spec.area, 2));
        let mut text = "\n## By area\n\n| area | passed | failed | skipped |\n|---|---|---|---|\n".to_owned();
        for (area, [passed, failed, skipped]) in areas {
            let _ = writeln!(text, "| {} | {passed} | {failed} | {skipped} |", cell(area));
        }
        text
    }

    fn failures(&self) -> String {
        let mut text = "\n## Failed\n".to_owned();
        if self.failed.is_empty() {
            text.push_str("\nNone.\n");
        }
        for (title, explained) in [("\n", true), ("\n### Not explained yet\n\n", false)] {
            let rows = self.failed.iter().filter(|(_, _, reason)| reason.is_some() == explained);
            let rows: Vec<String> = rows
                .map(|(spec, message, reason)| {
                    format!(
                        "| {} | {} | {} |\n",
                        cell(short(&spec.name)),
                        cell(message),
                        cell(reason.unwrap_or_default())
                    )
                })
                .collect();
            if !rows.is_empty() {
                let _ = write!(text, "{title}| spec | what it said | why |\n|---|---|---|\n{}", rows.concat());
            }
        }
        text
    }

    fn skips(&self) -> String {
        let mut text = "\n## Skipped themselves\n".to_owned();
        if self.skipped.is_empty() {
            text.push_str("\nNone.\n");
            return text;
        }
        text.push_str("\n| spec | its reason |\n|---|---|\n");
        for (spec, reason) in &self.skipped {
            let _ = writeln!(text, "| {} | {} |", cell(short(&spec.name)), cell(reason));
        }
        text
    }
}

/// The first line that says something, without what differs from run to run.
fn first_line(message: &str) -> String {
    const LONGEST: usize = 240;
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing");
    let words: Vec<String> = line.split(' ').map(steady).collect();
    words.join(" ").chars().take(LONGEST).collect()
}

/// A word without a run's own numbers: UUIDs and numbers of namespaces.
fn steady(word: &str) -> String {
    let is_own = |part: &&str| {
        part.len() >= 4 && part.chars().all(|c| c.is_ascii_hexdigit()) && part.contains(|c: char| c.is_ascii_digit())
    };
    let parts: Vec<&str> = word.split('-').map(|part| if is_own(&part) { "…" } else { part }).collect();
    if parts.len() > 1 { parts.join("-") } else { word.to_owned() }
}

/// A spec's name without what all of them have.
fn short(name: &str) -> &str {
    name.trim_end_matches(" [NodeConformance]")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let spec = |name: &str, end| Spec { name: name.to_owned(), area: "Pods".to_owned(), end, seconds: 1 };
        Report {
            specs: vec![
                spec("Pods one", End::Passed),
                spec("Pods two", End::Failed("\n pod-1a2b3c4d-0000 | gone\nmore".to_owned())),
                spec("Pods three", End::Failed("timed out".to_owned())),
                spec("Pods four", End::Skipped("only Windows".to_owned())),
                spec("Pods five [NodeConformance]", End::PassedLater),
            ],
        }
    }

    #[test]
    fn what_has_no_reason_is_told_apart() {
        let report = report();
        let reasons: Reasons =
            toml::from_str("[[reason]]\nspec = 'two'\nwhy = 'podman'\n[[reason]]\nspec = 'one'\nwhy = 'x'").unwrap();
        let verdict = Verdict::of(&report, &reasons);
        assert_eq!(verdict.unexplained(), 1);
        assert_eq!(verdict.idle(&reasons), ["one"]);
        let setting = Setting { kubernetes: "v1".to_owned(), engine: "podman 4".to_owned() };
        let text = verdict.markdown(&setting);
        assert!(text.contains("| Pods | 2 | 2 | 1 |"), "{text}");
        assert!(text.contains("2 passed (1 not at once)") && text.contains("- Pods five\n"), "{text}");
        assert!(text.contains("| Pods two | pod-…-… \\| gone | podman |"), "{text}");
        let (_, unexplained) = text.split_once("Not explained yet").unwrap();
        assert!(unexplained.contains("| Pods three | timed out |  |"), "{text}");
        assert!(text.contains("| Pods four | only Windows |"), "{text}");
    }

    #[test]
    fn the_same_failure_reads_the_same() {
        assert_eq!(first_line("pod pods-1234/busybox-0a1b2c is not-there"), "pod pods-1234/busybox-… is not-there");
    }
}
