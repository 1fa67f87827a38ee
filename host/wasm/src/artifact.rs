//! From a `.wasm` file to a component that is ready to be instantiated, with a cache of native code in between.
//!
//! In: a path and the state directory. Out: [`Artifact`]. Invariant: native code is loaded only from a file that this host wrote,
//! in a directory that only its user can enter, and whose checksum is right; or as it comes from the compiler. A cache that cannot be used costs time, never a start.

use std::hash::{Hash as _, Hasher};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tracing::{info, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compile::{self, CompileError};
use crate::inspect::{self, InspectError, Inspection};
use crate::limits::Limits;

mod cache;

use cache::Cache;

/// A component, compiled.
pub(crate) struct Artifact {
    /// The native code.
    pub(crate) component: Component,
    /// What it says about itself.
    pub(crate) inspection: Inspection,
    /// Whether the native code came from the cache.
    pub(crate) cached: bool,
}

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file cannot be a provider.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// There is no native code.
    #[error("the component cannot be compiled")]
    Compile(#[source] CompileError),
    /// wasmtime refuses the native code that was just made.
    #[error("the compiled component cannot be loaded")]
    Load(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is to be loaded, and by which rules.
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) state_dir: &'a Path,
    pub(crate) compiler: &'a Path,
    pub(crate) limits: &'a Limits,
}

/// Read, inspect and compile. Blocks for seconds when nothing is cached: for a thread where that is allowed.
///
/// # Errors
/// When the file cannot be a provider or does not compile. All of them are permanent.
pub(crate) fn load(engine: &Engine, source: &Source<'_>) -> Result<Artifact, ArtifactError> {
    let bytes = inspect::read(source.path, source.limits.component_bytes)?;
    let inspection = inspect::inspect_bytes(&bytes)?;
    let entry = cache_key(engine, &bytes);
    let directory = source.state_dir.join("cwasm");
    let cache = match Cache::open(&directory) {
        Ok(cache) => Some(cache),
        Err(error) => {
            warn!(directory = %directory.display(), error = &error as &dyn std::error::Error, "compiled providers cannot be cached");
            None
        }
    };
    if let Some(component) = cache.as_ref().and_then(|cache| cached(cache, engine, source.name, &entry)) {
        return Ok(Artifact { component, inspection, cached: true });
    }
    let code = compile(source, &bytes)?;
    if let Some(cache) = &cache
        && let Err(error) = cache.store(&code, &entry)
    {
        warn!(provider = source.name, error = &error as &dyn std::error::Error, "the compilation cannot be cached");
    }
    let component = cache::compiled(engine, &code).map_err(|error| ArtifactError::Load(error.into()))?;
    Ok(Artifact { component, inspection, cached: false })
}

/// The component from the cache. A damaged entry is made again.
fn cached(cache: &Cache, engine: &Engine, name: &str, entry: &Path) -> Option<Component> {
    cache.load(engine, entry).unwrap_or_else(|error| {
        warn!(provider = name, file = %entry.display(), error = &error as &dyn std::error::Error,
            "the cached compilation is damaged and is made again");
        None
    })
}

fn compile(source: &Source<'_>, bytes: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    let name = source.name;
    let started = std::time::Instant::now();
    info!(provider = name, bytes = bytes.len(), "compiling provider {name}, cached afterwards");
    let compiling = compile::compile(source.compiler, bytes, source.limits);
    let code = tokio::runtime::Handle::current().block_on(compiling).map_err(ArtifactError::Compile)?;
    info!(provider = name, elapsed = ?started.elapsed(), "compiled provider {name}");
    Ok(code)
}

/// `{sha256 of the component}-{engine}.cwasm`. The engine's part covers wasmtime's exact version, its configuration and the
/// processor, so native code of another build is simply not found.
fn cache_key(engine: &Engine, bytes: &[u8]) -> PathBuf {
    let mut fingerprint = Fingerprint(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut fingerprint);
    PathBuf::from(format!("{}-{:016x}.cwasm", hex(&Sha256::digest(bytes)), fingerprint.finish()))
}

/// A hasher whose result is the same in each process and each release of Rust; the standard one promises neither.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.clone().finalize().iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
