use proptest::prelude::*;

use super::*;

fn nanos(text: &str) -> i128 {
    Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).0
}

fn shown(text: &str) -> String {
    Quantity(nanos(text)).to_string()
}

/// Number times ten to the power of, in nanos.
fn dec(number: i128, exponent: i32) -> i128 {
    number * 10_i128.pow(u32::try_from(exponent + 9).unwrap())
}

const KI: i128 = 1024;
const MAX: i128 = 9_223_372_036_854_775_807;

/// From the table of `TestQuantityParse` (apimachinery pkg/api/resource/quantity_test.go).
fn go_table() -> Vec<(&'static str, i128)> {
    let binary = [
        ("0Ki", dec(0, 0)),
        ("1Ki", dec(KI, 0)),
        ("8Ki", dec(8 * KI, 0)),
        ("7Mi", dec(7 * KI.pow(2), 0)),
        ("6Gi", dec(6 * KI.pow(3), 0)),
        ("5Ti", dec(5 * KI.pow(4), 0)),
        ("4Pi", dec(4 * KI.pow(5), 0)),
        ("3Ei", dec(3 * KI.pow(6), 0)),
        ("100Ti", dec(100 * KI.pow(4), 0)),
        ("100.035Ki", dec(10_243_584, -2)),
        ("0.5Mi", dec(524_288, 0)),
        ("0.05Gi", dec(536_870_912, -1)),
        ("0.025Ti", dec(274_877_906_944, -1)),
        ("0.000000000001Ki", dec(2, -9)),
    ];
    let decimal = [
        ("0", 0),
        ("0n", 0),
        ("0M", 0),
        ("1", dec(1, 0)),
        ("5n", dec(5, -9)),
        ("4u", dec(4, -6)),
        ("3m", dec(3, -3)),
        ("8k", dec(8, 3)),
        ("50k", dec(5, 4)),
        ("7M", dec(7, 6)),
        ("6G", dec(6, 9)),
        ("300T", dec(3, 14)),
        ("2P", dec(2, 15)),
        ("1E", dec(1, 18)),
        ("12E", dec(12, 18)),
        ("100.035k", dec(100_035, 0)),
        ("0.00050k", dec(5, -1)),
        ("0.05000", dec(5, -2)),
        ("6.987654321G", dec(6_987_654_321, 0)),
        ("40.1T", dec(401, 11)),
        ("1.01E", dec(101, 16)),
        (".001", dec(1, -3)),
        (".0001k", dec(100, -3)),
        ("1.", dec(1, 0)),
        ("1.G", dec(1, 9)),
    ];
    let exponents = [
        ("1E-3", dec(1, -3)),
        ("1e3", dec(1, 3)),
        ("1e14", dec(1, 14)),
        ("1E18", dec(1, 18)),
        ("0.5e0", dec(5, -1)),
        ("0.5e-2", dec(5, -3)),
        ("1.3E+6", dec(13, 5)),
        ("1.53E12", dec(153, 10)),
        ("1.7E18", dec(17, 17)),
    ];
    binary.into_iter().chain(decimal).chain(exponents).collect()
}

/// The part "Things that saturate/round" of the same table.
const GO_ROUNDED: [(&str, i128); 10] = [
    ("3.001n", 4),
    ("1.1E-9", 2),
    ("0.0000000001", 1),
    ("0.00000000050", 1),
    ("0.5e-9", 1),
    ("0.9n", 1),
    ("0.00000012345", 124),
    ("0.00000012354", 124),
    ("9Ei", MAX * ONE),
    ("9223372036854775807Ki", MAX * ONE),
];

#[test]
fn quantities_read_as_go_reads_them_with_any_sign() {
    for (text, expected) in go_table().into_iter().chain(GO_ROUNDED) {
        assert_eq!(nanos(text), expected, "{text}");
        assert_eq!(nanos(&format!("+{text}")), expected, "+{text}");
        assert_eq!(nanos(&format!("-{text}")), -expected, "-{text}");
    }
}

