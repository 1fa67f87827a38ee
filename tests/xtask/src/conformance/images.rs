//! The images that the suite names, made here: no registry is asked.
//!
//! In: built programs, and the list of images that the suite itself prints. Out: images in the engine, under their very
//! names.
//!
//! Invariant: what a spec can see of an image (users, files, how programs behave) is what the published image has.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use engine::Engine;

use super::files::Root;
use super::native::{BUSYBOX, PAUSE};
use super::programs::{CERTIFICATE, Programs};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nnogroup:x:65534:\n";
/// A spec wants to see a group that only the image knows of.
const IMAGE_USER: &str = "user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n";
const IMAGE_GROUPS: &str = "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n";

/// How one is made: what names it, what fills it, how it runs.
struct Recipe {
    name: &'static str,
    fill: fn(&Root, &Programs) -> Result<()>,
    changes: &'static [&'static str],
}

const RECIPES: [Recipe; 7] = [
    Recipe { name: "agnhost", fill: agnhost, changes: &[r#"ENTRYPOINT ["/agnhost"]"#, r#"CMD ["pause"]"#] },
    Recipe { name: "nginx", fill: agnhost, changes: &[r#"ENTRYPOINT ["/agnhost", "test-webserver"]"#] },
    Recipe { name: "busybox", fill: busybox, changes: &[r#"CMD ["sh"]"#] },
    Recipe { name: "nonroot", fill: busybox, changes: &["USER 1234", r#"CMD ["sh"]"#] },
    Recipe { name: "nonewprivs", fill: nonewprivs, changes: &[r#"CMD ["nnp"]"#] },
    Recipe { name: "glibc-dns-testing", fill: glibc, changes: &[r#"CMD ["bash"]"#] },
    Recipe { name: PAUSE, fill: pause, changes: &["USER 65535:65535", r#"ENTRYPOINT ["/pause"]"#] },
];

/// Imports all of them; answers the name of pause, which holds pods' namespaces.
pub(super) async fn import(engine: &Engine, programs: &Programs) -> Result<String> {
    let references = listed(programs)?;
    let mut sandbox = None;
    for recipe in &RECIPES {
        let named: Vec<&String> = references.iter().filter(|reference| is_called(reference, recipe.name)).collect();
        let Some((first, others)) = named.split_first() else { bail!("the suite names no image {}", recipe.name) };
        let root = Root::new()?;
        (recipe.fill)(&root, programs).with_context(|| format!("cannot make the image {first}"))?;
        engine.import_image(first, root.archive()?, recipe.changes).await?;
        for other in others {
            // An older version of the same, for specs that change an image.
            tag(engine, first, other)?;
        }
        if recipe.name == PAUSE {
            sandbox = Some((*first).clone());
        }
        eprintln!("image {first}");
    }
    sandbox.context("there is no image for sandboxes")
}

/// All that the suite may ever name.
fn listed(programs: &Programs) -> Result<Vec<String>> {
    let output =
        Command::new(programs.path("e2e.test")).arg("--list-images").output().context("cannot run e2e.test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::trim).filter(|line| line.contains('/') && line.contains(':')).map(str::to_owned).collect())
}

/// Whether a reference is that of an image of the project's own registry with this name.
fn is_called(reference: &str, name: &str) -> bool {
    let path = reference.strip_prefix("registry.k8s.io/").and_then(|path| path.rsplit_once(':')).map(|(path, _)| path);
    path.is_some_and(|path| path == name || path.strip_prefix("e2e-test-images/") == Some(name))
}

fn tag(engine: &Engine, image: &str, other: &str) -> Result<()> {
    let output = engine.podman().args(["tag", image, other]).output().context("cannot run podman")?;
    if !output.status.success() {
        bail!("cannot name {image} {other}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn base(root: &Root, programs: &Programs) -> Result<()> {
    root.busybox(&programs.path(BUSYBOX))?;
    root.directory("/tmp", 0o1777)?;
    for directory in ["/root", "/home", "/var/tmp", "/usr/sbin", "/usr/local/bin", "/dev", "/proc", "/sys"] {
        root.directory(directory, 0o755)?;
    }
    root.text("/etc/nsswitch.conf", "hosts: files dns\n")
}

fn users(root: &Root, more_users: &str, more_groups: &str) -> Result<()> {
    root.text("/etc/passwd", &format!("{PASSWD}{more_users}"))?;
    root.text("/etc/group", &format!("{GROUP}{more_groups}"))
}

fn busybox(root: &Root, programs: &Programs) -> Result<()> {
    base(root, programs)?;
    users(root, "", "")
}

fn agnhost(root: &Root, programs: &Programs) -> Result<()> {
    base(root, programs)?;
    users(root, IMAGE_USER, IMAGE_GROUPS)?;
    root.directory("/home/user-defined-in-image", 0o755)?;
    root.directory("/uploads", 0o755)?;
    root.directory("/var/registry", 0o755)?;
    root.copy(&programs.path("agnhost"), "/agnhost", 0o755)?;
    root.link("agnhost", "/agnhost-2")?;
    for file in CERTIFICATE {
        root.copy(&programs.path(file), &format!("/{file}"), 0o644)?;
    }
    root.program("bash", "/bin/bash")?;
    root.program("curl", "/usr/bin/curl")
}

fn nonewprivs(root: &Root, programs: &Programs) -> Result<()> {
    busybox(root, programs)?;
    // Whoever runs it is root by its set-uid bit, unless that is taken away.
    root.copy(&programs.path("nonewprivs"), "/usr/local/bin/nnp", 0o6755)
}

fn glibc(root: &Root, programs: &Programs) -> Result<()> {
    busybox(root, programs)?;
    root.program("bash", "/bin/bash")?;
    // Before busybox' own on the path, as it asks for names in another way.
    root.program("hostname", "/usr/local/bin/hostname")
}

fn pause(root: &Root, programs: &Programs) -> Result<()> {
    let pause: &Path = &programs.path(PAUSE);
    root.copy(pause, "/pause", 0o755)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_by_its_own_name() {
        assert!(is_called("registry.k8s.io/pause:3.10.2", "pause"));
        assert!(is_called("registry.k8s.io/e2e-test-images/agnhost:2.66.1", "agnhost"));
        assert!(!is_called("gcr.io/authenticated-image-pulling/agnhost:2.6", "agnhost"));
        assert!(!is_called("registry.k8s.io/e2e-test-images/nginx:1", "agnhost"));
    }
}
