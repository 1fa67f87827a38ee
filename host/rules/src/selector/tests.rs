use k8s_openapi::api::core::v1::{Affinity, NodeAffinity, NodeSelector, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use proptest::prelude::*;

use super::*;

fn labels(entries: &[(&str, &str)]) -> Labels {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    }
}

fn term(expressions: Vec<NodeSelectorRequirement>, fields: Vec<NodeSelectorRequirement>) -> NodeSelectorTerm {
    NodeSelectorTerm { match_expressions: Some(expressions), match_fields: Some(fields) }
}

fn pod(node_selector: &[(&str, &str)], terms: Option<Vec<NodeSelectorTerm>>) -> Pod {
    let node_affinity = NodeAffinity {
        required_during_scheduling_ignored_during_execution: terms
            .map(|node_selector_terms| NodeSelector { node_selector_terms }),
        ..NodeAffinity::default()
    };
    let spec = PodSpec {
        node_selector: Some(labels(node_selector)),
        affinity: Some(Affinity { node_affinity: Some(node_affinity), ..Affinity::default() }),
        ..PodSpec::default()
    };
    Pod { spec: Some(spec), ..Pod::default() }
}

fn expression(expression: NodeSelectorRequirement, node: &[(&str, &str)]) -> bool {
    node_matches(&pod(&[], Some(vec![term(vec![expression], vec![])])), "node-1", &labels(node))
}

#[test]
fn a_node_selector_wants_every_label_it_names() {
    let node = labels(&[("zone", "a"), ("disk", "ssd")]);
    assert!(node_matches(&Pod::default(), "node-1", &node));
    assert!(node_matches(&pod(&[], None), "node-1", &node));
    assert!(node_matches(&pod(&[("zone", "a"), ("disk", "ssd")], None), "node-1", &node));
    assert!(!node_matches(&pod(&[("zone", "b")], None), "node-1", &node));
    assert!(!node_matches(&pod(&[("zone", "a"), ("gpu", "")], None), "node-1", &node));
}

#[test]
fn each_operator_means_what_the_api_says() {
    let node = [("zone", "a"), ("gpu", ""), ("cores", "16"), ("below", "-3")];
    for (key, operator, values, expected) in [
        ("zone", "In", &["a", "b"][..], true),
        ("zone", "In", &["b"], false),
        ("none", "In", &["a"], false),
        ("zone", "NotIn", &["b"], true),
        ("zone", "NotIn", &["a"], false),
        ("none", "NotIn", &["a"], true),
        ("gpu", "Exists", &[], true),
        ("none", "Exists", &[], false),
        ("none", "DoesNotExist", &[], true),
        ("gpu", "DoesNotExist", &[], false),
        ("cores", "Gt", &["15"], true),
        ("cores", "Gt", &["16"], false),
        ("cores", "Lt", &["17"], true),
        ("cores", "Lt", &["16"], false),
        ("below", "Lt", &["0"], true),
    ] {
        assert_eq!(expression(requirement(key, operator, values), &node), expected, "{key} {operator} {values:?}");
    }
}

/// What `NewRequirement` (apimachinery pkg/labels/selector.go) refuses makes its term match nothing.
#[test]
fn what_cannot_be_read_matches_nothing() {
    let node = [("zone", "a"), ("cores", "16")];
    for (key, operator, values) in [
        ("zone", "In", &[][..]),
        ("zone", "NotIn", &[]),
        ("zone", "Exists", &["a"]),
        ("none", "DoesNotExist", &["a"]),
        ("cores", "Gt", &[]),
        ("cores", "Gt", &["1", "2"]),
        ("cores", "Gt", &["1.5"]),
        ("zone", "Gt", &["1"]),
        ("none", "Lt", &["1"]),
        ("zone", "in", &["a"]),
        ("zone", "", &["a"]),
    ] {
        assert!(!expression(requirement(key, operator, values), &node), "{key} {operator} {values:?}");
    }
}

