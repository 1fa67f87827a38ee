//! Durations as Go writes them.
//!
//! In: text such as `1h30m` or `1.5s`. Out: nanoseconds. Invariant: no more than a hundred years, so that sums with the time of day
//! stay far from the end of 64 bits.

const LONGEST_NS: f64 = 100.0 * 365.0 * 86_400.0 * 1e9;

/// Nanoseconds. None when it is not a duration, is negative or too long.
pub(super) fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        // The longer name first: `ms` starts with `m`.
        let units = [("ms", 1e6), ("us", 1e3), ("ns", 1.0), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
        let (unit, after) = units.iter().find_map(|(name, ns)| Some((ns, after.strip_prefix(name)?)))?;
        total += number * unit;
        rest = after;
    }
    // The bound makes the conversion exact enough: a float holds whole nanoseconds of 100 days and microseconds of 100 years.
    (!text.is_empty() && total <= LONGEST_NS).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("1.5s", 1_500),
            ("1h30m", 5_400_000),
            ("2m3s", 123_000),
        ] {
            assert_eq!(parse(text), Some(ms * 1_000_000), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "5", "s", "-5s", "5 s", "5s ", "1..5s", "5d", "9999999h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
