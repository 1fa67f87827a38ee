//! Directories below volumes that live in memory.
//!
//! In: a sandbox that runs, mounts that name a directory (`subPath`). Out: the directory, made as the volume itself is: everybody's, and of the pod's group.
//! Invariant: what is there already stays as it is; an engine that made it by itself would give it to root alone.

use pluglet_sdk::{ContainerConfig, MemoryVolume, MountSource, Result, SandboxConfig};

use crate::answer::{Failure, Meaning};
use crate::client::{Client, query, send};
use crate::create::sandbox::VOLUMES;

/// Of tar (POSIX ustar).
const BLOCK: usize = 512;

/// Make the directories of all mounts.
pub(crate) async fn ensure(
    client: &Client,
    sandbox_id: &str,
    sandbox: &SandboxConfig,
    config: &ContainerConfig,
) -> Result<()> {
    for mount in &config.mounts {
        let MountSource::Memory { volume, directory } = &mount.source else { continue };
        let volume = sandbox.memory_volumes.iter().find(|known| known.name == *volume);
        if let Some(volume) = volume.filter(|_| !directory.is_empty()) {
            make(client, sandbox_id, volume, directory).await?;
        }
    }
    Ok(())
}

async fn make(client: &Client, sandbox_id: &str, volume: &MemoryVolume, directory: &str) -> Result<(), Failure> {
    let root = format!("{VOLUMES}/{}", volume.name);
    let archive = format!("/containers/{sandbox_id}/archive");
    let place = format!("{root}/{directory}");
    match send(client.request("HEAD", &format!("{archive}{}", query(&[("path", &place)])))).await {
        Ok(_) => return Ok(()),
        // An answer to HEAD has no text to tell one missing thing from another.
        Err(failure) if failure.is(Meaning::Missing) || failure.is(Meaning::NoCall) => {}
        Err(failure) => return Err(failure),
    }
    let request = client.request("PUT", &format!("{archive}{}", query(&[("path", &root)])));
    let request = request.header("Content-Type", "application/x-tar").body(tar(directory, volume.group));
    send(request).await.map(|_| ())
}

/// An archive of the directory and all above it.
fn tar(directory: &str, group: Option<u32>) -> Vec<u8> {
    let mut archive = vec![];
    let mut path = String::new();
    for part in directory.split('/') {
        path.push_str(part);
        path.push('/');
        archive.extend(header(&path, group));
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// Of a directory. Names of more than a hundred bytes are cut into two fields.
fn header(path: &str, group: Option<u32>) -> Vec<u8> {
    // As the volume's root, which is a tmpfs as the kernel makes it.
    let mode = if group.is_some() { 0o3777 } else { 0o1777 };
    let split = path.char_indices().filter(|(at, c)| *c == '/' && *at > 0 && at + 1 < path.len()).map(|(at, _)| at);
    let cut = if path.len() > 100 { split.into_iter().find(|at| path.len() - at - 1 <= 100) } else { None };
    let (prefix, name) = match cut {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => ("", path),
    };
    let mut block = vec![];
    let mut field = |text: &str, width: usize| {
        let mut bytes: Vec<u8> = text.bytes().take(width).collect();
        bytes.resize(width, 0);
        block.extend(bytes);
    };
    field(name, 100);
    field(&format!("{mode:07o}"), 8);
    field("0000000", 8);
    field(&format!("{:07o}", group.unwrap_or(0)), 8);
    field("00000000000", 12);
    field("00000000000", 12);
    field("        ", 8);
    field("5", 1);
    field("", 100);
    field("ustar", 6);
    field("00", 2);
    field("", 32 + 32 + 8 + 8);
    field(prefix, 155);
    field("", 12);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let checksum = format!("{sum:06o}\0 ");
    block.splice(148..156, checksum.bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.iter().copied().take_while(|byte| *byte != 0).collect()).unwrap()
    }

    #[test]
    fn each_directory_on_the_way_is_an_entry_that_everybody_may_write() {
        let archive = tar("a/b", Some(123));
        assert_eq!(archive.len(), 4 * BLOCK);
        let (first, second) = (&archive[..BLOCK], &archive[BLOCK..2 * BLOCK]);
        assert_eq!((text(first), text(second)), ("a/".to_owned(), "a/b/".to_owned()));
        assert_eq!((text(&second[100..]), text(&second[116..])), ("0003777".to_owned(), "0000173".to_owned()));
        assert_eq!((second[156], &second[257..265]), (b'5', b"ustar\x0000".as_slice()));
        let sum: u32 = second
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        assert_eq!(text(&second[148..]), format!("{sum:06o}"));
    }

    #[test]
    fn a_long_path_is_cut_at_a_slash() {
        let path = format!("{}/{}/", "a".repeat(90), "b".repeat(90));
        let block = header(&path, None);
        assert_eq!((text(&block[345..]), text(&block)), ("a".repeat(90), format!("{}/", "b".repeat(90))));
    }
}
