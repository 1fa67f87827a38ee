//! The grants of pods.

use pluglet_rules::grants::{Grants, HostPath};

use super::super::*;

fn read(text: &str) -> Result<Config, String> {
    Document::parse(text, None).read_in(&[], None, &|_| None).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn nothing_is_granted_that_is_not_written() {
    let config = read("").unwrap();
    assert_eq!((config.containers, config.images), (Grants::default(), None));
    assert_eq!(read("containers: {}").unwrap().containers, Grants::default());
}

#[test]
fn each_grant_is_read() {
    let config = read(
        "containers:
  volumes: directory
  hostPath: [{ path: /data }, { path: /var/log, readOnly: true }]
  privileged: true
  hostNetwork: true
  hostPID: true
  hostIPC: true
  hostPorts: true
  subPaths: true
  unconfined: true
  capabilities: [NET_ADMIN, CAP_SYS_PTRACE]
  sysctls: [kernel.msgmax, net.*]
  images: { high: 20Gi, low: 16Gi }
",
    )
    .unwrap();
    let path = |path: &str, read_only| HostPath { path: path.into(), read_only };
    let expected = Grants {
        directories: true,
        host_paths: vec![path("/data", false), path("/var/log", true)],
        privileged: true,
        host_network: true,
        host_pid: true,
        host_ipc: true,
        host_ports: true,
        sub_paths: true,
        unconfined: true,
        capabilities: vec!["NET_ADMIN".to_owned(), "SYS_PTRACE".to_owned()],
        sysctls: vec!["kernel.msgmax".to_owned(), "net.*".to_owned()],
    };
    assert_eq!(config.containers, expected);
    assert_eq!(config.images, Some(ImageLimits { high: 20 << 30, low: 16 << 30 }));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, told) in [
        ("volumes: archive", "containers.volumes"),
        ("hostPath: [{ path: data }]", "containers.hostPath[0].path"),
        ("hostPath: [{ path: /data/../etc }]", "absolute path without `..`"),
        ("capabilities: [net_admin]", "containers.capabilities[0]"),
        ("images: { high: 1Gi, low: 2Gi }", "`low` must be less than `high`"),
        ("hostNetworks: true", "did you mean `hostNetwork`?"),
    ] {
        let mistakes = read(&format!("containers: {{ {text} }}")).unwrap_err();
        assert!(mistakes.contains(told), "{text}: {mistakes}");
    }
}
