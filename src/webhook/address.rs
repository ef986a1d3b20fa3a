//! Which addresses a notification may be sent to.
//!
//! Anyone who sets the URL, or answers for its host name, could otherwise make the process send requests
//! to services that only it can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is private, or of the host itself. The setting allows it.
    Private,
    /// It is one at which a cloud hands out credentials. Nothing allows it.
    Metadata,
}

/// The addresses at which clouds and their containers hand out metadata and credentials.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254),
    // Amazon ECS and EKS.
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    // Alibaba Cloud.
    Ipv4Addr::new(100, 100, 100, 200),
    // Azure's WireServer, in a range that is public.
    Ipv4Addr::new(168, 63, 129, 16),
    // Oracle Cloud, Scaleway and Tencent Cloud.
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(169, 254, 0, 23),
];
const METADATA_V6: [Ipv6Addr; 7] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    // Amazon EKS.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    // Google Cloud, Oracle Cloud, Scaleway, Akamai and Alibaba Cloud.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200),
];

/// Whether and why an address is refused, before any setting.
pub(super) fn refusal(address: IpAddr) -> Option<Refusal> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<Refusal> {
    if METADATA_V4.contains(&address) {
        return Some(Refusal::Metadata);
    }
    let [a, b, c, _] = address.octets();
    let is_private = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // This network, shared by carriers, protocol assignments, benchmarks, reserved and broadcast.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    is_private.then_some(Refusal::Private)
}

fn refusal_v6(address: Ipv6Addr) -> Option<Refusal> {
    if METADATA_V6.contains(&address) {
        return Some(Refusal::Metadata);
    }
    // An IPv4 address inside decides, and most of these ways to write one are private anyway.
    let inside = inner_v4(address).map(refusal_v4);
    if inside == Some(Some(Refusal::Metadata)) {
        return Some(Refusal::Metadata);
    }
    let [a, b, ..] = address.segments();
    // All addresses that are assigned to anyone are in 2000::/3.
    let is_global = (a & 0xe000) == 0x2000
        // Teredo, benchmarks and other protocol assignments, and documentation.
        && !(a == 0x2001 && (b < 0x200 || b == 0xdb8))
        && !(a == 0x3fff && b < 0x1000);
    let is_public = (is_global || is_nat64(address)) && inside != Some(Some(Refusal::Private));
    (!is_public).then_some(Refusal::Private)
}

/// Whether it is an IPv4 address behind the well-known prefix of NAT64.
fn is_nat64(address: Ipv6Addr) -> bool {
    address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
}

/// The IPv4 address that an address leads to: mapped, translated, compatible, NAT64 or 6to4.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0 | 1, 0, 0, 0] => {
            Some(v4(g, h))
        }
        [0x2002, ..] => Some(v4(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_allowed() {
        use Refusal::{Metadata, Private};
        let table = [
            ("203.0.114.1", None),
            ("8.8.8.8", None),
            ("172.32.0.1", None),
            ("100.128.0.1", None),
            ("2600:1f18::1", None),
            ("2001:4860:4860::8888", None),
            ("3ffe::1", None),
            ("64:ff9b::808:808", None),
            ("2002:808:808::1", None),
            ("127.0.0.1", Some(Private)),
            ("127.255.0.9", Some(Private)),
            ("0.0.0.0", Some(Private)),
            ("10.1.2.3", Some(Private)),
            ("172.16.0.1", Some(Private)),
            ("192.168.1.1", Some(Private)),
            ("100.64.0.1", Some(Private)),
            ("169.254.1.1", Some(Private)),
            ("192.0.0.8", Some(Private)),
            ("198.18.0.1", Some(Private)),
            ("224.0.0.1", Some(Private)),
            ("255.255.255.255", Some(Private)),
            ("::", Some(Private)),
            ("::1", Some(Private)),
            ("fe80::1", Some(Private)),
            ("fec0::1", Some(Private)),
            ("fc00::1", Some(Private)),
            ("fd12:3456::1", Some(Private)),
            ("ff02::1", Some(Private)),
            ("::ffff:127.0.0.1", Some(Private)),
            // Nobody needs a mapped address for a public one.
            ("::ffff:8.8.8.8", Some(Private)),
            ("::8.8.8.8", Some(Private)),
            ("64:ff9b::7f00:1", Some(Private)),
            ("64:ff9b:1::808:808", Some(Private)),
            ("2002:7f00:1::1", Some(Private)),
            ("2001::1", Some(Private)),
            ("2001:db8::1", Some(Private)),
            ("2001:2::1", Some(Private)),
            ("3fff:123::1", Some(Private)),
            ("100::1", Some(Private)),
            ("5f00::1", Some(Private)),
            ("::ffff:0:10.0.0.1", Some(Private)),
            ("::ffff:0:8.8.8.8", Some(Private)),
            ("4000::1", Some(Private)),
            ("169.254.169.254", Some(Metadata)),
            ("169.254.170.2", Some(Metadata)),
            ("169.254.170.23", Some(Metadata)),
            ("100.100.100.200", Some(Metadata)),
            ("fd00:ec2::254", Some(Metadata)),
            ("fd00:ec2::23", Some(Metadata)),
            ("168.63.129.16", Some(Metadata)),
            ("192.0.0.192", Some(Metadata)),
            ("169.254.42.42", Some(Metadata)),
            ("169.254.0.23", Some(Metadata)),
            ("fd20:ce::254", Some(Metadata)),
            ("fd00:c1::a9fe:a9fe", Some(Metadata)),
            ("fd00:42::42", Some(Metadata)),
            ("fd00:a9fe:a9fe::1", Some(Metadata)),
            ("fd00:100::100:200", Some(Metadata)),
            ("::ffff:0:169.254.169.254", Some(Metadata)),
            ("64:ff9b::168.63.129.16", Some(Metadata)),
            ("::ffff:169.254.169.254", Some(Metadata)),
            ("64:ff9b::a9fe:a9fe", Some(Metadata)),
            ("2002:a9fe:a9fe::", Some(Metadata)),
        ];
        for (text, expected) in table {
            assert_eq!(refusal(text.parse().unwrap()), expected, "{text}");
        }
    }
}
