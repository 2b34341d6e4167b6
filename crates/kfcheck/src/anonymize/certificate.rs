//! Names in certificates (X.690, RFC 5280).

use std::hash::{DefaultHasher, Hash, Hasher};

/// Deeper than any certificate.
const DEEPEST: usize = 24;

/// The tags of texts: UTF8String, PrintableString, IA5String, and a general name's e-mail address,
/// DNS name and URI.
const TEXTS: [u8; 6] = [0x0c, 0x13, 0x16, 0x81, 0x82, 0x86];
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const CONSTRUCTED: u8 = 0x20;

/// A certificate with other names in it, and with other keys and signatures of the same length:
/// those are in public logs, by which the names could be found. It is signed by nobody.
pub(super) fn rewrite(der: &[u8], write: &mut dyn FnMut(&str) -> String) -> Vec<u8> {
    rewritten(der, write, 0).unwrap_or_default()
}

fn rewritten(
    mut der: &[u8],
    write: &mut dyn FnMut(&str) -> String,
    depth: usize,
) -> Option<Vec<u8>> {
    if depth > DEEPEST {
        return None;
    }
    let mut out = Vec::with_capacity(der.len());
    while !der.is_empty() {
        let (tag, content, rest) = element(der)?;
        der = rest;
        let content = match tag {
            _ if tag & CONSTRUCTED != 0 => rewritten(content, write, depth + 1)?,
            tag if TEXTS.contains(&tag) => match std::str::from_utf8(content) {
                Ok(text) => write(text).into_bytes(),
                Err(_) => content.to_vec(),
            },
            // An extension's value, or a key's number.
            OCTETS => rewritten(content, write, depth + 1).unwrap_or_else(|| other(content, 0)),
            BITS => match content.split_first() {
                Some((0, inner)) if inner.first() == Some(&0x30) => {
                    let inner = rewritten(inner, write, depth + 1);
                    [vec![0], inner.unwrap_or_else(|| other(&content[1..], 1))].concat()
                }
                // The first says how a point is written.
                _ => other(content, 2),
            },
            INTEGER if content.len() > 8 => other(content, 1),
            _ => content.to_vec(),
        };
        out.push(tag);
        out.extend(length(content.len()));
        out.extend(content);
    }
    Some(out)
}

fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn length(of: usize) -> Vec<u8> {
    if let Some(short) = u8::try_from(of).ok().filter(|short| *short < 0x80) {
        return vec![short];
    }
    let bytes: Vec<u8> = of.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let count = u8::try_from(bytes.len()).unwrap_or_default();
    [vec![0x80 | count], bytes].concat()
}

/// Other bytes of the same number, the same for the same; the first `kept` stay.
fn other(bytes: &[u8], kept: usize) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let mut state = hasher.finish() | 1;
    let next = |(at, byte): (usize, &u8)| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if at < kept { *byte } else { state.to_le_bytes()[3] }
    };
    bytes.iter().enumerate().map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    #[test]
    fn texts_are_replaced_and_lengths_follow() {
        // SEQUENCE { [2] "kf.acme.io", OCTET STRING { SEQUENCE { IA5String "x" } } }
        let inner = [0x30, 0x03, 0x16, 0x01, b'x'];
        let der = [&[0x30, 19, 0x82, 10][..], b"kf.acme.io", &[0x04, 5], &inner].concat();
        let long = "h".repeat(200);
        let mut write = |text: &str| if text == "x" { "y".to_owned() } else { long.clone() };
        let after = rewrite(&der, &mut write);
        let inner = [0x30, 0x03, 0x16, 0x01, b'y'];
        let expected =
            [&[0x30, 0x81, 210, 0x82, 0x81, 200][..], long.as_bytes(), &[0x04, 5], &inner].concat();
        assert_eq!(after, expected);
    }

    #[test]
    fn whatever_is_no_certificate_is_left_out() {
        for bytes in [&[0x30, 0x82][..], &[0x30, 5, 1], &[0xff; 9], &[0x30, 0x85, 1, 1, 1, 1, 1]] {
            assert!(rewrite(bytes, &mut |text| text.to_owned()).is_empty(), "{bytes:x?}");
        }
    }
}
