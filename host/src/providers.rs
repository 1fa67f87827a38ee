//! Finding provider components, and showing them.
//!
//! In: names, paths, plugin directories. Out: a component's path, tables. Invariant: nothing is run; a name that is not found lists those that
//! are there; what a manifest says is a stranger's and reaches neither a terminal nor a snippet of YAML before its words were looked at.

use std::path::{Path, PathBuf};

use pluglet_egress::{Missing, Need};
use pluglet_wasm::{InspectError, Inspection, inspect};

use crate::args::DEFAULT_PLUGIN_DIR;
use crate::config::is_endpoint_name;

pub(crate) mod check;
mod paths;
mod show;

pub(crate) use show::{describe, list};

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("plugin directory {} does not exist", .0.display())]
    NoDirectory(PathBuf),
    #[error("cannot read plugin directory {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no plugin directory: give --plugin-dir DIR, or the path of a component ending in .wasm")]
    NoDirectories,
    #[error("no provider {name:?} in {directories}; there {}", there(known))]
    Unknown { name: String, directories: String, known: Vec<String> },
    #[error("{} is not a usable provider", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: InspectError,
    },
    #[error("{} is not a usable provider: its manifest has {what} that could not be granted: {word:?}", path.display())]
    Manifest { path: PathBuf, what: &'static str, word: String },
    #[error("it needs what it is not granted:\n\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Missing(Vec<Missing>),
}

fn there(known: &[String]) -> String {
    match known {
        [] => "is none at all".to_owned(),
        [one] => format!("is only {one}"),
        all => format!("are: {}", all.join(", ")),
    }
}

/// A component that has been found and looked at.
#[derive(Debug)]
pub(crate) struct Found {
    /// The name of its file: what the operator calls it, whatever it calls itself. It names labels and state.
    pub name: String,
    pub path: PathBuf,
    pub inspection: Inspection,
}

impl Found {
    /// Whether the host drives its containers. Its manifest says so, because it must be known before it has started.
    pub(crate) fn is_runtime(&self) -> bool {
        let manifest = self.inspection.manifest.as_ref();
        manifest.is_some_and(|manifest| manifest.features.iter().any(|feature| feature == "containers"))
    }
}

/// Finds a provider by name or path and checks that it is one. A file of more than `limit` bytes is not read.
pub(crate) fn find(provider: &str, directories: &[PathBuf], limit: u64) -> Result<Found, Error> {
    let directories = existing(directories)?;
    let path = if provider.contains('/') || provider.ends_with(".wasm") {
        PathBuf::from(provider)
    } else {
        by_name(provider, &directories)?
    };
    look_at(path, limit)
}

fn look_at(path: PathBuf, limit: u64) -> Result<Found, Error> {
    let inspection = inspect(&path, limit).map_err(|source| Error::Unusable { path: path.clone(), source })?;
    let needs = inspection.manifest.iter().flat_map(|manifest| &manifest.endpoints);
    if let Some((what, word)) = needs.into_iter().find_map(unfit) {
        return Err(Error::Manifest { what, word: word.to_owned(), path });
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Found { name, path, inspection })
}

/// A word that would become something else in the YAML that operators are told to paste: a name with a line end in it could grant more
/// than it seems to.
fn unfit(need: &Need) -> Option<(&'static str, &str)> {
    let is_method = |text: &&String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_path = |text: &&String| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+;=:@/%*".contains(&byte);
        text.starts_with('/') && text.bytes().all(fits)
    };
    if !is_endpoint_name(&need.name) {
        return Some(("the name of an endpoint", &need.name));
    }
    let method = need.methods.iter().find(|method| !is_method(method)).map(|method| ("a method", method.as_str()));
    method.or_else(|| need.paths.iter().find(|path| !is_path(path)).map(|path| ("a path", path.as_str())))
}

fn by_name(name: &str, directories: &[PathBuf]) -> Result<PathBuf, Error> {
    if directories.is_empty() {
        return Err(Error::NoDirectories);
    }
    let candidates = directories.iter().map(|directory| directory.join(format!("{name}.wasm")));
    if let Some(path) = candidates.into_iter().find(|path| path.is_file()) {
        return Ok(path);
    }
    let shown: Vec<_> = directories.iter().map(|directory| directory.display().to_string()).collect();
    let mut known: Vec<String> = components(directories)?
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    known.sort();
    known.dedup();
    Err(Error::Unknown { name: name.to_owned(), directories: shown.join(", "), known })
}

/// The directories to look in. One that was named must exist; the default one may be missing.
fn existing(given: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    if let Some(missing) = given.iter().find(|directory| !directory.is_dir()) {
        return Err(Error::NoDirectory(missing.clone()));
    }
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let default = PathBuf::from(DEFAULT_PLUGIN_DIR);
    Ok(if default.is_dir() { vec![default] } else { vec![] })
}

fn components(directories: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![];
    for path in directories {
        let failed = |source| Error::Directory { path: path.clone(), source };
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|extension| extension == "wasm") {
                found.push(file);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Where state is kept when no flag says so.
pub(crate) fn default_state_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(state) = variable("XDG_STATE_HOME") {
        return state.join("pluglet");
    }
    match variable("HOME") {
        Some(home) if home != Path::new("/root") && home != Path::new("/") => home.join(".local/state/pluglet"),
        _ => PathBuf::from("/var/lib/pluglet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_provider_lists_those_that_are_there() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("mock.wasm"), "").unwrap();
        std::fs::write(directory.path().join("hello.wasm"), "").unwrap();
        let error = find("mok", &[directory.path().to_owned()], 0).unwrap_err().to_string();
        assert!(error.ends_with("there are: hello, mock"), "{error}");
    }

    #[test]
    fn a_manifest_whose_words_would_write_yaml_is_refused() {
        let need = |name: &str, method: &str, path: &str| Need {
            name: name.to_owned(),
            methods: vec![method.to_owned()],
            paths: vec![path.to_owned()],
            ..Need::default()
        };
        assert_eq!(unfit(&need("api", "GET", "/v1/*/pods/**")), None);
        for (need, what) in [
            (need("api:\n  other", "GET", "/"), "the name of an endpoint"),
            (need("api", "GET]\n    privateAddresses: true #", "/"), "a method"),
            (need("api", "GET", "/a]\n    x: y"), "a path"),
            (need("api", "GET", "/a\u{1b}[2J"), "a path"),
        ] {
            assert_eq!(unfit(&need).map(|(what, _)| what), Some(what));
        }
    }

    #[test]
    fn a_directory_that_does_not_exist_is_named() {
        let error = find("mock", &[PathBuf::from("/no/such/plugins")], 0).unwrap_err().to_string();
        assert_eq!(error, "plugin directory /no/such/plugins does not exist");
    }
}
