//! What holds whatever a pool is told. The fuzz target and the tests below try it: each function panics
//! where it doesn't hold.

use std::net::IpAddr;

use crate::AddressRange;

/// A range, one a line: it never ends before it begins, holds its ends, and is read again as it is
/// shown.
pub fn pools(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ranges: Vec<_> = text.lines().filter_map(|line| AddressRange::parse(line).ok()).collect();
    for range in &ranges {
        assert!(range.first <= range.last && range.first.is_ipv4() == range.last.is_ipv4());
        assert!(range.contains(range.first) && range.contains(range.last) && range.overlaps(range));
        assert_eq!(AddressRange::parse(&range.to_string()).as_ref(), Ok(range));
        let (all, spared) = (range.count(false), range.count(true));
        assert_eq!(all.is_some(), range.first.is_ipv4());
        assert!(spared <= all && all.is_none_or(|all| (1..=1 << 32).contains(&all)), "{range}");
        if let (IpAddr::V4(first), IpAddr::V4(last), Some(..=1000)) = (range.first, range.last, all)
        {
            let ends = (first.to_bits()..=last.to_bits()).map(|address| address & 0xff);
            assert_eq!(
                spared,
                Some(ends.filter(|end| ![0, 255].contains(end)).count() as u64),
                "{range}"
            );
        }
    }
    for (one, other) in ranges.iter().zip(ranges.iter().skip(1)) {
        assert_eq!(one.overlaps(other), other.overlaps(one));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_range_is_read_or_refused(
            one in any::<IpAddr>(),
            other in any::<IpAddr>(),
            near in 0_u32..2000,
            length in 0_u8..140,
            text in "[0-9a-f.:/ -]{0,30}",
        ) {
            let last = match one {
                IpAddr::V4(one) => IpAddr::from(std::net::Ipv4Addr::from(one.to_bits().saturating_add(near))),
                IpAddr::V6(_) => other,
            };
            let all = format!("{one}-{last}\n{one} - {other}\n{one}/{length}\n{other}/{length}\n{text}\n");
            pools(all.as_bytes());
            prop_assert_eq!(AddressRange::parse(&format!("{one}-{one}")).map(|range| range.first), Ok(one));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            pools(&bytes);
        }
    }
}
