//! Which addresses a webhook may be at, and a resolver that gives out no others.
//!
//! Must never call an address public that can reach this machine, its network or a metadata service.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address, or a name with nothing but such addresses, that must not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Forbidden {
    #[error("`{0}` is a private address: set `allow_private_addresses` if it is meant")]
    Private(IpAddr),
    #[error("`{0}` is an address that no webhook can have")]
    Never(IpAddr),
}

/// Finds the addresses of a name; may block.
pub(super) type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// As the system does it.
pub(super) fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Resolves names to the addresses that may be connected to. The connection is made to what this returns, with no
/// second look-up in between, so a name that changes its addresses gains nothing.
pub(super) struct FilteredResolver {
    /// Whether private addresses are permitted.
    pub(super) allow_private: bool,
    /// What finds the addresses of a name.
    pub(super) lookup: Arc<Lookup>,
}

impl Resolve for FilteredResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow_private, lookup) = (self.allow_private, Arc::clone(&self.lookup));
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || lookup(name.as_str())).await??;
            let permitted = permit_any(&found, allow_private)?;
            // Port 0 stands for the port of the URL.
            Ok(Box::new(permitted.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// The permitted ones of the addresses; an error if there are addresses and none is permitted.
fn permit_any(found: &[IpAddr], allow_private: bool) -> Result<Vec<IpAddr>, Forbidden> {
    let mut permitted = Vec::new();
    let mut forbidden = None;
    for &address in found {
        match permit(address, allow_private) {
            Ok(()) => permitted.push(address),
            Err(reason) => forbidden = forbidden.or(Some(reason)),
        }
    }
    match forbidden {
        Some(reason) if permitted.is_empty() => Err(reason),
        _ => Ok(permitted),
    }
}

/// Whether the address may be connected to.
pub(super) fn permit(address: IpAddr, allow_private: bool) -> Result<(), Forbidden> {
    match reach(address) {
        Reach::Public => Ok(()),
        Reach::Private if allow_private => Ok(()),
        Reach::Private => Err(Forbidden::Private(address)),
        Reach::Never => Err(Forbidden::Never(address)),
    }
}

/// Who can be behind an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The internet.
    Public,
    /// This machine or the network around it.
    Private,
    /// A metadata service, a group, or nobody.
    Never,
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// After the IANA IPv4 Special-Purpose Address Registry.
fn reach_v4(address: Ipv4Addr) -> Reach {
    let octets = address.octets();
    // Metadata services outside link-local: Alibaba Cloud, Azure.
    if matches!(octets, [100, 100, 100, 200] | [168, 63, 129, 16]) {
        return Reach::Never;
    }
    match octets {
        [10 | 127, ..] | [192, 168, ..] | [198, 18 | 19, ..] => Reach::Private,
        [172, second, ..] if second & 0xf0 == 16 => Reach::Private,
        [100, second, ..] if second & 0xc0 == 64 => Reach::Private,
        // This network, link-local (metadata service), protocol assignments, documentation, 6to4 relays,
        // multicast, reserved and broadcast.
        [0 | 224.., ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Never,
        _ => Reach::Public,
    }
}

/// After the IANA IPv6 Special-Purpose Address Registry; an IPv4 address inside counts as itself.
fn reach_v6(address: Ipv6Addr) -> Reach {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        // Mapped, and NAT64 by its well-known prefix.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            reach_v4(join(high, low))
        }
        // 6to4.
        [0x2002, high, low, ..] => reach_v4(join(high, low)),
        // The metadata service of EC2.
        [0xfd00, 0xec2, ..] => Reach::Never,
        // Unique local, and the site-local addresses before them.
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => Reach::Private,
        // Protocol assignments (with Teredo), documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => Reach::Never,
        [0x3fff, second, ..] if second < 0x1000 => Reach::Never,
        // Global unicast is all of 2000::/3; link-local, multicast and what nobody has assigned are not.
        [first, ..] if first & 0xe000 == 0x2000 => Reach::Public,
        _ => Reach::Never,
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_of_addresses() {
        let check = |reach_expected: Reach, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(reach(address.parse().unwrap()), reach_expected, "{address}");
            }
        };
        check(
            Reach::Public,
            &["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.0.0.1"],
        );
        check(
            Reach::Public,
            &["128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"],
        );
        check(
            Reach::Public,
            &["192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.0.0", "198.20.0.0", "223.255.255.255"],
        );
        check(Reach::Private, &["10.0.0.0", "10.255.255.255", "127.0.0.1", "127.255.255.255", "192.168.0.1"]);
        check(
            Reach::Private,
            &[
                "100.64.0.0",
                "100.127.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "198.18.0.0",
                "198.19.255.255",
            ],
        );
        check(
            Reach::Never,
            &["0.0.0.0", "0.1.2.3", "169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.255.255"],
        );
        check(
            Reach::Never,
            &["192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.51.100.1", "203.0.113.1"],
        );
        check(Reach::Never, &["224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"]);
        check(Reach::Never, &["100.100.100.200", "168.63.129.16"]);

        check(Reach::Public, &["2606:4700::1111", "2001:200::1", "2a00::1", "2001:db9::1", "3fff:1000::1"]);
        check(Reach::Public, &["::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"]);
        check(Reach::Private, &["::1", "fc00::1", "fdff::1", "fec0::1", "feff::1"]);
        check(
            Reach::Private,
            &["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::192.168.1.1"],
        );
        check(Reach::Private, &["2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::", "2002:6440:1::"]);
        check(
            Reach::Never,
            &["::", "::2", "::127.0.0.1", "::ffff:0.0.0.0", "::ffff:169.254.169.254", "::ffff:0:1.1.1.1"],
        );
        check(
            Reach::Never,
            &["64:ff9b::169.254.169.254", "64:ff9b:1::1.1.1.1", "64:ff9b::1:1.1.1.1", "2002:a9fe:a9fe::"],
        );
        check(
            Reach::Never,
            &["fe80::1", "febf::1", "ff02::1", "ff0e::1", "100::1", "2001::1", "2001:1ff::1", "2001:db8::1"],
        );
        check(Reach::Never, &["3fff::1", "5f00::1", "4000::1", "fd00:ec2::254", "fd00:ec2::23", "e000::1"]);
    }

    #[test]
    fn of_several_addresses_the_permitted_are_used() {
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let check = |found: &[&str], allow_private, expect: Result<&[&str], Forbidden>| {
            assert_eq!(permit_any(&addresses(found), allow_private), expect.map(addresses), "{found:?}");
        };
        let private = Forbidden::Private("10.0.0.1".parse().unwrap());
        let never = Forbidden::Never("169.254.169.254".parse().unwrap());
        check(&[], false, Ok(&[]));
        check(&["1.1.1.1"], false, Ok(&["1.1.1.1"]));
        check(&["10.0.0.1", "1.1.1.1", "::1"], false, Ok(&["1.1.1.1"]));
        check(&["10.0.0.1", "::1"], false, Err(private));
        check(&["10.0.0.1", "169.254.169.254"], true, Ok(&["10.0.0.1"]));
        check(&["169.254.169.254"], true, Err(never));
    }
}
