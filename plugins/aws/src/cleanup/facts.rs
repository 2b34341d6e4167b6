//! What only the clean-up asks: what stacks own, who needs them, and what is in a network. None of
//! it has a place in a bundle, so there is no plan from one.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use kfcheck::{Cx, Fact, FactError, FactMeta};
use serde::Serialize;
use serde_json::Value;

use crate::{
    ClassicLoadBalancer, ClassicLoadBalancers, LoadBalancer, LoadBalancers, SecurityGroup, Tag,
    TargetGroup, TargetGroups,
    client::{Aws, asked},
    facts::{AccountReady, TIMEOUT, shape::Keep},
};

/// The facts that a plan takes on top of those that inspections ask.
pub static FACTS: &[FactMeta] = &[
    FactMeta::of::<StackTemplates>(),
    FactMeta::of::<Importers>(),
    FactMeta::of::<BalancersIn>(),
    FactMeta::of::<ClassicsIn>(),
    FactMeta::of::<GroupNamed>(),
];

/// The template of a stack.
#[derive(Clone, Serialize)]
pub(super) struct StackTemplates {
    /// The stack's ARN.
    pub stack: String,
}

impl Fact for StackTemplates {
    const NAME: &'static str = "aws.stackTemplate";
    const NEEDS: &'static [&'static str] = &["cloudformation:GetTemplate"];
    const TIMEOUT: std::time::Duration = TIMEOUT;
    /// Nothing where it isn't JSON, as eksctl's are.
    type Value = Option<Value>;

    async fn fetch(&self, cx: &Cx) -> Result<Option<Value>, FactError> {
        cx.get(AccountReady).await?;
        let client = aws_sdk_cloudformation::Client::new(cx.client::<Aws>()?.config(cx).await);
        let call = client.get_template().stack_name(&self.stack).send();
        let what = format!("cloudformation get-template {}", self.stack);
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        Ok(answer.template_body().and_then(|text| serde_json::from_str(text).ok()))
    }
}

/// The stacks that import an export.
#[derive(Clone, Serialize)]
pub(super) struct Importers {
    /// The export's name.
    pub export: String,
}

impl Fact for Importers {
    const NAME: &'static str = "aws.importers";
    const NEEDS: &'static [&'static str] = &["cloudformation:ListImports"];
    const TIMEOUT: std::time::Duration = TIMEOUT;
    type Value = Vec<String>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<String>, FactError> {
        cx.get(AccountReady).await?;
        let client = aws_sdk_cloudformation::Client::new(cx.client::<Aws>()?.config(cx).await);
        let pages = client.list_imports().export_name(&self.export).into_paginator().items().send();
        let pages = async {
            match pages.collect::<Result<Vec<_>, _>>().await {
                Err(error) if is_not_imported(&error) => Ok(Vec::new()),
                answer => answer,
            }
        };
        asked(cx, format!("cloudformation list-imports {}", self.export), Self::NEEDS[0], pages)
            .await
    }
}

/// That nobody imports something is an error of the API's.
fn is_not_imported<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
    message.is_some_and(|message| message.contains("is not imported by any stack"))
}

/// An application or network load balancer, its tags, and what it sends requests to.
#[derive(Clone, Debug, Default)]
pub struct TaggedBalancer {
    /// The load balancer.
    pub balancer: LoadBalancer,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its target groups, each with its tags.
    pub target_groups: Vec<(TargetGroup, Vec<Tag>)>,
}

/// Every application and network load balancer in a network.
#[derive(Clone, Serialize)]
pub(super) struct BalancersIn {
    /// The network's id.
    pub vpc: String,
}

impl Fact for BalancersIn {
    const NAME: &'static str = "aws.loadBalancersIn";
    const NEEDS: &'static [&'static str] = &["elasticloadbalancing:DescribeTags"];
    const TIMEOUT: std::time::Duration = TIMEOUT;
    type Value = Vec<TaggedBalancer>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<TaggedBalancer>, FactError> {
        let all = cx.get(LoadBalancers).await?;
        let mut found = Vec::new();
        for balancer in all.iter().filter(|balancer| balancer.vpc_id == self.vpc) {
            let load_balancer = balancer.load_balancer_arn.clone();
            let groups = cx.get(TargetGroups { load_balancer }).await?;
            let arns = groups.iter().map(|group| group.target_group_arn.clone());
            let arns: Vec<_> =
                [balancer.load_balancer_arn.clone()].into_iter().chain(arns).collect();
            let mut tags = tags_of(cx, &arns).await?;
            let mut take = |arn: &str| tags.remove(arn).unwrap_or_default();
            found.push(TaggedBalancer {
                tags: take(&balancer.load_balancer_arn),
                target_groups: groups
                    .iter()
                    .map(|group| (group.clone(), take(&group.target_group_arn)))
                    .collect(),
                balancer: balancer.clone(),
            });
        }
        Ok(found)
    }
}

