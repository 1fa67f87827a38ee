//! Free TCP ports on loopback that stay free.
//!
//! Ports come from below the kernel's ephemeral range: a server that is stopped and started again on "its" port
//! (the API server in restart tests) would otherwise find it taken by some client's outgoing connection, or by a client
//! that connected to itself. Nothing is reserved: between the check and the use another process may take the port.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Lowest port that is handed out; below it live well-known services.
const LOWEST: u16 = 20_000;
/// Where Linux' ephemeral ports start unless the machine says otherwise.
const EPHEMERAL: u16 = 32_768;
/// How many ports are tried before giving up.
const ATTEMPTS: usize = 2_000;

/// As many distinct free ports as `N`.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    // All listeners are held until the last port is found, so that no port is handed out twice.
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = listen_somewhere()?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// One free port.
pub fn one() -> Result<u16> {
    let [port] = free()?;
    Ok(port)
}

fn listen_somewhere() -> Result<TcpListener> {
    let highest = ephemeral_start().max(LOWEST + 1_000);
    let span = u64::from(highest - LOWEST);
    for _ in 0..ATTEMPTS {
        // A fresh `RandomState` hashes the same value to something new: randomness without a crate.
        let offset = RandomState::new().hash_one(0u8) % span;
        let port = LOWEST + u16::try_from(offset)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    bail!("no free TCP port on 127.0.0.1 between {LOWEST} and {highest}: stop what listens there")
}

fn ephemeral_start() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_below_the_ephemeral_range() {
        let mut ports = free::<8>().unwrap();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
        assert!(ports.iter().all(|port| *port < ephemeral_start().max(LOWEST + 1_000)), "{ports:?}");
    }
}
