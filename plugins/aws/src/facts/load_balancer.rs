//! Application and network load balancers: `elbv2`.

use aws_sdk_elasticloadbalancingv2::{Client, types};
use kfcheck::{Cx, Fault, Named, Place, Resource};

use super::{
    OurVpc, Tag, fact,
    shape::{Keep, Words, shape},
};
use crate::client::asked;

shape! {
    /// An application or network load balancer.
    pub struct LoadBalancer of types::LoadBalancer in "PascalCase" {
        load_balancer_arn: String,
        load_balancer_name: String,
        dns_name as "DNSName": String,
        canonical_hosted_zone_id: String,
        scheme: String,
        vpc_id: String,
        state: Option<LoadBalancerState>,
        r#type: String,
        availability_zones: Vec<LoadBalancerZone>,
        security_groups: Vec<String>,
    }

    /// How a load balancer goes.
    pub struct LoadBalancerState of types::LoadBalancerState in "PascalCase" {
        code: String,
        reason: Words,
    }

    /// Where a load balancer is.
    pub struct LoadBalancerZone of types::AvailabilityZone in "PascalCase" {
        zone_name: String,
        subnet_id: String,
    }

    /// What a load balancer listens on.
    pub struct Listener of types::Listener in "PascalCase" {
        listener_arn: String,
        load_balancer_arn: String,
        port: Option<i32>,
        protocol: String,
        certificates: Vec<ListenerCertificate>,
        default_actions: Vec<Action>,
    }

    /// A certificate that a listener shows.
    pub struct ListenerCertificate of types::Certificate in "PascalCase" {
        certificate_arn: String,
    }

    /// What happens to a request.
    pub struct Action of types::Action in "PascalCase" {
        r#type: String,
        order: Option<i32>,
        target_group_arn: String,
        forward_config: Option<ForwardConfig>,
        redirect_config: Option<RedirectConfig>,
        authenticate_cognito_config: Option<AuthenticateCognito>,
        authenticate_oidc_config: Option<AuthenticateOidc>,
    }

    /// Where a request goes.
    pub struct ForwardConfig of types::ForwardActionConfig in "PascalCase" {
        target_groups: Vec<WeightedTargetGroup>,
    }

    /// A target group, and its share.
    pub struct WeightedTargetGroup of types::TargetGroupTuple in "PascalCase" {
        target_group_arn: String,
        weight: Option<i32>,
    }

    /// Where a browser is sent.
    pub struct RedirectConfig of types::RedirectActionConfig in "PascalCase" {
        protocol: String,
        port: String,
        host: String,
        status_code: String,
    }

    /// Sign-in with Cognito.
    pub struct AuthenticateCognito of types::AuthenticateCognitoActionConfig in "PascalCase" {
        user_pool_arn: String,
        user_pool_client_id: String,
        user_pool_domain: String,
        scope: String,
        on_unauthenticated_request: String,
    }

    /// Sign-in with another provider.
    pub struct AuthenticateOidc of types::AuthenticateOidcActionConfig in "PascalCase" {
        issuer: String,
        authorization_endpoint: String,
        client_id: String,
        scope: String,
        on_unauthenticated_request: String,
    }

    /// Which requests an action is for.
    pub struct Rule of types::Rule in "PascalCase" {
        rule_arn: String,
        priority: String,
        conditions: Vec<Condition>,
        actions: Vec<Action>,
        is_default: bool,
    }

    /// What a rule looks at.
    pub struct Condition of types::RuleCondition in "PascalCase" {
        field: String,
        values: Vec<String>,
        host_header_config: Option<HostHeaders>,
        path_pattern_config: Option<PathPatterns>,
    }

    /// Host names that a rule is for.
    pub struct HostHeaders of types::HostHeaderConditionConfig in "PascalCase" {
        values: Vec<String>,
    }

    /// Paths that a rule is for.
    pub struct PathPatterns of types::PathPatternConditionConfig in "PascalCase" {
        values: Vec<String>,
    }

    /// What requests are sent to.
    pub struct TargetGroup of types::TargetGroup in "PascalCase" {
        target_group_arn: String,
        target_group_name: String,
        protocol: String,
        protocol_version: String,
        port: Option<i32>,
        vpc_id: String,
        target_type: String,
        health_check_protocol: String,
        health_check_port: String,
        health_check_path: String,
        matcher: Option<Matcher>,
        load_balancer_arns: Vec<String>,
    }

    /// The answers that a health check takes for good.
    pub struct Matcher of types::Matcher in "PascalCase" {
        http_code: String,
        grpc_code: String,
    }

    /// How the targets of a group go.
    pub struct TargetHealths in "PascalCase" {
        target_health_descriptions: Vec<TargetHealthDescription>,
    }

    /// How a target goes.
    pub struct TargetHealthDescription of types::TargetHealthDescription in "PascalCase" {
        target: Option<Target>,
        health_check_port: String,
        target_health: Option<TargetHealth>,
    }

    /// A machine or an address.
    pub struct Target of types::TargetDescription in "PascalCase" {
        id: String,
        port: Option<i32>,
    }

    /// How it goes, and why.
    pub struct TargetHealth of types::TargetHealth in "PascalCase" {
        state: String,
        reason: String,
        description: Words,
    }

    /// The tags of a load balancer or a target group.
    pub struct TagDescription of types::TagDescription in "PascalCase" {
        resource_arn: String,
        tags: Vec<Tag>,
    }
}

