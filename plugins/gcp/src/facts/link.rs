use serde::{Deserialize, Serialize};

/// A reference to a resource, by its full URL or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Link(String);

impl Link {
    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// As it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `segment/`, for example the project.
    pub fn after(&self, segment: &str) -> Option<&str> {
        let mut parts = self.0.split('/').skip_while(|part| *part != segment);
        parts.nth(1)
    }

    /// The project, where the link says.
    pub fn project(&self) -> &str {
        self.after("projects").unwrap_or_default()
    }

    /// Whether it refers to a resource of this `kind` and `name`.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        self.after(kind) == Some(name)
    }

    /// Whether both refer to the same resource, be it by URL or by a part of one.
    pub fn same(&self, other: &Self) -> bool {
        let path = |link: &'_ Self| {
            let from = link.0.find("projects/").unwrap_or(0);
            link.0[from..].to_owned()
        };
        !self.0.is_empty() && path(self) == path(other)
    }

    /// Nothing is referred to.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Link {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
