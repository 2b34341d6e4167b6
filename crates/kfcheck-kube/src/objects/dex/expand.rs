use serde::{Deserialize, Serialize};

use super::Hidden;

/// How many variables of a value are looked at.
const ENOUGH: usize = 100;

/// A value in which Dex puts variables of its environment for what follows a `$` (dexidp/dex,
/// `cmd/dex/config.go`: `os.ExpandEnv` on the configuration of storage and connectors, unless
/// `DEX_EXPAND_ENV` is false).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Expansion {
    /// Which value: `bindPW`.
    pub path: String,
    /// The variables that are named as such.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// How many others there are. What their names would be may be a part of a password.
    pub others: usize,
    /// How many of those are no name of a variable, so that nothing is put for them: `$$`, `$1`.
    #[serde(skip_serializing_if = "is_zero")]
    pub no_names: usize,
    /// How many of those have a small letter in them, as variables seldom do.
    #[serde(skip_serializing_if = "is_zero")]
    pub small: usize,
    /// The names that may be a part of a password, for whoever looks them up and shows them to nobody.
    #[serde(skip)]
    pub hidden: Vec<Hidden>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Expansion {
    /// What Dex puts for something in `value`; nothing where it leaves it as it is. Of a secret, only
    /// what must be meant for a variable is kept.
    pub(super) fn of(path: &str, value: &str, is_secret: bool) -> Option<Self> {
        let mut found = Self { path: path.to_owned(), ..Self::default() };
        for name in names(value).into_iter().take(ENOUGH) {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let braced = value.contains(&format!("${{{name}}}"));
            let whole = value == format!("${name}") && name.contains('_');
            let is_one =
                name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit());
            let meant = !name.is_empty() && is_one && (braced || whole);
            if meant || !is_secret && !name.is_empty() {
                found.variables.push(name.to_owned());
                continue;
            }
            found.others += 1;
            if name.is_empty() || !is_one {
                found.no_names += 1;
            } else {
                found.small += usize::from(name.contains(|c: char| c.is_ascii_lowercase()));
                found.hidden.push(Hidden::keep(name));
            }
        }
        (found.others > 0 || !found.variables.is_empty()).then_some(found)
    }
}

/// A part of a text, as Go's `os.Expand` takes it.
enum Part<'a> {
    /// It stays.
    Text(&'a str),
    /// A variable stands here; an empty name is what it swallows.
    Name(&'a str),
}

/// The parts of a text, in order.
fn parts(text: &str) -> Vec<Part<'_>> {
    let is_special = |c: char| "*#$@!?-0123456789".contains(c);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        let Some(first) = after.chars().next() else { break };
        found.push(Part::Text(before));
        if let Some(inside) = after.strip_prefix('{') {
            let (name, after) = inside.split_once('}').unwrap_or(("", inside));
            found.push(Part::Name(name));
            rest = after;
        } else if is_special(first) {
            found.push(Part::Name(&after[..1]));
            rest = &after[1..];
        } else {
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            found.push(if end > 0 { Part::Name(&after[..end]) } else { Part::Text("$") });
            rest = &after[end..];
        }
    }
    found.push(Part::Text(rest));
    found
}

/// The names of variables in a text.
fn names(text: &str) -> Vec<&str> {
    let name = |part| match part {
        Part::Name(name) => Some(name),
        Part::Text(_) => None,
    };
    parts(text).into_iter().filter_map(name).collect()
}

/// What Dex makes of a value, with the variables that it has.
pub fn expand_env(text: &str, mut variable: impl FnMut(&str) -> Option<String>) -> String {
    let mut done = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => done += text,
            Part::Name("") => (),
            Part::Name(name) => done += &variable(name).unwrap_or_default(),
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::{Expansion, expand_env, names};

    #[test]
    fn names_are_what_go_takes_for_them() {
        for (text, expected) in [
            ("plain", &[][..]),
            ("ends with $", &[]),
            ("a$ b", &[]),
            ("$HOME/x", &["HOME"]),
            ("pa$$word", &["$"]),
            ("p$1word", &["1"]),
            ("a${B_C}d$e", &["B_C", "e"]),
            ("${}", &[""]),
            ("${open", &[""]),
            ("p$ä", &[]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn what_dex_makes_of_a_value_is_what_go_makes_of_it() {
        let has = |name: &str| (name == "SET").then(|| "yes".to_owned());
        for (text, expected) in [
            ("plain", "plain"),
            ("a$", "a$"),
            ("pa$$word", "paword"),
            ("p$1word", "pword"),
            ("pa$word1!", "pa!"),
            ("x${SET}y$SET", "xyesyyes"),
            ("${}a", "a"),
            ("${open", "open"),
            ("a$ b", "a$ b"),
            ("a$ b${ b}c", "a$ bc"),
        ] {
            assert_eq!(expand_env(text, has), expected, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_password_is_no_name_to_be_kept() {
        let of = |value| Expansion::of("bindPW", value, true).unwrap();
        assert_eq!(of("pa$word1").variables, Vec::<String>::new());
        assert_eq!(of("pa$word1").others, 1);
        assert_eq!(of("$Secret1").others, 1);
        assert_eq!((of("pa$word1").small, of("$ECRET").small, of("$ECRET").others), (1, 0, 1));
        assert_eq!((of("pa$$word").no_names, of("p$1").no_names, of("${}").no_names), (1, 1, 1));
        for value in ["pa$word1", "$ECRET"] {
            let found = of(value);
            let names: Vec<_> = found.hidden.iter().filter_map(|name| name.reveal()).collect();
            assert_eq!(names, [value.rsplit('$').next().unwrap()]);
            let shown = format!("{found:?} {}", serde_json::to_string(&found).unwrap());
            assert!(!shown.contains("word1") && !shown.contains("ECRET"), "{shown}");
        }
        assert_eq!(of("$LDAP_BIND_PW").variables, ["LDAP_BIND_PW"]);
        assert_eq!(of("${LDAPPW}").variables, ["LDAPPW"]);
        assert_eq!(Expansion::of("bindPW", "plain", true), None);
        assert_eq!(of(&"$".repeat(200_000)).others, 100);
        let filter = Expansion::of("userSearch.filter", "(cn=$name)", false).unwrap();
        assert_eq!(filter.variables, ["name"]);
    }
}
