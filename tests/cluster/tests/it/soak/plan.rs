//! What happens, and in which order: all of it from one number.
//!
//! In: a seed. Out: [`Step`]s. Invariant: pure. How a step turns out never decides the next one, or a seed could not be played again.

use serde_json::{Value, json};

/// What the pods read.
pub(super) const CONFIG_MAPS: [&str; 4] = ["settings-0", "settings-1", "settings-2", "settings-3"];
/// How many pods there can be: few, so that names are used again and again.
const NAMES: u64 = 24;
/// At this place of each [`ROUND`] steps the API server is restarted.
const RESTART: usize = 60;
/// At this place pluglet is killed.
const KILL: usize = 140;
const ROUND: usize = 160;
/// The longest pause between two steps.
const PAUSE_MS: u64 = 60;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One thing that a user, an operator or the world does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create {
        name: String,
        script: Script,
        reads: &'static str,
    },
    /// With so many seconds of grace.
    Delete {
        name: String,
        grace: u32,
    },
    ForceDelete {
        name: String,
    },
    /// Force-deletes it and creates another of its name at once.
    Recreate {
        name: String,
        script: Script,
        reads: &'static str,
    },
    Edit {
        map: &'static str,
    },
    RestartApiServer,
    KillPluglet,
    Pause {
        ms: u64,
    },
}

impl Step {
    /// The step with that number.
    pub(super) fn next(random: &mut Random, number: usize) -> Self {
        // As many numbers for each step, whatever becomes of it.
        let (kind, name, script, map) = (random.below(100), random.below(NAMES), random.below(100), random.below(4));
        let (grace, ms) = (random.below(5), random.below(PAUSE_MS));
        let name = format!("pod-{name:02}");
        let script = Script::of(script);
        let reads = nth(&CONFIG_MAPS, map).unwrap_or("settings-0");
        let grace = nth(&[1, 1, 3, 30, 3600], grace).unwrap_or(30);
        match (number % ROUND, kind) {
            (RESTART, _) => Self::RestartApiServer,
            (KILL, _) => Self::KillPluglet,
            (_, ..40) => Self::Create { name, script, reads },
            (_, 40..57) => Self::Delete { name, grace },
            (_, 57..64) => Self::ForceDelete { name },
            (_, 64..72) => Self::Recreate { name, script, reads },
            (_, 72..85) => Self::Edit { map: reads },
            _ => Self::Pause { ms },
        }
    }
}

fn nth<T: Copy>(all: &[T], number: u64) -> Option<T> {
    all.get(usize::try_from(number).ok()?).copied()
}

/// How a pod's life is scripted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Plain,
    Succeeds,
    Fails,
    CrashLoops,
    StartsLate,
    CreateFailsTwice,
    NoRoom,
    LosesReply,
    CreatesSlowly,
    StopsSlowly,
    DeleteFailsTwice,
    DeletesSlowly,
    LiesAfterItsEnd,
    Traps,
}

/// What a pod comes to, when nothing happens to it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Running and ready.
    Runs,
    /// Running, now and then.
    Loops,
    /// In this phase for ever.
    Ended(&'static str),
    /// Pending for ever; the provider does not have it.
    Waits,
}

impl Script {
    const ALL: [Self; 14] = [
        Self::Plain,
        Self::Succeeds,
        Self::Fails,
        Self::CrashLoops,
        Self::StartsLate,
        Self::CreateFailsTwice,
        Self::NoRoom,
        Self::LosesReply,
        Self::CreatesSlowly,
        Self::StopsSlowly,
        Self::DeleteFailsTwice,
        Self::DeletesSlowly,
        Self::LiesAfterItsEnd,
        Self::Traps,
    ];

    fn of(number: u64) -> Self {
        match number {
            // Each trap costs the provider some restarts: more of them and nothing else would happen.
            0 => Self::Traps,
            1..30 => Self::Plain,
            _ => nth(&Self::ALL, number % 13).unwrap_or(Self::Plain),
        }
    }

    /// The script with that name, as [`Self::name`] gives it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|script| script.name() == name)
    }

    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(super) fn restart_policy(self) -> &'static str {
        match self.end() {
            End::Ended(_) => "Never",
            End::Runs | End::Loops | End::Waits => "Always",
        }
    }

    pub(super) fn end(self) -> End {
        match self {
            Self::Succeeds => End::Ended("Succeeded"),
            Self::Fails | Self::LiesAfterItsEnd => End::Ended("Failed"),
            Self::CrashLoops => End::Loops,
            Self::NoRoom | Self::Traps => End::Waits,
            _ => End::Runs,
        }
    }

    /// Annotations of the mock provider, without their prefix.
    pub(super) fn annotations(self) -> Value {
        match self {
            Self::Plain => json!({}),
            Self::Succeeds => json!({ "run-for": "2s" }),
            Self::Fails => json!({ "run-for": "1s", "exit-code": "1" }),
            Self::CrashLoops => json!({ "run-for": "500ms", "exit-code": "2" }),
            Self::StartsLate => json!({ "start-delay": "1s" }),
            Self::CreateFailsTwice => json!({ "create-error": "unavailable", "create-error-times": "2" }),
            Self::NoRoom => json!({ "create-error": "quota" }),
            Self::LosesReply => json!({ "create-lost-reply": "true" }),
            Self::CreatesSlowly => json!({ "create-delay": "1s" }),
            Self::StopsSlowly => json!({ "delete-delay": "2s" }),
            Self::DeleteFailsTwice => json!({ "delete-error": "unavailable", "delete-error-times": "2" }),
            Self::DeletesSlowly => json!({ "delete-call-delay": "500ms", "delete-delay": "500ms" }),
            Self::LiesAfterItsEnd => {
                json!({ "run-for": "1s", "exit-code": "1", "status-wrong": "running-after-end" })
            }
            Self::Traps => json!({ "fault": "trap" }),
        }
    }
}
