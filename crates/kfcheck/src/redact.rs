//! Takes secrets out of text that other programs wrote: log lines, events, answers.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex, RegexSet};

/// What is put in the place of a secret.
pub const REDACTED: &str = "(redacted)";

/// What gives a secret away, and which part of it to keep.
static SECRETS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        // A header, and what follows the scheme in it.
        (r"(?i)\b(bearer|negotiate)\s+[a-z0-9._~+/=-]{8,}", "$1 (redacted)"),
        (r"\b([Bb]asic)\s+[a-z0-9+/]*[0-9A-Z+/][a-zA-Z0-9+/]{6,}={0,2}", "$1 (redacted)"),
        // A flag and its value.
        (r"(?i)(--?[\w-]*(?:password|secret|token|key)[ =])(?:[^\s\-][^\s]*)", "$1(redacted)"),
        (r"(?i)\b((?:set-)?cookie|authorization)(\s*[:=]\s*)[^\s,;(][^\r\n]*", "$1$2(redacted)"),
        // Anything named like one: password=…, "client_secret": "…", --token …, bindPW: ….
        (
            r#"(?i)\b([\w.-]*(?:passw(?:or)?d|passphrase|secret|api[_-]?key|private[_-]?key|bindpw)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s"',;&}\])(][^\s"',;&}\])]*)"#,
            "${1}(redacted)",
        ),
        // A token or a credential; "no token: permission denied" is prose and stays.
        (
            r#"(?i)\b([\w.-]*(?:token|credentials?)["']?(?:\s*=\s*|\s*:\s*["']|:))("[^"]*"|'[^']*'|[^\s"',;&}\])(][^\s"',;&}\])]*)"#,
            "${1}(redacted)",
        ),
        (
            r#"\b([\w.-]*(?i:token|credentials?)\s*:\s+)([^\s"',;&}\])]*[0-9][^\s"',;&}\])]*|[^\s"',;&}\])]{20,})"#,
            "${1}(redacted)",
        ),
        // A JSON web token, an access token of Google's or an access key of AWS's.
        (r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?", "(redacted)"),
        (
            r"\bya29\.[A-Za-z0-9._-]{10,}|\bGOCSPX-[A-Za-z0-9_-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
            "(redacted)",
        ),
        // A private key, and a password in a URL.
        (
            r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
            "(redacted)",
        ),
        (r"(?i)\b([a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@", "$1:(redacted)@"),
    ];
    let compile = |(pattern, keep)| Some((Regex::new(pattern).ok()?, keep));
    patterns.into_iter().filter_map(compile).collect()
});

/// Most texts have no secret, which one look for any of them tells.
static ANY: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(SECRETS.iter().map(|(secret, _)| secret.as_str())).ok());

/// How often a text is gone over at most.
const PASSES: usize = 8;

/// `text` without what looks like a secret. It is gone over until nothing more is found: what was written
/// down of it is then read again as it is.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut clean = Cow::Borrowed(text);
    for _ in 0..PASSES {
        match pass(&clean) {
            Cow::Owned(cleaner) if cleaner != clean => clean = Cow::Owned(cleaner),
            _ => break,
        }
    }
    clean
}

/// Goes over a text once. What is taken out already stays as it is written, in quotes or not.
fn pass(text: &str) -> Cow<'_, str> {
    if ANY.as_ref().is_some_and(|any| !any.is_match(text)) {
        return Cow::Borrowed(text);
    }
    SECRETS.iter().fold(Cow::Borrowed(text), |text, (secret, keep)| {
        let clean = |found: &Captures<'_>| {
            let mut clean = String::new();
            found.expand(keep, &mut clean);
            let bare = |text: &str| text.replace(['"', '\''], "");
            let stays = bare(&found[0]) == bare(&clean) || names_a_kind(&found[0]);
            if stays { found[0].to_owned() } else { clean }
        };
        match secret.replace_all(&text, clean) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => Cow::Owned(clean),
        }
    })
}

