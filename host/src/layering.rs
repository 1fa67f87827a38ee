//! Holds the arrows between modules: who may use whom.
//!
//! In: the `use crate::` lines of this crate's sources. Out: a test. Invariant: pure rooms stay pure, the Kubernetes client stays in `api` and
//! `app`, the WebAssembly engine stays in its own crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Module → the modules it may use. `app` may use all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("args", &[]),
    ("tasks", &[]),
    ("telemetry", &["args", "tasks"]),
    ("config", &["args"]),
    ("providers", &["args", "config"]),
    ("status", &[]),
    ("node", &[]),
    ("certificates", &[]),
    ("objects", &["tasks"]),
    ("probes", &["status"]),
    ("containers", &["probes", "tasks"]),
    ("pods", &["objects", "probes", "status", "tasks"]),
    ("kubelet", &["certificates", "pods", "tasks"]),
    // It implements the ports that these own.
    ("api", &["pods", "objects", "node", "kubelet", "certificates"]),
];

/// At run time, because a target directory may serve several checkouts.
fn sources_root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("src")
}

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn module_of(path: &Path, root: &Path) -> String {
    let first = path.strip_prefix(root).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The modules that a file names behind `crate::`.
fn used(text: &str) -> Vec<String> {
    let mut found = vec![];
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let inside = group.split('}').next().unwrap_or_default();
                found.extend(inside.split(',').map(|item| first_word(item.trim())));
            }
            None => found.push(first_word(rest)),
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn modules_use_only_what_the_design_lets_them() {
    let root = sources_root();
    let rules: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut files = vec![];
    sources(&root, &mut files);
    let mut wrong = vec![];
    for file in files {
        let module = module_of(&file, &root);
        let Some(allowed) = rules.get(module.as_str()) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        for name in used(&text) {
            if name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} uses crate::{name}", file.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn only_api_and_app_hold_a_kubernetes_client_and_nobody_the_engine() {
    let root = sources_root();
    let mut files = vec![];
    sources(&root, &mut files);
    for file in files {
        let module = module_of(&file, &root);
        let text = std::fs::read_to_string(&file).unwrap();
        let uses = |name: &str| text.lines().any(|line| line.trim_start().starts_with(&format!("use {name}::")));
        assert!(!uses("wasmtime"), "{} uses the engine", file.display());
        assert!(module == "api" || module == "app" || !uses("kube"), "{} uses kube", file.display());
    }
}
