use std::{collections::HashSet, fs, io, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{Bundle, File, file::is_yaml};
use crate::{
    Fault, Selection,
    place::{At, Spot},
};

impl Bundle {
    /// A bundle to put answers in.
    pub(crate) fn new() -> Self {
        Self::default().with("bundle.yaml", json!({ "schemaVersion": 1 }))
    }

    /// Says in `bundle.yaml` for which provider it is and what wrote it.
    #[must_use]
    pub fn made_by(mut self, provider: &str, tool: &str, version: &str) -> Self {
        self.put_entry("bundle.yaml", "provider", provider.into());
        self.put_entry("bundle.yaml", "tool", json!({ "name": tool, "version": version }));
        self
    }

    /// Writes every file into the folder `root`, or into one archive where that ends in `.tar.gz`
    /// or `.tgz`.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        let name = root.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            return self.pack(fs::File::create(root)?);
        }
        for (name, text) in self.texts() {
            let path = root.join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, text?)?;
        }
        Ok(())
    }

    pub(super) fn pack(&self, out: impl io::Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        for (name, text) in self.texts() {
            let text = text?;
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append_data(&mut header, name, text.as_bytes())?;
        }
        archive.into_inner()?.finish()?;
        Ok(())
    }

    /// Every file, by name, as it is written.
    pub fn texts(&self) -> impl Iterator<Item = (&str, io::Result<String>)> {
        self.files.iter().map(|(name, file)| (&**name, render(name, file)))
    }

    /// Keeps an answer at its place.
    pub(crate) fn put(&mut self, spot: &Spot, answer: Result<Value, Fault>) {
        let file = spot.file_name();
        match (&spot.at, answer) {
            // Other namespaces of the kind may be in the file.
            (At::Objects(_, Selection { namespace: Some(_), .. }), Err(fault)) => {
                self.put_error(spot.address(), &fault);
            }
            (_, Err(Fault::NotCollected { .. })) => (),
            (_, Err(fault)) => self.put_error(spot.address(), &fault),
            (At::Entry(_, name), Ok(value)) => self.put_entry(&file, name, value),
            (At::File(_) | At::Text(_), Ok(value)) => self.put_file(&file, value),
            (At::Members(..), Ok(members)) => self.put_members(&file, &members, |all| all),
            (At::Listed(_, key, _), Ok(members)) => {
                self.put_entries(&file, key, &members);
            }
            (At::Objects(kind, _), Ok(mut items)) => {
                for object in items.as_array_mut().into_iter().flatten() {
                    object["apiVersion"] = kind.api_version().into();
                    object["kind"] = kind.kind.into();
                }
                self.put_members(&file, &items, list_of);
            }
            (At::Groups(_), Ok(items)) => self.put_members(&file, &items, list_of),
        }
    }

    /// Notes what is missing of an answer that is there.
    pub(crate) fn put_missing(&mut self, spot: &Spot, part: &str, fault: &Fault) {
        self.put_error(format!("{}#{part}", spot.address()), fault);
    }

    fn put_error(&mut self, place: String, fault: &Fault) {
        let mut errors = self.content("bundle.yaml")["errors"].take();
        errors[place] = json!(fault);
        self.put_entry("bundle.yaml", "errors", errors);
    }

    /// Adds members to a list that several answers share, each member once.
    fn put_members(&mut self, file: &str, members: &Value, wrap: fn(Value) -> Value) {
        let content = self.content(file);
        let there = content.get("items").unwrap_or(&content).as_array().cloned();
        let mut all = there.unwrap_or_default();
        let mut known: HashSet<String> = all.iter().map(Value::to_string).collect();
        let new = members.as_array().cloned().unwrap_or_default();
        all.extend(new.into_iter().filter(|member| known.insert(member.to_string())));
        self.put_file(file, wrap(all.into()));
    }

    /// The same under a key of the file.
    fn put_entries(&mut self, file: &str, key: &str, members: &Value) {
        let there = self.content(file)[key].take();
        let mut all: Vec<Value> = there.as_array().cloned().unwrap_or_default();
        let new = members.as_array().cloned().unwrap_or_default();
        all.extend(new.into_iter().filter(|member| !all.contains(member)).collect::<Vec<_>>());
        self.put_entry(file, key, all.into());
    }

    fn put_entry(&mut self, file: &str, name: &str, value: Value) {
        let mut all = self.content(file);
        all[name] = value;
        self.put_file(file, all);
    }

    fn put_file(&mut self, file: &str, content: Value) {
        self.insert(file, File::parsed(content));
    }

    fn content(&self, file: &str) -> Value {
        let value = self.files.get(file).and_then(|f| f.value(file).ok());
        value.cloned().unwrap_or_default()
    }
}

/// Objects as `kubectl get` prints them.
#[expect(clippy::needless_pass_by_value, reason = "put_members asks like that")]
fn list_of(items: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn render(name: &str, file: &File) -> io::Result<String> {
    if file.is_text() {
        return file.text(name).map_err(io::Error::other);
    }
    let is_json = Path::new(name).extension().is_some_and(|extension| extension == "json");
    if !is_json && !is_yaml(name) {
        return file.text(name).map_err(io::Error::other);
    }
    let value = file.value(name).map_err(io::Error::other)?;
    if is_yaml(name) {
        serde_saphyr::to_string(value).map_err(io::Error::other)
    } else {
        Ok(format!("{value:#}\n"))
    }
}
