//! The annotations that script a pod.
//!
//! In: annotations under `mock.pluglet.dev/`. Out: [`Script`]. Invariant: a name that is not known and a value that cannot be read are
//! refused by name, so that a test never runs with a script that it did not mean.

mod duration;
mod failure;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use pluglet_sdk::{Error, Result};

use failure::Failing;
pub(crate) use failure::Failure;

/// What all annotations of this provider start with.
pub(crate) const PREFIX: &str = "mock.pluglet.dev/";

/// All names, as the README lists them.
const NAMES: [&str; 28] = [
    "cpu-usage",
    "create-delay",
    "create-error",
    "create-error-message",
    "create-error-times",
    "create-lost-reply",
    "delete-call-delay",
    "delete-delay",
    "delete-error",
    "delete-error-message",
    "delete-error-times",
    "exec-delay",
    "exec-exit-code",
    "exec-output",
    "exit-code",
    "fail-first",
    "fault",
    "log",
    "log-every",
    "log-line",
    "log-size",
    "memory-usage",
    "pod-ip",
    "reveal",
    "run-for",
    "start-delay",
    "status-wrong",
    "stop-exit-code",
];

/// Those whose change matters to a pod that exists.
const MAY_CHANGE: [&str; 12] = [
    "cpu-usage",
    "delete-call-delay",
    "delete-delay",
    "delete-error",
    "delete-error-message",
    "delete-error-times",
    "exec-delay",
    "exec-exit-code",
    "exec-output",
    "memory-usage",
    "reveal",
    "stop-exit-code",
];

/// What a container uses that says nothing of it: a hundredth of a CPU, and 16 MiB.
const DEFAULT_CPU_USAGE: u64 = 10_000_000;
const DEFAULT_MEMORY_USAGE: u64 = 16 << 20;

/// What a pod does. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// How long a run of a container takes. None: for ever.
    pub(crate) run_for: Option<u64>,
    /// With what it ends by itself.
    pub(crate) exit_code: i32,
    /// How many pods of one owner end with exit code 1 before the others do as scripted.
    pub(crate) fail_first: u32,
    /// From the create to Running.
    pub(crate) start_delay: u64,
    /// How long the create call takes.
    pub(crate) create_delay: u64,
    /// How the create call fails.
    pub(crate) create_error: Option<Failure>,
    /// Whether the create call that takes the pod in says that it failed.
    pub(crate) create_lost_reply: bool,
    /// How long the delete call takes.
    pub(crate) delete_call_delay: u64,
    /// How the delete call fails.
    pub(crate) delete_error: Option<Failure>,
    /// How long a container takes to stop.
    pub(crate) delete_delay: u64,
    /// With what it ends when it is stopped in time.
    pub(crate) stop_exit_code: i32,
    /// How the create call breaks the provider.
    pub(crate) fault: Option<Fault>,
    /// Lines at the start of each run.
    pub(crate) log: String,
    /// So many bytes of lines behind those.
    pub(crate) log_size: u64,
    /// Time between the lines that follow.
    pub(crate) log_every: Option<u64>,
    /// Such a line; `{n}` stands for its number.
    pub(crate) log_line: String,
    /// The pod's address. None: one is made up.
    pub(crate) pod_ip: Option<IpAddr>,
    /// Exit codes of commands, one after the other; the last one stays. Empty: 0.
    pub(crate) exec_exit_codes: Vec<i32>,
    /// What a command writes.
    pub(crate) exec_output: String,
    /// How long a command takes.
    pub(crate) exec_delay: u64,
    /// CPU in use by each container, billionths of a core.
    pub(crate) cpu_usage: u64,
    /// Memory in use by each container, bytes.
    pub(crate) memory_usage: u64,
    /// Whether logs begin with what is held of the pod.
    pub(crate) reveal: bool,
    /// Whether the pod is said to run again after it has ended.
    pub(crate) runs_after_end: bool,
}

/// How a create call breaks the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Trap,
    Spin,
    Allocate,
}

impl Script {
    /// Read the annotations, whose keys start with [`PREFIX`].
    pub(crate) fn parse(annotations: &BTreeMap<String, String>) -> Result<Self> {
        let mut script = Self {
            log_line: "tick {n}".to_owned(),
            cpu_usage: DEFAULT_CPU_USAGE,
            memory_usage: DEFAULT_MEMORY_USAGE,
            ..Self::default()
        };
        let (mut create, mut delete) = (Failing::of("create"), Failing::of("delete"));
        for (key, value) in annotations {
            let name = key.strip_prefix(PREFIX).unwrap_or(key);
            match name {
                "create-error" => create.kind = Some(value),
                "create-error-message" => create.message = Some(value),
                "create-error-times" => create.times = Some(number(name, value)?),
                "create-lost-reply" => script.create_lost_reply = number(name, value)?,
                "delete-error" => delete.kind = Some(value),
                "delete-error-message" => delete.message = Some(value),
                "delete-error-times" => delete.times = Some(number(name, value)?),
                "delete-call-delay" => script.delete_call_delay = time(name, value)?,
                "fail-first" => script.fail_first = number(name, value)?,
                "fault" => script.fault = Some(fault(value)?),
                "run-for" => script.run_for = Some(time(name, value)?),
                "start-delay" => script.start_delay = time(name, value)?,
                "create-delay" => script.create_delay = time(name, value)?,
                "delete-delay" => script.delete_delay = time(name, value)?,
                "log-every" => script.log_every = Some(interval(name, value)?),
                "exit-code" => script.exit_code = exit_code(name, value)?,
                "stop-exit-code" => script.stop_exit_code = exit_code(name, value)?,
                "log" => value.clone_into(&mut script.log),
                "log-line" => value.clone_into(&mut script.log_line),
                "log-size" => script.log_size = amount(name, value, 1)?,
                "pod-ip" => script.pod_ip = Some(number(name, value)?),
                "exec-exit-code" => script.exec_exit_codes = exit_codes(name, value)?,
                "exec-output" => value.clone_into(&mut script.exec_output),
                "exec-delay" => script.exec_delay = time(name, value)?,
                "cpu-usage" => script.cpu_usage = amount(name, value, 1_000_000_000)?,
                "memory-usage" => script.memory_usage = amount(name, value, 1)?,
                "reveal" => script.reveal = number(name, value)?,
                "status-wrong" => script.runs_after_end = status_wrong(value)?,
                unknown => {
                    let known = NAMES.join(", ");
                    return Err(Error::Invalid(format!(
                        "annotation {PREFIX}{unknown} is not known; known are {known}"
                    )));
                }
            }
        }
        script.create_error = create.read()?;
        script.delete_error = delete.read()?;
        Ok(script)
    }

