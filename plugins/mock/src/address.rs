//! Addresses for pods.
//!
//! In: UIDs. Out: addresses in 10.0.0.0/8. Invariant: two pods of this provider never share a made-up address, and a pod has the same
//! one for life. Addresses of different nodes may collide: nothing listens on them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Addresses 10.x.y.z with z from 1 to 254.
const PLACES: u32 = 256 * 256 * 254;

/// The addresses in use.
#[derive(Default)]
pub(crate) struct Addresses(RefCell<BTreeSet<u32>>);

impl Addresses {
    /// An address for a pod: the one that its UID hashes to, or the next that is free.
    pub(crate) fn take(&self, uid: &str) -> Ipv4Addr {
        let mut used = self.0.borrow_mut();
        let mut place = hash(uid) % PLACES;
        // Fails to find one only with sixteen million pods, when addresses may as well repeat.
        for _ in 0..PLACES {
            if used.insert(place) {
                break;
            }
            place = (place + 1) % PLACES;
        }
        address(place)
    }

    /// Mark an address that a pod has already. Others than made-up ones are not kept.
    pub(crate) fn keep(&self, ip: &str) {
        self.0.borrow_mut().extend(place(ip));
    }

    /// Let go of an address.
    pub(crate) fn release(&self, ip: &str) {
        if let Some(place) = place(ip) {
            self.0.borrow_mut().remove(&place);
        }
    }
}

fn address(place: u32) -> Ipv4Addr {
    let (net, host) = (place / 254, place % 254 + 1);
    Ipv4Addr::from_bits(10 << 24 | net << 8 | host)
}

fn place(ip: &str) -> Option<u32> {
    let bits = ip.parse::<Ipv4Addr>().ok()?.to_bits();
    let (first, net, host) = (bits >> 24, bits >> 8 & 0xffff, bits & 0xff);
    (first == 10 && (1..=254).contains(&host)).then(|| net * 254 + host - 1)
}

/// FNV-1a: short, and the same everywhere and for ever.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pods_share_an_address() {
        let addresses = Addresses::default();
        let taken: BTreeSet<_> = (0..20_000).map(|n| addresses.take(&format!("uid-{n}"))).collect();
        assert_eq!(taken.len(), 20_000);
        assert!(taken.iter().all(|ip| ip.octets()[0] == 10 && (1..=254).contains(&ip.octets()[3])));
    }

    #[test]
    fn an_address_that_is_kept_is_not_given_away() {
        let (first, second) = (Addresses::default(), Addresses::default());
        let ip = first.take("a").to_string();
        second.keep(&ip);
        assert_ne!(second.take("a").to_string(), ip);
        second.release(&ip);
        assert_eq!(second.take("a").to_string(), ip);
    }
}
