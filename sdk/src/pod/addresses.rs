//! The pod's addresses in its environment.
//!
//! In: a resolved pod and its addresses. Out: the pod without a variable that waits for them. Invariant: nothing else of the pod changes; text
//! that only looks like such a variable stays.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{Map, Value};

use super::ResolvedPod;
use crate::{Error, Result};

/// Lists of containers in a pod's spec.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

impl ResolvedPod {
    /// Put the pod's addresses, the first of which is `status.podIP`, where its environment asks for them: into the variables with a `fieldRef` to
    /// `status.podIP` or `status.podIPs`, and in place of `$(NAME)` of such a variable, in the variables after it, in `command` and in
    /// `args`. The host leaves these to the provider; everything else of the environment is there already. Once is enough: a second
    /// time finds nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a container asks for an address and there is none yet; [`Error::Invalid`] when the JSON is not a pod.
    pub fn fill_pod_ips(&mut self, ips: &[impl Display]) -> Result<()> {
        // Nearly no pod asks, and a pod is long.
        if !self.json.contains("status.podIP") {
            return Ok(());
        }
        let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
        let mut pod: Value = self.pod_as()?;
        for list in LISTS {
            let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                fill(container, &ips)?;
            }
        }
        self.json = pod.to_string();
        Ok(())
    }
}

fn fill(container: &mut Map<String, Value>, ips: &[String]) -> Result<()> {
    let mut known = BTreeMap::new();
    let variables = container.get_mut("env").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(value) = address(variable, ips)? {
            variable.remove("valueFrom");
            let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
            known.insert(name.to_owned(), value.clone());
            variable.insert("value".to_owned(), value.into());
        } else if let Some(value) = variable.get_mut("value") {
            replace(value, &known);
        }
    }
    for field in ["command", "args"] {
        let words = container.get_mut(field).and_then(Value::as_array_mut);
        words.into_iter().flatten().for_each(|word| replace(word, &known));
    }
    Ok(())
}

/// What the variable is to hold, if that is an address.
fn address(variable: &Map<String, Value>, ips: &[String]) -> Result<Option<String>> {
    let field = variable.get("valueFrom").and_then(|from| from.pointer("/fieldRef/fieldPath")).and_then(Value::as_str);
    let value = match field {
        Some("status.podIP") => ips.first().cloned(),
        Some("status.podIPs") => (!ips.is_empty()).then(|| ips.join(",")),
        _ => return Ok(None),
    };
    value.map(Some).ok_or_else(|| Error::unavailable("a container wants the pod's address, and it has none yet"))
}

fn replace(text: &mut Value, known: &BTreeMap<String, String>) {
    if let Value::String(text) = text
        && !known.is_empty()
    {
        *text = expand(text, known);
    }
}

/// Replace `$(NAME)` of known names. Where another `$` stands before it, it is meant as it reads, and that `$` goes.
fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
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
            out.push('(');
            out.push_str(name);
            out.push(')');
        } else {
            out.push_str(value);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(pod: &Value, ips: &[&str]) -> Result<Value> {
        let mut spec = ResolvedPod { json: pod.to_string(), ..ResolvedPod::default() };
        spec.fill_pod_ips(ips)?;
        spec.pod_as()
    }

    fn reference(name: &str, field: &str) -> Value {
        json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": field}}})
    }

    #[test]
    fn variables_hold_the_addresses_and_what_names_them_does_too() {
        let pod = json!({"spec": {
            "initContainers": [{"name": "init", "env": [reference("ALL", "status.podIPs")]}],
            "containers": [{
                "name": "main",
                "command": ["server", "--listen=$(IP):80"],
                "args": ["$(IP)$(IP)", "$(OTHER)"],
                "env": [{"name": "EARLY", "value": "$(IP)"}, reference("IP", "status.podIP"), {"name": "URL", "value": "http://$(IP)/"}],
            }, {"name": "other", "args": ["$(IP)"]}],
        }});
        let pod = filled(&pod, &["10.0.0.7", "fd00::7"]).unwrap();
        assert_eq!(pod["spec"]["initContainers"][0]["env"], json!([{"name": "ALL", "value": "10.0.0.7,fd00::7"}]));
        let main = &pod["spec"]["containers"][0];
        assert_eq!(
            (&main["command"], &main["args"]),
            (&json!(["server", "--listen=10.0.0.7:80"]), &json!(["10.0.0.710.0.0.7", "$(OTHER)"]))
        );
        let env = json!([
            {"name": "EARLY", "value": "$(IP)"},
            {"name": "IP", "value": "10.0.0.7"},
            {"name": "URL", "value": "http://10.0.0.7/"},
        ]);
        assert_eq!(main["env"], env);
        assert_eq!(pod["spec"]["containers"][1]["args"], json!(["$(IP)"]), "a variable belongs to its container");
    }

    #[test]
    fn a_second_dollar_stands_for_the_text_as_it_reads() {
        let known = BTreeMap::from([("IP".to_owned(), "::1".to_owned())]);
        for (text, expanded) in [
            ("", ""),
            ("$(IP)", "::1"),
            ("$$(IP)", "$(IP)"),
            ("$$$(IP)", "$$(IP)"),
            ("$$ $ $( $(A) $(IP", "$$ $ $( $(A) $(IP"),
            ("$($(IP))", "$(::1)"),
            ("ä$(IP)ö", "ä::1ö"),
        ] {
            assert_eq!(expand(text, &known), expanded, "{text}");
        }
    }

    #[test]
    fn without_an_address_the_pod_has_to_wait_only_if_it_asks_for_one() {
        let asks = json!({"spec": {"containers": [{"name": "main", "env": [reference("IP", "status.podIP")]}]}});
        assert!(matches!(filled(&asks, &[]), Err(Error::Unavailable(_))));
        let plain = json!({"spec": {"containers": [{"name": "main", "args": ["$(IP)"]}]}});
        assert_eq!(filled(&plain, &[]).unwrap(), plain);
    }
}
