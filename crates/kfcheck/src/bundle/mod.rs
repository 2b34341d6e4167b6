//! Bundles: what one inspection saw, as files of the field's own tools.

mod archive;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod manifest;
mod write;
mod yaml;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::Value;

use crate::{
    Fault,
    place::{At, Kept, Spot},
};

use file::File;
use manifest::Manifests;
pub(crate) use manifest::Object;

/// The folders that a bundle may have, one at least.
const FOLDERS: [&str; 4] = ["kubernetes/", "gcp/", "aws/", "probes/"];

/// The answers of one inspection: a folder of files as the field's own tools print them.
///
/// A file is read when a fact first asks for what is in it, once, and a broken one spoils only the
/// facts that are kept there.
#[derive(Debug, Default)]
pub struct Bundle {
    files: BTreeMap<String, File>,
    manifests: OnceLock<Result<Manifests, Fault>>,
    refused: Vec<String>,
}

/// Why something is not taken for a bundle at all.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It can't be read.
    #[error("cannot read bundle {}: {error}; expected a folder or a .tar.gz that `kubectl kfcheck collect` wrote", path.display())]
    Io {
        /// What was named.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds nothing that a bundle holds.
    #[error(
        "{} is not a bundle: it has neither bundle.yaml nor a folder kubernetes, gcp, aws or probes; \
         name the folder that holds them", path.display()
    )]
    Empty {
        /// What was named.
        path: PathBuf,
    },
    /// It is larger than what is read.
    #[error("bundle {} is too large: {detail}; leave out what the run doesn't need", path.display())]
    TooLarge {
        /// What was named.
        path: PathBuf,
        /// Which limit.
        detail: String,
    },
}

impl Bundle {
    /// The bundle in a folder, or in a `.tar.gz` of one.
    ///
    /// Links, and paths that leave the bundle, are not followed: they are [`Self::refused`].
    pub fn open(root: &Path) -> Result<Self, BundleError> {
        let bundle = if root.is_file() { archive::open(root)? } else { Self::open_folder(root)? };
        let known = |name: &String| FOLDERS.iter().any(|folder| name.starts_with(folder));
        let there = |name: &String| name == "bundle.yaml" || name == "bundle.json" || known(name);
        if bundle.files.keys().any(there) || bundle.refused.iter().any(there) {
            Ok(bundle)
        } else {
            Err(BundleError::Empty { path: root.to_owned() })
        }
    }

    fn open_folder(root: &Path) -> Result<Self, BundleError> {
        let mut bundle = Self::default();
        let listed = bundle.list(root, "");
        listed.map_err(|error| BundleError::Io { path: root.to_owned(), error })?;
        Ok(bundle)
    }

