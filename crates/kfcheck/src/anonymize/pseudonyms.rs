//! The same pseudonym for the same name.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use regex::{Captures, Regex};

use super::{
    certificate,
    names::{Names, is_common},
};

/// The pseudonyms of a bundle.
pub(super) struct Pseudonyms {
    names: Names,
    /// Of a name, by its kind.
    given: BTreeMap<(&'static str, String), usize>,
}

pattern!(PEM, r"(?s)-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----");
pattern!(CODED, r"[A-Za-z0-9+/]{60,}={0,2}");
pattern!(MAIL, r"([A-Za-z0-9_.+-]+)(@|%40)([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)");
pattern!(
    HOST,
    r"(%[0-9A-Fa-f]{2})?[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)+"
);
pattern!(V4, r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b");
pattern!(DASHED_V4, r"\b[0-9]{1,3}(?:-[0-9]{1,3}){3}\b");
pattern!(V6, r"\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}\b|\b[0-9A-Fa-f]{1,4}::");
pattern!(DIGITS, r"[0-9]{6,}");
pattern!(COMPONENTS, r"(?i)\bdc=[a-z0-9_-]+(?:\s*,\s*dc=[a-z0-9_-]+)+");
pattern!(WORD, r"[a-z][a-z0-9-]*[a-z0-9]");

impl Pseudonyms {
    pub(super) fn of(names: Names) -> Self {
        Self { names, given: BTreeMap::new() }
    }

    /// The text with them.
    pub(super) fn write(&mut self, text: &str) -> String {
        let text = self.replace(&PEM, text, |this, found| {
            let coded: String = found[1].split_whitespace().collect();
            let coded = coded.replace("\\n", "");
            let der = STANDARD.decode(coded).ok()?;
            let der = certificate::rewrite(&der, &mut |name| this.write(name));
            let lines = STANDARD.encode(der);
            let line = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
            let lines: Vec<_> = lines.as_bytes().chunks(64).map(line).collect();
            let body = lines.join("\n");
            Some(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"))
        });
        // A text in a text: a Secret's entries, Dex's rootCAData.
        let text = self.replace(&CODED, &text, |this, found| {
            let plain = String::from_utf8(STANDARD.decode(&found[0]).ok()?).ok()?;
            let written = this.write(&plain);
            (written != plain).then(|| STANDARD.encode(written))
        });
        let text = self.replace(&MAIL, &text, Self::mail);
        let text = self.replace(&HOST, &text, |this, found| this.host(&found[0]));
        let text = self.replace(&COMPONENTS, &text, |this, found| this.components(&found[0]));
        let text = self.replace(&V4, &text, |this, found| this.v4(&found[0]));
        let text = self.replace(&DASHED_V4, &text, |this, found| {
            let dotted = found[0].replace('-', ".");
            Some(this.v4(&dotted)?.replace('.', "-"))
        });
        let text = self.replace(&V6, &text, |this, found| this.v6(&found[0]));
        let text = self.replace(&DIGITS, &text, |this, found| this.number(&found[0]));
        self.replace(&WORD, &text, |this, found| this.words(&found[0])).into_owned()
    }

    fn replace<'t>(
        &mut self,
        pattern: &'static LazyLock<Option<Regex>>,
        text: &'t str,
        mut with: impl FnMut(&mut Self, &Captures<'_>) -> Option<String>,
    ) -> Cow<'t, str> {
        let Some(pattern) = &**pattern else { return Cow::Borrowed(text) };
        pattern.replace_all(text, |found: &Captures<'_>| {
            with(self, found).unwrap_or_else(|| found[0].to_owned())
        })
    }

    /// The how-many-th of its kind a name is.
    fn nth(&mut self, kind: &'static str, name: &str) -> usize {
        let next = self.given.keys().filter(|(of, _)| *of == kind).count() + 1;
        *self.given.entry((kind, name.to_owned())).or_insert(next)
    }

    fn mail(&mut self, found: &Captures<'_>) -> Option<String> {
        let (name, at, host) = (&found[1], &found[2], &found[3]);
        let host = self.host(host)?;
        let nth = self.nth("user", &format!("{name}@{host}").to_lowercase());
        Some(format!("user-{nth}{at}{host}"))
    }

    fn is_own(&self, host: &str) -> bool {
        !is_common(host)
            && self.names.domains.iter().any(|domain| {
                host.strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
    }

    fn host(&mut self, whole: &str) -> Option<String> {
        // What is left of a character that is written in another way.
        let (before, host) = match whole.strip_prefix('%') {
            Some(rest) if rest.is_char_boundary(2) => (&whole[..3], &rest[2..]),
            _ => ("", whole),
        };
        let lower = host.to_ascii_lowercase();
        if !self.is_own(&lower) {
            return None;
        }
        let labels: Vec<_> = lower.split('.').collect();
        let mut written = vec![match labels.last() {
            // Who reads it may take these for names inside of a network.
            Some(top @ (&"local" | &"lan" | &"corp" | &"home")) => (*top).to_owned(),
            _ => "example".to_owned(),
        }];
        for at in (0..labels.len().saturating_sub(1)).rev() {
            let nth = self.nth("host", &labels[at..].join("."));
            let service = labels[at].starts_with('_');
            written.push(if service { labels[at].to_owned() } else { format!("h{nth}") });
        }
        written.reverse();
        Some(format!("{before}{}", written.join(".")))
    }

    /// A domain as a directory writes it (RFC 2247).
    fn components(&mut self, found: &str) -> Option<String> {
        let labels: Vec<_> =
            found.split(',').filter_map(|part| Some(part.trim().split_once('=')?.1)).collect();
        let host = self.host(&labels.join("."))?;
        Some(host.split('.').map(|label| format!("dc={label}")).collect::<Vec<_>>().join(","))
    }

    /// Addresses of one /16 stay in one /16, and what lies in a range lies in it still.
    fn v4(&mut self, text: &str) -> Option<String> {
        let address: Ipv4Addr = text.parse().ok()?;
        if !is_public(address) {
            return None;
        }
        let [a, b, c, d] = address.octets();
        let nth = self.nth("v4", &format!("{a}.{b}"));
        let (high, low) = (240 + nth / 256 % 15, nth % 256);
        Some(format!("{high}.{low}.{c}.{d}"))
    }

    fn v6(&mut self, text: &str) -> Option<String> {
        let address: Ipv6Addr = text.parse().ok()?;
        let segments = address.segments();
        // Global unicast (RFC 4291), but for what is for documentation (RFC 3849).
        if segments[0] & 0xe000 != 0x2000 || segments[..2] == [0x2001, 0xdb8] {
            return None;
        }
        let prefix = format!("{:x}:{:x}:{:x}", segments[0], segments[1], segments[2]);
        let nth = u16::try_from(self.nth("v6", &prefix)).unwrap_or(u16::MAX);
        let mut written = segments;
        written[..3].copy_from_slice(&[0x2001, 0xdb8, nth]);
        Some(Ipv6Addr::from(written).to_string())
    }

    fn number(&mut self, digits: &str) -> Option<String> {
        if !self.names.numbers.contains(digits) {
            return None;
        }
        let nth = self.nth("number", digits);
        Some(format!("1{nth:0>width$}", width = digits.len() - 1))
    }

    /// A project's id, also as a part of a name where it is no common word; and host names with
    /// dashes in the place of dots, as names of objects have them.
    fn words(&mut self, word: &str) -> Option<String> {
        if self.names.projects.contains(word) && is_telling(word) {
            return Some(format!("project-{}", self.nth("project", word)));
        }
        let mut written = word.to_owned();
        let telling: Vec<_> =
            self.names.projects.iter().filter(|id| is_telling(id)).cloned().collect();
        for id in telling {
            if is_part(&written, &id) {
                let nth = self.nth("project", &id);
                written = written.replace(&id, &format!("project-{nth}"));
            }
        }
        let domains: Vec<_> = self.names.domains.iter().cloned().collect();
        for domain in domains {
            let dashed = domain.replace('.', "-");
            if !is_part(&written, &dashed) {
                continue;
            }
            let known = self.given.keys().filter(|(kind, _)| *kind == "host");
            let mut hosts: Vec<_> = known
                .map(|(_, host)| host.clone())
                .filter(|host| host.ends_with(&domain))
                .chain([domain.clone()])
                .collect();
            hosts.sort_by_key(|host| std::cmp::Reverse(host.len()));
            for host in hosts {
                if is_part(&written, &host.replace('.', "-")) {
                    let pseudonym = self.host(&host)?.replace('.', "-");
                    written = written.replace(&host.replace('.', "-"), &pseudonym);
                }
            }
        }
        (written != word).then_some(written)
    }
}

/// Whether a project's id is no word that others use too.
fn is_telling(id: &str) -> bool {
    const COMMON: [&str; 6] = [
        "istio-system",
        "kube-system",
        "cert-manager",
        "gke-system",
        "kf-ingress",
        "knative-serving",
    ];
    id.contains(|c: char| c == '-' || c.is_ascii_digit()) && !COMMON.contains(&id)
}

/// Whether `part` is in `word`, between dashes or at its ends.
fn is_part(word: &str, part: &str) -> bool {
    word.match_indices(part).any(|(at, _)| {
        let (before, after) = (&word[..at], &word[at + part.len()..]);
        (before.is_empty() || before.ends_with('-')) && (after.is_empty() || after.starts_with('-'))
    })
}

/// Whether an address is somebody's. Those of Google's health checks and of its APIs everybody sees
/// (Google Cloud documentation, "Firewall rules for health checks", "Private Google Access").
fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let of_google = matches!(
        (a, b, c),
        (35, 191, _) | (130, 211, 0..=3) | (35, 235, 240..=255) | (199, 36, 153) | (8, 8, 4 | 8)
    );
    let carrier = a == 100 && (64..128).contains(&b);
    let reserved = a == 0 || a >= 224 || (a == 198 && (b == 18 || b == 19));
    let own = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation();
    !(own || of_google || carrier || reserved)
}
