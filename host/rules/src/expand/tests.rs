use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::expand;

fn variables() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("VAR_A", "A"), ("VAR_B", "B"), ("VAR_C", "C"), ("VAR_REF", "$(VAR_A)"), ("VAR_EMPTY", "")])
}

fn expanded(input: &str) -> String {
    let variables = variables();
    expand(input, |name| variables.get(name).map(|value| Cow::Borrowed(*value)))
}

/// The cases of `doExpansionTest` in third_party/forked/golang/expansion/expand_test.go.
#[test]
fn the_kubelets_own_cases_come_out_the_same() {
    let cases = [
        ("$(VAR_A)", "A"),
        ("$(VAR_A)-$(VAR_A)", "A-A"),
        ("$(VAR_A)-1", "A-1"),
        ("___$(VAR_B)___", "___B___"),
        ("___$(VAR_C)", "___C"),
        ("$(VAR_A)_$(VAR_B)_$(VAR_C)", "A_B_C"),
        ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
        ("$$(VAR_A)_$$(VAR_B)", "$(VAR_A)_$(VAR_B)"),
        ("f000-$$VAR_A", "f000-$VAR_A"),
        ("foo\\$(VAR_C)bar", "foo\\Cbar"),
        ("foo\\\\$(VAR_C)bar", "foo\\\\Cbar"),
        ("foo\\\\\\\\$(VAR_A)bar", "foo\\\\\\\\Abar"),
        ("$(VAR_A$(VAR_B))", "$(VAR_A$(VAR_B))"),
        ("$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"),
        ("$(VAR_REF)", "$(VAR_A)"),
        ("%%$(VAR_REF)--$(VAR_REF)%%", "%%$(VAR_A)--$(VAR_A)%%"),
        ("foo$(VAR_EMPTY)bar", "foobar"),
        ("foo$(VAR_Awhoops!", "foo$(VAR_Awhoops!"),
        ("f00__(VAR_A)__", "f00__(VAR_A)__"),
        ("$?_boo_$!", "$?_boo_$!"),
        ("$VAR_A", "$VAR_A"),
        ("$(VAR_DNE)", "$(VAR_DNE)"),
        ("$$$$$$(BIG_MONEY)", "$$$(BIG_MONEY)"),
        ("$$$$$$(VAR_A)", "$$$(VAR_A)"),
        ("$$$$$$$(GOOD_ODDS)", "$$$$(GOOD_ODDS)"),
        ("$$$$$$$(VAR_A)", "$$$A"),
        ("$VAR_A)", "$VAR_A)"),
        ("${VAR_A}", "${VAR_A}"),
        ("$(VAR_B)_______$(A", "B_______$(A"),
        ("$(VAR_C)_______$(", "C_______$("),
        ("$(VAR_A)foobarzab$", "Afoobarzab$"),
        ("foo-\\$(VAR_A", "foo-\\$(VAR_A"),
        ("--$($($($($--", "--$($($($($--"),
        ("$($($($($--foo$(", "$($($($($--foo$("),
        ("foo0--$($($($(", "foo0--$($($($("),
        ("$(foo$$var)", "$(foo$$var)"),
        ("\n", "\n"),
        ("$£FOO", "$£FOO"),
        ("prefix-$€-suffix", "prefix-$€-suffix"),
        ("$中文", "$中文"),
    ];
    for (input, output) in cases {
        assert_eq!(expanded(input), output, "{input}");
    }
}

#[test]
fn a_megabyte_of_openers_is_read_once() {
    let input = "$(".repeat(500_000);
    assert_eq!(expanded(&input), input);
}

/// The kubelet's algorithm as an index walk over characters: slow, and written without a look at the code under test.
fn oracle(input: &str, variables: &BTreeMap<&str, &str>) -> String {
    let text: Vec<char> = input.chars().collect();
    let mut output = String::new();
    let mut at = 0;
    while at < text.len() {
        let next = text.get(at + 1);
        match (text[at], next) {
            ('$', Some('$')) => {
                output.push('$');
                at += 2;
            }
            ('$', Some('(')) => match (at + 2..text.len()).find(|end| text[*end] == ')') {
                Some(end) => {
                    let name: String = text[at + 2..end].iter().collect();
                    match variables.get(name.as_str()) {
                        Some(value) => output.push_str(value),
                        None => output.push_str(&format!("$({name})")),
                    }
                    at = end + 1;
                }
                None => {
                    output.push_str("$(");
                    at += 2;
                }
            },
            (other, _) => {
                output.push(other);
                at += 1;
            }
        }
    }
    output
}

proptest! {
    #[test]
    fn it_agrees_with_a_walk_over_indexes(input in r"([$()]|VAR_A|VAR_REF|é|x){0,24}") {
        prop_assert_eq!(expanded(&input), oracle(&input, &variables()));
    }

    #[test]
    fn it_never_panics(input in any::<String>()) {
        let _ = expanded(&input);
    }

    #[test]
    fn a_text_without_a_dollar_stays_as_it_is(input in "[^$]*") {
        prop_assert_eq!(expanded(&input), input);
    }

    #[test]
    fn pairs_of_dollars_halve(pairs in 0usize..40, tail in "[a-z]{0,5}") {
        let input = "$$".repeat(pairs) + &tail;
        prop_assert_eq!(expanded(&input), "$".repeat(pairs) + &tail);
    }
}
