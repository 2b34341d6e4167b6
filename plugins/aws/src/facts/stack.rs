//! CloudFormation.

use aws_sdk_cloudformation::{Client, types};
use kfcheck::{Named, Place, Resource};

use super::{
    Tag, Time, fact,
    shape::{Keep, Words, shape, tag},
};
use crate::client::asked;

shape! {
    /// A stack.
    pub struct Stack of types::Stack in "PascalCase" {
        stack_id: String,
        stack_name: String,
        creation_time: Option<Time>,
        deletion_time: Option<Time>,
        stack_status: String,
        stack_status_reason: Words,
        enable_termination_protection: bool,
        role_arn as "RoleARN": String,
        parent_id: String,
        outputs: Vec<Output>,
        tags: Vec<Tag>,
    }

    /// What other stacks may import. Its value isn't read: it may be a secret.
    pub struct Output of types::Output in "PascalCase" {
        output_key: String,
        export_name: String,
    }

    /// What became of a part of a stack, or of the whole.
    pub struct StackEvent of types::StackEvent in "PascalCase" {
        stack_id: String,
        event_id: String,
        stack_name: String,
        logical_resource_id: String,
        physical_resource_id: String,
        resource_type: String,
        timestamp: Option<Time>,
        resource_status: String,
        resource_status_reason: Words,
        client_request_token: String,
    }

    /// A part of a stack.
    pub struct StackResource of types::StackResourceSummary in "PascalCase" {
        logical_resource_id: String,
        physical_resource_id: String,
        resource_type: String,
        resource_status: String,
        resource_status_reason: Words;
        stack_name: String
    }
}

fact! {
    /// The stacks of the region; those that are deleted are not among them.
    Stacks, "stacks", "cloudformation:DescribeStacks" => Vec<Stack>,
    Place::listed("aws/cloudformation/describe-stacks", "Stacks", [],
        "aws cloudformation describe-stacks"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let pages = client.describe_stacks().into_paginator().items().send();
        let what = "cloudformation describe-stacks".to_owned();
        let all = asked(cx, what, Self::NEEDS[0], pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(all.keep())
    }
}

fact! {
    /// What became of a stack, by its ARN, and of its parts; the newest first.
    StackEvents { stack }, "stackEvents", "cloudformation:DescribeStackEvents" => Vec<StackEvent>,
    Place::listed("aws/cloudformation/describe-stack-events", "StackEvents", [("StackId", stack)],
        format!("aws cloudformation describe-stack-events --stack-name {stack}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_stack_events().stack_name(stack).into_paginator();
        let pages = call.items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("cloudformation describe-stack-events {stack}");
        Ok(asked(cx, what, Self::NEEDS[0], pages).await?.keep())
    }
}

fact! {
    /// The parts of a stack, by its name.
    StackResources { stack }, "stackResources",
    "cloudformation:ListStackResources" => Vec<StackResource>,
    Place::listed("aws/cloudformation/describe-stack-resources", "StackResources",
        [("StackName", stack)],
        format!("aws cloudformation describe-stack-resources --stack-name {stack}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.list_stack_resources().stack_name(stack).into_paginator();
        let pages = call.items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("cloudformation list-stack-resources {stack}");
        let all: Vec<StackResource> = asked(cx, what, Self::NEEDS[0], pages).await?.keep();
        let named = |part: StackResource| StackResource { stack_name: stack.clone(), ..part };
        Ok(all.into_iter().map(named).collect())
    }
}

impl Named for Stack {
    fn resource(&self) -> Resource {
        super::resource("Stack", &self.stack_name)
    }
}

/// The tags by which eksctl finds its stacks, the newer first (eksctl, `pkg/apis/eksctl.io/v1alpha5`).
const CLUSTER_TAGS: [&str; 2] =
    ["alpha.eksctl.io/cluster-name", "eksctl.cluster.k8s.io/v1alpha1/cluster-name"];

impl Stack {
    /// The cluster that eksctl made it for; none where eksctl didn't make it.
    pub fn eksctl_cluster(&self) -> Option<&str> {
        CLUSTER_TAGS.iter().find_map(|key| tag(&self.tags, key)).filter(|name| !name.is_empty())
    }
}
