//! Plain YAML, a line at a time as Kubernetes' own printer writes it, brought into JSON in one go.
//!
//! What a cluster prints is tens of megabytes; as JSON it can be read in part. Whatever is written
//! otherwise (aliases, tags, flow, folds, comments) is left to the full parser.

use super::manifest::Header;

/// More than any object has, and less than makes a reader of JSON give up.
const DEEPEST: usize = 100;

/// A mapping or a sequence that has not ended.
struct Block {
    /// Where its keys or dashes stand.
    column: usize,
    is_sequence: bool,
    begun: bool,
    /// Nothing stands behind its last key or dash yet.
    is_open: bool,
}

struct Writer<'a> {
    json: &'a mut String,
    header: Header,
    blocks: Vec<Block>,
    has_root: bool,
    /// The last keys of the object itself, and of what is right below it.
    keys: [&'a str; 2],
    rest: &'a str,
}

/// Writes the only document of `text` to `json` and tells what it is; nothing where it isn't one
/// mapping in plain lines. Something may have been written then, too.
pub(super) fn to_json<'a>(text: &'a str, json: &'a mut String) -> Option<Header> {
    let header = Header::default();
    let (blocks, keys) = (Vec::new(), [""; 2]);
    let mut writer = Writer { json, header, blocks, has_root: false, keys, rest: text };
    while !writer.rest.is_empty() {
        let line = writer.next_line()?;
        let content = line.trim_start_matches(' ');
        if !content.is_empty() {
            writer.line(line.len() - content.len(), content)?;
        }
    }
    while !writer.blocks.is_empty() {
        writer.end_block();
    }
    writer.has_root.then_some(writer.header)
}