#[test]
fn one_term_suffices_and_an_empty_one_matches_nothing() {
    let node = labels(&[("zone", "a")]);
    let here = || term(vec![requirement("zone", "In", &["a"])], vec![]);
    let elsewhere = || term(vec![requirement("zone", "In", &["b"])], vec![]);
    let matches = |terms| node_matches(&pod(&[], Some(terms)), "node-1", &node);
    assert!(matches(vec![elsewhere(), here()]));
    assert!(!matches(vec![elsewhere()]));
    assert!(!matches(vec![]));
    assert!(!matches(vec![NodeSelectorTerm::default()]));
    assert!(!matches(vec![term(vec![], vec![])]));
    assert!(matches(vec![NodeSelectorTerm::default(), here()]));
    assert!(!node_matches(&pod(&[("zone", "b")], Some(vec![here()])), "node-1", &node), "the selector counts too");
}

/// This is how the DaemonSet controller binds its pods.
#[test]
fn a_field_is_the_name_of_the_node() {
    let matches = |expressions, operator, values: &[&str]| {
        let field = requirement("metadata.name", operator, values);
        node_matches(&pod(&[], Some(vec![term(expressions, vec![field])])), "node-1", &labels(&[("zone", "a")]))
    };
    assert!(matches(vec![], "In", &["node-1"]));
    assert!(!matches(vec![], "In", &["node-2"]));
    assert!(matches(vec![], "NotIn", &["node-2"]));
    assert!(!matches(vec![], "NotIn", &["node-1"]));
    assert!(!matches(vec![], "In", &["node-1", "node-2"]), "exactly one value");
    assert!(!matches(vec![], "Exists", &[]));
    assert!(!matches(vec![requirement("zone", "In", &["b"])], "In", &["node-1"]), "expressions and fields are ANDed");
}

fn selector(wanted: &[(&str, &str)], expressions: &[(&str, &str, &[&str])]) -> LabelSelector {
    let expression = |(key, operator, values): &(&str, &str, &[&str])| LabelSelectorRequirement {
        key: (*key).to_owned(),
        operator: (*operator).to_owned(),
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    };
    LabelSelector {
        match_labels: Some(labels(wanted)),
        match_expressions: Some(expressions.iter().map(expression).collect()),
    }
}

#[test]
fn no_label_selector_chooses_nothing_and_an_empty_one_everything() {
    assert!(!label_selector_matches(None, &labels(&[("a", "1")])));
    for empty in [LabelSelector::default(), selector(&[], &[])] {
        assert!(label_selector_matches(Some(&empty), &labels(&[("a", "1")])));
        assert!(label_selector_matches(Some(&empty), &Labels::new()));
    }
}

#[test]
fn a_label_selector_wants_its_labels_and_its_expressions() {
    let object = labels(&[("app", "web"), ("tier", "front")]);
    let matches = |wanted: &[(&str, &str)], expressions: &[(&str, &str, &[&str])]| {
        label_selector_matches(Some(&selector(wanted, expressions)), &object)
    };
    assert!(matches(&[("app", "web")], &[("tier", "In", &["front", "back"]), ("old", "DoesNotExist", &[])]));
    assert!(!matches(&[("app", "web")], &[("tier", "NotIn", &["front"])]));
    assert!(!matches(&[("app", "db")], &[("tier", "Exists", &[])]));
    assert!(!matches(&[], &[("tier", "Gt", &["1"])]), "no operator of a label selector");
}

fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Toleration {
        key: some(key),
        operator: some(operator),
        value: some(value),
        effect: some(effect),
        ..Toleration::default()
    }
}

