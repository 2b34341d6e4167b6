//! Ranges of addresses, as MetalLB reads them.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

/// A range of addresses, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl AddressRange {
    /// Reads `10.0.0.1-10.0.0.9` or `10.0.0.0/29`. An address by itself is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some((first, last)) = text.split_once('-') {
            let address = |text: &str| {
                let text = text.trim();
                text.parse::<IpAddr>().map_err(|_| format!("{text} is no address"))
            };
            let (first, last) = (address(first)?, address(last)?);
            if first.is_ipv4() != last.is_ipv4() {
                return Err("it begins and ends in different families".to_owned());
            }
            if first > last {
                return Err("it ends before it begins".to_owned());
            }
            return Ok(Self { first, last });
        }
        match text.trim().parse::<IpNet>() {
            Ok(net) => Ok(Self { first: net.network(), last: net.broadcast() }),
            Err(_) if text.trim().parse::<IpAddr>().is_ok() => {
                Err("a single address is written with its length, as /32".to_owned())
            }
            Err(_) => Err("it is neither a range nor a network".to_owned()),
        }
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }

    /// Whether another range has an address of this one's.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first.is_ipv4() == other.first.is_ipv4()
            && self.first <= other.last
            && other.first <= self.last
    }

    /// How many IPv4 addresses it has; those that end in 0 or 255 are left out where devices are
    /// to be spared them. None: it has none, or more than anybody needs.
    pub fn count(&self, avoids_buggy: bool) -> Option<u64> {
        let (IpAddr::V4(first), IpAddr::V4(last)) = (self.first, self.last) else { return None };
        let (first, last) = (u64::from(first.to_bits()), u64::from(last.to_bits()));
        // Of every 256, how many up to and with `at` end so.
        let ending = |at: u64, in_byte: u64| (at + 256 - in_byte) / 256;
        let between = |in_byte: u64| {
            ending(last, in_byte) - if first == 0 { 0 } else { ending(first - 1, in_byte) }
        };
        let spared = if avoids_buggy { between(0) + between(255) } else { 0 };
        Some((last - first + 1).saturating_sub(spared))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::AddressRange;

    fn range(text: &str) -> AddressRange {
        AddressRange::parse(text).unwrap()
    }

    #[test]
    fn ranges_and_networks_are_read() {
        assert_eq!(range("10.0.0.1 - 10.0.0.9").to_string(), "10.0.0.1-10.0.0.9");
        assert_eq!(range("10.0.0.9/29").to_string(), "10.0.0.8-10.0.0.15");
        assert_eq!(range("fd00::10-fd00::1f").to_string(), "fd00::10-fd00::1f");
        for (text, says) in [
            ("10.0.0.100-10.0.0.90", "it ends before it begins"),
            ("10.0.0.1-fd00::1", "it begins and ends in different families"),
            ("10.0.0.1-", " is no address"),
            ("10.0.0.5", "a single address is written with its length, as /32"),
            ("10.0.0.0/33", "it is neither a range nor a network"),
            ("", "it is neither a range nor a network"),
        ] {
            assert_eq!(AddressRange::parse(text).unwrap_err(), says, "{text}");
        }
    }

    #[test]
    fn addresses_are_counted() {
        assert_eq!(range("10.0.0.43-10.0.0.49").count(false), Some(7));
        assert_eq!(range("10.0.0.0/24").count(true), Some(254));
        assert_eq!(range("10.0.0.250-10.0.1.5").count(true), Some(10));
        assert_eq!(range("0.0.0.0/0").count(false), Some(1 << 32));
        assert_eq!(range("fd00::/64").count(false), None);
        assert!(range("10.0.0.0/24").overlaps(&range("10.0.0.255-10.0.1.9")));
        assert!(!range("10.0.0.0/24").overlaps(&range("::/0")));
        assert!(range("10.0.0.0/24").contains([10, 0, 0, 7].into()));
    }
}
