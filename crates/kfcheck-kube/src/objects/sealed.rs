use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use kfcheck::redact::REDACTED;
use serde::{Deserialize, Serialize};

/// A secret of which is known whether there is one, and whether it is the same as another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
pub enum Sealed {
    /// There is nothing.
    #[default]
    Empty,
    /// There is something, and whoever wrote it down took it out.
    Redacted,
    /// There is something.
    Marked(Mark),
}

/// What tells one secret from another, and nothing else: a hash with a key that is made anew for
/// each run and is kept nowhere, so that no guess can be tried on what a bundle has of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of all of it.
    whole: u64,
    /// Of it without white space at its end.
    bare: u64,
}

impl Mark {
    fn of(secret: &str) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self { whole: KEY.hash_one(secret), bare: KEY.hash_one(secret.trim_end()) }
    }

    /// What was written down of one.
    fn read(text: &str) -> Option<Self> {
        let one = |mark: &str| u64::from_str_radix(mark, 16).ok().filter(|_| mark.len() == 16);
        match text.split_once(' ') {
            Some((whole, bare)) => Some(Self { whole: one(whole)?, bare: one(bare)? }),
            None => one(text).map(|mark| Self { whole: mark, bare: mark }),
        }
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

impl Sealed {
    /// What is there, or what was written down of it.
    pub fn read(text: &str) -> Self {
        let bare = text.trim();
        match bare.strip_prefix(REDACTED).and_then(|mark| Mark::read(mark.trim())) {
            Some(mark) => Self::Marked(mark),
            None if bare.is_empty() => Self::Empty,
            None if is_redacted(bare) => Self::Redacted,
            None => Self::Marked(Mark::of(text)),
        }
    }

    /// Whether there is something.
    pub fn is_set(self) -> bool {
        self != Self::Empty
    }

    /// Whether it is the same as another one; nothing where that can't be told.
    pub fn is_same(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::Redacted, Self::Redacted | Self::Marked(_))
            | (Self::Marked(_), Self::Redacted) => None,
            (one, other) => Some(one == other),
        }
    }

    /// Whether it is another one than this by white space at its end, and by nothing else.
    pub fn differs_by_space(self, other: Self) -> bool {
        match (self, other) {
            (Self::Marked(one), Self::Marked(other)) => {
                one.whole != other.whole && one.bare == other.bare
            }
            _ => false,
        }
    }
}

/// Whether a text stands for one that was taken out, as people and programs write that.
pub fn is_redacted(text: &str) -> bool {
    let text = text.trim();
    let bare = text.trim_matches(['(', ')', '<', '>', '[', ']', '*', '"', '\'']);
    let words = ["redacted", "removed", "hidden", "masked"];
    let crossed_out = |c: char| text.len() > 2 && text.chars().all(|other| other == c);
    words.iter().any(|word| bare.eq_ignore_ascii_case(word))
        || ['*', 'x', 'X', '.'].into_iter().any(crossed_out)
        || text.starts_with(REDACTED)
}

impl From<Option<String>> for Sealed {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Empty, |text| Self::read(&text))
    }
}

impl From<Sealed> for Option<String> {
    fn from(secret: Sealed) -> Self {
        match secret {
            Sealed::Empty => None,
            Sealed::Redacted => Some(REDACTED.to_owned()),
            Sealed::Marked(Mark { whole, bare }) if whole == bare => {
                Some(format!("{REDACTED} {whole:016x}"))
            }
            Sealed::Marked(Mark { whole, bare }) => {
                Some(format!("{REDACTED} {whole:016x} {bare:016x}"))
            }
        }
    }
}

/// Text that stays in memory: it is neither shown nor written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(Option<String>);

impl Hidden {
    /// Keeps a text, unless somebody took it out.
    pub(crate) fn keep(text: &str) -> Self {
        Self(Some(text.to_owned()).filter(|text| !is_redacted(text)))
    }

    /// The text, for whoever has to use it and shows it to nobody.
    pub fn reveal(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

#[cfg(test)]
mod tests {
    use super::{Hidden, Sealed, is_redacted};

    fn written(secret: Sealed) -> String {
        serde_json::to_string(&secret).unwrap()
    }

    #[test]
    fn two_secrets_are_told_apart_and_neither_is_written() {
        let (one, same, other) =
            (Sealed::read("hunter2"), Sealed::read("hunter2"), Sealed::read("x1"));
        assert_eq!(one.is_same(same), Some(true));
        assert!(!one.differs_by_space(same) && !one.differs_by_space(other));
        assert_eq!(one.is_same(other), Some(false));
        let text = written(one);
        assert!(!text.contains("hunter2") && !format!("{one:?}").contains("hunter2"), "{text}");
        let again: Sealed = serde_json::from_str(&text).unwrap();
        assert_eq!(again.is_same(one), Some(true));
    }

    #[test]
    fn white_space_at_the_end_makes_another_secret() {
        let (one, other) = (Sealed::read("hunter2"), Sealed::read("hunter2\n"));
        let again: Sealed = serde_json::from_str(&written(other)).unwrap();
        for other in [other, again] {
            assert_eq!(one.is_same(other), Some(false));
            assert!(one.differs_by_space(other) && other.differs_by_space(one));
        }
    }

    #[test]
    fn what_somebody_took_out_is_the_same_as_nothing_and_as_anything() {
        for text in
            ["redacted", "REDACTED", "***", "<redacted>", "(redacted)", "[REDACTED]", "xxxxxx"]
        {
            assert!(is_redacted(text), "{text}");
            assert_eq!(Sealed::read(text), Sealed::Redacted);
            assert_eq!(Sealed::read(text).is_same(Sealed::read("hunter2")), None);
            assert!(Hidden::keep(text).reveal().is_none());
        }
        for text in ["hunter2", "x", "**a", "redacted1", "<a>"] {
            assert!(!is_redacted(text), "{text}");
        }
        assert_eq!(Sealed::read(" "), Sealed::Empty);
        assert_eq!(Sealed::Empty.is_same(Sealed::Redacted), Some(false));
    }
}