/// After `TestTolerationToleratesTaint` (k8s.io/api/core/v1/toleration_test.go).
#[test]
fn a_toleration_is_for_a_key_an_effect_and_a_value_or_for_any() {
    let taint = |key: &str, value: &str, effect: &str| Taint {
        key: key.to_owned(),
        value: Some(value.to_owned()),
        effect: effect.to_owned(),
        ..Taint::default()
    };
    for (toleration, taint, expected) in [
        (toleration("foo", "Exists", "", "NoSchedule"), taint("foo", "bar", "NoSchedule"), true),
        (toleration("foo", "Exists", "", "NoSchedule"), taint("foobar", "bar", "NoSchedule"), false),
        (toleration("foo", "Exists", "", "NoSchedule"), taint("foo", "bar", "NoExecute"), false),
        (toleration("foo", "Exists", "", ""), taint("foo", "bar", "NoExecute"), true),
        (toleration("", "Exists", "", ""), taint("foo", "bar", "NoExecute"), true),
        (toleration("", "Exists", "", "NoExecute"), taint("foo", "bar", "NoSchedule"), false),
        (toleration("foo", "Equal", "bar", "NoSchedule"), taint("foo", "bar", "NoSchedule"), true),
        (toleration("foo", "Equal", "bar", "NoSchedule"), taint("foo", "bar1", "NoSchedule"), false),
        (toleration("foo", "", "bar", ""), taint("foo", "bar", "NoSchedule"), true),
        (toleration("foo", "", "", ""), taint("foo", "", "NoSchedule"), true),
        (toleration("foo", "Near", "bar", ""), taint("foo", "bar", "NoSchedule"), false),
        (toleration("sla", "Gt", "950", "NoSchedule"), taint("sla", "990", "NoSchedule"), true),
        (toleration("sla", "Gt", "950", "NoSchedule"), taint("sla", "950", "NoSchedule"), false),
        (toleration("sla", "Lt", "800", "NoSchedule"), taint("sla", "750", "NoSchedule"), true),
        (toleration("sla", "Lt", "800", "NoSchedule"), taint("sla", "850", "NoSchedule"), false),
        (toleration("sla", "Gt", "-200", "NoSchedule"), taint("sla", "-100", "NoSchedule"), true),
        (toleration("sla", "Gt", "950", "NoSchedule"), taint("sla", "high", "NoSchedule"), false),
        (toleration("sla", "Gt", "high", "NoSchedule"), taint("sla", "990", "NoSchedule"), false),
    ] {
        assert_eq!(tolerates(std::slice::from_ref(&toleration), &taint), expected, "{toleration:?} {taint:?}");
    }
    let any = [toleration("a", "Exists", "", ""), toleration("b", "Exists", "", "")];
    assert!(tolerates(&any, &taint("b", "", "NoExecute")), "one suffices");
    assert!(!tolerates(&[], &taint("b", "", "NoExecute")));
    let bare = Taint { key: "b".to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() };
    assert!(tolerates(&[toleration("b", "Equal", "", "")], &bare), "no value is the empty one");
}

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-c]", "[0-9x]{0,2}", 0..4)
}

proptest! {
    #[test]
    fn in_and_not_in_are_complements_and_so_are_exists_and_does_not_exist(
        node in any_labels(), key in "[a-d]", values in prop::collection::vec("[0-9x]{0,2}", 1..4),
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let of_node = |operator, values| expression_matches(&requirement(&key, operator, values), &node);
        let of_object = |operator, values| {
            label_selector_matches(Some(&selector(&[], &[(&key, operator, values)])), &node)
        };
        prop_assert_ne!(of_node("In", &values), of_node("NotIn", &values));
        prop_assert_ne!(of_node("Exists", &[]), of_node("DoesNotExist", &[]));
        for (operator, values) in [("In", &values[..]), ("NotIn", &values), ("Exists", &[]), ("DoesNotExist", &[])] {
            prop_assert_eq!(of_node(operator, values), of_object(operator, values));
        }
    }

    #[test]
    fn a_number_is_greater_less_or_the_same(node in any_labels(), key in "[a-d]", bound in 0_i64..100) {
        let text = bound.to_string();
        let holds = |operator| expression_matches(&requirement(&key, operator, &[&text]), &node);
        let number = node.get(&key).and_then(|label| label.parse::<i64>().ok());
        prop_assert_eq!(holds("Gt"), number.is_some_and(|number| number > bound));
        prop_assert_eq!(holds("Lt"), number.is_some_and(|number| number < bound));
    }

    #[test]
    fn an_object_is_chosen_by_its_own_labels_and_by_fewer_of_them(object in any_labels(), kept: u8) {
        let fewer = object.clone().into_iter().enumerate();
        let fewer: Labels = fewer.filter(|(at, _)| kept & (1 << at) != 0).map(|(_, label)| label).collect();
        let chosen = LabelSelector { match_labels: Some(fewer), ..LabelSelector::default() };
        prop_assert!(label_selector_matches(Some(&chosen), &object));
    }
}
