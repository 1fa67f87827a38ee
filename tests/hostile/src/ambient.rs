//! What the standard library finds in the sandbox.
//!
//! In: nothing. Out: what each way to the outside answered. Invariant: each way is really tried; sockets are in a component of their own,
//! because one that imports them is not even loaded.

use std::fmt::Debug;
use std::fs;
use std::io::Read as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub(crate) fn look_around() -> Value {
    let entries =
        |dir: &str| tried(fs::read_dir(dir).map(|dir| dir.flatten().map(|entry| entry.path()).collect::<Vec<_>>()));
    let mut stdin = Vec::new();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    json!({
        "vars": std::env::vars_os().map(|pair| format!("{pair:?}")).collect::<Vec<_>>(),
        "args": std::env::args_os().map(|word| format!("{word:?}")).collect::<Vec<_>>(),
        "currentDir": tried(std::env::current_dir()),
        "root": entries("/"),
        "here": entries("."),
        "proc": entries("/proc/self"),
        "passwd": tried(fs::read("/etc/passwd").map(|bytes| bytes.len())),
        "parent": tried(fs::read("../../../../etc/passwd").map(|bytes| bytes.len())),
        "token": tried(fs::read("/var/run/secrets/kubernetes.io/serviceaccount/token").map(|bytes| bytes.len())),
        "write": tried(fs::write("/tmp/hostile", b"x")),
        "link": tried(fs::hard_link("/etc/passwd", "/tmp/passwd")),
        "stdin": tried(std::io::stdin().take(4096).read_to_end(&mut stdin)),
        "thread": tried(std::thread::Builder::new().spawn(|| ()).map(|_| "a thread")),
        "command": tried(std::process::Command::new("/bin/sh").arg("-c").arg("id").output()),
        "wallClockSeconds": tried(clock),
        "monotonicClock": format!("{:?}", Instant::now()),
    })
}

fn tried<T: Debug, E: ToString>(result: Result<T, E>) -> Value {
    match result {
        Ok(found) => json!({"found": format!("{found:?}")}),
        Err(error) => json!({"error": error.to_string()}),
    }
}
