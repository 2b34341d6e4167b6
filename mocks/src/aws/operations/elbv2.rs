//! Application and network load balancers.

use serde_json::{Value, json};

use super::{Ask, Failure, chosen, missing};

/// As many load balancers, or resources with tags, as can be named (the API's reference says so, the
/// model doesn't).
const MOST_NAMED: usize = 20;

const BALANCERS: (&str, &str) = ("describe-load-balancers", "LoadBalancers");
const LISTENERS: (&str, &str) = ("describe-listeners", "Listeners");
const RULES: (&str, &str) = ("describe-rules", "Rules");
const GROUPS: (&str, &str) = ("describe-target-groups", "TargetGroups");

/// Answers what is asked of load balancers, listeners, rules, target groups, their health and tags.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let page = || ask.page("PageSize", "Marker");
    match ask.operation() {
        "DescribeLoadBalancers" => {
            let all = ask.list(BALANCERS.0, BALANCERS.1)?;
            let (arns, names) = (call.texts("LoadBalancerArns"), call.texts("Names"));
            check_number(&[&arns[..], &names[..]].concat())?;
            check(&all, "LoadBalancerArn", &arns)?;
            check(&all, "LoadBalancerName", &names)?;
            let all = chosen(chosen(all, "LoadBalancerArn", &arns), "LoadBalancerName", &names);
            page().listed("LoadBalancers", all, "NextMarker")
        }
        "DescribeListeners" => {
            one_of(ask, ["LoadBalancerArn", "ListenerArns"])?;
            let mut all = ask.list(LISTENERS.0, LISTENERS.1)?;
            check(&all, "ListenerArn", &call.texts("ListenerArns"))?;
            all = chosen(all, "ListenerArn", &call.texts("ListenerArns"));
            if let Some(balancer) = call.text("LoadBalancerArn") {
                check_there(ask, balancer)?;
                all.retain(|listener| listener["LoadBalancerArn"] == balancer);
            }
            page().listed("Listeners", all, "NextMarker")
        }
        "DescribeRules" => {
            one_of(ask, ["ListenerArn", "RuleArns"])?;
            let mut all = ask.list(RULES.0, RULES.1)?;
            check(&all, "RuleArn", &call.texts("RuleArns"))?;
            all = chosen(all, "RuleArn", &call.texts("RuleArns"));
            if let Some(listener) = call.text("ListenerArn") {
                check_there(ask, listener)?;
                // A rule's ARN goes on where its listener's ends.
                let rules = format!("{}/", listener.replacen(":listener/", ":listener-rule/", 1));
                all.retain(|rule| rule["RuleArn"].as_str().is_some_and(|a| a.starts_with(&rules)));
            }
            page().listed("Rules", all, "NextMarker")
        }
        "DescribeTargetGroups" => {
            let all = ask.list(GROUPS.0, GROUPS.1)?;
            let (arns, names) = (call.texts("TargetGroupArns"), call.texts("Names"));
            check(&all, "TargetGroupArn", &arns)?;
            check(&all, "TargetGroupName", &names)?;
            let mut all = chosen(chosen(all, "TargetGroupArn", &arns), "TargetGroupName", &names);
            if let Some(balancer) = call.text("LoadBalancerArn") {
                check_there(ask, balancer)?;
                let behind = |arns: &Vec<Value>| arns.iter().any(|arn| arn == balancer);
                all.retain(|group| group["LoadBalancerArns"].as_array().is_some_and(behind));
            }
            page().listed("TargetGroups", all, "NextMarker")
        }
        "DescribeTargetHealth" => {
            call.takes_only(&["TargetGroupArn"])?;
            let arn = call.text("TargetGroupArn").unwrap_or_default();
            check_there(ask, arn)?;
            ask.entry("describe-target-health", arn)
        }
        "DescribeTags" => {
            let arns = call.texts("ResourceArns");
            check_number(&arns)?;
            arns.iter().try_for_each(|arn| check_there(ask, arn))?;
            let tags = ask.list("describe-tags", "TagDescriptions")?;
            Ok(json!({ "TagDescriptions": chosen(tags, "ResourceArn", &arns) }))
        }
        _ => Err(call.unanswered()),
    }
}

/// Whether a request says one of two things, and not both, as it has to.
fn one_of(ask: &Ask<'_>, names: [&str; 2]) -> Result<(), Failure> {
    let said = names.map(|name| ask.call.input.get(name).is_some());
    if said[0] != said[1] {
        return Ok(());
    }
    Err(Failure::Malformed(format!("either {}, and not both", names.join(" or "))))
}

fn check_number(named: &[&str]) -> Result<(), Failure> {
    if named.len() <= MOST_NAMED {
        return Ok(());
    }
    Err(Failure::Malformed(format!("no more than {MOST_NAMED} at once")))
}

/// Whether there are all that a request names, by a field that says what they are.
fn check(all: &[Value], field: &str, values: &[&str]) -> Result<(), Failure> {
    match missing(all, field, values) {
        Some(value) => Err(absent(field, value)),
        None => Ok(()),
    }
}

/// Whether there is something with that ARN, where the bundle knows of its kind.
fn check_there(ask: &Ask<'_>, arn: &str) -> Result<(), Failure> {
    let ((command, list), field) = match arn.split([':', '/']).nth(5) {
        Some("loadbalancer") => (BALANCERS, "LoadBalancerArn"),
        Some("listener") => (LISTENERS, "ListenerArn"),
        Some("listener-rule") => (RULES, "RuleArn"),
        Some("targetgroup") => (GROUPS, "TargetGroupArn"),
        _ => return Err(Failure::Refused("ValidationError", format!("'{arn}' is not valid"))),
    };
    match ask.list(command, list) {
        Ok(all) => check(&all, field, &[arn]),
        Err(_not_known) => Ok(()),
    }
}

fn absent(field: &str, value: &str) -> Failure {
    match field {
        "LoadBalancerArn" | "LoadBalancerName" => Failure::Said(
            "LoadBalancerNotFoundException",
            format!("Load balancers '[{value}]' not found"),
        ),
        "ListenerArn" => several("ListenerNotFoundException", "listeners"),
        "RuleArn" => several("RuleNotFoundException", "rules"),
        _ => several("TargetGroupNotFoundException", "target groups"),
    }
}

fn several(shape: &'static str, what: &str) -> Failure {
    Failure::Said(shape, format!("One or more {what} not found"))
}
