//! Which IP addresses are public. Pure.
//!
//! **Source**: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and what has updated them), the IANA IPv6
//! Address Space registry, RFC 1112 and RFC 5771 (multicast). Ranges that the registries call globally reachable are refused too:
//! they are anycast services, relays and translators, and behind some of them is an IPv4 address of the writer's choice.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

type V4Range = (Ipv4Addr, u32, &'static str);
type V6Range = (Ipv6Addr, u32, &'static str);

const fn v4(a: u8, b: u8, c: u8, length: u32, purpose: &'static str) -> V4Range {
    (Ipv4Addr::new(a, b, c, 0), length, purpose)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, length: u32, purpose: &'static str) -> V6Range {
    (Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length, purpose)
}

const V4_RANGES: [V4Range; 19] = [
    v4(0, 0, 0, 8, "this network, RFC 791"),
    v4(10, 0, 0, 8, "private use, RFC 1918"),
    v4(100, 64, 0, 10, "shared address space, RFC 6598"),
    v4(127, 0, 0, 8, "loopback, RFC 1122"),
    v4(169, 254, 0, 16, "link local, RFC 3927: metadata of clouds among it"),
    v4(172, 16, 0, 12, "private use, RFC 1918"),
    v4(192, 0, 0, 24, "protocol assignments, RFC 6890"),
    v4(192, 0, 2, 24, "documentation, RFC 5737"),
    v4(192, 31, 196, 24, "AS112, RFC 7535"),
    v4(192, 52, 193, 24, "AMT, RFC 7450"),
    v4(192, 88, 99, 24, "6to4 relays, RFC 7526"),
    v4(192, 168, 0, 16, "private use, RFC 1918"),
    v4(192, 175, 48, 24, "AS112, RFC 7534"),
    v4(198, 18, 0, 15, "benchmarking, RFC 2544"),
    v4(198, 51, 100, 24, "documentation, RFC 5737"),
    v4(203, 0, 113, 24, "documentation, RFC 5737"),
    v4(224, 0, 0, 4, "multicast, RFC 5771"),
    v4(240, 0, 0, 4, "reserved, RFC 1112: broadcast among it"),
    // Metadata and name service of Azure's virtual machines, at an address that looks public.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "platform of a cloud"),
];

/// Inside [`GLOBAL_UNICAST`], ranges that are not public; outside, names for what is refused in any case.
const V6_RANGES: [V6Range; 17] = [
    v6(0x2001, 0, 0, 0, 23, "protocol assignments, RFC 2928: Teredo among it"),
    v6(0x2001, 0x0db8, 0, 0, 32, "documentation, RFC 3849"),
    v6(0x2002, 0, 0, 0, 16, "6to4, RFC 3056"),
    v6(0x2620, 0x004f, 0x8000, 0, 48, "AS112, RFC 7534"),
    v6(0x3ffe, 0, 0, 0, 16, "6bone, RFC 3701"),
    v6(0x3fff, 0, 0, 0, 20, "documentation, RFC 9637"),
    v6(0x0064, 0xff9b, 0, 0, 96, "translated IPv4, RFC 6052"),
    v6(0x0064, 0xff9b, 1, 0, 48, "translated IPv4, RFC 8215"),
    v6(0x0100, 0, 0, 0, 64, "discard only, RFC 6666"),
    v6(0x0100, 0, 0, 1, 64, "dummy prefix, RFC 9780"),
    v6(0x5f00, 0, 0, 0, 16, "segment routing, RFC 9602"),
    v6(0xfc00, 0, 0, 0, 7, "unique local, RFC 4193"),
    v6(0xfe80, 0, 0, 0, 10, "link local, RFC 4291"),
    v6(0xfec0, 0, 0, 0, 10, "site local, RFC 3879"),
    v6(0xff00, 0, 0, 0, 8, "multicast, RFC 4291"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "IPv4-mapped, RFC 4291"),
    v6(0, 0, 0, 0, 96, "loopback, unspecified or IPv4-compatible, RFC 4291"),
];

/// The only part of IPv6 that is given to networks as public addresses: `2000::/3`.
const GLOBAL_UNICAST: V6Range = v6(0x2000, 0, 0, 0, 3, "global unicast");

/// What `address` is for if it is not public; `None` if it is.
pub fn reserved_for(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let is_in = |(network, length, _): &&V4Range| (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0;
            V4_RANGES.iter().find(is_in).map(|(_, _, purpose)| *purpose)
        }
        IpAddr::V6(address) => {
            let is_in =
                |(network, length, _): &&V6Range| (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0;
            let found = V6_RANGES.iter().find(is_in).map(|(_, _, purpose)| *purpose);
            found.or_else(|| (!is_in(&&GLOBAL_UNICAST)).then_some("not global unicast, RFC 4291"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_public(address: &str) -> bool {
        reserved_for(address.parse().unwrap()).is_none()
    }

    #[test]
    fn ranges_end_where_the_registries_say() {
        for (inside, outside) in [
            (["0.0.0.0", "0.255.255.255"], ["1.0.0.0", "1.0.0.1"]),
            (["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            (["100.64.0.0", "100.127.255.255"], ["100.63.255.255", "100.128.0.0"]),
            (["127.0.0.0", "127.255.255.255"], ["126.255.255.255", "128.0.0.0"]),
            (["169.254.0.0", "169.254.255.255"], ["169.253.255.255", "169.255.0.0"]),
            (["172.16.0.0", "172.31.255.255"], ["172.15.255.255", "172.32.0.0"]),
            (["192.0.0.0", "192.0.0.255"], ["191.255.255.255", "192.0.1.0"]),
            (["192.168.0.0", "192.168.255.255"], ["192.167.255.255", "192.169.0.0"]),
            (["198.18.0.0", "198.19.255.255"], ["198.17.255.255", "198.20.0.0"]),
            (["224.0.0.0", "255.255.255.255"], ["223.255.255.255", "203.0.114.0"]),
            (["168.63.129.16", "168.63.129.16"], ["168.63.129.15", "168.63.129.17"]),
            (["2001::", "2001:1ff:ffff::"], ["2001:200::", "2000:ffff::"]),
            (["2001:db8::", "2001:db8:ffff::"], ["2001:db7:ffff::", "2001:db9::"]),
            (["2002::", "2002:ffff::"], ["2003::", "2001:ffff::"]),
            (["3fff::", "3fff:fff:ffff::"], ["3fff:1000::", "3ffd::"]),
        ] {
            assert!(inside.iter().all(|address| !is_public(address)), "{inside:?}");
            assert!(outside.iter().all(|address| is_public(address)), "{outside:?}");
        }
    }

    #[test]
    fn of_ipv6_only_global_unicast_is_public() {
        for public in ["2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "2620:fe::fe", "3000::1"] {
            assert!(is_public(public), "{public}");
        }
        let reserved =
            ["::", "::1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "100:0:0:1::1"];
        let others =
            ["5f00::1", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1", "1fff::1", "4000::1", "e000::1"];
        for address in reserved.iter().chain(&others) {
            assert!(!is_public(address), "{address}");
        }
    }

    proptest::proptest! {
        #[test]
        fn embedding_an_ipv4_address_makes_no_public_ipv6_address(bits: u32) {
            let [first, second, third, fourth] = bits.to_be_bytes();
            let [a, b] = [u16::from_be_bytes([first, second]), u16::from_be_bytes([third, fourth])];
            for embedded in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, a, b),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !a, !b),
            ] {
                proptest::prop_assert!(reserved_for(IpAddr::V6(embedded)).is_some(), "{embedded}");
            }
        }
    }
}
