//! Which contract a component speaks and what it may import.
//!
//! In: names of imports and exports. Out: the version, or why the component is refused. Invariant: what is not named here is refused.

use super::InspectError;

/// The version of `wit/` that this host implements.
pub(crate) const CONTRACT_VERSION: &str = "0.1.0";

/// Interfaces of WASI that programs of the standard library import whether they use them or not. All of them are linked to an
/// empty world: no files, no environment, no arguments, output into the log. Sockets and HTTP are missing on purpose: the ways
/// out are `pluglet:provider/http` and `websocket`, where the operator's grants are checked.
const WASI: [&str; 19] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Interfaces of our own that a component may import.
const OURS: [&str; 5] = ["types", "http", "websocket", "kv", "host"];

/// The version of the contract that these exports speak.
pub(super) fn exported(exports: &[String]) -> Result<String, InspectError> {
    let version = exports
        .iter()
        .find_map(|export| {
            let (interface, version) = split(export);
            (interface == "pluglet:provider/lifecycle").then_some(version)
        })
        .ok_or(InspectError::NotProvider)?;
    if track(version) == track(CONTRACT_VERSION) {
        Ok(version.to_owned())
    } else {
        Err(InspectError::OtherContract { found: version.to_owned(), ours: CONTRACT_VERSION })
    }
}

/// Whether the sandbox offers all of these imports.
pub(super) fn check_imports(imports: &[String]) -> Result<(), InspectError> {
    let mut forbidden = Vec::new();
    for import in imports {
        let (interface, version) = split(import);
        if let Some(ours) = interface.strip_prefix("pluglet:provider/") {
            if track(version) != track(CONTRACT_VERSION) {
                return Err(InspectError::OtherContract { found: version.to_owned(), ours: CONTRACT_VERSION });
            }
            if OURS.contains(&ours) {
                continue;
            }
        } else if WASI.contains(&interface) && track(version) == Some((0, 2)) {
            continue;
        }
        forbidden.push(import.clone());
    }
    if forbidden.is_empty() { Ok(()) } else { Err(InspectError::ForbiddenImports(forbidden)) }
}

/// `pluglet:provider/host@0.1.0` → (`pluglet:provider/host`, `0.1.0`).
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

/// The part of a version within which the engine links: major, and minor below 1.0.
fn track(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split(['.', '-', '+']);
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, if major == 0 { minor } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn patch_versions_of_our_contract_are_ours() {
        assert_eq!(
            exported(&names(&["pluglet:provider/pods@0.1.3", "pluglet:provider/lifecycle@0.1.3"])).unwrap(),
            "0.1.3"
        );
    }

    #[test]
    fn another_minor_version_is_named_in_the_error() {
        let error = exported(&names(&["pluglet:provider/lifecycle@0.2.0"])).unwrap_err();
        assert_eq!(error.to_string(), "the component speaks pluglet:provider 0.2.0, this pluglet speaks 0.1.0");
    }

    #[test]
    fn a_component_without_the_lifecycle_is_not_a_provider() {
        assert!(matches!(exported(&names(&["wasi:cli/run@0.2.6"])), Err(InspectError::NotProvider)));
    }

    #[test]
    fn the_standard_library_may_import_its_stubs_in_any_patch_version() {
        check_imports(&names(&["wasi:io/streams@0.2.6", "wasi:cli/stderr@0.2.12", "pluglet:provider/http@0.1.0"]))
            .unwrap();
    }

    #[test]
    fn sockets_and_http_are_refused_by_name() {
        let imports = names(&["wasi:sockets/tcp@0.2.6", "wasi:io/poll@0.2.6", "wasi:http/outgoing-handler@0.2.6"]);
        let text = check_imports(&imports).unwrap_err().to_string();
        assert!(text.ends_with("wasi:sockets/tcp@0.2.6, wasi:http/outgoing-handler@0.2.6"), "{text}");
    }

    #[test]
    fn an_unknown_interface_of_our_own_is_refused() {
        assert!(check_imports(&names(&["pluglet:provider/shell@0.1.0"])).is_err());
    }
}