/// The invalid ones of `TestQuantityParse`, and some more.
#[test]
fn what_is_no_quantity_is_refused_by_the_part_that_is_wrong() {
    for text in ["", "aoeu", ".5i ", " 1", "-", "+", ".", "k", "Ki", "e3", "--1", "NaN", "é"] {
        assert!(Quantity::parse(text).is_err(), "{text}");
    }
    for text in ["", " 1", "aoeu", "-", ".", "k"] {
        assert_eq!(Quantity::parse(text), Err(QuantityError::Number), "{text}");
    }
    for text in [
        "1.1.M", "1+1.0M", "0.1mi", "0.1am", ".5i", "1i", "-3.01i", "-3.01e-", "1 ", "1e", "1K", "1g", "1KiB", "1e3Ki",
        "1é",
    ] {
        assert_eq!(Quantity::parse(text), Err(QuantityError::Suffix), "{text}");
    }
}

#[test]
fn numbers_beyond_all_bounds_end_at_the_bound() {
    assert_eq!(nanos("1e40"), i128::MAX);
    assert_eq!(nanos("-1e99999999999999999999"), -i128::MAX);
    assert_eq!(nanos("1e-99999999999999999999"), 1);
    assert_eq!(nanos("0e99999999999999999999"), 0);
    assert_eq!(nanos(&"9".repeat(500)), i128::MAX);
    assert_eq!(nanos(&format!("{}1", "0".repeat(500))), ONE);
    assert_eq!(nanos(&format!("0.{}1e501", "0".repeat(500))), ONE);
    assert_eq!(nanos(&format!("{}e-500", "1".repeat(501))), ONE + 111_111_112);
    assert_eq!(nanos(&format!("{}Ei", "9".repeat(500))), MAX * ONE);
    assert_eq!(nanos("-9Ei"), -MAX * ONE);
    // A half with a tail that no fixed number of digits would hold.
    assert_eq!(nanos(&format!("0.5{}1Ei", "0".repeat(100))), (1 << 59) * ONE + 1);
}

/// `TestQuantityParseEmit` and `TestQuantityString`, both forms of each.
#[test]
fn the_canonical_form_is_the_one_that_go_writes() {
    let table = [
        ("1Ki", "1Ki"),
        ("1024Mi", "1Gi"),
        ("307200Ki", "300Mi"),
        ("1025024Mi", "1001Gi"),
        ("1000M", "1G"),
        ("0.001T", "1G"),
        (".001Ki", "1024m"),
        (".000001Ki", "1024u"),
        (".000000001Ki", "1024n"),
        (".000000000001Ki", "2n"),
        ("5000m", "5"),
        ("0.5", "500m"),
        ("1000u", "1m"),
        ("1.08", "1080m"),
        ("1080000000n", "1080m"),
        ("1025", "1025"),
        ("1234567M", "1234567M"),
        ("1000E", "1e21"),
        ("5000E", "5e21"),
        ("1000000E", "1e24"),
        ("1080n", "1080n"),
        ("3000", "3k"),
        // Go's documentation of Quantity.
        ("1.5", "1500m"),
        ("1.5Gi", "1536Mi"),
    ];
    for (text, expected) in table {
        assert_eq!(shown(text), expected, "{text}");
        assert_eq!(shown(&format!("-{text}")), format!("-{expected}"), "-{text}");
    }
    assert_eq!(shown("0Ki"), "0");
    assert_eq!(shown("-0"), "0");
    assert_eq!(shown("1T"), "1T", "divisible by 1024, but shorter as it is");
    assert_eq!(format!("{:>5}", Quantity::ONE), "    1");
}

/// `TestQuantityRoundUp`, and the doc comments of `Value` and `MilliValue`.
#[test]
fn whole_and_milli_values_are_rounded_away_from_zero() {
    for (text, value, milli) in [
        ("9.01", 10, 9010),
        ("-9.01", -10, -9010),
        ("1n", 1, 1),
        ("-1n", -1, -1),
        ("1500u", 1, 2),
        ("1", 1, 1000),
        ("0", 0, 0),
        ("1Gi", 1 << 30, (1 << 30) * 1000),
        ("8Ei", i64::MAX, i64::MAX),
        ("-1e25", i64::MIN, i64::MIN),
    ] {
        let quantity = Quantity(nanos(text));
        assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
    }
    assert_eq!(Quantity::from_milli(1500), Quantity(nanos("1.5")));
    assert_eq!(Quantity::from_value(-3), Quantity(nanos("-3")));
}

