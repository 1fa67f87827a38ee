//! What a component says about itself, read without running or compiling anything.
//!
//! In: a `.wasm` file. Out: [`Inspection`], or an [`InspectError`] that says what is wrong with the file and what would be right.
//! Invariant: what passes here exports the contract in the version of this host and imports nothing that the sandbox does not offer.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use pluglet_egress::Need;
use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

mod contract;
mod words;

/// The custom section that the SDK writes the manifest into.
const MANIFEST_SECTION: &str = "pluglet-manifest";

/// Bytes of a manifest. A section may be as large as the file (`limits.componentSize`), and what JSON becomes in memory is many times that.
/// A long schema has tens of KiB.
const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// What a component says about itself.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// What its author wrote. None when it was made without the SDK.
    pub manifest: Option<Manifest>,
    /// The version of `pluglet:provider` that it exports, such as `0.1.0`.
    pub contract: String,
    /// The interfaces it imports, such as `pluglet:provider/http@0.1.0`, sorted.
    pub imports: Vec<String>,
    /// Size of the file in bytes.
    pub size: u64,
}

/// The manifest that the SDK puts into a component.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Manifest {
    /// The provider's own name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// One sentence for people.
    #[serde(default)]
    pub description: String,
    /// The version of the SDK that it was made with.
    #[serde(default)]
    pub sdk: String,
    /// Features it means to offer, as the contract spells them. What counts is what it answers at its start.
    #[serde(default)]
    pub features: Vec<String>,
    /// The version of the contract that it was written for.
    #[serde(default)]
    pub contract: String,
    /// Endpoints it needs.
    #[serde(default)]
    pub endpoints: Vec<Need>,
    /// JSON Schema of its `config:` section.
    #[serde(default, rename = "configSchema", skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<serde_json::Value>,
}

/// Why a file cannot be a provider.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file cannot be read.
    #[error("cannot read the component {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than the limit.
    #[error("the file has {size} bytes; a component may have {limit} (limits.componentSize)")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Not WebAssembly at all.
    #[error("the file is not WebAssembly")]
    NotWasm,
    /// A core module.
    #[error("the file is a core WebAssembly module, not a component: build it for the target wasm32-wasip2")]
    CoreModule,
    /// A component, but damaged.
    #[error("the component cannot be parsed")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A component that is something else.
    #[error("the component is not a pluglet provider: it does not export `pluglet:provider/lifecycle`")]
    NotProvider,
    /// A provider for another contract.
    #[error("the component speaks pluglet:provider {found}, this pluglet speaks {ours}")]
    OtherContract {
        /// The version that it exports, or that it imports from the host.
        found: String,
        /// The version of this host.
        ours: &'static str,
    },
    /// It wants more than the sandbox offers.
    #[error("the component imports what the sandbox does not offer: {}", .0.join(", "))]
    ForbiddenImports(Vec<String>),
    /// The manifest is not what it should be.
    #[error("the component's manifest (custom section `{MANIFEST_SECTION}`) cannot be read")]
    Manifest(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The manifest is too large.
    #[error(
        "the component's manifest (custom section `{MANIFEST_SECTION}`) has {size} bytes, {MAX_MANIFEST_BYTES} are allowed"
    )]
    ManifestSize {
        /// Its size in bytes.
        size: usize,
    },
    /// A word of the manifest is not what it should be.
    #[error("the component's manifest: {field} is {word:?}, but {rule}")]
    ManifestWord {
        /// Which field, such as `endpoints[0].name`.
        field: String,
        /// What it says.
        word: String,
        /// What would be right.
        rule: &'static str,
    },
}

/// Read what the component at `path`, of at most `limit` bytes, says about itself.
///
/// # Errors
/// When the file cannot be read or cannot be a provider for this host; see [`InspectError`].
pub fn inspect(path: &Path, limit: u64) -> Result<Inspection, InspectError> {
    inspect_bytes(&read(path, limit)?)
}

/// The content of a component's file, at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, InspectError> {
    let failed = |source| InspectError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > limit {
        return Err(InspectError::TooLarge { size, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // The file may grow while it is read, and a pipe has no size.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    let size = bytes.len() as u64;
    if size > limit {
        return Err(InspectError::TooLarge { size, limit });
    }
    Ok(bytes)
}

/// [`inspect`] for bytes in memory.
pub(crate) fn inspect_bytes(bytes: &[u8]) -> Result<Inspection, InspectError> {
    if Parser::is_core_wasm(bytes) {
        return Err(InspectError::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(InspectError::NotWasm);
    }
    let sections = Sections::of(bytes)?;
    let contract = contract::exported(&sections.exports)?;
    contract::check_imports(&sections.imports)?;
    let manifest = match sections.manifest {
        Some(json) => Some(manifest(json)?),
        None => None,
    };
    let mut imports = sections.imports;
    imports.sort();
    Ok(Inspection { manifest, contract, imports, size: bytes.len() as u64 })
}

fn manifest(json: &[u8]) -> Result<Manifest, InspectError> {
    if json.len() > MAX_MANIFEST_BYTES {
        return Err(InspectError::ManifestSize { size: json.len() });
    }
    let manifest: Manifest = serde_json::from_slice(json).map_err(|source| InspectError::Manifest(Box::new(source)))?;
    words::check(&manifest.endpoints)?;
    Ok(manifest)
}

/// The parts of a component that tell what it is.
#[derive(Default)]
struct Sections<'a> {
    imports: Vec<String>,
    exports: Vec<String>,
    manifest: Option<&'a [u8]>,
}

impl<'a> Sections<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, InspectError> {
        let malformed = |source: wasmparser::Error| InspectError::Malformed(Box::new(source));
        let mut sections = Self::default();
        // Imports and exports count at the outermost level only; the manifest may be there or, as the SDK does it, in a module inside.
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(reader) if depth == 1 => {
                    for import in reader {
                        sections.imports.push(full_name(&import.map_err(malformed)?.name));
                    }
                }
                Payload::ComponentExportSection(reader) if depth == 1 => {
                    for export in reader {
                        sections.exports.push(full_name(&export.map_err(malformed)?.name));
                    }
                }
                Payload::CustomSection(reader) if reader.name() == MANIFEST_SECTION => {
                    sections.manifest.get_or_insert(reader.data());
                }
                _ => {}
            }
        }
        Ok(sections)
    }
}

/// A name with the part of its version that newer encoders write apart.
fn full_name(name: &wasmparser::ComponentExternName<'_>) -> String {
    format!("{}{}", name.name, name.version_suffix.unwrap_or_default())
}

#[cfg(test)]
mod tests;
