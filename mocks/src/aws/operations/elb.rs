//! Classic load balancers.

use serde_json::{Value, json};

use super::{Ask, Failure, chosen, missing, take};

/// Answers what is asked of load balancers, their tags and the health of their instances.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let names = call.texts("LoadBalancerNames");
    match ask.operation() {
        "DescribeLoadBalancers" => {
            let all = balancers(ask)?;
            check_named(&all, &names)?;
            let all = chosen(all, "LoadBalancerName", &names);
            ask.page("PageSize", "Marker").listed("LoadBalancerDescriptions", all, "NextMarker")
        }
        "DescribeTags" => {
            let tags = ask.list("describe-tags", "TagDescriptions")?;
            if let Ok(all) = balancers(ask) {
                check_named(&all, &names)?;
            }
            Ok(json!({ "TagDescriptions": chosen(tags, "LoadBalancerName", &names) }))
        }
        "DescribeInstanceHealth" => {
            let name = call.text("LoadBalancerName").unwrap_or_default();
            if let Ok(all) = balancers(ask) {
                check_named(&all, &[name])?;
            }
            let mut health = ask.entry("describe-instance-health", name)?;
            let asked = call.input["Instances"].as_array().into_iter().flatten();
            let asked: Vec<_> = asked.filter_map(|one| one["InstanceId"].as_str()).collect();
            let states = take(&mut health, "InstanceStates");
            if let Some(id) = missing(&states, "InstanceId", &asked) {
                let message = format!("Could not find EC2 instance {id}.");
                return Err(Failure::Said("InvalidEndPointException", message));
            }
            Ok(json!({ "InstanceStates": chosen(states, "InstanceId", &asked) }))
        }
        _ => Err(call.unanswered()),
    }
}

fn balancers(ask: &Ask<'_>) -> Result<Vec<Value>, Failure> {
    ask.list("describe-load-balancers", "LoadBalancerDescriptions")
}

fn check_named(all: &[Value], names: &[&str]) -> Result<(), Failure> {
    match missing(all, "LoadBalancerName", names) {
        Some(name) => {
            let message = format!("There is no ACTIVE Load Balancer named '{name}'");
            Err(Failure::Said("AccessPointNotFoundException", message))
        }
        None => Ok(()),
    }
}