#[test]
fn a_division_is_rounded_up_and_by_nothing_is_by_one() {
    for (text, divisor, expected) in [
        ("9", "0", 9),
        ("8500m", "1m", 8500),
        ("250m", "1", 1),
        ("1100m", "1", 2),
        ("2Mi", "1Mi", 2),
        ("2097153", "1Mi", 3),
        ("100m", "0", 1),
        ("-1500m", "1", 0),
        ("1", "-1", 0),
        ("0", "1Ki", 0),
        ("1e28", "1m", i64::MAX),
    ] {
        assert_eq!(Quantity(nanos(text)).divided_by(Quantity(nanos(divisor))), expected, "{text} / {divisor}");
    }
}

/// `TestQuantityCmp`.
#[test]
fn quantities_are_ordered_by_number_and_not_by_suffix() {
    let quantity = |text| Quantity(nanos(text));
    assert!(quantity("100m") > quantity("50m"));
    assert!(quantity("10000T") > quantity("100Gi"));
    assert_eq!(quantity("1024Mi"), quantity("1Gi"));
    assert_eq!(quantity("1").max(quantity("999m")), Quantity::ONE);
}

#[test]
fn sums_end_at_the_bounds_or_say_that_they_would() {
    let most = Quantity(i128::MAX);
    let least = Quantity(-i128::MAX);
    assert_eq!(most.checked_add(Quantity(1)), None);
    assert_eq!(least.checked_sub(Quantity(1)), None);
    assert_eq!(most.saturating_add(most), most);
    assert_eq!(least.saturating_sub(most), least);
    assert_eq!(most.checked_sub(most), Some(Quantity::ZERO));
    assert_eq!(Quantity::ZERO.saturating_sub(Quantity::ONE), Quantity(-ONE));
}

/// Sums of three of them cannot overflow.
fn any_quantity() -> impl Strategy<Value = Quantity> {
    prop_oneof![
        any::<i64>().prop_map(|nanos| Quantity(i128::from(nanos))),
        (-1000_i128..1000, 0_u32..60).prop_map(|(number, power)| Quantity((number << power) * ONE)),
        (-1000_i128..1000, 0_u32..34).prop_map(|(number, power)| Quantity(number * 10_i128.pow(power))),
    ]
}

proptest! {
    #[test]
    fn what_is_shown_reads_back(quantity in any_quantity(), any: i128) {
        let any = Quantity(any.max(-i128::MAX));
        prop_assert_eq!(Quantity::parse(&quantity.to_string()), Ok(quantity));
        prop_assert_eq!(Quantity::parse(&any.to_string()), Ok(any));
    }

    #[test]
    fn the_order_is_that_of_the_numbers(a: i64, b: i64) {
        let parsed = |number: i64| Quantity::parse(&number.to_string()).unwrap();
        prop_assert_eq!(parsed(a).cmp(&parsed(b)), a.cmp(&b));
        prop_assert_eq!(parsed(a).value(), a);
    }

    #[test]
    fn addition_is_associative_and_undone_by_subtraction(
        a in any_quantity(), b in any_quantity(), c in any_quantity(),
    ) {
        prop_assert_eq!(a.saturating_add(b).saturating_add(c), a.saturating_add(b.saturating_add(c)));
        prop_assert_eq!(a.saturating_add(b).saturating_sub(b), a);
        prop_assert_eq!(a.checked_add(b), Some(a.saturating_add(b)));
    }

    #[test]
    fn any_text_is_read_or_refused_without_harm(
        text in "\\PC{0,40}", number in "[-+]?[0-9.]{0,50}(e[-+]?[0-9]{0,25}|[EKi]{0,2})",
    ) {
        let _ = Quantity::parse(&text);
        if let Ok(quantity) = Quantity::parse(&number) {
            prop_assert_eq!(Quantity::parse(&quantity.to_string()), Ok(quantity));
        }
    }

    #[test]
    fn a_division_is_the_smallest_number_of_divisors_that_reach_it(
        number in 0_i64..1 << 40, divisor in 1_i64..1 << 20,
    ) {
        let times = Quantity::from_value(number).divided_by(Quantity::from_value(divisor));
        prop_assert!(times * divisor >= number && (times - 1) * divisor < number);
    }
}
