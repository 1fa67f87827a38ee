//! `tar`, as `kubectl cp` calls it: files in memory.
//!
//! In: an archive (`tar xmf - -C DIRECTORY`) or a path (`tar cf - PATH`). Out: files, or an archive of them. Invariant: an archive that is cut short
//! fails; headers come back as they were, but for their names.

use std::collections::BTreeMap;

use futures::stream::StreamExt;
use pluglet_sdk::ByteStream;

use super::programs::fail;
use super::{Io, Place};

const BLOCK: usize = 512;

/// What was unpacked in one container, by path without the leading slash.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, File>);

struct File {
    header: [u8; BLOCK],
    bytes: Vec<u8>,
}

impl Files {
    pub(super) fn has_directory(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        let inside = format!("{path}/");
        path.is_empty() || path == "tmp" || self.0.keys().any(|known| known.starts_with(&inside))
    }
}

pub(super) async fn tar(place: &Place, words: &[&str], mut io: Io) -> i32 {
    let Some((flags, words)) = words.split_first() else { return fail(io, "tar: nothing to do").await };
    let path = words.iter().rfind(|word| !word.starts_with('-'));
    match (flags.contains('x'), flags.contains('c'), path) {
        (true, _, _) => {
            let directory = words.iter().position(|word| *word == "-C").and_then(|at| words.get(at + 1));
            let directory = directory.copied().unwrap_or_default();
            let mut input = Blocks {
                stream: std::mem::replace(&mut io.input, futures::stream::empty().boxed_local()),
                rest: vec![],
            };
            match unpack(place, directory, &mut input).await {
                Ok(()) => 0,
                Err(why) => fail(io, &format!("tar: {why}")).await,
            }
        }
        (_, true, Some(path)) => pack(place, path, io).await,
        _ => fail(io, "tar: this one knows xf - -C DIRECTORY and cf - PATH").await,
    }
}

/// Exactly so many bytes at a time.
struct Blocks {
    stream: ByteStream,
    rest: Vec<u8>,
}

impl Blocks {
    /// Fills `to` up to `length`. False when the input ends before.
    async fn read(&mut self, to: &mut Vec<u8>, length: usize) -> bool {
        while to.len() < length {
            if self.rest.is_empty() {
                match self.stream.next().await {
                    Some(bytes) => self.rest = bytes,
                    None => return false,
                }
            }
            let count = self.rest.len().min(length - to.len());
            to.extend(self.rest.drain(..count));
        }
        true
    }
}

async fn unpack(place: &Place, directory: &str, input: &mut Blocks) -> Result<(), &'static str> {
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        if !input.read(&mut block, BLOCK).await {
            return if block.is_empty() { Ok(()) } else { Err("unexpected end of archive") };
        }
        let header: [u8; BLOCK] = block.try_into().map_err(|_| "no header")?;
        if header.iter().all(|byte| *byte == 0) {
            // What follows is padding.
            while input.stream.next().await.is_some() {}
            return Ok(());
        }
        let length = usize::from_str_radix(&text(&header, 124, 12), 8).map_err(|_| "a header without a length")?;
        // What a header claims need not come.
        let mut bytes = Vec::with_capacity(length.min(1 << 20));
        let mut padding = Vec::new();
        if !input.read(&mut bytes, length).await
            || !input.read(&mut padding, length.next_multiple_of(BLOCK) - length).await
        {
            return Err("unexpected end of archive");
        }
        let (prefix, name) = (text(&header, 345, 155), text(&header, 0, 100));
        let path = [directory, &prefix, &name].join("/");
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        place.files.borrow_mut().0.insert(path.join("/"), File { header, bytes });
    }
}

async fn pack(place: &Place, path: &str, mut io: Io) -> i32 {
    let path = path.trim_matches('/');
    let inside = format!("{path}/");
    let wanted = |known: &&String| *known == path || known.starts_with(&inside);
    let names: Vec<String> = place.files.borrow().0.keys().filter(wanted).cloned().collect();
    if names.is_empty() {
        return fail(io, &format!("tar: {path}: Cannot stat: No such file or directory")).await;
    }
    for name in names {
        let Some((header, bytes)) = place.files.borrow().0.get(&name).map(|file| (file.header, file.bytes.clone()))
        else {
            continue;
        };
        let Some(header) = renamed(header, &name) else { return fail(io, "tar: a name is too long").await };
        let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        io.out.write(header.to_vec()).await;
        for chunk in bytes.chunks(64 * 1024) {
            if !io.out.write(chunk.to_vec()).await {
                return 141;
            }
        }
        io.out.write(vec![0; padding]).await;
    }
    i32::from(!io.out.write(vec![0; 2 * BLOCK]).await)
}

/// With another name, and the sum that proves it.
fn renamed(mut header: [u8; BLOCK], name: &str) -> Option<[u8; BLOCK]> {
    let is_directory = header.get(156) == Some(&b'5');
    let name = if is_directory { format!("{name}/") } else { name.to_owned() };
    // The first hundred bytes, or what fits before a slash.
    let (prefix, name) = if name.len() <= 100 {
        ("", name.as_str())
    } else {
        let at = name.match_indices('/').map(|(at, _)| at).find(|at| name.len() - at - 1 <= 100)?;
        name.split_at_checked(at).map(|(prefix, name)| (prefix, name.trim_start_matches('/')))?
    };
    put(&mut header, 0, 100, name.as_bytes())?;
    put(&mut header, 345, 155, prefix.as_bytes())?;
    put(&mut header, 257, 8, b"ustar\x0000")?;
    put(&mut header, 148, 8, b"        ")?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header, 148, 8, format!("{sum:06o}\0 ").as_bytes())?;
    Some(header)
}

fn put(header: &mut [u8; BLOCK], at: usize, length: usize, bytes: &[u8]) -> Option<()> {
    let field = header.get_mut(at..at + length)?;
    field.fill(0);
    field.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(())
}

fn text(header: &[u8; BLOCK], at: usize, length: usize) -> String {
    let field = header.get(at..at + length).unwrap_or_default();
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).trim().to_owned()
}
