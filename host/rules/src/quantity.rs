//! Kubernetes resource quantities: `500m`, `1536Mi`, `1e3`.
//!
//! In: text in the grammar of `resource.Quantity` (apimachinery pkg/api/resource/quantity.go). Out: an exact number of
//! nanos, whole and milli values, canonical text. Invariant: equal numbers are equal quantities, whatever suffix they
//! were written with; what is shown reads back as the same number; rounding is always away from zero, as Go does.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Nanos in one.
const ONE: i128 = 1_000_000_000;
/// What Go caps a quantity with a binary suffix at: 2^63-1, in nanos.
const MAX_BINARY: i128 = i64::MAX as i128 * ONE;
/// By powers of a thousand from nano on. Beyond `E` there is only exponent notation.
const DECIMAL: [&str; 13] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "e21", "e24", "e27"];
/// By powers of 1024 from 1024 on.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Beyond this an exponent changes nothing: the number is the greatest or a single nano already.
const MAX_EXPONENT: i64 = 1_000_000;

/// An amount of a resource, exact to the nano.
///
/// Go keeps decimal quantities of any size; this one ends at about ±1.7e29, where it saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// There are no digits where a number shall be.
    #[error("a quantity begins with a number")]
    Number,
    /// What follows the number is neither a known suffix nor an exponent.
    #[error("the suffix of a quantity is one of n u m k M G T P E, Ki Mi Gi Ti Pi Ei or an exponent")]
    Suffix,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One whole.
    pub const ONE: Self = Self(ONE);

    /// So many wholes: bytes, devices, pods.
    #[must_use]
    pub fn from_value(value: i64) -> Self {
        Self(i128::from(value) * ONE)
    }

    /// So many thousandths: millicores.
    #[must_use]
    pub fn from_milli(milli: i64) -> Self {
        Self(i128::from(milli) * (ONE / 1000))
    }

    /// Reads what `ParseQuantity` reads, except that there must be a digit, as its documented grammar says (Go also
    /// takes `k` and `-` for nothing).
    ///
    /// What is finer than a nano is rounded away from zero; with a binary suffix, what is beyond 2^63-1 is 2^63-1.
    ///
    /// # Errors
    /// The number or the suffix is not one. White space is neither.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Number);
        }
        let scale = Scale::parse(suffix).ok_or(QuantityError::Suffix)?;
        let magnitude = scale.magnitude(whole, fraction);
        Ok(Self(if negative { -magnitude } else { magnitude }))
    }

    /// The sum, if it can be held.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).filter(|nanos| *nanos != i128::MIN).map(Self)
    }

    /// The difference, if it can be held.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self(-other.0))
    }

    /// The sum, or the greatest (least) quantity there is.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        // Not i128::MIN: every quantity has its negative.
        Self(self.0.saturating_add(other.0).max(-i128::MAX))
    }

    /// The difference, or the greatest (least) quantity there is.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        self.saturating_add(Self(-other.0))
    }

    /// Wholes, rounded away from zero, as Go's `Value()`; an `i64` that it does not fit is saturated (Go's overflows).
    #[must_use]
    pub fn value(self) -> i64 {
        saturate(divide_away(self.0, ONE))
    }

    /// Thousandths, rounded away from zero, as Go's `MilliValue()`; an `i64` that it does not fit is saturated (Go's
    /// overflows).
    #[must_use]
    pub fn milli_value(self) -> i64 {
        saturate(divide_away(self.0, ONE / 1000))
    }

    /// How many times the divisor goes into it, rounded up, as a `resourceFieldRef` is resolved
    /// (`convertQuantityToString` in pkg/api/v1/resource/helpers.go). A divisor of zero, which is what an absent one
    /// reads as, stands for one (`ExtractContainerResourceValue` there). What is negative does not go at all: 0.
    #[must_use]
    pub fn divided_by(self, divisor: Self) -> i64 {
        let divisor = if divisor == Self::ZERO { Self::ONE } else { divisor };
        if self <= Self::ZERO || divisor < Self::ZERO {
            return 0;
        }
        saturate(divide_away(self.0, divisor.0))
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The canonical form: no fraction, the largest suffix that leaves a whole number. Go remembers whether a quantity was
/// written with a binary or a decimal suffix; here the shorter form is taken, the decimal one if they are equally long.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = self.decimal();
        match self.binary() {
            Some(binary) if binary.len() < decimal.len() => f.pad(&binary),
            _ => f.pad(&decimal),
        }
    }
}

