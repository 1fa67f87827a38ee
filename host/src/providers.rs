//! Finding provider components, and showing them.
//!
//! In: names, paths, plugin directories. Out: a component's path, tables. Invariant: nothing is run; a name that is not found lists those that
//! are there.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use pluglet_wasm::{InspectError, Inspection, inspect};

use crate::args::DEFAULT_PLUGIN_DIR;

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

/// Finds a provider by name or path and checks that it is one.
pub(crate) fn find(provider: &str, directories: &[PathBuf]) -> Result<Found, Error> {
    let directories = existing(directories)?;
    let path = if provider.contains('/') || provider.ends_with(".wasm") {
        PathBuf::from(provider)
    } else {
        by_name(provider, &directories)?
    };
    look_at(path)
}

fn look_at(path: PathBuf) -> Result<Found, Error> {
    let inspection = inspect(&path).map_err(|source| Error::Unusable { path: path.clone(), source })?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Found { name, path, inspection })
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

/// `pluglet provider list`: a table, one line for each component; those that are unusable say why.
pub(crate) fn list(directories: &[PathBuf]) -> Result<String, Error> {
    let directories = existing(directories)?;
    if directories.is_empty() {
        return Err(Error::NoDirectories);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["NAME", "VERSION", "CONTRACT", "FEATURES", "ENDPOINTS", "FILE"]);
    for path in components(&directories)? {
        let file = path.display().to_string();
        match look_at(path) {
            Ok(found) => table.add_row(row(&found, file)),
            Err(Error::Unusable { source, .. }) => table.add_row([
                String::new(),
                format!("unusable: {source}"),
                String::new(),
                String::new(),
                String::new(),
                file,
            ]),
            Err(error) => return Err(error),
        };
    }
    Ok(format!("{table}\n"))
}

fn row(found: &Found, file: String) -> [String; 6] {
    let manifest = found.inspection.manifest.as_ref();
    let endpoints = manifest.map(|manifest| manifest.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect());
    [
        found.name.clone(),
        manifest.map_or_else(|| "-".to_owned(), |manifest| manifest.version.clone()),
        found.inspection.contract.clone(),
        joined(manifest.map(|manifest| manifest.features.clone())),
        joined(endpoints),
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
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        writeln!(text, "{name:<12} {value}").ok();
    };
    let inspection = &found.inspection;
    line("name:", &found.name);
    match &inspection.manifest {
        Some(manifest) => {
            line("version:", &manifest.version);
            line("description:", &manifest.description);
            line("sdk:", &manifest.sdk);
            line("features:", &joined(Some(manifest.features.clone())));
        }
        None => line("manifest:", "none: the component does not say its version, features or endpoints"),
    }
    line("contract:", &format!("pluglet:provider {}", inspection.contract));
    line("file:", &found.path.display().to_string());
    line("size:", &format!("{} bytes", inspection.size));
    line("imports:", &inspection.imports.join(", "));
    let endpoints = inspection.manifest.as_ref().map(|manifest| manifest.endpoints.as_slice()).unwrap_or_default();
    line("endpoints:", if endpoints.is_empty() { "none" } else { "" });
    for endpoint in endpoints {
        line("", &format!("{}: {}", endpoint.name, endpoint.why));
    }
    text
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
        let error = find("mok", &[directory.path().to_owned()]).unwrap_err().to_string();
        assert!(error.ends_with("there are: hello, mock"), "{error}");
    }

    #[test]
    fn a_directory_that_does_not_exist_is_named() {
        let error = find("mock", &[PathBuf::from("/no/such/plugins")]).unwrap_err().to_string();
        assert_eq!(error, "plugin directory /no/such/plugins does not exist");
    }
}