/// How many things' tags one call shows (API reference, "DescribeTags").
const TAGS_AT_ONCE: usize = 20;

async fn tags_of(cx: &Cx, arns: &[String]) -> Result<BTreeMap<String, Vec<Tag>>, FactError> {
    let client = aws_sdk_elasticloadbalancingv2::Client::new(cx.client::<Aws>()?.config(cx).await);
    let mut all = BTreeMap::new();
    for some in arns.chunks(TAGS_AT_ONCE) {
        let call = client.describe_tags().set_resource_arns(Some(some.to_vec())).send();
        let what = format!("elbv2 describe-tags of {}", some.len());
        let answer = asked(cx, what, BalancersIn::NEEDS[0], call).await?;
        for of in answer.tag_descriptions.unwrap_or_default() {
            all.insert(of.resource_arn.clone().unwrap_or_default(), of.tags.keep());
        }
    }
    Ok(all)
}

/// Every classic load balancer in a network, with its tags.
#[derive(Clone, Serialize)]
pub(super) struct ClassicsIn {
    /// The network's id.
    pub vpc: String,
}

impl Fact for ClassicsIn {
    const NAME: &'static str = "aws.classicLoadBalancersIn";
    const NEEDS: &'static [&'static str] = &["elasticloadbalancing:DescribeTags"];
    const TIMEOUT: std::time::Duration = TIMEOUT;
    type Value = Vec<(ClassicLoadBalancer, Vec<Tag>)>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<(ClassicLoadBalancer, Vec<Tag>)>, FactError> {
        let all = cx.get(ClassicLoadBalancers).await?;
        let here: Vec<_> = all.iter().filter(|balancer| balancer.vpc_id == self.vpc).collect();
        let client =
            aws_sdk_elasticloadbalancing::Client::new(cx.client::<Aws>()?.config(cx).await);
        let mut found = Vec::new();
        for some in here.chunks(TAGS_AT_ONCE) {
            let names = some.iter().map(|balancer| balancer.load_balancer_name.clone());
            let call = client.describe_tags().set_load_balancer_names(Some(names.collect())).send();
            let what = format!("elb describe-tags of {}", some.len());
            let answer = asked(cx, what, Self::NEEDS[0], call).await?;
            let tags = answer.tag_descriptions.unwrap_or_default();
            for balancer in some {
                let is_it =
                    |name: &Option<String>| name.as_deref() == Some(&*balancer.load_balancer_name);
                let of = tags.iter().find(|of| is_it(&of.load_balancer_name));
                found.push(((*balancer).clone(), of.and_then(|of| of.tags.clone()).keep()));
            }
        }
        Ok(found)
    }
}

/// The security group of an id, or none where there is none.
#[derive(Clone, Serialize)]
pub(super) struct GroupNamed {
    /// The group's id.
    pub id: String,
}

impl Fact for GroupNamed {
    const NAME: &'static str = "aws.securityGroup";
    const NEEDS: &'static [&'static str] = &["ec2:DescribeSecurityGroups"];
    const TIMEOUT: std::time::Duration = TIMEOUT;
    type Value = Option<SecurityGroup>;

    async fn fetch(&self, cx: &Cx) -> Result<Option<SecurityGroup>, FactError> {
        cx.get(AccountReady).await?;
        let client = aws_sdk_ec2::Client::new(cx.client::<Aws>()?.config(cx).await);
        let call = client.describe_security_groups().group_ids(&self.id).send();
        let call = async {
            match call.await {
                Err(error) if crate::client::is_absent(&error) => Ok(None),
                answer => answer.map(Some),
            }
        };
        let what = format!("ec2 describe-security-groups {}", self.id);
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        let groups: Vec<SecurityGroup> = answer.and_then(|answer| answer.security_groups).keep();
        Ok(groups.into_iter().next())
    }
}
