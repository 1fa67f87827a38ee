//! The annotations that script a pod.
//!
//! In: annotations under `mock.pluglet.dev/`. Out: [`Script`]. Invariant: a name that is not known and a value that cannot be read are
//! refused by name, so that a test never runs with a script that it did not mean.

mod duration;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use pluglet_sdk::{Error, Result};

/// What all annotations of this provider start with.
pub(crate) const PREFIX: &str = "mock.pluglet.dev/";

/// All names, as the README lists them.
const NAMES: [&str; 15] = [
    "create-delay",
    "create-error",
    "create-error-message",
    "create-error-times",
    "delete-delay",
    "exit-code",
    "fail-first",
    "fault",
    "log",
    "log-every",
    "log-line",
    "pod-ip",
    "run-for",
    "start-delay",
    "stop-exit-code",
];

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
    pub(crate) create_error: Option<CreateError>,
    /// How long a container takes to stop.
    pub(crate) delete_delay: u64,
    /// With what it ends when it is stopped in time.
    pub(crate) stop_exit_code: i32,
    /// How the create call breaks the provider.
    pub(crate) fault: Option<Fault>,
    /// Lines at the start of each run.
    pub(crate) log: String,
    /// Time between the lines that follow.
    pub(crate) log_every: Option<u64>,
    /// Such a line; `{n}` stands for its number.
    pub(crate) log_line: String,
    /// The pod's address. None: one is made up.
    pub(crate) pod_ip: Option<IpAddr>,
}

/// How a create call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreateError {
    /// What the call answers.
    pub(crate) error: Error,
    /// How many creates fail before one works. None: all.
    pub(crate) times: Option<u32>,
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
        let mut script = Self { log_line: "tick {n}".to_owned(), ..Self::default() };
        let (mut error, mut message, mut times) = (None, None, None);
        for (key, value) in annotations {
            let name = key.strip_prefix(PREFIX).unwrap_or(key);
            match name {
                "create-error" => error = Some(value.as_str()),
                "create-error-message" => message = Some(value.as_str()),
                "create-error-times" => times = Some(number(name, value)?),
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
                "pod-ip" => script.pod_ip = Some(number(name, value)?),
                unknown => {
                    let known = NAMES.join(", ");
                    return Err(Error::Invalid(format!(
                        "annotation {PREFIX}{unknown} is not known; known are {known}"
                    )));
                }
            }
        }
        script.create_error = create_error(error, message, times)?;
        Ok(script)
    }

    /// The script of a pod that `fail-first` chose. The annotation is changed too: it is what is kept.
    pub(crate) fn failing(mut self, annotations: &mut BTreeMap<String, String>) -> Self {
        self.exit_code = 1;
        annotations.insert(format!("{PREFIX}exit-code"), self.exit_code.to_string());
        self
    }

    /// Whether a change of this annotation matters to a pod that exists: the rest of its script was played from its beginning.
    pub(crate) fn may_change(key: &str) -> bool {
        matches!(key.strip_prefix(PREFIX), Some("delete-delay" | "stop-exit-code"))
    }
}

fn create_error(kind: Option<&str>, message: Option<&str>, times: Option<u32>) -> Result<Option<CreateError>> {
    let Some(kind) = kind else {
        let alone = message.map(|_| "create-error-message").or(times.map(|_| "create-error-times"));
        return alone.map_or(Ok(None), |name| Err(bad(name, "it needs create-error beside it")));
    };
    let message = message.unwrap_or("scripted by an annotation");
    let error = match kind {
        "invalid" => Error::Invalid(message.to_owned()),
        "denied" => Error::Denied(message.to_owned()),
        "unavailable" => Error::unavailable(message),
        "quota" => Error::quota(message),
        "internal" => Error::Internal(message.to_owned()),
        _ => return Err(bad("create-error", "it is one of invalid, denied, unavailable, quota, internal")),
    };
    Ok(Some(CreateError { error, times }))
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

fn exit_code(name: &str, value: &str) -> Result<i32> {
    let code: u8 = value.parse().map_err(|_| bad(name, &format!("{value:?} is not an exit code from 0 to 255")))?;
    Ok(code.into())
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
