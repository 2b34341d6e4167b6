use std::collections::BTreeSet;

use serde_json::Value;

use crate::Served;

use super::{after, failure::Failure};

/// A bundle as an owner of clouds sees it: which projects it knows, what is in them, and what can't
/// be read.
pub(super) struct Holdings {
    served: Served,
    errors: Value,
    /// The zone or region of the cluster.
    pub(super) location: Option<String>,
    project: String,
    projects: BTreeSet<String>,
}

impl Holdings {
    pub(super) fn of(served: Served) -> Self {
        let manifest = served.manifest();
        let text = |name: &str| manifest["gcp"][name].as_str().map(str::to_owned);
        let project = text("project").unwrap_or_default();
        let mut projects: BTreeSet<_> = served.texts("gcp/").flat_map(projects_in).collect();
        projects.extend([project.clone()]);
        projects.extend(text("networkProject"));
        let (errors, location) = (manifest["errors"].clone(), text("location"));
        Self { served, errors, location, project, projects }
    }

    /// Whether the bundle says anything of a project.
    pub(super) fn check_project(&self, project: &str) -> Result<(), Failure> {
        if self.projects.contains(project) {
            return Ok(());
        }
        Err(Failure::NotFound(format!("projects/{project}")))
    }

    /// Whether the bundle says why a place could not be read.
    pub(super) fn check(&self, place: &str) -> Result<(), Failure> {
        self.errors.get(place).map_or(Ok(()), |fault| Err(Failure::of_fault(place, fault)))
    }

    /// What is in a file, unless the bundle says why it could not be read.
    pub(super) fn file(&self, place: &str) -> Result<Value, Failure> {
        self.check(place)?;
        self.served.json(place).ok_or_else(|| Failure::NotHeld(place.to_owned()))
    }

    /// The items of a file that belong to a project.
    pub(super) fn items(&self, place: &str, project: &str) -> Result<Vec<Value>, Failure> {
        let Value::Array(mut items) = self.file(place)? else {
            return Err(Failure::NotHeld(place.to_owned()));
        };
        items.retain(|item| self.owner(item) == project);
        Ok(items)
    }

    /// The entry of that name in a file that holds an object by name.
    pub(super) fn entry(&self, place: &str, name: &str) -> Result<Value, Failure> {
        let entry = format!("{place}#{name}");
        self.check(&entry)?;
        self.file(place)?.get(name).cloned().ok_or(Failure::NotHeld(entry))
    }

    /// The parts of a place that could not be read, by scope: `regions/europe-west1`.
    pub(super) fn unreachable(&self, place: &str) -> BTreeSet<String> {
        let all = self.errors.as_object().into_iter().flat_map(|errors| errors.keys());
        let scopes = all.filter_map(|at| at.strip_prefix(place)?.strip_prefix('#'));
        let scopes = scopes.filter(|at| at.starts_with("regions/") || at.starts_with("zones/"));
        scopes.map(str::to_owned).collect()
    }

    /// The project that something belongs to. Kubernetes Engine names projects by number in places,
    /// and a bundle doesn't say whose the number is.
    pub(super) fn owner<'a>(&'a self, item: &'a Value) -> &'a str {
        let links =
            ["selfLink", "logName", "name"].into_iter().filter_map(|field| item[field].as_str());
        let project = links.map(|link| after(link, "projects/")).next().flatten();
        match project {
            Some(project) if !project.bytes().all(|b| b.is_ascii_digit()) => project,
            _ => &self.project,
        }
    }
}

fn projects_in(text: &str) -> impl Iterator<Item = String> + '_ {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "-.:".contains(c));
    let named = text.split("projects/").skip(1).filter_map(move |rest| rest.split(ends).next());
    named.filter(|name| !name.is_empty()).map(str::to_owned)
}
