//! What the operator decides about one provider.
//!
//! In: `pluglet.yaml` or flags, read by the caller. Out: [`ProviderOptions`]. Invariant: what is not named here the provider does not have.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pluglet_egress::Grant;

use crate::limits::Limits;
use crate::metrics::Metrics;

/// One provider: which component, under which name, with which grants.
#[derive(Clone, Debug)]
pub struct ProviderOptions {
    /// The operator's name for it: in logs, metrics and file names. Letters, digits, `.`, `_` and `-`, not starting with a dot.
    pub name: String,
    /// The `.wasm` file.
    pub component: PathBuf,
    /// The node that it backs; same alphabet as `name`.
    pub node_name: String,
    /// The identity of its cluster, which a provider tags its workloads with beside `node_name`: the same for all nodes of a cluster and for as
    /// long as it lives. Told to the component as it is.
    pub cluster_id: String,
    /// Its `config:` section as JSON; `{}` when there is none.
    pub config_json: String,
    /// Endpoint name → what is granted. What is not here, or not in the component's manifest, the provider cannot reach.
    pub grants: BTreeMap<String, Grant>,
    /// Where the compiled component and the provider's `kv` memory live. Made when missing.
    pub state_dir: PathBuf,
    /// What it may use up.
    pub limits: Limits,
    /// The program that compiles components when it is called as [`crate::compile::COMMAND`] says: this one, as a rule.
    pub compiler: PathBuf,
    /// Where it is counted.
    pub metrics: Metrics,
}
