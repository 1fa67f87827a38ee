//! A bare TCP connection of this machine: what nothing can beat.
//!
//! In: how many bytes. Out: the same figures as of sessions. Each end has a thread of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use super::traffic::{Rate, TRIPS, Trips, Watch};

const BUFFER: usize = 128 * 1024;

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// Bytes one way.
pub(super) fn copy(bytes: u64) -> Result<Rate> {
    let (mut client, mut server) = pair()?;
    let watch = Watch::start(None)?;
    let writing = thread::spawn(move || {
        let buffer = vec![b'x'; BUFFER];
        let mut left = bytes;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            server.write_all(buffer.get(..piece).unwrap_or_default())?;
            left -= piece as u64;
        }
        std::io::Result::Ok(())
    });
    let mut buffer = vec![0; BUFFER];
    let mut read = 0;
    while let count @ 1.. = client.read(&mut buffer)? {
        read += count as u64;
    }
    writing.join().ok().context("the writer")??;
    watch.stop(read)
}

/// One byte there and back, again and again.
pub(super) fn trips() -> Result<Trips> {
    let (mut client, mut server) = pair()?;
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while server.read(&mut byte)? == 1 {
            server.write_all(&byte)?;
        }
        std::io::Result::Ok(())
    });
    let mut samples = vec![];
    let mut byte = [b'x'];
    for _ in 0..TRIPS {
        let begun = Instant::now();
        client.write_all(&byte)?;
        client.read_exact(&mut byte)?;
        samples.push(begun.elapsed());
    }
    drop(client);
    echo.join().ok().context("the echo")??;
    Ok(Trips::of(&samples))
}
