//! The file as operators write it, right and wrong.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

mod auth;
mod containers;
mod endpoint;
mod limits;

/// A directory with files to name.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let secrets = [("token", "s3cr3t-t0k3n\n"), ("empty", ""), ("id", "AKIDEXAMPLE"), ("key", "wJalrXUtnFEMI")];
        for (name, content) in secrets {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        // A certificate and its key.
        let pem = checkout("host/credentials/tests/fixtures/rsa-for-tests.pem");
        std::fs::write(directory.path().join("pem"), pem).unwrap();
        Self(directory)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The text with `@/name` in place of the paths of these files.
    pub(super) fn named(&self, text: &str) -> String {
        text.replace("@/", &format!("{}/", self.0.path().display()))
    }
}

/// A file of the repository. Found at run time, because a target directory may serve several checkouts.
fn checkout(path: &str) -> String {
    let host = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    std::fs::read_to_string(host.join("..").join(path)).unwrap()
}

pub(super) fn nothing(_: &str) -> Option<String> {
    None
}

pub(super) fn read(
    text: &str,
    flags: &[String],
    schema: Option<&serde_json::Value>,
    environment: Environment<'_>,
    file: Option<&Path>,
) -> Result<Config, Mistakes> {
    Document::parse(text, file).read_in(flags, schema, environment)
}

