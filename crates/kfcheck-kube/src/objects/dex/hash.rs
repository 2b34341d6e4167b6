use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kfcheck::redact::REDACTED;
use serde::{Deserialize, Serialize};

use super::super::{Hidden, is_redacted};

/// What is kept of a password: how it was hashed, and not the hash.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PasswordHash {
    /// How it was hashed.
    pub cost: Cost,
    hash: Hidden,
    /// Whether it is a password that everybody knows.
    is_known: Arc<OnceLock<bool>>,
}

/// How a password was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// With bcrypt, and this cost.
    Bcrypt(u32),
    /// In a way that Dex doesn't take.
    Other,
    /// Somebody took it out.
    Redacted,
}

/// The highest cost at which a password is tried: each step more takes twice as long.
const TRIED: u32 = 14;

impl PasswordHash {
    /// A hash, also one in base64 as Dex takes it, or what was written down of one.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        if let Some(written) = text.strip_prefix(REDACTED).filter(|text| !text.is_empty()) {
            return Self::written(written.trim());
        }
        let decoded = || String::from_utf8(STANDARD.decode(text).ok()?).ok();
        let (cost, hash) = match cost(text) {
            Some(cost) => (Some(cost), text.to_owned()),
            None => decoded().map_or((None, String::new()), |text| (cost(&text), text)),
        };
        match cost {
            Some(cost) => Self::new(Cost::Bcrypt(cost), Hidden::keep(&hash)),
            None if is_redacted(text) || is_cut(text) => {
                Self::new(Cost::Redacted, Hidden::default())
            }
            None => Self::new(Cost::Other, Hidden::default()),
        }
    }

    fn new(cost: Cost, hash: Hidden) -> Self {
        Self { cost, hash, is_known: Arc::default() }
    }

    /// `bcrypt 12`, and maybe whether everybody knows the password.
    fn written(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let cost = match (words.next(), words.next()) {
            (Some("bcrypt"), Some(cost)) => cost.parse().map_or(Cost::Redacted, Cost::Bcrypt),
            (Some("other"), _) => Cost::Other,
            _ => Cost::Redacted,
        };
        let hash = Self::new(cost, Hidden::default());
        match words.next() {
            Some("known") => drop(hash.is_known.set(true)),
            Some("own") => drop(hash.is_known.set(false)),
            _ => (),
        }
        hash
    }

    /// Whether a text looks like the hash of a password.
    pub fn is_one(text: &str) -> bool {
        matches!(Self::read(text).cost, Cost::Bcrypt(_))
    }

    /// Whether it is the hash of one of these passwords; nothing where that can't be told, or takes
    /// too long to find out. This computes for a while, so it is not for a thread that others wait
    /// for. What it finds is kept.
    pub fn is_of(&self, passwords: &[&str]) -> Option<bool> {
        if let Some(known) = self.is_known.get() {
            return Some(*known);
        }
        let (Cost::Bcrypt(4..=TRIED), Some(hash)) = (self.cost, self.hash.reveal()) else {
            return None;
        };
        let is = |password: &&str| bcrypt::verify(password, hash).unwrap_or(false);
        Some(*self.is_known.get_or_init(|| passwords.iter().any(is)))
    }
}

/// Whether it was a hash of bcrypt's until somebody took the most of it out.
fn is_cut(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.starts_with("$2")
        && ["redacted", "...", "…", "xxx", "***"].iter().any(|cut| lower.contains(cut))
}

/// The cost that a hash of bcrypt's names.
fn cost(text: &str) -> Option<u32> {
    let mut parts = text.strip_prefix("$2")?.split('$');
    let version = parts.next().filter(|version| ["", "a", "b", "x", "y"].contains(version));
    let cost = parts.next().filter(|cost| cost.len() == 2)?.parse().ok()?;
    let rest = parts.next().filter(|rest| rest.len() == 53 && rest.is_ascii());
    version.and(rest).map(|_| cost)
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.cost)
    }
}

impl From<String> for PasswordHash {
    fn from(text: String) -> Self {
        Self::read(&text)
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        let known = match hash.is_known.get() {
            Some(true) => " known",
            Some(false) => " own",
            None => "",
        };
        match hash.cost {
            Cost::Bcrypt(cost) => format!("{REDACTED} bcrypt {cost}{known}"),
            Cost::Other => format!("{REDACTED} other"),
            Cost::Redacted => REDACTED.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::{Cost, PasswordHash};

    /// Of `12341234`, and cheap.
    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu";

    fn hash(password: &str, cost: u32) -> String {
        bcrypt::hash(password, cost).unwrap()
    }

    #[test]
    fn a_password_that_everybody_knows_is_recognized_and_its_hash_is_not_written() {
        let text = hash("12341234", 4);
        for text in [text.clone(), STANDARD.encode(&text), format!("{text}\n")] {
            let hash = PasswordHash::read(&text);
            assert_eq!(hash.cost, Cost::Bcrypt(4));
            let before = serde_json::to_string(&hash).unwrap();
            assert_eq!(before, "\"(redacted) bcrypt 4\"");
            assert_eq!(hash.is_of(&["password", "12341234"]), Some(true));
            let written = serde_json::to_string(&hash).unwrap();
            assert_eq!(written, "\"(redacted) bcrypt 4 known\"");
            let again: PasswordHash = serde_json::from_str(&written).unwrap();
            assert_eq!(again.is_of(&["12341234"]), Some(true));
        }
        let own = PasswordHash::read(&hash("correct horse", 4));
        assert_eq!(own.is_of(&["12341234"]), Some(false));
        assert_eq!(serde_json::to_string(&own).unwrap(), "\"(redacted) bcrypt 4 own\"");
    }

    #[test]
    fn a_cost_that_takes_hours_is_read_and_not_tried() {
        for cost in ["31", "99", "17"] {
            let text = hash("12341234", 4).replacen("$04$", &format!("${cost}$"), 1);
            let hash = PasswordHash::read(&text);
            assert_eq!(hash.cost, Cost::Bcrypt(cost.parse().unwrap()));
            assert_eq!(hash.is_of(&["12341234"]), None);
        }
    }

    #[test]
    fn what_is_no_hash_is_told_from_what_was_taken_out() {
        for text in [HASH, "12341234", "{SSHA}abc", "$2a$xx$", "", "$2a$+4$"] {
            assert_eq!(PasswordHash::read(text).cost, Cost::Other, "{text}");
        }
        for text in ["redacted", "***", "(redacted)", "$2y$12$redacted", "$2y$12$R9h/..."] {
            assert_eq!(PasswordHash::read(text).cost, Cost::Redacted, "{text}");
        }
    }
}
