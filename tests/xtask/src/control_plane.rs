//! `control-plane`: a control plane without a node, until Ctrl-C. For working by hand, and for test binaries run by hand.

use anyhow::Result;
use controlplane::{ControlPlane, ENVIRONMENT, Options};

use crate::interrupt;

/// The command.
pub(crate) fn run() -> Result<()> {
    interrupt::block_on(async {
        let plane = interrupt::unless_requested(ControlPlane::start(Options::default())).await?;
        println!("export KUBECONFIG={}", plane.kubeconfig_admin().display());
        println!("export {ENVIRONMENT}={}", plane.dir().display());
        eprintln!("kubectl is {}; Ctrl-C ends all", plane.binaries().join("kubectl").display());
        interrupt::requested().await
    })
}
