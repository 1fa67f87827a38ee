//! What a provider may say about its node.
//!
//! In: node facts as told. Out: those that the API server takes and that a provider may decide, and what was dropped. Invariant: one bad
//! fact costs only itself; nothing here makes the node into something that others trust (a control plane, an isolated pool). Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeCondition, Taint};
use pluglet_model::provider::NodeFacts;

use super::MAX_TEXT_BYTES;
use crate::bindings::exports::pluglet::provider::lifecycle;
use crate::capabilities::log::clean;

/// Facts of one kind. Each is a piece of an object that every watcher of nodes receives again and again.
const MAX_FACTS: usize = 128;

/// Label prefixes under `kubernetes.io` and `k8s.io` that a kubelet may set on itself (NodeRestriction admission). The others are for
/// administrators: workloads are kept on or off nodes by them.
const OWN_PREFIXES: [&str; 3] = ["kubelet.kubernetes.io", "node.kubernetes.io", "topology.kubernetes.io"];

/// Suffixes of quantities.
const SUFFIXES: [&str; 16] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Longest word of a fact in bytes that is looked at: a qualified name has at most 253 + 1 + 63. A longer one is refused in any case, and
/// need not wait for that in the host's memory.
const MAX_WORD_BYTES: usize = 320;

/// Cut what a guest tells to what can be right, so that no more than that waits until it is looked at. Where there is too much, the rest
/// is forgotten.
pub(crate) fn bound(facts: &mut lifecycle::NodeFacts) {
    let cut = |text: &mut String| super::bound(text, MAX_WORD_BYTES);
    let lifecycle::NodeFacts { capacity, allocatable, architecture, operating_system, labels, taints, conditions } =
        facts;
    for pairs in [capacity, allocatable, labels] {
        some_of(pairs, |(name, value)| [name, value].into_iter().for_each(cut));
    }
    some_of(taints, |taint| [&mut taint.key, &mut taint.value, &mut taint.effect].into_iter().for_each(cut));
    some_of(conditions, |condition| {
        [&mut condition.type_, &mut condition.status].into_iter().for_each(cut);
        [&mut condition.reason, &mut condition.message].into_iter().for_each(|text| super::bound(text, MAX_TEXT_BYTES));
    });
    [architecture, operating_system].into_iter().for_each(cut);
}

/// The first [`MAX_FACTS`], each cut.
fn some_of<T>(all: &mut Vec<T>, cut: impl FnMut(&mut T)) {
    all.truncate(MAX_FACTS);
    // Truncating alone keeps the memory.
    all.shrink_to_fit();
    all.iter_mut().for_each(cut);
}

/// The facts that hold, and for each other one a few words.
pub(super) fn checked(facts: NodeFacts) -> (NodeFacts, Vec<String>) {
    let mut dropped = Vec::new();
    let mut drop_unless = |what: &str, name: &str, good: bool| {
        if !good && dropped.len() < MAX_FACTS {
            dropped.push(format!("{what} {}", clean(name, 80)));
        }
        good
    };
    let mut resources = |what: &str, map: BTreeMap<String, String>| -> BTreeMap<String, String> {
        let fits = |name: &str, quantity: &str| is_qualified_name(name) && is_quantity(quantity);
        map.into_iter().take(MAX_FACTS).filter(|(name, value)| drop_unless(what, name, fits(name, value))).collect()
    };
    let capacity = resources("capacity", facts.capacity);
    let allocatable = resources("allocatable", facts.allocatable);
    let labels = facts.labels.into_iter().take(MAX_FACTS);
    let labels = labels.filter(|(key, value)| drop_unless("label", key, is_own_label(key) && is_label_value(value)));
    let labels = labels.collect();
    let taints = facts.taints.into_iter().take(MAX_FACTS);
    let taints = taints.filter(|taint| drop_unless("taint", &taint.key, is_taint(taint))).collect();
    let conditions = facts.conditions.into_iter().take(MAX_FACTS);
    let conditions =
        conditions.filter(|condition| drop_unless("condition", &condition.type_, is_condition(condition))).collect();
    let word = |what: &str, text: String, usual: &str, drop_unless: &mut dyn FnMut(&str, &str, bool) -> bool| {
        let good = !text.is_empty() && is_label_value(&text);
        if drop_unless(what, &text, good) { text } else { usual.to_owned() }
    };
    let architecture = word("architecture", facts.architecture, "amd64", &mut drop_unless);
    let operating_system = word("operating system", facts.operating_system, "linux", &mut drop_unless);
    (NodeFacts { capacity, allocatable, architecture, operating_system, labels, taints, conditions }, dropped)
}