impl<'a> Writer<'a> {
    /// The next line; nothing where it isn't plain, or doesn't end.
    fn next_line(&mut self) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        (is_plain(line) && !line.ends_with(' ')).then_some(line)
    }

    fn line(&mut self, mut column: usize, mut content: &'a str) -> Option<()> {
        while content == "-" || content.starts_with("- ") {
            self.begin_entry(column, true)?;
            let value = content[1..].trim_start_matches(' ');
            column += content.len() - value.len();
            content = value;
            let is_block = value == "-" || value.starts_with("- ") || split_key(value).is_some();
            if !is_block {
                return self.value(value);
            }
        }
        let (key, value) = split_key(content)?;
        self.begin_entry(column, false)?;
        if let Some(kept) = self.keys.get_mut(self.blocks.len() - 1) {
            *kept = key;
        }
        self.json.push('"');
        self.json.push_str(key);
        self.json.push_str("\":");
        self.value(value)
    }

    /// Goes to where a key or a dash stands: ends blocks, and begins one if it is the first of it.
    fn begin_entry(&mut self, column: usize, is_dash: bool) -> Option<()> {
        while let Some(block) = self.blocks.last() {
            let is_key_above = block.column == column && block.is_sequence && !is_dash;
            if block.column <= column && !is_key_above {
                break;
            }
            self.end_block();
        }
        match self.blocks.last_mut() {
            None if self.has_root || is_dash => return None,
            None => self.begin_block(column, false)?,
            Some(block) if block.column == column && block.is_sequence == is_dash => {
                if block.is_open {
                    self.json.push_str("null");
                }
            }
            // Deeper, or a dash right below its key. It is a value, if one is missing.
            Some(block) => {
                block.is_open.then_some(())?;
                block.is_open = false;
                if is_dash && self.blocks.len() == 1 {
                    self.header.is_list |= self.keys[0] == "items";
                }
                self.begin_block(column, is_dash)?;
            }
        }
        let block = self.blocks.last_mut()?;
        if block.begun {
            self.json.push(',');
        }
        (block.begun, block.is_open) = (true, true);
        Some(())
    }

    fn begin_block(&mut self, column: usize, is_sequence: bool) -> Option<()> {
        self.has_root = true;
        self.json.push(if is_sequence { '[' } else { '{' });
        self.blocks.push(Block { column, is_sequence, begun: false, is_open: false });
        (self.blocks.len() <= DEEPEST).then_some(())
    }

    fn end_block(&mut self) {
        if let Some(block) = self.blocks.pop() {
            if block.is_open {
                self.json.push_str("null");
            }
            self.json.push(if block.is_sequence { ']' } else { '}' });
        }
    }

    /// Writes what stands behind a key or a dash, if anything does.
    fn value(&mut self, value: &str) -> Option<()> {
        let block = self.blocks.last_mut()?;
        block.is_open = value.is_empty();
        let column = block.column;
        let first = value.bytes().next();
        match first {
            None => (),
            Some(b'"') => {
                let inside = value[1..].strip_suffix('"').filter(|text| is_escaped_alike(text))?;
                self.json.push_str(value);
                self.note(inside, None)?;
            }
            Some(b'\'') => {
                let inside = value[1..].strip_suffix('\'')?;
                let text = inside.replace("''", "\0");
                (!text.contains('\'')).then_some(())?;
                let text = text.replace('\0', "'");
                push_text(&text, self.json);
                self.note(&text, None)?;
            }
            Some(b'|') => {
                let text = self.literal_block(value, column)?;
                push_text(&text, self.json);
                self.note(&text, None)?;
            }
            Some(b'{' | b'[') => {
                matches!(value, "{}" | "[]").then_some(())?;
                if value == "[]" && self.blocks.len() == 1 {
                    self.header.is_list |= self.keys[0] == "items";
                }
                self.json.push_str(value);
            }
            Some(_) => {
                is_plain_scalar(value).then_some(())?;
                let literal = literal(value);
                match literal {
                    Some(literal) => self.json.push_str(literal),
                    None => push_text(value, self.json),
                }
                self.note(value, literal)?;
            }
        }
        Some(())
    }

    /// Keeps what tells an object from others. Why it may not be anything but text, the full parser
    /// says.
    fn note(&mut self, text: &str, literal: Option<&str>) -> Option<()> {
        if self.blocks.last()?.is_sequence {
            return Some(());
        }
        let header = &mut self.header;
        let field = match (self.blocks.len(), self.keys) {
            (1, ["apiVersion", _]) => &mut header.api_version,
            (1, ["kind", _]) => &mut header.kind,
            (2, ["metadata", "name"]) => &mut header.metadata.name,
            (2, ["metadata", "namespace"]) => &mut header.metadata.namespace,
            _ => return Some(()),
        };
        *field = Some(text.to_owned());
        (literal.is_none() && !text.contains('\\')).then_some(())
    }

    /// The lines below `|` or `|-`.
    fn literal_block(&mut self, indicator: &str, column: usize) -> Option<String> {
        let is_stripped = match indicator {
            "|" => false,
            "|-" => true,
            _ => return None,
        };
        let (mut text, mut blank, mut indent) = (String::new(), 0, None);
        while let Some((line, rest)) = self.rest.split_once('\n') {
            let content = line.trim_start_matches(' ');
            let depth = line.len() - content.len();
            if !line.is_empty() && !content.is_empty() && depth <= column {
                break;
            }
            self.rest = rest;
            if line.is_empty() {
                blank += 1;
                continue;
            }
            let indent = *indent.get_or_insert(depth);
            // Blank lines at its beginning, and a line that is all blanks, have rules of their own.
            let is_first = text.is_empty();
            (depth >= indent && !content.is_empty() && !(is_first && blank > 0)).then_some(())?;
            let line = &line[indent..];
            (is_plain(&line.replace('\t', " ")) && !line.starts_with('\t')).then_some(())?;
            text.extend(std::iter::repeat_n('\n', std::mem::take(&mut blank)));
            text.push_str(line);
            text.push('\n');
        }
        // What the last line is without its end depends on how the file ends.
        (!text.is_empty() && (self.rest.is_empty() || self.rest.contains('\n'))).then_some(())?;
        if is_stripped {
            text.pop();
        }
        Some(text)
    }
}

/// Key and value of a line, where the key is a word.
fn split_key(content: &str) -> Option<(&str, &str)> {
    let mut colons = content.bytes().enumerate().filter(|(_, byte)| *byte == b':');
    let ends = |at: usize| matches!(content.as_bytes().get(at + 1), None | Some(b' '));
    let end = colons.find(|(at, _)| ends(*at))?.0;
    let key = &content[..end];
    let starts = key.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let is_letter =
        |b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-'..=b'/' | b':');
    let is_word = key.bytes().all(is_letter);
    // A key of more than 1,024 letters has to be written otherwise.
    let is_key = starts && is_word && key.len() <= 512;
    is_key.then(|| (key, content[end + 1..].trim_start_matches(' ')))
}

