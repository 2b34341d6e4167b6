//! Reports that were written down, read again.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use kfcheck::Bundle;
use kfcheck_report::Output;

/// No report is larger than this, in bytes.
const LARGEST: u64 = 256 << 20;
const SCHEMA: &str = "kfcheck/v1";
/// What a gzip file begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What somebody wrote down.
pub(crate) enum Written {
    Bundle(Bundle),
    Report(Box<Output>),
}

/// A bundle, or a report of `-o json` or `-o yaml`; `-` is standard input, for reports alone.
pub(crate) fn read(path: &Path) -> Result<Written, String> {
    if path.is_dir() {
        return open(path);
    }
    let bytes = bytes(path)?;
    if !bytes.starts_with(&GZIP) {
        return parse(path, bytes).map(|report| Written::Report(Box::new(report)));
    }
    if is_stdin(path) {
        return Err("a bundle can't be read from standard input; name its file".to_owned());
    }
    open(path)
}

/// A report of `-o json` or `-o yaml`; `-` is standard input.
pub(crate) fn report(path: &Path) -> Result<Output, String> {
    match read(path)? {
        Written::Report(report) => Ok(*report),
        Written::Bundle(_) => {
            let path = path.display();
            Err(format!("{path} is a bundle and no report; inspect it with --bundle {path}"))
        }
    }
}

fn open(path: &Path) -> Result<Written, String> {
    Bundle::open(path).map(Written::Bundle).map_err(|error| error.to_string())
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot read {}: {error}", name(path));
    let mut bytes = Vec::new();
    let read = if is_stdin(path) {
        io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).map_err(cannot)?.take(LARGEST + 1).read_to_end(&mut bytes)
    };
    let read = read.map_err(cannot)?;
    if read as u64 > LARGEST {
        return Err(format!("{} is larger than the {LARGEST} bytes that are read", name(path)));
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: Vec<u8>) -> Result<Output, String> {
    let no_report = |why: &str| {
        format!(
            "{} is no report: {why}; expected what `kubectl kfcheck PROVIDER -o json` or `-o yaml` \
             writes, or a bundle",
            name(path)
        )
    };
    let text = String::from_utf8(bytes).map_err(|error| no_report(&error.to_string()))?;
    let output: Output = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| no_report(&error.to_string()))?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| {
            // The rest of it shows the text, which may be anything.
            no_report(error.to_string().lines().next().unwrap_or_default())
        })?
    };
    if output.schema != SCHEMA {
        return Err(no_report(&format!("its schema is '{}', and not '{SCHEMA}'", output.schema)));
    }
    Ok(output)
}

fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}
