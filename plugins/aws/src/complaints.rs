//! What AWS's controller for load balancers says goes wrong.

use std::sync::Arc;

use kfcheck::{Cx, FactError, Named};
use kfcheck_kube::{ContainerLog, Event, Ingress, within};

use crate::{controller::AlbController, fronts::annotation};

/// What keeps the controller from making a load balancer, as far as it is of a known kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// AWS doesn't let it.
    Denied,
    /// It has no credentials.
    Credentials,
    /// It finds no subnets to put the load balancer in.
    Subnets,
    /// It finds no certificate for a host.
    Certificate,
}

impl Trouble {
    /// By the words of the controllers and of AWS. What is denied is often said as the reason why
    /// nothing was found.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&[
            "nocredentialproviders",
            "no ec2 imds role",
            "failed to refresh cached credentials",
            "invalididentitytoken",
            "webidentityerr",
            "assumerolewithwebidentity",
            "from ec2metadata",
            "from ec2 instance metadata",
            "unable to locate credentials",
        ]) {
            return Some(Self::Credentials);
        }
        if has(&["accessdenied", "is not authorized to perform", "unauthorizedoperation"]) {
            return Some(Self::Denied);
        }
        if has(&[
            "2 qualified subnets",
            "auto-discover subnets",
            "discover at least one subnet",
            "resolve at least one subnet",
            "at least two subnets",
        ]) {
            return Some(Self::Subnets);
        }
        has(&["certificate found for host"]).then_some(Self::Certificate)
    }
}

impl Trouble {
    /// Whether it keeps the controller from all of its work.
    fn is_of_all(self) -> bool {
        matches!(self, Self::Denied | Self::Credentials)
    }
}

/// What the controller said last about an Ingress, where it was trouble.
pub(crate) async fn complaint(cx: &Cx, ingress: &Ingress) -> Result<Option<Arc<Event>>, FactError> {
    let about = ingress.resource();
    let events = cx.get(within::<Event>(ingress.metadata.namespace())).await?;
    let said = events.iter().filter(|event| event.is_about(&about));
    let last = said.max_by_key(|event| event.last_seen());
    Ok(last.filter(|event| event.is_warning()).cloned())
}

/// The last line of a controller's logs that says what keeps it from making these Ingresses' load
/// balancers, and what kind of trouble it is.
pub(crate) async fn logged(
    cx: &Cx,
    controller: &AlbController,
    ingresses: &[Arc<Ingress>],
) -> Result<Option<(Trouble, String)>, FactError> {
    let names: Vec<_> = ingresses.iter().flat_map(|ingress| called(ingress)).collect();
    let mut failed = None;
    let mut read = false;
    for pod in &controller.pods {
        for container in &pod.spec.containers {
            let log = ContainerLog {
                namespace: pod.metadata.namespace().to_owned(),
                pod: pod.metadata.name.clone(),
                container: container.name.clone(),
            };
            match cx.get(log).await {
                Ok(lines) => {
                    read = true;
                    let ours = |line: &str| names.iter().any(|name| line.contains(*name));
                    let mut found = lines.lines().rev().filter_map(|line| {
                        let trouble = Trouble::of(line)?;
                        (trouble.is_of_all() || ours(line)).then_some((trouble, line))
                    });
                    if let Some((trouble, line)) = found.next() {
                        return Ok(Some((trouble, error_in(line).to_owned())));
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
    }
    match failed {
        // Of several, only the one that leads has anything to say.
        Some(error) if !read => Err(error),
        _ => Ok(None),
    }
}

/// What the controller calls an Ingress in its log: by its name, or by its group's.
fn called(ingress: &Ingress) -> impl Iterator<Item = &str> {
    std::iter::once(ingress.metadata.name.as_str()).chain(annotation(ingress, "group.name"))
}

/// The error in a line that the controller logs, in either generation's form.
pub(crate) fn error_in(line: &str) -> &str {
    let begun = ["\"error\"=\"", "\"error\":\""].iter().find_map(|begin| line.split_once(begin));
    let Some((_, rest)) = begun else { return line };
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return rest.get(..at).unwrap_or(rest),
            _ => escaped = false,
        }
    }
    rest
}

/// What was denied, where a message says so: `elasticloadbalancing:CreateLoadBalancer`.
pub(crate) fn denied_action(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("not authorized to perform: ")?;
    let action = after.split([' ', '"', '\\', ',']).next()?;
    action.contains(':').then_some(action)
}

/// Whom AWS denies it to: the role of `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
pub(crate) fn denied_role(text: &str) -> Option<&str> {
    let (_, after) = text.split_once(":assumed-role/")?;
    after.split(['/', ' ', '"']).next().filter(|role| !role.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Trouble, denied_action, denied_role, error_in};

    #[test]
    fn what_is_denied_is_told_from_what_is_not_found() {
        let denied =
            r#"couldn't auto-discover subnets: UnauthorizedOperation: You are not authorized"#;
        assert_eq!(Trouble::of(denied), Some(Trouble::Denied));
        let none = "couldn't auto-discover subnets: NoCredentialProviders: no valid providers";
        assert_eq!(Trouble::of(none), Some(Trouble::Credentials));
        let subnets = "failed to resolve 2 qualified subnets";
        assert_eq!(Trouble::of(subnets), Some(Trouble::Subnets));
        assert_eq!(Trouble::of("successfully built model"), None);
    }

    #[test]
    fn the_error_is_found_in_the_lines_of_both_generations() {
        let old = r#"E0807 controller.go:217] kubebuilder/controller "msg"="Reconciler error" "error"="no \"x\" here"  "controller"="alb""#;
        assert_eq!(error_in(old), r#"no \"x\" here"#);
        let new = r#"{"level":"error","msg":"Reconciler error","error":"unable to resolve"}"#;
        assert_eq!(error_in(new), "unable to resolve");
    }

    #[test]
    fn who_may_not_do_what_is_read_from_the_message() {
        let says = "AccessDenied: User: arn:aws:sts::1:assumed-role/alb-role/1596 is not authorized \
                    to perform: elasticloadbalancing:AddTags on resource: x";
        assert_eq!(denied_action(says), Some("elasticloadbalancing:AddTags"));
        assert_eq!(denied_role(says), Some("alb-role"));
    }
}