/// Whether a line has nothing in it that a parser of YAML sees as more than a letter.
fn is_plain(line: &str) -> bool {
    // Without an early end, many bytes are looked at in one go.
    line.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte))
        || line
            .chars()
            .all(|c| matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}'))
}

/// Whether a scalar without quotes is one, and ends where the line does.
fn is_plain_scalar(value: &str) -> bool {
    let mut bytes = value.bytes();
    let begins = match bytes.next() {
        Some(b'-') => bytes.next().is_some_and(|next| next != b' '),
        Some(first) => !b"?:,[]{}#&*!|>'\"%@`".contains(&first),
        None => false,
    };
    begins && !value.contains(": ") && !value.contains(" #") && !value.ends_with(':')
}

/// Whether JSON has the same escapes in double quotes.
fn is_escaped_alike(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_alike = match byte {
            b'"' => false,
            b'\\' => bytes.next().is_some_and(|next| b"\"\\nt".contains(&next)),
            _ => true,
        };
        if !is_alike {
            return false;
        }
    }
    true
}

/// What JSON writes for a plain scalar, by the core schema of YAML 1.2: null, true and false, numbers.
/// Nothing: it is text.
fn literal(value: &str) -> Option<&str> {
    match value {
        "" | "~" | "null" | "Null" | "NULL" => Some("null"),
        "true" | "True" | "TRUE" => Some("true"),
        "false" | "False" | "FALSE" => Some("false"),
        _ => is_number(value).then_some(value),
    }
}

/// Whether JSON writes this number the same way.
fn is_number(value: &str) -> bool {
    let starts = value.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    starts && serde_json::from_str::<serde_json::Number>(value).is_ok()
}

fn push_text(value: &str, json: &mut String) {
    let is_plain = |byte: u8| !matches!(byte, ..0x20 | b'"' | b'\\');
    if value.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        json.push('"');
        json.push_str(value);
        json.push('"');
    } else {
        json.push_str(&serde_json::Value::from(value).to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::to_json;

    fn converted(text: &str) -> Option<Value> {
        let mut json = String::new();
        to_json(text, &mut json)?;
        Some(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn values_are_what_the_core_schema_says() {
        let text = "\
a: 1
b: 'it''s \"1\"'
c: true
d: yes
e:
f: 1.5
g: 007
h: \"x\\n\\\"y\\\"\"
i: |
  two

    lines

j:
- 1
- k: ~
  l: []
-
- - --flag=a b
  - {}
l: .5
m: 1e3
n: -x
o: http://x/?y#z
f:p: |-
  é\t<>
last:
    deep:
";
        let expected = json!({ "a": 1, "b": "it's \"1\"", "c": true, "d": "yes", "e": null, "f": 1.5,
            "g": "007", "h": "x\n\"y\"", "i": "two\n\n  lines\n",
            "j": [1, { "k": null, "l": [] }, null, ["--flag=a b", {}]], "l": ".5", "m": 1e3,
            "n": "-x", "o": "http://x/?y#z", "f:p": "é\t<>", "last": { "deep": null } });
        assert_eq!(converted(text), Some(expected));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_full_parser() {
        for text in [
            "a: &x 1\nb: *x\n",
            "a: !!str 1\n",
            "{}:\n",
            "kind: ~\n",
            "metadata: {name: 7}\n",
            "? [a]\n: b\n",
            "- a\n",
            "a: [\n",
            "",
            "# only\n",
            "a: 1\n---\nb: 2\n",
            "a: [1]\n",
            "a: b # c\n",
            "a: b\n  c\n",
            "a:\n  b\n",
            "a: 'b\n  c'\n",
            "a: \"b\\u0041\"\n",
            "a: >\n  b\n",
            "a: |\n\n  b\n",
            "a: |\n   b\n  c\n",
            "  a: 1\nb: 2\n",
            "a: 1\n  b: 2\n",
            "a: b: c\n",
            "a:\tb\n",
            "a: b\r\n",
            "a: \u{feff}\n",
            "a: 1",
        ] {
            assert_eq!(converted(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_an_object_is_is_noted() {
        let text =
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: y\nspec:\n  kind: x\n";
        let header = to_json(text, &mut String::new()).unwrap();
        assert_eq!(header.kind.as_deref(), Some("Pod"));
        assert_eq!(header.metadata.namespace.as_deref(), Some("y"));
        assert!(!header.is_list);
    }
}
