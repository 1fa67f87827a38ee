//! The pod's own addresses in a container's environment, once they are known.
//!
//! In: a container of a resolved pod, in which only these are still references. Out: the same without. Invariant: nothing else of the container changes; where
//! the text shall read `$(NAME)`, resolution has put another `$` before it, which goes here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar};

use super::Refusal;

/// Puts them in.
pub(super) fn fill(container: &mut Container, addresses: &[String]) -> Result<(), Refusal> {
    let mut known = BTreeMap::new();
    for variable in container.env.iter_mut().flatten() {
        if let Some(address) = wanted(variable, addresses)? {
            known.insert(variable.name.clone(), address.clone());
            (variable.value, variable.value_from) = (Some(address), None);
        } else if let Some(value) = &mut variable.value {
            *value = replace(value, &known);
        }
    }
    for word in container.command.iter_mut().chain(&mut container.args).flatten() {
        *word = replace(word, &known);
    }
    Ok(())
}

/// What the variable is to hold, if that is an address.
fn wanted(variable: &EnvVar, addresses: &[String]) -> Result<Option<String>, Refusal> {
    let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
    let value = match field.map(|field| field.field_path.as_str()) {
        Some("status.podIP") => addresses.first().cloned(),
        Some("status.podIPs") => (!addresses.is_empty()).then(|| addresses.join(",")),
        _ => return Ok(None),
    };
    value
        .map(Some)
        .ok_or_else(|| Refusal(format!("variable {} wants the pod's address, and it has none", variable.name)))
}

fn replace(text: &str, known: &BTreeMap<String, String>) -> String {
    if known.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        out.push_str(before);
        let found = after.split_once(')').and_then(|(name, after)| Some((name, known.get(name)?, after)));
        let Some((name, value, after)) = found else {
            out.push_str("$(");
            rest = after;
            continue;
        };
        if before.ends_with('$') {
            out.extend(["(", name, ")"]);
        } else {
            out.push_str(value);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
