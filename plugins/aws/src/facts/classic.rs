//! Classic load balancers: `elb`.

use aws_sdk_elasticloadbalancing::{Client, types};
use kfcheck::{Named, Place, Resource};

use super::{
    TAGS_AT_ONCE, Tag, fact,
    shape::{Keep, Words, shape},
    worth_a_look,
};
use crate::client::asked;

shape! {
    /// A classic load balancer.
    pub struct ClassicLoadBalancer of types::LoadBalancerDescription in "PascalCase" {
        load_balancer_name: String,
        dns_name as "DNSName": String,
        canonical_hosted_zone_name_id as "CanonicalHostedZoneNameID": String,
        scheme: String,
        vpc_id as "VPCId": String,
        listener_descriptions: Vec<ListenerDescription>,
        instances: Vec<RegisteredInstance>,
        security_groups: Vec<String>,
        health_check: Option<ClassicHealthCheck>,
        availability_zones: Vec<String>,
        subnets: Vec<String>,
    }

    /// A listener, and the policies on it.
    pub struct ListenerDescription of types::ListenerDescription in "PascalCase" {
        listener: Option<ClassicListener>,
    }

    /// What a classic load balancer listens on, and what it speaks to which port of the machines.
    pub struct ClassicListener of types::Listener in "PascalCase" {
        protocol: String,
        load_balancer_port: i32,
        instance_protocol: String,
        instance_port: i32,
        ssl_certificate_id as "SSLCertificateId": String,
    }

    /// A machine behind it.
    pub struct RegisteredInstance of types::Instance in "PascalCase" {
        instance_id: String,
    }

    /// How it asks the machines, as `TCP:31380` or `HTTP:10256/healthz`.
    pub struct ClassicHealthCheck of types::HealthCheck in "PascalCase" {
        target: String,
    }

    /// How the machines go.
    pub struct InstanceStates in "PascalCase" {
        instance_states: Vec<InstanceHealth>,
    }

    /// How a machine goes.
    pub struct InstanceHealth of types::InstanceState in "PascalCase" {
        instance_id: String,
        state: String,
        reason_code: String,
        description: Words,
    }

    /// The tags of a classic load balancer.
    pub struct ClassicTags of types::TagDescription in "PascalCase" {
        load_balancer_name: String,
        tags: Vec<Tag>,
    }
}

fact! {
    /// The classic load balancers of the region.
    ClassicLoadBalancers, "classicLoadBalancers",
    "elasticloadbalancing:DescribeLoadBalancers" => Vec<ClassicLoadBalancer>,
    Place::listed("aws/elb/describe-load-balancers", "LoadBalancerDescriptions", [],
        "aws elb describe-load-balancers"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let pages = client.describe_load_balancers().into_paginator().items().send();
        let what = "elb describe-load-balancers".to_owned();
        let all = asked(cx, what, Self::NEEDS[0], pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(all.keep())
    }
}

fact! {
    /// How the machines behind a classic load balancer go.
    InstancesHealth { load_balancer }, "instanceHealth",
    "elasticloadbalancing:DescribeInstanceHealth" => InstanceStates,
    Place::entry("aws/elb/describe-instance-health", load_balancer,
        format!("aws elb describe-instance-health --load-balancer-name {load_balancer}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_instance_health().load_balancer_name(load_balancer).send();
        let what = format!("elb describe-instance-health {load_balancer}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        Ok(InstanceStates { instance_states: answer.instance_states.keep() })
    }
}

fact! {
    /// The tags of the classic load balancers that may be the cluster's, or of one that is gone.
    ClassicLoadBalancerTags, "classicLoadBalancerTags",
    "elasticloadbalancing:DescribeTags" => Vec<ClassicTags>,
    Place::listed("aws/elb/describe-tags", "TagDescriptions", [],
        "aws elb describe-tags --load-balancer-names NAME …"),
    |cx, aws| {
        let all = cx.get(ClassicLoadBalancers).await?;
        let names = all.iter().map(|lb| (lb.vpc_id.as_str(), lb.load_balancer_name.as_str()));
        let names = worth_a_look(cx, names.collect()).await;
        let client = Client::new(aws.config(cx).await);
        let chunks = names.chunks(TAGS_AT_ONCE).map(async |some| {
            let call = client.describe_tags().set_load_balancer_names(Some(some.to_vec())).send();
            let what = format!("elb describe-tags of {}", some.len());
            asked(cx, what, Self::NEEDS[0], call).await
        });
        let answers = futures::future::try_join_all(chunks).await?;
        Ok(answers.into_iter().flat_map(|answer| answer.tag_descriptions.keep()).collect())
    }
}

impl Named for ClassicLoadBalancer {
    fn resource(&self) -> Resource {
        super::resource("LoadBalancer", &self.load_balancer_name)
    }
}

impl ClassicLoadBalancer {
    /// What it listens on.
    pub fn listeners(&self) -> impl Iterator<Item = &ClassicListener> {
        self.listener_descriptions.iter().filter_map(|described| described.listener.as_ref())
    }
}
