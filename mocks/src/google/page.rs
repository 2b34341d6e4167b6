use super::failure::Failure;

/// Which items of a list are asked for.
pub(super) struct Page<'a> {
    /// How many at most.
    pub(super) size: usize,
    /// What the page before gave.
    pub(super) token: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// As a request says it, and no more than `most`.
    pub(super) fn of(size: Option<usize>, token: Option<&'a str>, most: usize) -> Self {
        let size = size.filter(|size| *size > 0).map_or(most, |size| size.min(most));
        Self { size, token: token.filter(|token| !token.is_empty()) }
    }

    /// The page, and the token for the next one.
    pub(super) fn cut<T>(&self, mut all: Vec<T>) -> Result<(Vec<T>, Option<String>), Failure> {
        let invalid = || Failure::Invalid("Invalid value for field 'pageToken'.".to_owned());
        let start = match self.token {
            Some(token) => token.strip_prefix("from-").and_then(|n| n.parse().ok()),
            None => Some(0),
        };
        let start = start.filter(|start| *start <= all.len()).ok_or_else(invalid)?;
        let mut page = all.split_off(start);
        let next = (page.len() > self.size).then(|| format!("from-{}", start + self.size));
        page.truncate(self.size);
        Ok((page, next))
    }
}
