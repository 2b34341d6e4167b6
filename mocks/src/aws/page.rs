use serde_json::{Value, json};

use super::{failure::Failure, request::Call};

/// Which items of a list are asked for.
pub(crate) struct Page<'a> {
    size: usize,
    token: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// As the parameters of these names say it, and no more than `most`.
    pub(crate) fn of(call: &'a Call<'_>, size: &str, token: &str, most: usize) -> Self {
        let size = call.number(size).filter(|size| *size > 0).map_or(most, |size| size.min(most));
        Self { size, token: call.text(token) }
    }

    /// The page, and the token for the next one.
    pub(super) fn cut(&self, mut all: Vec<Value>) -> Result<(Vec<Value>, Option<String>), Failure> {
        let start = match self.token {
            Some(token) => token.strip_prefix("from-").and_then(|n| n.parse().ok()),
            None => Some(0),
        };
        let start = start.filter(|start| *start <= all.len());
        let start = start.ok_or_else(|| Failure::Malformed("no such page was given".to_owned()))?;
        let mut page = all.split_off(start);
        let next = (page.len() > self.size).then(|| format!("from-{}", start + self.size));
        page.truncate(self.size);
        Ok((page, next))
    }

    /// An answer that lists the page of `all` under `name`, and says under `next` how to go on.
    pub(crate) fn listed(&self, name: &str, all: Vec<Value>, next: &str) -> Result<Value, Failure> {
        let (page, token) = self.cut(all)?;
        Ok(json!({ name: page, next: token }))
    }
}
