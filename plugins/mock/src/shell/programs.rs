//! The programs.
//!
//! In: a name, arguments, streams. Out: an exit code. Invariant: a program that writes without end stops when nobody reads.

use std::time::Duration;

use futures::stream::StreamExt;

use super::{Io, Place, archive};

/// Bytes that are written at once.
const CHUNK: usize = 32 * 1024;

/// A shell's code for a command that it does not find.
const NOT_FOUND: i32 = 127;
/// 128 + SIGPIPE.
const NOBODY_READS: i32 = 141;

pub(super) async fn run(place: &Place, name: &str, arguments: &[String], mut io: Io) -> i32 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (name.rsplit('/').next().unwrap_or(name), words.as_slice()) {
        ("true", _) => 0,
        ("false", _) => 1,
        ("exit", [code, ..]) => code.parse().unwrap_or(2) & 0xff,
        ("echo", ["-n", words @ ..]) => written(io.out.write(words.join(" ")).await),
        ("echo", words) => written(io.out.write(words.join(" ") + "\n").await),
        ("cat", [] | ["-"]) => cat(io).await,
        ("sleep", [seconds, ..]) => sleep(place, seconds, io).await,
        ("env" | "printenv", []) => {
            let lines: String = place.env.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            written(io.out.write(lines).await)
        }
        ("yes", words) => yes(words.first().copied().unwrap_or("y"), io).await,
        ("head", ["-c", count]) => head(count.parse().unwrap_or(0), None, io).await,
        ("head", ["-n", count]) => head(usize::MAX, Some(count.parse().unwrap_or(0)), io).await,
        ("head", []) => head(usize::MAX, Some(10), io).await,
        ("wc", ["-c"]) => count(io).await,
        ("stty", ["size"]) => match place.size.get() {
            Some(size) if place.tty => written(io.out.write(format!("{} {}\n", size.height, size.width)).await),
            // A size comes apart from the command, and a moment later. A terminal that has been told none says this.
            None if place.tty => written(io.out.write("0 0\n").await),
            _ => fail(io, "stty: standard input is not a terminal").await,
        },
        ("test", ["-d", path]) => i32::from(!place.files.borrow().has_directory(path)),
        ("tar", words) => archive::tar(place, words, io).await,
        (name, _) => {
            io.err
                .write(format!(
                    "{name}: not found; there is: echo cat true false exit sleep env yes head wc stty test tar sh\n"
                ))
                .await;
            NOT_FOUND
        }
    }
}

fn written(read: bool) -> i32 {
    if read { 0 } else { NOBODY_READS }
}

pub(super) async fn fail(mut io: Io, why: &str) -> i32 {
    io.err.write(format!("{why}\n")).await;
    1
}

async fn cat(mut io: Io) -> i32 {
    while let Some(bytes) = io.input.next().await {
        if !io.out.write(bytes).await {
            return NOBODY_READS;
        }
    }
    0
}

async fn sleep(place: &Place, seconds: &str, io: Io) -> i32 {
    match seconds
        .trim_end_matches('s')
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    {
        Some(time) => {
            place.host.sleep(time).await;
            0
        }
        None => fail(io, "sleep: invalid time").await,
    }
}

async fn yes(word: &str, mut io: Io) -> i32 {
    let line = format!("{word}\n");
    let chunk = line.repeat((CHUNK / line.len()).max(1));
    while io.out.write(chunk.clone()).await {}
    NOBODY_READS
}

async fn head(mut bytes: usize, mut lines: Option<usize>, mut io: Io) -> i32 {
    while bytes > 0 && lines != Some(0) {
        let Some(mut chunk) = io.input.next().await else { return 0 };
        chunk.truncate(bytes);
        if let Some(lines) = &mut lines {
            let end = chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(lines.saturating_sub(1));
            let end = end.map(|(at, _)| at + 1);
            let seen = chunk.iter().take(end.unwrap_or(chunk.len())).filter(|byte| **byte == b'\n').count();
            chunk.truncate(end.unwrap_or(chunk.len()));
            *lines -= seen.min(*lines);
        }
        bytes -= chunk.len();
        if !io.out.write(chunk).await {
            return NOBODY_READS;
        }
    }
    0
}

async fn count(mut io: Io) -> i32 {
    let mut bytes = 0_usize;
    while let Some(chunk) = io.input.next().await {
        bytes += chunk.len();
    }
    written(io.out.write(format!("{bytes}\n")).await)
}
