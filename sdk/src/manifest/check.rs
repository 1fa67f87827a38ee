//! Whether the host can read a manifest.
//!
//! In: the bytes that `export!` made. Out: nothing, or what is wrong, for the author. Invariant: what passes here has the types and the
//! path patterns that the host expects.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    endpoints: Vec<Endpoint>,
    config_schema: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Endpoint {
    name: String,
    methods: Vec<String>,
    paths: Vec<String>,
}

/// Check it.
///
/// # Errors
/// A text for the author.
#[doc(hidden)]
pub fn check(manifest: &[u8]) -> Result<(), String> {
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| format!("the manifest is not what it should be; is `config_schema` a JSON object? {error}"))?;
    let mut seen = Vec::new();
    for Endpoint { name, methods, paths } in &manifest.endpoints {
        if seen.contains(&name) {
            return Err(format!("two endpoints have the name {name:?}"));
        }
        seen.push(name);
        if let Some(method) = methods.iter().find(|method| !is_method(method)) {
            return Err(format!("endpoint {name:?}: {method:?} is not a method that can be asked for"));
        }
        if let Some(path) = paths.iter().find(|path| !is_pattern(path)) {
            return Err(format!("endpoint {name:?}: {path:?} is not a pattern of a path"));
        }
    }
    let typed = |schema: &Map<String, Value>| schema.get("type").is_some_and(|kind| kind == "object");
    if manifest.config_schema.is_some_and(|schema| !typed(&schema)) {
        return Err("`config_schema` must have \"type\": \"object\"".to_owned());
    }
    Ok(())
}

fn is_method(method: &str) -> bool {
    !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_uppercase())
        && !["CONNECT", "TRACE"].contains(&method)
}

/// Segments after slashes; `*` is a whole segment, `**` the last one.
fn is_pattern(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let fits = match segment {
            // Only the root may end in a slash: a path that does is another path.
            "" => last && path == "/",
            "*" => true,
            "**" => last,
            "." | ".." => false,
            segment => !segment.contains(['*', '?', '#', '\\']),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{check, is_pattern};

    #[test]
    fn stars_are_whole_segments_and_two_of_them_come_last() {
        for path in ["/", "/pods", "/pods/*", "/pods/*/log", "/**", "/subscriptions/**"] {
            assert!(is_pattern(path), "{path}");
        }
        for path in ["", "pods", "/pods/", "//", "/a*", "/**/a", "/a/../b", "/a?b", "/a/***", "/a\\b"] {
            assert!(!is_pattern(path), "{path}");
        }
    }

    #[test]
    fn what_the_host_would_refuse_is_told_to_the_author() {
        let endpoint = |rest: &str| format!(r#"{{"endpoints": [{{"name": "a", {rest}}}]}}"#);
        let told = |manifest: &str| check(manifest.as_bytes()).err().unwrap_or_default();
        assert_eq!(told(&endpoint(r#""methods": ["GET"], "paths": ["/**"]"#)), "");
        assert!(told(&endpoint(r#""methods": ["get"], "paths": []"#)).contains("\"get\""));
        assert!(told(&endpoint(r#""methods": ["CONNECT"], "paths": []"#)).contains("CONNECT"));
        assert!(told(&endpoint(r#""methods": [], "paths": ["x"]"#)).contains("pattern"));
        assert!(told(r#"{"endpoints": [], "configSchema": {"type": "string"}}"#).contains("object"));
        assert!(told(r#"{"endpoints": [], "configSchema": {"type": }"#).contains("config_schema"));
    }
}
