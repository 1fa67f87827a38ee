//! Points in time as the engines write them.
//!
//! In: RFC 3339 with up to nine digits behind the dot. Out: nanoseconds since 1970. Invariant: pure; the engines' word for never, the year 1, is
//! None.

use pluglet_sdk::kubernetes::Time;

const DIGITS: usize = 9;

/// Nanoseconds since 1970, UTC.
pub(crate) fn unix_ns(text: &str) -> Option<u64> {
    let seconds = Time::parse(text)?;
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = fraction.chars().take_while(char::is_ascii_digit).chain(std::iter::repeat('0')).take(DIGITS);
    let ns: u64 = digits.collect::<String>().parse().ok()?;
    Some(seconds.unix_ns().saturating_add(ns))
}

#[cfg(test)]
mod tests {
    use super::unix_ns;

    #[test]
    fn the_fraction_of_a_second_is_kept_and_never_is_none() {
        for (text, ns) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000_000)),
            ("1970-01-01T00:00:01.000000002Z", Some(1_000_000_002)),
            ("1970-01-01T01:00:01.25+01:00", Some(1_250_000_000)),
            ("0001-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(unix_ns(text), ns, "{text}");
        }
    }
}
