use globset::{Glob, GlobSet, GlobSetBuilder};
use kfcheck::{Check, Meta};

use crate::Provider;

/// The checks that match one of `wanted`, all where nothing is wanted, without those that match one
/// of `skipped`. A glob that matches nothing is a slip of the pen.
pub(crate) fn select(
    checks: &[&'static dyn Check],
    wanted: &[String],
    skipped: &[String],
) -> Result<Vec<&'static dyn Check>, String> {
    let ids: Vec<_> = checks.iter().map(|check| check.meta().id).collect();
    for glob in wanted.iter().chain(skipped) {
        let set = globs(std::slice::from_ref(glob))?;
        if !ids.iter().any(|id| set.is_match(id)) {
            return Err(format!(
                "no check matches '{glob}'{}; `kubectl kfcheck checks` lists them all",
                similar(&ids, glob)
            ));
        }
    }
    let (wanted_set, skipped_set) = (globs(wanted)?, globs(skipped)?);
    let chosen =
        |id: &str| (wanted.is_empty() || wanted_set.is_match(id)) && !skipped_set.is_match(id);
    let selected: Vec<_> = checks.iter().copied().filter(|check| chosen(check.meta().id)).collect();
    if selected.is_empty() {
        return Err("no check is left to run; --skip leaves out all that --check names".to_owned());
    }
    Ok(selected)
}

fn globs(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern);
        set.add(glob.map_err(|error| format!("'{pattern}' is no glob: {}", error.kind()))?);
    }
    set.build().map_err(|error| error.to_string())
}

/// The page of a check.
pub(crate) fn explain(providers: &[Provider], id: &str) -> Result<String, String> {
    let all = metas(providers);
    if let Some(meta) = all.iter().find(|meta| meta.id == id) {
        Ok(meta.page())
    } else {
        let ids: Vec<_> = all.iter().map(|meta| meta.id).collect();
        Err(format!(
            "no check is called '{id}'{}; `kubectl kfcheck checks` lists them all",
            similar(&ids, id)
        ))
    }
}

/// The page of one of a provider's checks.
pub(crate) fn page(provider: &Provider, id: &str) -> Option<String> {
    let mut metas = provider.checks.iter().map(|check| check.meta());
    metas.find(|meta| meta.id == id).map(Meta::page)
}

/// The checks, a line each.
pub(crate) fn list(
    providers: &[Provider],
    wanted: &[String],
    skipped: &[String],
) -> Result<String, String> {
    let mut checks: Vec<&'static dyn Check> = Vec::new();
    for check in providers.iter().flat_map(|provider| &provider.checks) {
        if !checks.iter().any(|known| known.meta().id == check.meta().id) {
            checks.push(*check);
        }
    }
    let selected = select(&checks, wanted, skipped)?;
    let width = selected.iter().map(|check| check.meta().id.len()).max().unwrap_or_default();
    let line = |meta: &Meta| format!("{:width$}  {}\n", meta.id, meta.title);
    Ok(selected.iter().map(|check| line(check.meta())).collect())
}

/// What all checks of the providers say about themselves.
pub(crate) fn metas(providers: &[Provider]) -> Vec<&'static Meta> {
    providers.iter().flat_map(|provider| &provider.checks).map(|check| check.meta()).collect()
}

/// The id that is most like what was typed.
pub(crate) fn similar(ids: &[&str], typed: &str) -> String {
    let typed = typed.replace('*', "");
    let likeness = |id: &str| strsim::normalized_damerau_levenshtein(id, &typed);
    match ids.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(best) if likeness(best) > 0.5 => format!("; did you mean {best}?"),
        _ => String::new(),
    }
}