pub(super) fn ok(text: &str) -> Config {
    read(text, &[], None, &nothing, Some(Path::new("pluglet.yaml")))
        .unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

/// The mistakes, one a line.
pub(super) fn mistakes(text: &str) -> Vec<String> {
    let mistakes =
        read(text, &[], None, &nothing, Some(Path::new("pluglet.yaml"))).map(|_| ()).unwrap_err().to_string();
    mistakes.lines().skip(1).map(|line| line.trim_start().to_owned()).collect()
}

/// The one mistake.
pub(super) fn mistake(text: &str) -> String {
    let mut all = mistakes(text);
    assert_eq!(all.len(), 1, "{all:#?}\n{text}");
    all.remove(0)
}

const MANY: &str = r#"# Mistakes of all kinds, and some things that are right.
confg: {}
config:
  region: west
  region: east
endpoints:
  api:
    ulr: https://api.example.com
    timeout: soon
    methods: [get, CONNECT, GET]
    pathPrefixes: [v1, /a/../b, /ok]
    caFile: /etc/ca.crt
  bad name:
    url: ftp://example.com
  secret:
    url: https://me:hunter2@example.com
    auth:
      basic: { username: me, password: hunter2 }
  clear:
    url: http://api.example.com
    auth: { bearer: { tokenFile: /no/such/token } }
    tls: { certificateFile: /no/such/cert }
  both:
    url: https://a.example.com
    hosts: "*.example.com:443"
  range:
    addresses: 10.0.0.0:80
    scheme: ftp
    websocket: yes
limits:
  memory: 64K
  cpuStall: 10ms
  concurrency: 0
  cpu: 2
  kv: [1]
"#;

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let told = read(
        MANY,
        &["range=https://x.example".to_owned(), "https://me:hunter2@x".to_owned()],
        None,
        &nothing,
        Some(Path::new("pluglet.yaml")),
    );
    let text = told.unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_provider_gets_its_section_as_json() {
    let config = ok("config:\n  cpu: \"4\"\n  list: [1, no, ~]\n  1: x\n");
    assert_eq!(config.config_json, r#"{"1":"x","cpu":"4","list":[1,"no",null]}"#);
    for text in ["", "# nothing\n", "config:\n", "config: {}\nendpoints:\nlimits:\n"] {
        let config = ok(text);
        assert_eq!((config.config_json.as_str(), config.grants.len()), ("{}", 0), "{text:?}");
        assert_eq!(config.limits, Limits::default());
    }
}

#[test]
fn what_is_no_yaml_is_one_mistake() {
    assert!(mistake("endpoints: [1\nlimits: 2\n").starts_with("pluglet.yaml:2:7: "));
    assert_eq!(mistake("a: &a [*a]"), "pluglet.yaml:1:8: an alias stands for something that holds it");
    assert_eq!(mistake("- 1\n"), "pluglet.yaml:1:1: must be a mapping, not a list");
    assert_eq!(mistake("config: {}\n---\nconfig: {}\n"), "pluglet.yaml:3:1: more than one YAML document in the file");
}

#[test]
fn a_repeated_key_is_told_wherever_it_is() {
    let all = mistakes("limits: {}\nconfig:\n  a: [{b: 1, b: 2}]\nlimits: {}\n");
    assert_eq!(
        all,
        [
            "pluglet.yaml:3:14: config.a[0].b: \"b\" is there twice, first in line 3",
            "pluglet.yaml:4:1: limits: \"limits\" is there twice, first in line 1",
        ]
    );
}

#[test]
fn unknown_fields_are_answered_with_what_was_meant() {
    assert_eq!(mistake("limit: {}\n"), "pluglet.yaml:1:1: limit: unknown field; did you mean `limits`?");
    assert_eq!(
        mistake("limits:\n  Memory: 1Gi\n"),
        "pluglet.yaml:2:3: limits.Memory: unknown field; did you mean `memory`?"
    );
    let far = mistake("apiVersion: apps/v1\n");
    assert_eq!(far, "pluglet.yaml:1:1: apiVersion: unknown field; there are config, endpoints, limits, containers");
}

#[test]
fn flags_name_endpoints_and_never_twice() {
    let flags = |flags: &[&str], file: &str| {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        read(file, &flags, None, &nothing, None).map_err(|mistakes| mistakes.to_string())
    };
    let config = flags(&["api=https://api.example.com/v1", "sock=unix:///run/x.sock"], "").unwrap();
    assert_eq!(config.grants["api"], Grant::new(Target::base("https://api.example.com/v1").unwrap()));
    assert!(matches!(config.grants["sock"].target, Target::Unix(_)));
    let file = "endpoints: { api: { url: https://other.example.com } }\n";
    for (given, text, why) in [
        (vec!["api=https://a.example"], file, "--endpoint api: is in the file, too"),
        (vec!["a=https://a.example", "a=https://b.example"], "", "--endpoint a: is given twice"),
        (vec!["https://me:hunter2@a.example"], "", "--endpoint: must have the form NAME=URL"),
        (vec!["a b=https://a.example"], "", "--endpoint: must have the form NAME=URL"),
        (vec!["a=https://me:hunter2@a.example"], "", "--endpoint a: has a user name or password"),
        (vec!["a=a.example"], "", "--endpoint a: is not a URL"),
    ] {
        let told = flags(&given, text).unwrap_err();
        assert!(told.contains(why) && !told.contains("hunter2"), "{given:?}: {told}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Document::open(Some(Path::new("/no/such/pluglet.yaml"))).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /no/such/pluglet.yaml");
}

#[test]
fn the_example_in_deploy_is_right_but_for_the_files_it_names() {
    let text = checkout("deploy/pluglet.yaml");
    let wrong: Vec<String> = match read(&text, &[], None, &nothing, None) {
        Ok(_) => vec![],
        Err(mistakes) => mistakes.to_string().lines().skip(1).map(str::to_owned).collect(),
    };
    let other: Vec<_> = wrong.iter().filter(|line| !line.contains("this file cannot be read")).collect();
    assert!(other.is_empty(), "{other:#?}");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        read(&text, &[], None, &nothing, None).ok();
    }

    /// Text that is likely to be YAML, with the words that lead into the readers.
    #[test]
    fn no_yaml_makes_the_reader_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        let text = words.concat();
        let schema = serde_json::json!({ "type": "object" });
        if let Err(mistakes) = read(&text, std::slice::from_ref(&text), Some(&schema), &nothing, None) {
            prop_assert!(!mistakes.all.is_empty());
        }
    }
}

const WORDS: &[&str] = &[
    "endpoints:",
    "\n",
    "\n  ",
    "\n    ",
    "\n      ",
    " a:",
    " url:",
    " https://x",
    " http://x",
    " auth:",
    " bearer:",
    " basic:",
    " {",
    "}",
    "[",
    "]",
    ",",
    " - ",
    "limits:",
    " memory:",
    " 1Mi",
    " 5",
    "config:",
    " tls:",
    " &a",
    " *a",
    " <<:",
    " tokenFile:",
    " /x",
    " methods:",
    " GET",
    " \"",
    "'",
    "#",
    " |",
    " >",
    " ?",
    " :",
    " ~",
    " hosts:",
    " *.a.b:1",
    " header:",
    " oauth2:",
    "\t",
    "é",
    "%",
    " azureWorkloadIdentity:",
    " timeout:",
    " 1s",
    "---\n",
    " !!int",
    " !x",
];
