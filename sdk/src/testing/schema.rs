//! Whether a configuration fits the schema in a manifest.
//!
//! In: a manifest and a configuration. Out: nothing, or what does not fit. Invariant: only the keywords of JSON Schema that are known here
//! count, and an unknown one is an error, so that a schema is never thought to say more than was looked at.

use serde_json::{Map, Value};

/// Check a configuration against `configSchema` in a manifest, such as the example in a provider's README. The keywords are `type`, `properties`,
/// `additionalProperties`, `required`, `items`, `enum`, `const`, `minimum`, `maximum`, `minLength`, and those that only describe.
///
/// # Errors
/// What does not fit and where, or what in the schema is not known.
pub fn check_config(manifest: &[u8], config: &Value) -> Result<(), String> {
    let manifest: Value =
        serde_json::from_slice(manifest).map_err(|error| format!("the manifest is not JSON: {error}"))?;
    let schema = manifest.get("configSchema").ok_or("the manifest has no configSchema")?;
    check(schema, config, "config")
}

fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{at} is not allowed")),
        Value::Object(schema) => schema,
        _ => return Err(format!("the schema of {at} is neither an object nor a boolean")),
    };
    schema.iter().try_for_each(|(keyword, rule)| keep(schema, keyword, rule, value, at))
}

fn keep(schema: &Map<String, Value>, keyword: &str, rule: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fits = match keyword {
        "$schema" | "$id" | "$comment" | "title" | "description" | "examples" | "default" | "deprecated" => true,
        "type" => each(rule).any(|kind| kind.as_str().is_some_and(|kind| is_of_type(value, kind))),
        "enum" => each(rule).any(|allowed| allowed == value),
        "const" => rule == value,
        "minimum" => value.as_f64().zip(rule.as_f64()).is_none_or(|(value, least)| value >= least),
        "maximum" => value.as_f64().zip(rule.as_f64()).is_none_or(|(value, most)| value <= most),
        "minLength" => {
            value.as_str().zip(rule.as_u64()).is_none_or(|(text, least)| text.chars().count() as u64 >= least)
        }
        "required" => value
            .as_object()
            .is_none_or(|object| each(rule).all(|name| name.as_str().is_some_and(|name| object.contains_key(name)))),
        "items" => {
            let mut items = value.as_array().into_iter().flatten().enumerate();
            return items.try_for_each(|(index, item)| check(rule, item, &format!("{at}[{index}]")));
        }
        "properties" => {
            let mut known =
                value.as_object().into_iter().flatten().filter_map(|(name, of)| Some((name, of, rule.get(name)?)));
            return known.try_for_each(|(name, of, rule)| check(rule, of, &format!("{at}.{name}")));
        }
        "additionalProperties" => {
            let known = |name: &str| schema.get("properties").is_some_and(|known| known.get(name).is_some());
            let mut others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
            return others.try_for_each(|(name, of)| check(rule, of, &format!("{at}.{name}")));
        }
        unknown => return Err(format!("the schema of {at} has the keyword {unknown:?}, which is not known here")),
    };
    if fits { Ok(()) } else { Err(format!("{at} is {value}, and its schema wants {keyword:?}: {rule}")) }
}

/// The items of a list; anything else is a list of itself.
fn each(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice).iter()
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_config;

    fn told(schema: &serde_json::Value, config: &serde_json::Value) -> String {
        check_config(json!({"configSchema": schema}).to_string().as_bytes(), config).err().unwrap_or_default()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let schema = json!({
            "type": "object",
            "required": ["zone"],
            "additionalProperties": false,
            "properties": {
                "zone": {"type": "string", "minLength": 1, "enum": ["a", "b"]},
                "cpu": {"type": ["string", "number"], "minimum": 0},
                "names": {"type": "array", "items": {"type": "string"}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        });
        assert_eq!(told(&schema, &json!({"zone": "a", "cpu": 0.5, "names": ["x"], "labels": {"k": "v"}})), "");
        for (config, names) in [
            (json!([]), "config is []"),
            (json!({}), "required"),
            (json!({"zone": "c"}), "config.zone"),
            (json!({"zone": "a", "more": 1}), "config.more is not allowed"),
            (json!({"zone": "a", "cpu": -1}), "minimum"),
            (json!({"zone": "a", "names": ["x", 1]}), "config.names[1]"),
            (json!({"zone": "a", "labels": {"k": 1}}), "config.labels.k"),
        ] {
            assert!(told(&schema, &config).contains(names), "{config}: {}", told(&schema, &config));
        }
    }

    #[test]
    fn a_keyword_that_is_not_known_is_an_error() {
        assert!(told(&json!({"type": "object", "if": {}}), &json!({})).contains("\"if\""));
    }
}
