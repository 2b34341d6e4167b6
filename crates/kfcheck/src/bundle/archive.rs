use std::{
    fs,
    io::{BufReader, Read},
    path::{Component, Path},
};

use flate2::read::GzDecoder;

use super::{Bundle, BundleError, File, file::LARGEST};

/// What an archive may hold when unpacked, in bytes: a small one can claim any size.
const LARGEST_SUM: u64 = 1 << 30;
/// How many entries an archive may have.
const MOST_ENTRIES: usize = 100_000;

/// The bundle in a `.tar.gz`, unpacked in memory. One folder around everything is looked through.
pub(super) fn open(path: &Path) -> Result<Bundle, BundleError> {
    let failed = |error| BundleError::Io { path: path.to_owned(), error };
    let packed = BufReader::new(fs::File::open(path).map_err(failed)?);
    read(GzDecoder::new(packed), path)
}

/// The bundle in a tar archive, which comes from `path`.
pub(super) fn read(archive: impl Read, path: &Path) -> Result<Bundle, BundleError> {
    let failed = |error| BundleError::Io { path: path.to_owned(), error };
    let large = |detail: String| BundleError::TooLarge { path: path.to_owned(), detail };
    let mut archive = tar::Archive::new(archive.take(LARGEST_SUM + 1));
    let (mut plain, mut refused, mut sum) = (Vec::new(), Vec::new(), 0);
    for (nth, entry) in archive.entries().map_err(failed)?.enumerate() {
        let entry = entry.map_err(failed)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let size = entry.size();
        sum += size;
        if nth >= MOST_ENTRIES || sum > LARGEST_SUM || size > LARGEST {
            return Err(large(format!(
                "at most {MOST_ENTRIES} files of {LARGEST} bytes, {LARGEST_SUM} together, are read"
            )));
        }
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = entry.path().ok().and_then(|path| inside(&path));
        match name {
            Some(name) if kind.is_file() => {
                let mut bytes = Vec::new();
                entry.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
                plain.push((name, bytes));
            }
            name => refused.push(name.unwrap_or(shown)),
        }
    }
    let around = folder_around(&plain);
    let mut bundle = Bundle::default();
    for (name, bytes) in plain {
        let name = name[around.len()..].to_owned();
        let file = String::from_utf8(bytes)
            .map_or_else(|_| File::broken(&name, "no UTF-8 text"), File::in_memory);
        bundle.files.insert(name, file);
    }
    for name in refused {
        bundle.refuse(name.strip_prefix(&around).unwrap_or(&name).to_owned());
    }
    Ok(bundle)
}

/// The path with `/` between its parts, if it stays inside and names something there.
fn inside(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => (),
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// `NAME/` where `bundle.yaml` is only there, as `tar czf x.tar.gz NAME` packs it; else nothing.
fn folder_around(files: &[(String, Vec<u8>)]) -> String {
    let folders = files.iter().filter_map(|(name, _)| name.strip_suffix("bundle.yaml"));
    let folders = folders.filter(|folder| folder.is_empty() || folder.ends_with('/'));
    let shortest = folders.min_by_key(|folder| folder.len()).unwrap_or_default();
    let all = files.iter().all(|(name, _)| name.starts_with(shortest));
    if all && shortest.matches('/').count() <= 1 { shortest.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of entries, each with its name and the size that it says it has.
    fn opened(entries: &[(&str, u64)]) -> Result<Bundle, BundleError> {
        let mut packed = Vec::new();
        for (name, size) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(*size);
            header.set_cksum();
            packed.extend_from_slice(header.as_bytes());
            packed.extend_from_slice(&[b' '; 512][..if *size == 0 { 0 } else { 512 }]);
        }
        read(&*packed, Path::new("x.tar.gz"))
    }

    fn names(bundle: &Bundle) -> Vec<&str> {
        bundle.files.keys().map(String::as_str).collect()
    }

    #[test]
    fn an_entry_without_a_name_is_no_file() {
        for name in ["", ".", "./."] {
            let bundle = opened(&[("bundle.yaml", 1), (name, 1)]).unwrap();
            assert_eq!(bundle.refused(), [name]);
        }
    }

    #[test]
    fn a_file_whose_name_ends_like_the_manifests_is_no_folder() {
        let bundle = opened(&[("my-bundle.yaml", 1), ("my-notes.yaml", 1)]).unwrap();
        assert_eq!(names(&bundle), ["my-bundle.yaml", "my-notes.yaml"]);
        let bundle = opened(&[("my/bundle.yaml", 1), ("my/gcp/a.json", 1)]).unwrap();
        assert_eq!(names(&bundle), ["bundle.yaml", "gcp/a.json"]);
    }
}
