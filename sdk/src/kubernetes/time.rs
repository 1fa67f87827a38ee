//! Points in time as Kubernetes writes them.
//!
//! In: nanoseconds since 1970 or RFC 3339 text. Out: [`Time`]. Invariant: whole seconds, UTC, years 1970 to 9999; what is written
//! can be read again and is then equal.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

const NS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// 9999-12-31T23:59:59Z. Later times would need a fifth digit for the year.
const LAST_SECOND: u64 = 253_402_300_799;

/// A `metav1.Time`: a whole second, written as `2026-01-31T12:00:00Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// From nanoseconds since 1970, UTC, as [`crate::Host::now_unix_ns`] gives them. The fraction of a second is cut off.
    #[must_use]
    pub const fn from_unix_ns(ns: u64) -> Self {
        Self(ns / NS_PER_SECOND)
    }

    /// Seconds since 1970, UTC.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0
    }

    /// Nanoseconds since 1970, UTC.
    #[must_use]
    pub const fn unix_ns(self) -> u64 {
        self.0.saturating_mul(NS_PER_SECOND)
    }

    /// From RFC 3339 text with any offset; a fraction of a second is cut off. None when it is something else or before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (clock, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(clock, ':')?;
        let in_range = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !in_range {
            return None;
        }
        let days = days_from_civil(year, month, day);
        let local = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
        // A leap second is counted as the second after it: Unix time has no place for it.
        let offset = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        let seconds = match offset.split_at_checked(1)? {
            ("Z" | "z", "") => local,
            ("+", offset) => local.checked_sub(offset_seconds(offset)?)?,
            ("-", offset) => local.checked_add(offset_seconds(offset)?)?,
            _ => return None,
        };
        (seconds <= LAST_SECOND).then_some(Self(seconds))
    }
}

/// Three numbers of fixed width with a separator between them.
fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts =
        text.split(separator).map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?);
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// `hh:mm`.
fn offset_seconds(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. The year is counted from March, so that a leap day is its last day and
/// the months before it follow the pattern 31, 30, 31, 30, 31.
const fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719 468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The date of a day counted from 1970-01-01: (year, month, day).
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    // 146 097 days are 400 years. The divisors are the days of 4 years, a century and 400 years, less the last leap day.
    let (cycle, of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let day_of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year_of_cycle;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.min(LAST_SECOND);
        let (year, month, day) = civil_from_days(seconds / SECONDS_PER_DAY);
        let second = seconds % SECONDS_PER_DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as in RFC 3339")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                Time::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_kubernetes_writes_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST_SECOND, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Time(seconds).to_string(), text);
            assert_eq!(Time::parse(text), Some(Time(seconds)));
        }
    }

    #[test]
    fn every_day_of_four_centuries_can_be_read_back() {
        for day in 0..200_000 {
            let time = Time(day * SECONDS_PER_DAY + day % SECONDS_PER_DAY);
            assert_eq!(Time::parse(&time.to_string()), Some(time));
        }
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        let noon = Time::parse("2026-01-31T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(Time::parse("2026-01-31T14:00:00.123456+02:00"), noon);
        assert_eq!(Time::parse("2026-01-31T06:30:00-05:30"), noon);
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-13-01T00:00:00Z",
            "+026-01-01T00:00:00Z",
            "2026-01-31T12:00:00Zx",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
