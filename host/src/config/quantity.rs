//! Sizes, times and shares of a CPU, as Kubernetes and Go write them.
//!
//! In: text. Out: numbers, and text again for messages. Invariant: what is shown reads back as the same number. Pure.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// Bytes: 512, 64Ki, 256Mi, 1Gi; also with the decimal units.
pub(super) fn size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let factor = match unit {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// In the largest binary unit that leaves a whole number.
pub(crate) fn show_size(bytes: u64) -> String {
    let fits = |factor: u64| bytes >= factor && bytes.is_multiple_of(factor);
    match UNITS.iter().take(4).rev().find(|(_, factor)| fits(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// As Go writes it, without what is zero: 500ms, 30s, 5m, 1h30m.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let parts =
        [(millis / 3_600_000, "h"), (millis / 60_000 % 60, "m"), (millis / 1_000 % 60, "s"), (millis % 1_000, "ms")];
    let text: String =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Thousandths of a core: `500m`, `0.5`, `1`.
pub(super) fn millicores(text: &str) -> Option<u32> {
    if let Some(thousandths) = text.strip_suffix('m') {
        return thousandths.parse().ok();
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let thousandths: u32 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_read_as_kubernetes_writes_memory() {
        for (text, bytes) in
            [("0", Some(0)), ("256Mi", Some(256 << 20)), ("1k", Some(1000)), ("1Ti", Some(1 << 40)), ("7", Some(7))]
        {
            assert_eq!(size(text), bytes, "{text}");
        }
        for text in ["", "Mi", "1GB", "1 Mi", "-1", "1.5Gi", "99999999999Gi", "1mi", "1é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn shares_of_a_cpu_read_as_kubernetes_writes_them() {
        for (text, millicores) in
            [("500m", Some(500)), ("0.5", Some(500)), ("1", Some(1000)), ("0.005", Some(5)), ("1.25", Some(1250))]
        {
            assert_eq!(super::millicores(text), millicores, "{text}");
        }
        for text in ["", "m", ".5", "1.", "0.0001", "half", "-1", "1e3", "99999999999"] {
            assert_eq!(super::millicores(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_go_writes_them() {
        for (millis, text) in [(0, "0s"), (500, "500ms"), (90_000, "1m30s"), (14_400_000, "4h")] {
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes: u64, millis in 0u64..1 << 40) {
            prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(crate::args::parse_duration(&show_duration(duration)), Ok(duration));
        }
    }
}
