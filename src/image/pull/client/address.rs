//! Which addresses a registry may send us to: none that lies further inside than its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who can reach an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Zone {
    /// Everybody.
    Public,
    /// Those on the same networks: RFC 1918 and what resembles it.
    Private,
    /// This host alone.
    Loopback,
    /// Those on the same wire, where clouds answer for the machine itself; and what is no host's address.
    LinkLocal,
}

/// Where a connection may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// Anywhere: whoever runs this program named the host.
    Anywhere,
    /// To this host alone.
    Here,
    /// Where somebody in this zone may send us.
    From(Zone),
}

impl Zone {
    pub(super) fn of(address: IpAddr) -> Zone {
        match address {
            IpAddr::V4(address) => Zone::of_v4(address),
            IpAddr::V6(address) => match inner_v4(address) {
                // A translator of the network's own leads inside even where its target is outside.
                Some(inner) => match (Zone::of_v4(inner), address.segments()) {
                    (Zone::Public, [0x64, 0xff9b, 1, ..]) => Zone::Private,
                    (zone, _) => zone,
                },
                None => Zone::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Zone {
        match address.octets() {
            // A connection to 0.0.0.0 is one to this host.
            [0 | 127, ..] => Zone::Loopback,
            [169, 254, ..] | [224..=255, ..] => Zone::LinkLocal,
            // Clouds' own services for the machine at other addresses: Azure's, Alibaba's, Oracle's.
            [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => Zone::LinkLocal,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Zone::Private,
            // Providers' own, protocols' own, benchmarks.
            [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..] => Zone::Private,
            _ => Zone::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Zone {
        if address.is_loopback() || address.is_unspecified() {
            return Zone::Loopback;
        }
        // Clouds' own services for the machine: Amazon's and Google's.
        if matches!(address.segments(), [0xfd00, 0xec2, .., 0x254] | [0xfd20, 0xce, .., 0x254]) {
            return Zone::LinkLocal;
        }
        match address.segments()[0] {
            0xfe80..=0xfebf | 0xff00.. => Zone::LinkLocal,
            0xfc00..=0xfdff | 0xfec0..=0xfeff => Zone::Private,
            _ => Zone::Public,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Zone::Public => "public",
            Zone::Private => "private",
            Zone::Loopback => "loopback",
            Zone::LinkLocal => "link-local",
        }
    }
}

/// The IPv4 address that an IPv6 address leads to by itself: mapped, translated, compatible, through NAT64
/// (that of the network itself, too) or 6to4.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) => v4(g, h),
        (0, 0, 0, 0, 0, 0) if g != 0 => v4(g, h),
        (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => v4(g, h),
        (0x2002, ..) => v4(b, c),
        _ => None,
    }
}

impl Reach {
    pub(super) fn allows(self, zone: Zone) -> bool {
        match self {
            Reach::Anywhere => true,
            Reach::Here => zone == Zone::Loopback,
            Reach::From(Zone::LinkLocal) => matches!(zone, Zone::Public | Zone::LinkLocal),
            Reach::From(Zone::Loopback) => zone != Zone::LinkLocal,
            Reach::From(Zone::Private) => matches!(zone, Zone::Public | Zone::Private),
            Reach::From(Zone::Public) => zone == Zone::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(address: &str) -> Zone {
        Zone::of(address.parse().unwrap())
    }

    #[test]
    fn each_way_to_write_an_inner_address_is_known() {
        for (addresses, wanted) in [
            ("127.0.0.1 127.9.9.9 0.0.0.0 0.1.2.3 ::1 :: ::ffff:127.0.0.1", Zone::Loopback),
            ("64:ff9b::127.0.0.1 2002:7f00:1::1 ::127.0.0.1", Zone::Loopback),
            ("169.254.169.254 fe80::1 ::ffff:169.254.169.254 224.0.0.1", Zone::LinkLocal),
            ("255.255.255.255 240.0.0.1 ff02::1 64:ff9b::a9fe:a9fe", Zone::LinkLocal),
            (
                "168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 fd20:ce::254",
                Zone::LinkLocal,
            ),
            ("64:ff9b:1::a9fe:a9fe 64:ff9b:1:7::a9fe:a9fe ::ffff:0:a9fe:a9fe", Zone::LinkLocal),
            ("64:ff9b:1::8.8.8.8 64:ff9b:1::10.1.2.3 100.100.100.201 fd00:ec2::1", Zone::Private),
            ("10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1", Zone::Private),
            ("fd00::1 fc00::1 fec0::1 ::ffff:10.1.2.3 198.18.0.1", Zone::Private),
            ("1.1.1.1 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1", Zone::Public),
            ("203.0.113.7 2606:4700::1 64:ff9b::1.1.1.1 ::ffff:8.8.8.8", Zone::Public),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(zone(address), wanted, "{address}");
            }
        }
    }

    #[test]
    fn nobody_sends_us_further_inside_than_they_are() {
        use Zone::{LinkLocal, Loopback, Private, Public};
        let zones = [Public, Private, Loopback, LinkLocal];
        let allowed = |reach: Reach| zones.map(|zone| reach.allows(zone));
        assert_eq!(allowed(Reach::From(Public)), [true, false, false, false]);
        assert_eq!(allowed(Reach::From(Private)), [true, true, false, false]);
        assert_eq!(allowed(Reach::From(Loopback)), [true, true, true, false]);
        assert_eq!(allowed(Reach::From(LinkLocal)), [true, false, false, true]);
        assert_eq!(allowed(Reach::Here), [false, false, true, false]);
        assert_eq!(allowed(Reach::Anywhere), [true; 4]);
    }
}
