//! Selectors and tolerations: does this object choose that one?
//!
//! In: a pod's node selector and required affinity, a label selector, tolerations. Out: yes or no. Invariant: what the
//! API server would not have accepted (an unknown operator, `In` without values) chooses nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels as the API has them.
pub type Labels = BTreeMap<String, String>;

/// Whether the pod may be on the node: every label of its `nodeSelector`, and one of the terms of the required node
/// affinity if it has any (`GetRequiredNodeAffinity` of k8s.io/component-helpers/scheduling/corev1/nodeaffinity). What
/// is only preferred is the scheduler's business.
#[must_use]
pub fn node_matches(pod: &Pod, node_name: &str, labels: &Labels) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    spec.node_selector.as_ref().is_none_or(|selector| has_all(labels, selector))
        && required.is_none_or(|selector| {
            selector.node_selector_terms.iter().any(|term| term_matches(term, node_name, labels))
        })
}

/// A term without a requirement matches no node.
fn term_matches(term: &NodeSelectorTerm, node_name: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|expression| expression_matches(expression, labels))
        && fields.iter().all(|field| field_matches(field, node_name))
}

fn expression_matches(expression: &NodeSelectorRequirement, labels: &Labels) -> bool {
    let label = labels.get(&expression.key).map(String::as_str);
    let values = expression.values.as_deref().unwrap_or_default();
    let compares = |holds: fn(&i64, &i64) -> bool| match values {
        [bound] => label.is_some_and(|label| both_numbers(label, bound, holds)),
        _ => false,
    };
    match expression.operator.as_str() {
        "Gt" => compares(i64::gt),
        "Lt" => compares(i64::lt),
        operator => set_matches(operator, label, values),
    }
}

/// There is one field, the name, and it is compared with one value.
fn field_matches(field: &NodeSelectorRequirement, node_name: &str) -> bool {
    let own = if field.key == "metadata.name" { node_name } else { "" };
    match (field.operator.as_str(), field.values.as_deref().unwrap_or_default()) {
        ("In", [value]) => own == value,
        ("NotIn", [value]) => own != value,
        _ => false,
    }
}

/// Whether a label selector chooses an object with these labels (`LabelSelectorAsSelector` of apimachinery
/// pkg/apis/meta/v1): none chooses nothing, an empty one everything, else all requirements count.
#[must_use]
pub fn label_selector_matches(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    selector.is_some_and(|selector| {
        selector.match_labels.as_ref().is_none_or(|wanted| has_all(labels, wanted))
            && selector.match_expressions.iter().flatten().all(|expression| {
                let label = labels.get(&expression.key).map(String::as_str);
                set_matches(&expression.operator, label, expression.values.as_deref().unwrap_or_default())
            })
    })
}

fn has_all(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// `Requirement.Matches` of apimachinery pkg/labels, with the checks of `NewRequirement`. A label that is absent is not
/// in any set.
fn set_matches(operator: &str, label: Option<&str>, values: &[String]) -> bool {
    let is_in = || label.is_some_and(|label| values.iter().any(|value| value == label));
    match operator {
        "In" => !values.is_empty() && is_in(),
        "NotIn" => !values.is_empty() && !is_in(),
        "Exists" => values.is_empty() && label.is_some(),
        "DoesNotExist" => values.is_empty() && label.is_none(),
        _ => false,
    }
}

/// Whether one of the tolerations tolerates the taint.
#[must_use]
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates_taint(toleration, taint))
}

/// `Toleration.ToleratesTaint` of k8s.io/api/core/v1/toleration.go. No effect is every effect, no key every key. `Gt`
/// and `Lt` compare the taint's value with the toleration's; the API server holds them only if
/// TaintTolerationComparisonOperators is on.
fn tolerates_taint(toleration: &Toleration, taint: &Taint) -> bool {
    let is_or_empty = |wanted: &Option<String>, own: &str| match wanted.as_deref() {
        None | Some("") => true,
        Some(wanted) => wanted == own,
    };
    let value = taint.value.as_deref().unwrap_or_default();
    let wanted = toleration.value.as_deref().unwrap_or_default();
    is_or_empty(&toleration.effect, &taint.effect)
        && is_or_empty(&toleration.key, &taint.key)
        && match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => value == wanted,
            "Exists" => true,
            "Gt" => both_numbers(value, wanted, i64::gt),
            "Lt" => both_numbers(value, wanted, i64::lt),
            _ => false,
        }
}

fn both_numbers(left: &str, right: &str, holds: fn(&i64, &i64) -> bool) -> bool {
    matches!((left.parse(), right.parse()), (Ok(left), Ok(right)) if holds(&left, &right))
}

#[cfg(test)]
mod tests;