fact! {
    /// The application and network load balancers of the region.
    LoadBalancers, "loadBalancers", "elasticloadbalancing:DescribeLoadBalancers" => Vec<LoadBalancer>,
    Place::listed("aws/elbv2/describe-load-balancers", "LoadBalancers", [],
        "aws elbv2 describe-load-balancers"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let pages = client.describe_load_balancers().into_paginator().items().send();
        let what = "elbv2 describe-load-balancers".to_owned();
        let all = asked(cx, what, Self::NEEDS[0], pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(all.keep())
    }
}

fact! {
    /// What a load balancer, by its ARN, listens on.
    Listeners { load_balancer }, "listeners", "elasticloadbalancing:DescribeListeners" => Vec<Listener>,
    Place::listed("aws/elbv2/describe-listeners", "Listeners", [("LoadBalancerArn", load_balancer)],
        format!("aws elbv2 describe-listeners --load-balancer-arn {load_balancer}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_listeners().load_balancer_arn(load_balancer);
        let pages = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("elbv2 describe-listeners {load_balancer}");
        Ok(asked(cx, what, Self::NEEDS[0], pages).await?.keep())
    }
}

fact! {
    /// Which requests to a listener, by its ARN, go where.
    Rules { listener }, "rules", "elasticloadbalancing:DescribeRules" => Vec<Rule>,
    Place::listed("aws/elbv2/describe-rules", "Rules", [("RuleArn", &beginning_of_rules(listener))],
        format!("aws elbv2 describe-rules --listener-arn {listener}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_rules().listener_arn(listener);
        let pages = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("elbv2 describe-rules {listener}");
        Ok(asked(cx, what, Self::NEEDS[0], pages).await?.keep())
    }
}

/// The ARNs of a listener's rules are its own with another word in it, and more behind it.
fn beginning_of_rules(listener: &str) -> String {
    listener.replacen(":listener/", ":listener-rule/", 1) + "/*"
}

fact! {
    /// The target groups that a load balancer, by its ARN, sends requests to.
    TargetGroups { load_balancer }, "targetGroups",
    "elasticloadbalancing:DescribeTargetGroups" => Vec<TargetGroup>,
    Place::listed("aws/elbv2/describe-target-groups", "TargetGroups",
        [("LoadBalancerArns", load_balancer)],
        format!("aws elbv2 describe-target-groups --load-balancer-arn {load_balancer}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_target_groups().load_balancer_arn(load_balancer);
        let pages = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("elbv2 describe-target-groups {load_balancer}");
        Ok(asked(cx, what, Self::NEEDS[0], pages).await?.keep())
    }
}

fact! {
    /// How the targets of a group, by its ARN, go.
    TargetsHealth { target_group }, "targetHealth",
    "elasticloadbalancing:DescribeTargetHealth" => TargetHealths,
    Place::entry("aws/elbv2/describe-target-health", target_group,
        format!("aws elbv2 describe-target-health --target-group-arn {target_group}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_target_health().target_group_arn(target_group).send();
        let what = format!("elbv2 describe-target-health {target_group}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        let target_health_descriptions = answer.target_health_descriptions.keep();
        Ok(TargetHealths { target_health_descriptions })
    }
}

fact! {
    /// The tags of the load balancers that may be the cluster's, or of a cluster that is gone.
    LoadBalancerTags, "loadBalancerTags", "elasticloadbalancing:DescribeTags" => Vec<TagDescription>,
    Place::listed("aws/elbv2/describe-tags", "TagDescriptions", [],
        "aws elbv2 describe-tags --resource-arns ARN …"),
    |cx, aws| {
        let all = cx.get(LoadBalancers).await?;
        let names = all.iter().map(|lb| (lb.vpc_id.as_str(), lb.load_balancer_arn.as_str()));
        let arns = worth_a_look(cx, names.collect()).await;
        let client = Client::new(aws.config(cx).await);
        let chunks = arns.chunks(TAGS_AT_ONCE).map(async |some| {
            let call = client.describe_tags().set_resource_arns(Some(some.to_vec())).send();
            let what = format!("elbv2 describe-tags of {}", some.len());
            asked(cx, what, Self::NEEDS[0], call).await
        });
        let answers = futures::future::try_join_all(chunks).await?;
        Ok(answers.into_iter().flat_map(|answer| answer.tag_descriptions.keep()).collect())
    }
}

/// How many load balancers' tags one call shows (API reference, "DescribeTags").
pub(super) const TAGS_AT_ONCE: usize = 20;
/// How many load balancers' tags are looked at where most are in networks of other clusters.
const LOOKED_AT: usize = 200;

/// Those whose tags are looked at, of load balancers by network and name: all, or, where an account
/// has very many, those in the cluster's network first. That others may be orphans is then not seen.
pub(super) async fn worth_a_look(cx: &Cx, all: Vec<(&str, &str)>) -> Vec<String> {
    let mut all = all;
    if all.len() > LOOKED_AT {
        let vpc = cx.get(OurVpc).await.map(|vpc| (*vpc).clone()).unwrap_or_default();
        all.sort_by_key(|(network, _)| *network != vpc);
        let ours = all.iter().filter(|(network, _)| *network == vpc).count();
        let left_out = all.len() - ours.max(LOOKED_AT);
        all.truncate(ours.max(LOOKED_AT));
        let says = format!(
            "the account has very many load balancers; {left_out} of them, in other networks, were \
             not looked at"
        );
        cx.missing("other networks", Fault::Unreachable(says));
    }
    all.into_iter().map(|(_, name)| name.to_owned()).collect()
}

impl Named for LoadBalancer {
    fn resource(&self) -> Resource {
        super::resource("LoadBalancer", &self.load_balancer_name)
    }
}

impl Named for TargetGroup {
    fn resource(&self) -> Resource {
        super::resource("TargetGroup", &self.target_group_name)
    }
}

impl Named for Listener {
    fn resource(&self) -> Resource {
        // arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener/app/NAME/LOADBALANCER/LISTENER
        let balancer = self.load_balancer_arn.split('/').nth(2).unwrap_or_default();
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        super::resource("Listener", &format!("{balancer} {}:{port}", self.protocol))
    }
}
