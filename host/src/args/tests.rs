//! Command lines, right and wrong.

use super::*;

#[test]
fn a_taint_reads_as_kubectl_writes_it() {
    let TaintFlag::Taint(taint) = parse_taint("example.com/a=b:NoExecute").unwrap() else { panic!() };
    assert_eq!(
        (taint.key.as_str(), taint.value.as_deref(), taint.effect.as_str()),
        ("example.com/a", Some("b"), "NoExecute")
    );
    assert_eq!(parse_taint("none"), Ok(TaintFlag::None));
    assert!(parse_taint("a=b:Sometimes").unwrap_err().contains("NoSchedule"));
    assert!(parse_taint("a=b").is_err());
}

#[test]
fn names_that_the_api_server_would_refuse_are_refused_here() {
    for bad in ["", "Node", "a_b", "-a", "a..b"] {
        assert!(parse_node_name(bad).is_err(), "{bad}");
    }
    assert!(parse_node_name("node-1.example").is_ok());
    for bad in ["=x", "a b=x", "a/b/c=x", "key=-x", "key=a b"] {
        assert!(parse_label(bad).is_err(), "{bad}");
    }
    assert!(parse_label("example.com/zone=a").is_ok());
}

#[test]
fn durations_read_as_go_writes_them() {
    assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
    assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    assert!(parse_duration("-3s").is_err());
    assert!(parse_duration("soon").is_err());
}

fn refused(flags: &[&str]) -> String {
    let arguments = [&["pluglet", "run", "--node-name", "n", "--provider", "mock"], flags].concat();
    let error = Cli::of(arguments).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{flags:?}");
    error.to_string()
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn taints_that_contradict_each_other_are_refused() {
    assert!(refused(&["--taint", "none", "--taint", "a=b:NoSchedule"]).contains("no taint at all"));
    assert!(
        refused(&["--taint", "a=b:NoSchedule", "--taint", "a=c:NoSchedule"]).contains("a:NoSchedule is given twice")
    );
    let both =
        ["pluglet", "run", "--node-name", "n", "--provider", "m", "--taint", "a:NoSchedule", "--taint", "a:NoExecute"];
    assert!(Cli::of(both).is_ok());
}

#[test]
fn an_address_that_means_all_interfaces_is_refused() {
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
        assert!(refused(&["--address", address]).contains("no address of one machine"), "{address}");
    }
    assert!(refused(&["--address", "here"]).contains("no IP address"));
    assert!(parse_address("127.0.0.1").is_ok() && parse_address("fd00::1").is_ok());
}

#[test]
fn labels_that_the_node_owns_are_refused() {
    for key in OWN_LABELS {
        assert!(refused(&["--node-label", &format!("{key}=x")]).contains("sets itself"), "{key}");
    }
    assert!(refused(&["--node-label", "a=1", "--node-label", "a=2"]).contains("--node-label a is given twice"));
}

#[test]
fn an_endpoint_with_a_password_is_not_repeated_by_the_parser() {
    let arguments = ["pluglet", "provider", "check", "x", "--endpoint", "https://me:hunter2@example.com"];
    // It is refused where it is looked at, by `config`, without being shown.
    assert!(Cli::of(arguments).is_ok());
}

/// Flags of other programs that the guides name: cargo's, kubectl's, metrics-server's, `cargo xtask`'s.
const FOREIGN: &[&str] = &[
    "clusterrole",
    "exit",
    "from-literal",
    "group",
    "kubelet-insecure-tls",
    "peer",
    "previous",
    "profile",
    "release",
    "tail",
    "target",
    "token",
    "type",
    "verbose",
];

/// Defect 13 of the most used virtual kubelet: a flag that does nothing, and guides for what is gone.
#[test]
fn vk_defect_13_every_flag_that_a_guide_names_exists_and_every_flag_of_run_is_explained() {
    use clap::CommandFactory;
    let guides = [include_str!("../../../README.md"), include_str!("../../../deploy/README.md")].concat();
    let mut named: Vec<&str> = guides
        .split("--")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap())
        .filter(|flag| !flag.is_empty() && !flag.starts_with('-'))
        .collect();
    named.sort_unstable();
    named.dedup();
    let mut command = Cli::command();
    command.build();
    let commands = command.get_subcommands().flat_map(|sub| std::iter::once(sub).chain(sub.get_subcommands()));
    let known: Vec<&str> = commands.flat_map(|sub| sub.get_arguments()).filter_map(clap::Arg::get_long).collect();
    let unknown: Vec<_> = named.iter().filter(|flag| !known.contains(flag) && !FOREIGN.contains(flag)).collect();
    assert!(unknown.is_empty(), "the guides name flags that do not exist: {unknown:?}");
    let run = command.find_subcommand("run").unwrap();
    for argument in run.get_arguments() {
        assert!(argument.get_help().is_some(), "{:?} is not explained", argument.get_id());
    }
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let run = |extra: &[&str]| {
        Cli::of(["pluglet", "run", "--node-name", "n", "--provider", "p"].iter().chain(extra)).map(drop)
    };
    let error = run(&["--probes", "off", "--probe-loopback"]).unwrap_err().to_string();
    assert!(error.contains("--probe-loopback") && error.contains("--probes off"), "{error}");
    let error = run(&["--drain-timeout", "-1s"]).unwrap_err().to_string();
    assert!(error.contains("negative"), "{error}");
    run(&["--probe-loopback"]).unwrap();
}
