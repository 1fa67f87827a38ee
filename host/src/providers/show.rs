//! What components say about themselves, for people.
//!
//! In: [`Found`] components. Out: text. Invariant: what an author wrote is printed without control characters, so that it cannot move the
//! cursor of a terminal.

use std::fmt::Write;
use std::path::PathBuf;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use pluglet_egress::Need;
use pluglet_wasm::{Limits, Manifest};

use super::{Error, Found, components, existing, look_at};

/// `pluglet provider list`: a table, one line for each component; those that are unusable say why.
pub(crate) fn list(directories: &[PathBuf]) -> Result<String, Error> {
    let directories = existing(directories)?;
    if directories.is_empty() {
        return Err(Error::NoDirectories);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["NAME", "VERSION", "CONTRACT", "FEATURES", "ENDPOINTS", "CONFIG", "FILE"]);
    for path in components(&directories)? {
        let file = path.display().to_string();
        match look_at(path, Limits::default().component_bytes) {
            Ok(found) => table.add_row(row(&found, file)),
            Err(Error::Unusable { source, .. }) => table.add_row(unusable(source.to_string(), file)),
            Err(error @ Error::Manifest { .. }) => table.add_row(unusable(error.to_string(), file)),
            Err(error) => return Err(error),
        };
    }
    Ok(format!("{table}\n"))
}

fn unusable(why: String, file: String) -> [String; 7] {
    let nothing = String::new;
    [nothing(), format!("unusable: {why}"), nothing(), nothing(), nothing(), nothing(), file]
}

fn row(found: &Found, file: String) -> [String; 7] {
    let manifest = found.inspection.manifest.as_ref();
    let endpoint = |need: &Need| format!("{}{}", need.name, if need.optional { "?" } else { "" });
    [
        found.name.clone(),
        manifest.map_or_else(|| "-".to_owned(), |manifest| clean(&manifest.version)),
        found.inspection.contract.clone(),
        joined(manifest.map(|manifest| manifest.features.iter().map(|feature| clean(feature)).collect())),
        joined(manifest.map(|manifest| manifest.endpoints.iter().map(endpoint).collect())),
        if manifest.is_some_and(|manifest| manifest.config_schema.is_some()) { "schema" } else { "-" }.to_owned(),
        file,
    ]
}

fn joined(words: Option<Vec<String>>) -> String {
    match words {
        Some(words) if !words.is_empty() => words.join(","),
        _ => "-".to_owned(),
    }
}

/// `pluglet provider inspect`.
pub(crate) fn describe(found: &Found) -> String {
    let mut text = String::new();
    let inspection = &found.inspection;
    line(&mut text, "name:", &found.name);
    match &inspection.manifest {
        Some(manifest) => {
            line(&mut text, "version:", &clean(&manifest.version));
            line(&mut text, "description:", &clean(&manifest.description));
            line(&mut text, "sdk:", &clean(&manifest.sdk));
            let features = manifest.features.iter().map(|feature| clean(feature)).collect();
            line(&mut text, "features:", &joined(Some(features)));
        }
        None => {
            line(
                &mut text,
                "manifest:",
                "none: the component does not say its version, features or endpoints, and can reach nothing",
            );
        }
    }
    let written_for = inspection.manifest.as_ref().map(|manifest| clean(&manifest.contract)).unwrap_or_default();
    let contract = format!("pluglet:provider {}", inspection.contract);
    if written_for.is_empty() || written_for == inspection.contract || written_for == contract {
        line(&mut text, "contract:", &contract);
    } else {
        line(&mut text, "contract:", &format!("{contract} (written for {written_for})"));
    }
    line(&mut text, "file:", &found.path.display().to_string());
    line(&mut text, "size:", &format!("{} bytes", inspection.size));
    line(&mut text, "imports:", &inspection.imports.iter().map(|import| clean(import)).collect::<Vec<_>>().join(", "));
    line(&mut text, "config:", &inspection.manifest.as_ref().map_or_else(|| "-".to_owned(), schema));
    let needs = inspection.manifest.as_ref().map(|manifest| manifest.endpoints.as_slice()).unwrap_or_default();
    line(&mut text, "endpoints:", if needs.is_empty() { "none" } else { "" });
    needs.iter().for_each(|need| endpoint(&mut text, need));
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{}", format!("{name:<12} {value}").trim_end()).ok();
}

/// The keys of the configuration, if they are known.
fn schema(manifest: &Manifest) -> String {
    let Some(schema) = &manifest.config_schema else {
        return "no schema: the section is handed over unchecked".to_owned();
    };
    match schema.get("properties").and_then(serde_json::Value::as_object) {
        Some(properties) if !properties.is_empty() => {
            let keys: Vec<String> = properties.keys().map(|key| clean(key)).collect();
            format!("checked against a JSON Schema; keys: {}", keys.join(", "))
        }
        _ => "checked against a JSON Schema".to_owned(),
    }
}

fn endpoint(text: &mut String, need: &Need) {
    let optional = if need.optional { " (optional)" } else { "" };
    writeln!(text, "  {}{optional}: {}", need.name, clean(&need.why)).ok();
    let any = |words: &[String]| if words.is_empty() { "any".to_owned() } else { words.join(", ") };
    writeln!(text, "    methods: {}", any(&need.methods)).ok();
    writeln!(text, "    paths: {}", any(&need.paths)).ok();
    let streams: Vec<&str> = [(need.websocket, "websocket"), (need.upgrade, "upgrade")]
        .into_iter()
        .filter_map(|(asked, name)| asked.then_some(name))
        .collect();
    if !streams.is_empty() {
        writeln!(text, "    also: {}", streams.join(", ")).ok();
    }
}

/// Without control characters and without those that turn the direction of writing.
pub(super) fn clean(text: &str) -> String {
    let harmless = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use pluglet_wasm::Inspection;

    use super::*;

    fn found(manifest: Option<Manifest>) -> Found {
        let inspection = Inspection {
            manifest,
            contract: "0.1.0".to_owned(),
            imports: vec!["pluglet:provider/http@0.1.0".to_owned()],
            size: 1234,
        };
        Found { name: "acme".to_owned(), path: PathBuf::from("plugins/acme.wasm"), inspection }
    }

    fn manifest() -> Manifest {
        serde_json::from_value(serde_json::json!({
            "name": "acme",
            "version": "1.2.3",
            "description": "Runs pods\u{1b}[2J on Acme.",
            "sdk": "0.1.0",
            "contract": "0.1.0",
            "features": ["watch", "logs"],
            "endpoints": [
                { "name": "api", "why": "the API", "methods": ["GET", "PUT"], "paths": ["/pods/*"] },
                { "name": "logs", "why": "logs that are followed", "websocket": true, "optional": true },
            ],
            "configSchema": { "type": "object", "properties": { "zone": {}, "size": {} } },
        }))
        .unwrap()
    }

    #[test]
    fn everything_in_the_manifest_is_shown() {
        insta::assert_snapshot!(describe(&found(Some(manifest()))));
    }

    #[test]
    fn a_component_without_a_manifest_says_so() {
        let text = describe(&found(None));
        assert!(text.contains("can reach nothing") && text.contains("endpoints:   none"), "{text}");
    }

    #[test]
    fn the_list_has_a_mark_for_optional_endpoints_and_for_a_schema() {
        let row = row(&found(Some(manifest())), "plugins/acme.wasm".to_owned());
        assert_eq!(row, ["acme", "1.2.3", "0.1.0", "watch,logs", "api,logs?", "schema", "plugins/acme.wasm"]);
    }
}