    fn list(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.list(&entry.path(), &format!("{name}/"))?;
            } else if kind.is_file() {
                self.files.insert(name, File::on_disk(entry.path()));
            } else {
                self.refuse(name);
            }
        }
        Ok(())
    }

    /// Notes a file that is there and isn't read, because it is no plain file of this bundle.
    fn refuse(&mut self, name: String) {
        let reason = "is a link or a special file, and a bundle is read from plain files only; \
                      put a copy of what it points to in its place";
        self.files.insert(name.clone(), File::broken(&name, reason));
        self.refused.push(name);
    }

    /// The names of what is in the bundle and was not read: links, and paths that leave it.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The provider that `bundle.yaml` names: `gcp`, `aws`, `onprem`.
    pub fn provider(&self) -> Option<&str> {
        self.file("bundle").ok()??.get("provider")?.as_str()
    }

    /// Adds a file of JSON, whatever its extension.
    #[must_use]
    pub fn with(mut self, name: &str, content: Value) -> Self {
        self.insert(name, File::parsed(content));
        self
    }

    /// Adds a file of text, which is parsed when it is first asked for.
    #[must_use]
    pub fn with_text(mut self, name: &str, text: impl Into<String>) -> Self {
        self.insert(name, File::in_memory(text.into()));
        self
    }

    fn insert(&mut self, name: &str, file: File) {
        self.files.insert(name.to_owned(), file);
        self.manifests = OnceLock::new();
    }

    /// The answer kept at `spot`, put together by `decode`.
    pub(crate) fn read<V>(
        &self,
        spot: &Spot,
        decode: fn(Kept<'_>) -> Result<V, String>,
    ) -> Result<V, Fault> {
        let malformed = |detail| Fault::Malformed { file: spot.shown(), detail };
        // Other namespaces of the same kind may have been collected.
        // So may members of the same list that are about other things.
        if let At::Objects(..) | At::Listed(..) = &spot.at {
            let mut places = spot.addresses();
            places.retain(|place| place.contains('#'));
            if let Some(fault) = self.recorded_at(&places) {
                return Err(fault);
            }
        }
        let found = match &spot.at {
            At::File(path) => self.file(path)?.cloned().map(Kept::Value),
            At::Entry(path, name) => {
                self.file(path)?.and_then(|all| all.get(name)).cloned().map(Kept::Value)
            }
            At::Members(path, fields) => self.members(path, fields)?.map(Kept::Value),
            At::Listed(path, key, fields) => self.listed(path, key, fields)?.map(Kept::Value),
            At::Objects(kind, selection) => {
                self.manifests()?.objects(kind, selection).map(Kept::Objects)
            }
            At::Groups(suffix) => self.manifests()?.of_groups(suffix).map(Kept::Objects),
            At::Text(path) => self.text(path)?.map(|text| Kept::Value(text.into())),
        };
        let Some(found) = found else {
            return Err(self.recorded(spot).unwrap_or_else(|| self.nothing_at(spot)));
        };
        decode(found).map_err(malformed)
    }

    /// Nothing is kept at `spot`. Of kinds that nobody knows beforehand, a cluster that was collected
    /// has none then.
    fn nothing_at(&self, spot: &Spot) -> Fault {
        match (&spot.at, self.manifests()) {
            (At::Groups(suffix), Ok(manifests)) if !manifests.is_empty() => {
                Fault::Absent(format!("the cluster has no objects of *{suffix}"))
            }
            _ => spot.empty(),
        }
    }

    /// Why there is no answer at `spot`, where that was written down.
    fn recorded(&self, spot: &Spot) -> Option<Fault> {
        self.recorded_at(&spot.addresses())
    }

    fn recorded_at(&self, places: &[String]) -> Option<Fault> {
        let errors = self.file("bundle").ok()??.get("errors")?;
        let error = places.iter().find_map(|place| errors.get(place))?;
        serde_json::from_value(error.clone()).ok()
    }

    /// What is missing of the answer at `spot`, by the part that it is missing in: where
    /// `gcp/compute/addresses` is there, `gcp/compute/addresses#regions/r` may not be.
    pub(crate) fn missing_parts(&self, spot: &Spot) -> BTreeMap<String, Fault> {
        let is_whole = match &spot.at {
            At::File(_) | At::Groups(_) => true,
            At::Listed(_, _, fields) => fields.is_empty(),
            _ => false,
        };
        if !is_whole {
            return BTreeMap::new();
        }
        let path = spot.address();
        let errors = self.file("bundle").ok().flatten().and_then(|all| all.get("errors"));
        let errors = errors.and_then(Value::as_object).into_iter().flatten();
        let part = |(place, fault): (&String, &Value)| {
            let part = place.strip_prefix(&path)?.strip_prefix('#')?;
            Some((part.to_owned(), serde_json::from_value(fault.clone()).ok()?))
        };
        errors.filter_map(part).collect()
    }

    /// The only document of a file that is named without its extension.
    fn file(&self, path: &str) -> Result<Option<&Value>, Fault> {
        let named = ["json", "yaml", "yml"].map(|extension| format!("{path}.{extension}"));
        let Some(name) = named.iter().find(|name| self.files.contains_key(*name)) else {
            return Ok(None);
        };
        self.files[name].value(name).map(Some)
    }

    fn members(
        &self,
        path: &str,
        fields: &[(&'static str, String)],
    ) -> Result<Option<Value>, Fault> {
        let Some(all) = self.file(path)? else { return Ok(None) };
        let Some(all) = all.as_array() else {
            let detail = "expected a list".to_owned();
            return Err(Fault::Malformed { file: format!("{path}.json"), detail });
        };
        let found: Vec<_> = all.iter().filter(|member| has(member, fields)).cloned().collect();
        Ok((!found.is_empty()).then(|| found.into()))
    }

    fn listed(
        &self,
        path: &str,
        key: &str,
        fields: &[(&'static str, String)],
    ) -> Result<Option<Value>, Fault> {
        let Some(all) = self.file(path)? else { return Ok(None) };
        let Some(all) = all.get(key).and_then(Value::as_array) else {
            let detail = format!("expected a list under \"{key}\"");
            return Err(Fault::Malformed { file: format!("{path}.json"), detail });
        };
        Ok(Some(all.iter().filter(|member| has(member, fields)).cloned().collect()))
    }

    fn manifests(&self) -> Result<&Manifests, Fault> {
        let manifests = self.manifests.get_or_init(|| Manifests::read(&self.files));
        manifests.as_ref().map_err(Clone::clone)
    }

    fn text(&self, path: &str) -> Result<Option<String>, Fault> {
        self.files.get(path).map(|file| file.text(path)).transpose()
    }
}

/// Whether a member of a list has fields of these values.
fn has(member: &Value, fields: &[(&'static str, String)]) -> bool {
    fields.iter().all(|(field, value)| match member.get(field) {
        Some(Value::String(text)) => is_meant(text, value),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(|t| is_meant(t, value)),
        None | Some(Value::Null) => value.is_empty(),
        Some(other) => other.to_string().as_str() == value,
    })
}

fn is_meant(text: &str, value: &str) -> bool {
    match value.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == value,
    }
}