    /// The script of a pod that `fail-first` chose. The annotation is changed too: it is what is kept.
    pub(crate) fn failing(mut self, annotations: &mut BTreeMap<String, String>) -> Self {
        self.exit_code = 1;
        annotations.insert(format!("{PREFIX}exit-code"), self.exit_code.to_string());
        self
    }

    /// Whether it says anything of commands.
    pub(crate) fn has_commands(&self) -> bool {
        !self.exec_exit_codes.is_empty() || !self.exec_output.is_empty() || self.exec_delay > 0
    }

    /// Whether a change of this annotation matters to a pod that exists: the rest of its script was played from its beginning.
    pub(crate) fn may_change(key: &str) -> bool {
        key.strip_prefix(PREFIX).is_some_and(|name| MAY_CHANGE.contains(&name))
    }
}

fn fault(value: &str) -> Result<Fault> {
    match value {
        "trap" => Ok(Fault::Trap),
        "spin" => Ok(Fault::Spin),
        "allocate" => Ok(Fault::Allocate),
        _ => Err(bad("fault", "it is one of trap, spin, allocate")),
    }
}

fn time(name: &str, value: &str) -> Result<u64> {
    duration::parse(value)
        .ok_or_else(|| bad(name, &format!("{value:?} is not a duration such as 500ms, 5s, 2m or 1h30m")))
}

fn interval(name: &str, value: &str) -> Result<u64> {
    match time(name, value)? {
        0..1_000_000 => Err(bad(name, "the shortest interval is 1ms")),
        ns => Ok(ns),
    }
}

/// A quantity such as `250m` or `64Mi`, in parts of which `unit` are one.
fn amount(name: &str, value: &str, unit: u64) -> Result<u64> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, suffix) = value.split_at(digits);
    let (times, parts) = match suffix {
        "" => (1, 1),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        _ => return Err(bad(name, &format!("{value:?} is not a quantity such as 250m, 2 or 64Mi"))),
    };
    let number: u64 = number.parse().map_err(|error| bad(name, &format!("{value:?}: {error}")))?;
    Ok(number.saturating_mul(times).saturating_mul(unit) / parts)
}

fn exit_code(name: &str, value: &str) -> Result<i32> {
    let code: u8 = value.parse().map_err(|_| bad(name, &format!("{value:?} is not an exit code from 0 to 255")))?;
    Ok(code.into())
}

fn exit_codes(name: &str, value: &str) -> Result<Vec<i32>> {
    value.split(',').map(|code| exit_code(name, code.trim())).collect()
}

fn status_wrong(value: &str) -> Result<bool> {
    match value {
        "running-after-end" => Ok(true),
        _ => Err(bad("status-wrong", "it is running-after-end")),
    }
}

fn number<T: FromStr<Err: std::fmt::Display>>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|error| bad(name, &format!("{value:?}: {error}")))
}

fn bad(name: &str, why: &str) -> Error {
    Error::Invalid(format!("annotation {PREFIX}{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(annotations: &[(&str, &str)]) -> Result<Script> {
        Script::parse(
            &annotations.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect(),
        )
    }

    fn complaint(name: &str, value: &str) -> String {
        let Err(Error::Invalid(text)) = parse(&[(name, value)]) else { panic!("{name}={value} was accepted") };
        assert!(text.contains(&format!("{PREFIX}{name}")), "{text}");
        text
    }

    #[test]
    fn an_annotation_that_is_not_known_is_refused_with_a_list_of_those_that_are() {
        let text = complaint("run-four", "5s");
        assert!(NAMES.iter().all(|name| text.contains(name)), "{text}");
    }

    #[test]
    fn a_value_that_cannot_be_read_is_refused_by_the_name_of_its_annotation() {
        for (name, value) in [
            ("run-for", "5"),
            ("start-delay", "-1s"),
            ("log-every", "0s"),
            ("exit-code", "256"),
            ("stop-exit-code", "one"),
            ("fail-first", "-1"),
            ("create-error", "bad"),
            ("create-error-times", "many"),
            ("create-error-message", "alone"),
            ("create-lost-reply", "yes"),
            ("delete-error", "not-found"),
            ("delete-error-times", "1"),
            ("delete-call-delay", "soon"),
            ("exec-delay", "soon"),
            ("exec-exit-code", "1,,0"),
            ("cpu-usage", "much"),
            ("memory-usage", "Mi"),
            ("log-size", "large"),
            ("reveal", "all"),
            ("status-wrong", "always"),
            ("fault", "none"),
            ("pod-ip", "10.0.0"),
        ] {
            complaint(name, value);
        }
    }

    #[test]
    fn every_known_name_is_understood() {
        for name in NAMES {
            let Err(Error::Invalid(text)) = parse(&[(name, "\u{0}")]) else { continue };
            assert!(!text.contains("is not known"), "{text}");
        }
    }
}
