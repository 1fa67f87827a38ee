//! Schemas of providers, some of them hostile.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::config::{Config, Document, Mistakes};

fn checked(text: &str, schema: &Json) -> Result<Config, Mistakes> {
    Document::parse(text, Some(Path::new("pluglet.yaml"))).read_in(&[], Some(schema), &|_| None)
}

fn mistakes(text: &str, schema: &Json) -> Vec<String> {
    let text = checked(text, schema).unwrap_err().to_string();
    text.lines().skip(1).map(|line| line.trim_start().to_owned()).collect()
}

fn schema() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["zone"],
        "properties": {
            "zone": { "type": "string" },
            "size": { "type": "integer", "minimum": 1 },
            "list": { "type": "array", "items": {
                "type": "object", "additionalProperties": false, "required": ["name"], "properties": { "name": { "type": "string" } }
            } },
        },
    })
}

#[test]
fn what_fits_passes() {
    assert!(checked("config: { zone: a, size: 2, list: [{ name: x }] }", &schema()).is_ok());
    assert!(checked("", &json!({ "type": "object" })).is_ok(), "no section is an empty one");
    assert!(checked("config:\n", &json!({ "type": "object" })).is_ok());
}

#[test]
fn every_violation_is_told_where_it_is_and_without_the_value() {
    let text = "config:\n  zone: 5\n  size: hunter2\n  zoen: a\n  list:\n    - name: x\n    - nmae: y\n";
    assert_eq!(
        mistakes(text, &schema()),
        [
            "pluglet.yaml:2:9: config.zone: the value is not of type \"string\"",
            "pluglet.yaml:3:9: config.size: the value is not of type \"integer\"",
            "pluglet.yaml:4:3: config.zoen: unknown field; did you mean `zone`?",
            "pluglet.yaml:7:7: config.list[1]: `name` is missing",
            "pluglet.yaml:7:7: config.list[1].nmae: unknown field; did you mean `name`?",
        ]
    );
    assert_eq!(mistakes("limits: {}\n", &schema()), ["pluglet.yaml: config: `zone` is missing"]);
    assert_eq!(mistakes("config: 5\n", &schema()), ["pluglet.yaml:1:9: config: the value is not of type \"object\""]);
}

#[test]
fn mistakes_of_the_section_and_of_the_file_are_told_together() {
    let all = mistakes("config: { zone: 5 }\nlimits: { memory: 1 }\n", &schema());
    assert_eq!(all.len(), 2, "{all:?}");
}

#[test]
fn a_schema_that_is_none_or_wants_the_network_is_told() {
    for (schema, why) in [
        (json!({ "type": "nonsense" }), "is not usable"),
        (json!({ "$ref": "https://schemas.example.com/a.json" }), "is not usable"),
        (json!({ "$ref": "file:///etc/passwd" }), "is not usable"),
        (json!({ "pattern": "(" }), "is not usable"),
        (json!({ "description": "x".repeat(2 << 20) }), "is larger than"),
    ] {
        let told = mistakes("config: {}", &schema);
        assert!(
            told.len() == 1
                && told[0].contains(why)
                && told[0].starts_with("pluglet.yaml:1:1: config: cannot be checked"),
            "{told:?}"
        );
    }
}

#[test]
fn a_schema_cannot_make_the_host_spin_or_crash() {
    let nested = (0..100).fold(json!({ "type": "object" }), |inner, _| json!({ "allOf": [inner] }));
    let mut definitions = serde_json::Map::new();
    for level in 0..40 {
        let next = format!("#/$defs/d{}", level + 1);
        definitions
            .insert(format!("d{level}"), json!({ "anyOf": [{ "$ref": next }, { "$ref": next, "minProperties": 9 }] }));
    }
    definitions.insert("d40".to_owned(), json!({ "type": "string" }));
    for schema in [
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#" }] }),
        json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } }, "$ref": "#/$defs/a" }),
        json!({ "properties": { "a": { "$ref": "#" } }, "$dynamicRef": "#" }),
        nested,
        json!({ "$defs": definitions, "$ref": "#/$defs/d0" }),
        json!({ "properties": { "a": { "pattern": "^(a+)+$" } } }),
    ] {
        // Whether it passes is of no interest, only that there is an answer.
        checked("config: { a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! }", &schema).ok();
    }
}
