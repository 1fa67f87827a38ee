//! Images that come from nowhere: made here, imported over the socket.
//!
//! In: a static busybox, or any archive of a root file system. Out: an image in the engine.
//!
//! Invariant: the same busybox makes the same image: the archive has no times, and no users of this machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use serde_json::Value;

use crate::client::{self, Client};
use crate::programs;

/// The image that every engine has: busybox with all its commands, and the users root (0) and web (1000).
pub const BUSYBOX: &str = "localhost/busybox:1";

/// What a container of [`BUSYBOX`] runs if nothing else is said.
pub(crate) const BUSYBOX_CHANGES: [&str; 1] = [r#"CMD ["/bin/sh"]"#];

const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000:web:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nweb:x:1000:\n";

/// Imports an archive as an image; answers its identifier.
pub(crate) async fn import(client: &Client, reference: &str, archive: Vec<u8>, changes: &[&str]) -> Result<String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("reference", reference);
    query.extend_pairs(changes.iter().map(|change| ("changes", change)));
    // podman's own call: with the Docker API's it gives every image the tag "latest".
    let path = format!("/v4.0.0/libpod/images/import?{}", query.finish());
    let request = Request::post(path).header(CONTENT_TYPE, "application/x-tar").body(archive)?;
    let (status, body) = client.send(request).await?;
    client::expect(status, StatusCode::OK, &body, &format!("the import of {reference}"))?;
    let answer: Value = serde_json::from_slice(&body).context("the answer to an import is not JSON")?;
    let id = answer.get("Id").and_then(Value::as_str).context("the answer to an import has no Id")?;
    Ok(id.to_owned())
}

/// The archive of [`BUSYBOX`], made from this machine's busybox. `temporary` is a directory for it to be made in.
pub(crate) fn busybox(temporary: &Path) -> Result<Vec<u8>> {
    let busybox = programs::busybox().context("there is no static busybox")?;
    let directory = tempfile::Builder::new().prefix("busybox-").tempdir_in(temporary)?;
    let root = directory.path();
    // A temporary directory is for its owner alone; this one becomes the `/` of all users.
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    for (name, mode) in [("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)] {
        fs::create_dir(root.join(name))?;
        fs::set_permissions(root.join(name), Permissions::from_mode(mode))?;
    }
    fs::copy(&busybox, root.join("bin/busybox"))?;
    for command in commands(&busybox)? {
        symlink("busybox", root.join("bin").join(command))?;
    }
    for (name, text) in [("etc/passwd", PASSWD), ("etc/group", GROUP)] {
        fs::write(root.join(name), text)?;
        fs::set_permissions(root.join(name), Permissions::from_mode(0o644))?;
    }
    archive(root)
}

/// The names under which busybox is other commands.
fn commands(busybox: &Path) -> Result<Vec<String>> {
    let output = run(Command::new(busybox).arg("--list"))?;
    let names = String::from_utf8(output).context("busybox lists something else than names")?;
    Ok(names.lines().filter(|name| !["", "busybox"].contains(name)).map(str::to_owned).collect())
}

fn archive(root: &Path) -> Result<Vec<u8>> {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(root).args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-c", "."]);
    run(&mut tar)
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
