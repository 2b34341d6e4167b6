use std::collections::BTreeSet;

use kfcheck::{Cause, Finding, Report, Resource, Severity, Status};

use crate::json::{FindingOut, Gap, Ids, PathEdge, PathOut, PathResource, ResourceOut, fact_name};

/// The request path as the report has it, with what checks add to it and with what findings are
/// about; and the names that the resources have in it.
pub(crate) fn path<'a>(
    report: &'a Report,
    found: &[(&str, &'a Finding)],
    findings: &[FindingOut],
    causes: &[&Cause<'_>],
) -> (PathOut, Ids<'a>) {
    let added = report.results.iter().flat_map(|result| &result.edges);
    let edges: BTreeSet<_> = report.path.edges.iter().chain(added).collect();
    let ends = edges.iter().flat_map(|edge| [&edge.upper, &edge.lower]);
    let about = found.iter().map(|(_, finding)| &finding.resource);
    let mut resources: BTreeSet<&Resource> = report.path.resources();
    resources.extend(ends.chain(about));
    let ids: Ids<'_> = resources
        .into_iter()
        .zip(1..)
        .map(|(resource, nth)| (resource, format!("r{nth}")))
        .collect();
    let id = |resource| ids.get(resource).cloned();
    let resource = |(resource, id): (&&Resource, &String)| {
        let out = ResourceOut::from(*resource);
        let on_it = || findings.iter().filter(|finding| finding.resource == out);
        // A root cause that is told is a broken resource, whoever says that it doesn't count.
        let told = causes.iter().map(|cause| cause.finding).filter(|f| f.resource == **resource);
        let counted = on_it().filter(|finding| finding.suppressed.is_none());
        let severities = counted.map(|finding| finding.severity).chain(told.map(|f| f.severity));
        let is_hidden = on_it().any(FindingOut::is_hidden_failure);
        let status = match status(report, resource, severities.max()) {
            // What is broken is not healthy because somebody knows of it.
            Status::Pass if is_hidden => Status::Skip,
            status => status,
        };
        let findings = on_it().map(|finding| finding.id.clone()).collect();
        PathResource { id: id.clone(), status, findings, resource: out }
    };
    let gap = |error: &kfcheck::FactError| Gap {
        fact: fact_name(error.fact.as_ref()),
        reason: error.fault.reason().to_owned(),
        detail: error.fault.to_string(),
    };
    let path = PathOut {
        entrances: report.path.entrances().into_iter().filter_map(id).collect(),
        resources: ids.iter().map(resource).collect(),
        edges: edges
            .iter()
            .filter_map(|edge| {
                let (from, to) = (id(&edge.upper)?, id(&edge.lower)?);
                Some(PathEdge { from, to, kind: edge.aspect })
            })
            .collect(),
        gaps: report.path.gaps.iter().map(gap).collect(),
    };
    (path, ids)
}

/// How a resource is, where `worst` is the worst that was found.
fn status(report: &Report, resource: &Resource, worst: Option<Severity>) -> Status {
    let results = || report.results.iter();
    let is = |other: &Option<Resource>| other.as_ref() == Some(resource);
    let unknown = || results().any(|r| r.unknown.iter().any(|(other, _)| is(other)));
    let healthy =
        || results().any(|r| r.healthy.contains(resource) || r.answering.contains(resource));
    match worst {
        Some(Severity::Fail) => Status::Fail,
        _ if unknown() => Status::Unknown,
        Some(Severity::Warn) => Status::Warn,
        None if healthy() => Status::Pass,
        None => Status::Skip,
    }
}