/// `name` or `prefix/name` (Kubernetes' qualified names: the prefix a DNS subdomain, the name at most 63 characters).
fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(is_label))
        && !name.is_empty()
        && is_label_value(name)
}

/// At most 63 of letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit; may be empty.
fn is_label_value(text: &str) -> bool {
    let ends_well = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && ends_well(text.bytes().next())
        && ends_well(text.bytes().last())
}

fn is_own_label(key: &str) -> bool {
    let reserved = |prefix: &str| {
        ["kubernetes.io", "k8s.io"]
            .iter()
            .any(|own| prefix.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')))
    };
    let allowed = key.split_once('/').is_none_or(|(prefix, _)| !reserved(prefix) || OWN_PREFIXES.contains(&prefix));
    is_qualified_name(key) && allowed
}

fn is_taint(taint: &Taint) -> bool {
    is_qualified_name(&taint.key)
        && taint.value.as_deref().is_none_or(is_label_value)
        && ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&taint.effect.as_str())
}

fn is_condition(condition: &NodeCondition) -> bool {
    is_qualified_name(&condition.type_)
        && ["True", "False", "Unknown"].contains(&condition.status.as_str())
        && condition.reason.as_deref().is_none_or(is_qualified_name)
}

/// A quantity that is not negative: digits with at most one point, and a suffix or an exponent.
fn is_quantity(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|digits| {
        let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
        (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    text.len() <= 32
        && number.bytes().any(|byte| byte.is_ascii_digit())
        && number.matches('.').count() <= 1
        && (SUFFIXES.contains(&suffix) || exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_the_api_server_would_refuse_is_dropped_by_itself() {
        let told = NodeFacts {
            capacity: map(&[
                ("cpu", "16"),
                ("memory", "64 gigabytes"),
                ("pods", "-1"),
                ("nvidia.com/gpu", "8"),
                ("a b", "1"),
            ]),
            architecture: "arm64".to_owned(),
            operating_system: "lin\nux".to_owned(),
            taints: vec![Taint { key: "a".to_owned(), effect: "Sometimes".to_owned(), ..Taint::default() }],
            conditions: vec![NodeCondition {
                type_: "Odd".to_owned(),
                status: "Maybe".to_owned(),
                ..NodeCondition::default()
            }],
            ..NodeFacts::default()
        };
        let (facts, dropped) = checked(told);
        assert_eq!(facts.capacity, map(&[("cpu", "16"), ("nvidia.com/gpu", "8")]));
        assert_eq!((facts.architecture.as_str(), facts.operating_system.as_str()), ("arm64", "linux"));
        assert!(facts.taints.is_empty() && facts.conditions.is_empty());
        assert_eq!(dropped.len(), 6, "{dropped:?}");
    }

    #[test]
    fn a_provider_cannot_make_its_node_into_something_that_others_trust() {
        let told = NodeFacts {
            labels: map(&[
                ("node-role.kubernetes.io/control-plane", ""),
                ("node-restriction.kubernetes.io/tier", "pci"),
                ("kubernetes.io/hostname", "another"),
                ("k8s.io/x", "y"),
                ("topology.kubernetes.io/zone", "west-1"),
                ("example.com/pool", "spot"),
                ("notkubernetes.io/x", "y"),
            ]),
            ..NodeFacts::default()
        };
        let labels: Vec<String> = checked(told).0.labels.into_keys().collect();
        assert_eq!(labels, ["example.com/pool", "notkubernetes.io/x", "topology.kubernetes.io/zone"]);
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for good in ["0", "16", "0.5", "500m", "64Gi", "1.5Ki", "1e3", "12E", "1E+2", ".5"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "-1", "Gi", "64GB", "1 Gi", "1.2.3", "1e", "1e333", "0x10", "∞"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }

    #[test]
    fn there_are_not_too_many_of_them() {
        let labels = (0..10_000).map(|n| (format!("l{n}"), String::new())).collect();
        assert_eq!(checked(NodeFacts { labels, ..NodeFacts::default() }).0.labels.len(), MAX_FACTS);
    }
}
