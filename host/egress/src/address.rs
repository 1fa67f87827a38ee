//! Which addresses a connection may go to.
//!
//! In: an address that a name resolved to, and whether the operator allows private ones. Out: the [`Class`] that forbids it, if any.
//! Invariant: an IPv4 address is judged alike in each of the forms that IPv6 has for it; what is not known to be public is not
//! public. Pure.
//!
//! Sources: the IANA special-purpose address registries (RFC 6890), RFC 4291 (mapped), RFC 3056 (6to4), RFC 6052 and RFC 8215
//! (NAT64), RFC 4380 (Teredo), RFC 6598 (CGNAT).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not simply reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Services that hand out the credentials of the machine to whoever asks from it. Never reachable.
    Metadata,
    /// `169.254.0.0/16`, `fe80::/10`: the link, where metadata services live. Never reachable.
    LinkLocal,
    /// This machine.
    Loopback,
    /// RFC 1918 and `fc00::/7`: the operator's own network.
    Private,
    /// `100.64.0.0/10`: the provider's own network behind a carrier's translation.
    CarrierGrade,
    /// Neither public nor private: unspecified, multicast, broadcast, documentation, benchmarks, future use.
    Special,
}

impl Class {
    /// Whether `privateAddresses: true` allows it.
    #[must_use]
    pub fn can_be_granted(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::CarrierGrade)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "the address of a metadata service",
            Self::LinkLocal => "a link-local address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::CarrierGrade => "a carrier-grade NAT address",
            Self::Special => "not a public address",
        })
    }
}

/// Metadata services outside of the link-local range: Azure's wire server, Alibaba's and Oracle's; over IPv6 Google's and Scaleway's. AWS has
/// all of `fd00:ec2::/32` for its own, instance metadata and pod identities among them.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)];

/// What the address is; None for a public one.
#[must_use]
pub fn classify(address: IpAddr) -> Option<Class> {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

/// Whether nobody can be allowed to reach it.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    matches!(classify(address), Some(Class::Metadata | Class::LinkLocal))
}

fn classify_v4(address: Ipv4Addr) -> Option<Class> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        _ if METADATA_V4.contains(&address) => Some(Class::Metadata),
        (169, 254, _) => Some(Class::LinkLocal),
        (127, ..) => Some(Class::Loopback),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some(Class::Private),
        (100, 64..=127, _) => Some(Class::CarrierGrade),
        // "This network", IETF assignments, documentation, 6to4 relays, benchmarks, multicast and all above it.
        (0, ..)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113)
        | (224..=255, ..) => Some(Class::Special),
        _ => None,
    }
}

fn classify_v6(address: Ipv6Addr) -> Option<Class> {
    if METADATA_V6.contains(&address) || matches!(address.segments(), [0xfd00, 0xec2, ..]) {
        return Some(Class::Metadata);
    }
    if address.is_loopback() {
        return Some(Class::Loopback);
    }
    if address.is_unicast_link_local() {
        return Some(Class::LinkLocal);
    }
    if let Some(inner) = embedded(address) {
        // A form that hides an address is worth no more than the address; a public one in disguise is still a disguise.
        return Some(classify_v4(inner).unwrap_or(Class::Special));
    }
    let [first, second, ..] = address.segments();
    match first {
        0xfc00..=0xfdff => Some(Class::Private),
        // Documentation, and the special assignments of 2001::/23.
        0x2001 if second < 0x200 || second == 0xdb8 => Some(Class::Special),
        0x3fff if second < 0x1000 => Some(Class::Special),
        // Global unicast is 2000::/3; nothing else has been handed out.
        0x2000..=0x3fff => None,
        _ => Some(Class::Special),
    }
}

/// The IPv4 address inside of an IPv6 address, in each of the forms by which a router or the kernel would reach it.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // ::ffff:a.b.c.d (mapped), ::ffff:0:a.b.c.d (translated), ::a.b.c.d (compatible).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        // 64:ff9b::a.b.c.d (NAT64). In 64:ff9b:1::/48 the address may be anywhere, and it is nobody's public address.
        [0x64, 0xff9b, 0, .., high, low] => v4(high, low),
        // 2002:a.b.c.d::/48 (6to4).
        [0x2002, high, low, ..] => v4(high, low),
        // 2001:0:…: (Teredo) with the client's address inverted at the end.
        [0x2001, 0, .., high, low] => v4(!high, !low),
        // …:0:5efe:a.b.c.d (ISATAP).
        [.., 0 | 0x200, 0x5efe, high, low] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> Option<Class> {
        classify(text.parse().unwrap())
    }

    #[test]
    fn each_special_range_has_its_class() {
        for (address, expected) in [
            ("169.254.169.254", Class::LinkLocal),
            ("168.63.129.16", Class::Metadata),
            ("100.100.100.200", Class::Metadata),
            ("fd00:ec2::254", Class::Metadata),
            ("fe80::1", Class::LinkLocal),
            ("127.0.0.1", Class::Loopback),
            ("127.255.255.254", Class::Loopback),
            ("::1", Class::Loopback),
            ("10.0.0.1", Class::Private),
            ("172.31.255.255", Class::Private),
            ("192.168.0.1", Class::Private),
            ("fd12::1", Class::Private),
            ("100.64.0.1", Class::CarrierGrade),
            ("0.0.0.0", Class::Special),
            ("::", Class::Special),
            ("224.0.0.1", Class::Special),
            ("255.255.255.255", Class::Special),
            ("ff02::1", Class::Special),
            ("2001:db8::1", Class::Special),
            ("198.18.0.1", Class::Special),
            ("64:ff9b:1::a9fe:a9fe", Class::Special),
            ("64:ff9b:1:a9fe:a9:fe00:a00:1", Class::Special),
            ("fd00:ec2::23", Class::Metadata),
            ("fd20:ce::254", Class::Metadata),
            ("fe80::5efe:10.0.0.1", Class::LinkLocal),
        ] {
            assert_eq!(class(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_free() {
        for address in ["1.1.1.1", "20.50.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert_eq!(class(address), None, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_judged_as_what_it_is() {
        for address in [
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
            "fe80::5efe:169.254.169.254",
        ] {
            assert_eq!(class(address), Some(Class::LinkLocal), "{address}");
        }
        assert_eq!(class("::ffff:127.0.0.1"), Some(Class::Loopback));
        assert_eq!(class("::ffff:1.1.1.1"), Some(Class::Special), "a disguise is refused even around a public address");
    }

    proptest! {
        #[test]
        fn no_disguise_makes_an_address_public(octets in any::<[u8; 4]>()) {
            let v4 = Ipv4Addr::from(octets);
            let [a, b, c, d] = octets;
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for disguise in [
                v4.to_ipv6_mapped(),
                v4.to_ipv6_compatible(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 1, 2, 3, 4, !high, !low),
            ] {
                prop_assert!(classify(disguise.into()).is_some(), "{disguise}");
            }
        }
    }
}
