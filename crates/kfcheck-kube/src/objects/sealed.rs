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
pub struct Mark(u64);

impl Mark {
    fn of(secret: &str) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(secret))
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
        let text = text.trim();
        let mark = text.strip_prefix(REDACTED).map(str::trim).filter(|mark| mark.len() == 16);
        match mark.and_then(|mark| u64::from_str_radix(mark, 16).ok()) {
            Some(mark) => Self::Marked(Mark(mark)),
            None if text.is_empty() => Self::Empty,
            None if is_redacted(text) => Self::Redacted,
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
            Sealed::Marked(Mark(mark)) => Some(format!("{REDACTED} {mark:016x}")),
        }
    }
}

/// Text that stays in memory: it is neither shown nor written.
#[derive(Clone, Default)]
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
            (Sealed::read("hunter2"), Sealed::read("hunter2\n"), Sealed::read("x1"));
        assert_eq!(one.is_same(same), Some(true));
        assert_eq!(one.is_same(other), Some(false));
        let text = written(one);
        assert!(!text.contains("hunter2") && !format!("{one:?}").contains("hunter2"), "{text}");
        let again: Sealed = serde_json::from_str(&text).unwrap();
        assert_eq!(again.is_same(one), Some(true));
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
