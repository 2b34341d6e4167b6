use std::{fs, path::PathBuf, sync::OnceLock};

use serde_json::Value;

use crate::Fault;

/// No file of a bundle is larger than this, in bytes.
pub(super) const LARGEST: u64 = 256 << 20;

/// One file of a bundle, read and parsed at most once.
#[derive(Debug)]
pub(super) struct File {
    source: Source,
    value: OnceLock<Result<Value, Fault>>,
}

#[derive(Debug)]
enum Source {
    Disk(PathBuf),
    Memory(String),
    /// Made by this program; there is no text.
    Parsed,
    Broken(Fault),
}

impl File {
    pub(super) fn on_disk(path: PathBuf) -> Self {
        Self { source: Source::Disk(path), value: OnceLock::new() }
    }

    pub(super) fn in_memory(text: String) -> Self {
        Self { source: Source::Memory(text), value: OnceLock::new() }
    }

    pub(super) fn parsed(value: Value) -> Self {
        Self { source: Source::Parsed, value: Ok(value).into() }
    }

    pub(super) fn broken(name: &str, detail: &str) -> Self {
        let fault = Fault::Malformed { file: name.to_owned(), detail: detail.to_owned() };
        Self { source: Source::Broken(fault), value: OnceLock::new() }
    }

    /// Whether it was read rather than made.
    pub(super) fn is_text(&self) -> bool {
        !matches!(self.source, Source::Parsed)
    }

    /// Its text as it is.
    pub(super) fn text(&self, name: &str) -> Result<String, Fault> {
        let broken = |detail| Fault::Malformed { file: name.to_owned(), detail };
        match &self.source {
            Source::Memory(text) => Ok(text.clone()),
            Source::Parsed => match self.value(name)? {
                Value::String(text) => Ok(text.clone()),
                other => Ok(other.to_string()),
            },
            Source::Broken(fault) => Err(fault.clone()),
            Source::Disk(path) => {
                let size = fs::metadata(path).map_err(|e| broken(e.to_string()))?.len();
                if size > LARGEST {
                    return Err(broken(format!("{size} bytes, more than the {LARGEST} read")));
                }
                let bytes = fs::read(path).map_err(|e| broken(e.to_string()))?;
                String::from_utf8(bytes).map_err(|e| broken(format!("no UTF-8 text: {e}")))
            }
        }
    }

    /// What it holds, where it is one document.
    pub(super) fn value(&self, name: &str) -> Result<&Value, Fault> {
        let parse = || {
            let text = self.text(name)?;
            let broken = |detail| Fault::Malformed { file: name.to_owned(), detail };
            if is_yaml(name) {
                parse_yaml(&text).map_err(broken)
            } else {
                serde_json::from_str(&text).map_err(|e| broken(e.to_string()))
            }
        };
        self.value.get_or_init(parse).as_ref().map_err(Clone::clone)
    }
}

/// Whether a file is YAML, going by its name.
pub(super) fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// The first document of a text; nothing at all is null.
fn parse_yaml(text: &str) -> Result<Value, String> {
    Ok(parse_all_yaml(text)?.into_iter().next().unwrap_or_default())
}

/// The documents of a text.
///
/// Without aliases there is no more in it than its size says, and the parser's own limits, made for
/// configuration, are below what a cluster prints.
pub(super) fn parse_all_yaml(text: &str) -> Result<Vec<Value>, String> {
    let size = text.len().max(1000);
    // YAML 1.2, which Kubernetes' own printer respects: `y` and `on` are words.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_documents: size,
            max_events: 4 * size,
            max_nodes: size,
            max_total_scalar_bytes: 2 * size,
        },
    };
    let brief = |error: serde_saphyr::Error| {
        error.to_string().lines().next().unwrap_or_default().to_owned()
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(brief)
}