/// Kubernetes' own `secret: secrets "NAME" not found` names a kind, and no secret.
fn names_a_kind(found: &str) -> bool {
    let mut words = found.rsplit(": ");
    words.next() == Some("secrets") && words.next().is_some_and(|before| before.ends_with("secret"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ANY, SECRETS, redact};

    #[test]
    fn every_pattern_is_a_pattern() {
        assert_eq!(SECRETS.len(), 11);
        assert_eq!(ANY.as_ref().unwrap().len(), 11);
    }

    #[test]
    fn secrets_are_taken_out_and_the_rest_stays() {
        for (text, clean) in [
            ("Authorization: Bearer abcdefghijkl", "Authorization: (redacted)"),
            ("sent bearer abc.def.ghi-jkl to it", "sent bearer (redacted) to it"),
            ("password=hunter2 user=a", "password=(redacted) user=a"),
            (r#"{"client_secret": "s3cr3t", "x": 1}"#, r#"{"client_secret": (redacted), "x": 1}"#),
            ("bindPW: adminpass", "bindPW: (redacted)"),
            ("ldap://cn=admin:hunter2@host", "ldap://cn=admin:(redacted)@host"),
            ("key eyJhbGciOi.eyJzdWIiOi.c2ln ends", "key (redacted) ends"),
            ("token: permission denied", "token: permission denied"),
            ("credentials: JWT audience doesn't match", "credentials: JWT audience doesn't match"),
            ("access_token=abcdefghi", "access_token=(redacted)"),
            (r#"{"access_token":"abcdefgh"}"#, r#"{"access_token":"(redacted)"}"#),
            ("id_token: abc123def", "id_token: (redacted)"),
            ("run --token abcd1234EFGH -v", "run --token (redacted) -v"),
            ("run --password=hunter2 -v", "run --password=(redacted) -v"),
            ("Basic authentication failed", "Basic authentication failed"),
            ("Basic dXNlcjpodW50ZXIy", "Basic (redacted)"),
            ("GOCSPX-abcdefghijklmnop", "(redacted)"),
            (
                "unable to read file: /etc/envoy/config.json",
                "unable to read file: /etc/envoy/config.json",
            ),
            ("Required JWT token is missing", "Required JWT token is missing"),
            (
                "error getting SSL secret: secrets \"kf-tls\" not found",
                "error getting SSL secret: secrets \"kf-tls\" not found",
            ),
            ("password: secrets", "password: (redacted)"),
        ] {
            assert_eq!(redact(text), clean);
            assert_eq!(redact(clean), clean, "once more");
        }
    }

    /// What may be next to a secret.
    fn words() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "token",
            "password",
            "client_secret",
            "--token",
            "--api-key",
            "Bearer",
            "Basic",
            "Cookie",
            "authorization",
            "bindPW",
            "credentials",
            "private_key",
            "abcdefgh1",
            "hunter2",
            "Zm9vYmFyYmF6",
            "(redacted)",
            "eyJhbGciOi.eyJzdWIiOi.c2ln",
            "ya29.abcdefghijkl",
            "AKIAABCDEFGHIJKLMNOP",
            "https://",
            "user",
            "@",
            "host/",
            ":",
            "=",
            " ",
            "\"",
            "'",
            ",",
            "{",
            "}",
            "(",
            ")",
            "\n",
            ".",
            "-",
            "é",
            ";",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
        ]);
        prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_clean_stays_as_it_is(text in words(), any in any::<String>()) {
            for text in [text, any] {
                let clean = redact(&text);
                prop_assert_eq!(redact(&clean), clean.as_ref());
            }
        }

        #[test]
        fn a_password_is_taken_out_whatever_stands_around(before in words(), after in words()) {
            let text = format!("{before}\n password=hunter3hunter3\n{after}");
            prop_assert!(!redact(&text).contains("hunter3"));
        }
    }
}