impl Quantity {
    fn decimal(self) -> String {
        let mut number = self.0;
        if number == 0 {
            return "0".to_owned();
        }
        let mut power = 0;
        while number % 1000 == 0 && power + 1 < DECIMAL.len() {
            number /= 1000;
            power += 1;
        }
        let suffix = DECIMAL.get(power).copied().unwrap_or_default();
        format!("{number}{suffix}")
    }

    /// None if no binary suffix fits, or if reading it would cap it.
    fn binary(self) -> Option<String> {
        if self.0 == 0 || self.0 % (ONE << 10) != 0 || self.0.abs() > MAX_BINARY {
            return None;
        }
        let number = self.0 / ONE;
        let powers = (number.trailing_zeros() / 10).min(6);
        let suffix = BINARY.get(usize::try_from(powers).ok()?.checked_sub(1)?)?;
        Some(format!("{}{suffix}", number >> (10 * powers)))
    }
}

/// What a number is multiplied by.
#[derive(Clone, Copy)]
enum Scale {
    /// Ten to the power of.
    Decimal(i64),
    /// Two to the power of.
    Binary(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            _ => Self::Decimal(exponent(suffix.strip_prefix(['e', 'E'])?)?),
        })
    }

    /// Nanos of `whole.fraction` at this scale.
    fn magnitude(self, whole: &str, fraction: &str) -> i128 {
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
        // A decimal scale moves the point; a binary one is the unit that the digits count.
        let whole_len = i64::try_from(whole.len()).unwrap_or(i64::MAX - MAX_EXPONENT - 9);
        let (point, unit) = match self {
            Self::Decimal(exponent) => (whole_len + exponent + 9, 1),
            Self::Binary(power) => (whole_len, ONE << power),
        };
        let len = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let split = usize::try_from(point.clamp(0, len)).unwrap_or(digits.len());
        let (before, after) = digits.split_at_checked(split).unwrap_or((&digits, &[]));
        let zeros = u32::try_from((point - len).max(0)).unwrap_or(u32::MAX);
        let nanos = whole_part(before, zeros, unit).and_then(|nanos| nanos.checked_add(fraction_part(after, unit)));
        match self {
            Self::Decimal(_) => nanos.unwrap_or(i128::MAX),
            Self::Binary(_) => nanos.unwrap_or(MAX_BINARY).min(MAX_BINARY),
        }
    }
}

/// The digits and so many zeros after them, times the unit. None if it is too much.
fn whole_part(digits: &[u8], zeros: u32, unit: i128) -> Option<i128> {
    let number =
        digits.iter().try_fold(0_i128, |number, digit| number.checked_mul(10)?.checked_add(i128::from(*digit)))?;
    if number == 0 {
        return Some(0);
    }
    number.checked_mul(10_i128.checked_pow(zeros)?)?.checked_mul(unit)
}

/// `0.digits` times the unit (at most 2^60·10^9), rounded up. From the last digit on: what one division leaves
/// over can no more change the whole part of the next, it only decides whether there is something to round up, so any
/// number of digits is exact. Zeros between the point and the digits need no division: they come with a unit of 1,
/// whose whole part is 0 without them.
fn fraction_part(digits: &[u8], unit: i128) -> i128 {
    let (whole, inexact) = digits.iter().rev().fold((0, false), |(whole, inexact), digit| {
        let sum = i128::from(*digit) * unit + whole;
        (sum / 10, inexact || sum % 10 != 0)
    });
    whole + i128::from(inexact)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().unwrap_or(MAX_EXPONENT).min(MAX_EXPONENT);
    Some(if negative { -number } else { number })
}

fn divide_away(number: i128, divisor: i128) -> i128 {
    let quotient = number / divisor;
    if number % divisor == 0 { quotient } else { quotient + number.signum() }
}

fn saturate(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
