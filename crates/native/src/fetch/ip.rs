//! Which addresses are public: the table that keeps a fetch out of the networks behind a server.
//!
//! The blocks are those of the IANA registries
//! [IPv4 special-purpose](https://www.iana.org/assignments/iana-ipv4-special-registry/),
//! [IPv6 special-purpose](https://www.iana.org/assignments/iana-ipv6-special-registry/) and
//! [IPv6 address space](https://www.iana.org/assignments/ipv6-address-space/), with multicast
//! (RFC 5771, RFC 4291). A block of a registry is refused even where it is called globally
//! reachable, such as the anycast of AS112: no image is served from there. IPv6 is refused by
//! default, and only its global unicast, 2000::/3, can be public.
//!
//! What the table cannot know: a NAT64 prefix that an operator took from its own addresses, and
//! services that a network offers to itself under an address that is public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Of two blocks that overlap, the narrower comes first: the first match names the reason.
const V4: &[(Ipv4Net, &str)] = &[
    (v4([0, 0, 0, 0], 8), "this network"),
    (v4([10, 0, 0, 0], 8), "private network"),
    (v4([100, 64, 0, 0], 10), "shared by a carrier"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    // In no registry: a public number that, inside of Azure, is the host of the virtual machine.
    (v4([168, 63, 129, 16], 32), "platform of Azure"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private network"),
    (v4([192, 0, 0, 0], 24), "protocol assignments"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 31, 196, 0], 24), "AS112"),
    (v4([192, 52, 193, 0], 24), "multicast tunnel"),
    (v4([192, 88, 99, 0], 24), "6to4 relay"),
    (v4([192, 168, 0, 0], 16), "private network"),
    (v4([192, 175, 48, 0], 24), "AS112"),
    (v4([198, 18, 0, 0], 15), "benchmarks"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([255, 255, 255, 255], 32), "broadcast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

const V6: &[(Ipv6Net, &str)] = &[
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), "IPv4-mapped"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "IPv4-compatible"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "local NAT64"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discarded"),
    (v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64), "dummy"),
    // What these two carry is an IPv4 address behind a relay that others run.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "protocol assignments"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), "AS112"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "segment routing"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "private network"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// The prefix of RFC 6052, by which a network without IPv4 reaches all of IPv4.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// Why `address` is not public; nothing if it is.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        // There, every host that has only IPv4 looks like this. It is as public as what it stands
        // for.
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            special_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => V6
            .iter()
            .find_map(|(block, why)| block.contains(&address).then_some(*why))
            .or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some("not global unicast")),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter().find_map(|(block, why)| block.contains(&address).then_some(*why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The edges of every block, and what is public just beside them.
    const CASES: &[(&str, &str)] = &[
        ("this network", "0.0.0.0 0.0.0.1 0.255.255.255"),
        ("private network", "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255"),
        ("private network", "192.168.0.0 192.168.255.255"),
        ("shared by a carrier", "100.64.0.0 100.100.100.200 100.127.255.255"),
        ("loopback", "127.0.0.0 127.0.0.1 127.255.255.255"),
        ("platform of Azure", "168.63.129.16"),
        ("link-local", "169.254.0.0 169.254.169.254 169.254.255.255"),
        ("protocol assignments", "192.0.0.0 192.0.0.9 192.0.0.192 192.0.0.255"),
        ("documentation", "192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255"),
        ("documentation", "203.0.113.0 203.0.113.255"),
        ("AS112", "192.31.196.0 192.31.196.255 192.175.48.0 192.175.48.255"),
        ("multicast tunnel", "192.52.193.0 192.52.193.255"),
        ("6to4 relay", "192.88.99.0 192.88.99.255"),
        ("benchmarks", "198.18.0.0 198.19.255.255"),
        ("multicast", "224.0.0.0 239.255.255.255"),
        ("reserved", "240.0.0.0 255.255.255.254"),
        ("broadcast", "255.255.255.255"),
        ("", "1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34"),
        ("", "100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0"),
        ("", "168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0"),
        ("", "172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0"),
        ("", "192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0"),
        ("", "198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0"),
        ("", "203.0.112.255 203.0.114.0 223.255.255.255"),
        ("unspecified", "::"),
        ("loopback", "::1"),
        ("IPv4-compatible", "::2 ::7f00:1 ::8.8.8.8 ::ffff:ffff"),
        ("IPv4-mapped", "::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:ffff:ffff"),
        ("not global unicast", "::fffe:7f00:1 ::ffff:0:7f00:1 64:ff9a:: 64:ff9b:0:0:0:1::"),
        ("not global unicast", "64:ff9b:2:: 100:0:0:2:: 200:: 400:: 1fff:ffff:: 4000:: 5eff::"),
        ("not global unicast", "5f01:: e000:: fbff:ffff:: fe00:: fe7f:ffff::"),
        ("local NAT64", "64:ff9b:1:: 64:ff9b:1:ffff::8.8.8.8"),
        ("discarded", "100:: 100::ffff:ffff:ffff:ffff"),
        ("dummy", "100:0:0:1::"),
        ("Teredo", "2001:: 2001:0:7f00:1:: 2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("protocol assignments", "2001:1::1 2001:2:: 2001:10:: 2001:20:: 2001:1ff:ffff::"),
        ("documentation", "2001:db8:: 2001:db8:ffff:: 3fff:: 3fff:fff:ffff::"),
        ("6to4", "2002:: 2002:7f00:1:: 2002:808:808:: 2002:ffff:ffff::"),
        ("AS112", "2620:4f:8000::"),
        ("segment routing", "5f00:: 5f00:ffff::"),
        ("private network", "fc00:: fd00:ec2::254 fdff:ffff::"),
        ("link-local", "fe80:: fe80::1 febf:ffff::"),
        ("site-local", "fec0:: feff:ffff::"),
        ("multicast", "ff00:: ff02::1 ffff:ffff::"),
        ("", "2000:: 2001:200:: 2001:db7:ffff:: 2001:db9:: 2001:ffff:: 2003::"),
        ("", "2606:4700:4700::1111 2620:4f:7fff:: 2620:4f:8001:: 2a00:1450::1 3ffe:ffff::"),
        ("", "3fff:1000:: 3fff:ffff:ffff::"),
        ("loopback", "64:ff9b::127.0.0.1"),
        ("private network", "64:ff9b::10.0.0.1"),
        ("link-local", "64:ff9b::169.254.169.254"),
        ("this network", "64:ff9b::"),
        ("", "64:ff9b::8.8.8.8"),
    ];

    #[test]
    fn every_block_is_told_apart_from_its_neighbours() {
        let mut wrong = Vec::new();
        for &(expected, addresses) in CASES {
            for address in addresses.split(' ') {
                let found = special(address.parse().unwrap()).unwrap_or("");
                if found != expected {
                    wrong.push(format!("{address}: {found:?} instead of {expected:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let named: Vec<_> = CASES.iter().map(|(why, _)| *why).collect();
        for why in V4.iter().map(|(_, why)| why).chain(V6.iter().map(|(_, why)| why)) {
            assert!(named.contains(why), "no case for {why:?}");
        }
    }

    /// Half of them near the beginning of a block, where chance alone would hardly look.
    fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
        let near = (0..V4.len(), any::<u32>(), 0..=32_u32).prop_map(|(block, bits, shift)| {
            let noise = bits.checked_shr(shift).unwrap_or(0);
            Ipv4Addr::from_bits(V4[block].0.network().to_bits() ^ noise)
        });
        prop_oneof![any::<Ipv4Addr>(), near]
    }

    fn any_v6() -> impl Strategy<Value = Ipv6Addr> {
        let near = (0..V6.len(), any::<u128>(), 0..=128_u32).prop_map(|(block, bits, shift)| {
            let noise = bits.checked_shr(shift).unwrap_or(0);
            Ipv6Addr::from_bits(V6[block].0.network().to_bits() ^ noise)
        });
        prop_oneof![any::<Ipv6Addr>(), near]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn v4_is_at_least_as_strict_as_std(address in any_v4()) {
            let found = special(address.into());
            let expected = [
                (address.is_broadcast(), "broadcast"),
                (address.is_documentation(), "documentation"),
                (address.is_link_local(), "link-local"),
                (address.is_loopback(), "loopback"),
                (address.is_multicast(), "multicast"),
                (address.is_private(), "private network"),
                (address.is_unspecified(), "this network"),
            ];
            for (is, why) in expected {
                if is {
                    prop_assert_eq!(found, Some(why));
                }
            }
            prop_assert_eq!(special(address.to_ipv6_mapped().into()), Some("IPv4-mapped"));
            // The same address, by way of NAT64.
            let nat64 = NAT64.network().to_bits() | u128::from(address.to_bits());
            prop_assert_eq!(special(Ipv6Addr::from_bits(nat64).into()), found);
        }

        #[test]
        fn v6_is_at_least_as_strict_as_std(address in any_v6()) {
            let found = special(address.into());
            let expected = [
                (address.is_loopback(), "loopback"),
                (address.is_multicast(), "multicast"),
                (address.is_unicast_link_local(), "link-local"),
                (address.is_unique_local(), "private network"),
                (address.is_unspecified(), "unspecified"),
                (address.to_ipv4_mapped().is_some(), "IPv4-mapped"),
            ];
            for (is, why) in expected {
                if is {
                    prop_assert_eq!(found, Some(why));
                }
            }
            let global = address.segments()[0] >> 13 == 1;
            prop_assert!(found.is_some() || global || NAT64.contains(&address));
        }
    }
}
