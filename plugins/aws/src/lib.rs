//! The Amazon Web Services side of the request path.

mod admission;
mod checks;
pub mod cleanup;
mod client;
mod cloud;
mod complaints;
mod controller;
mod facts;
mod fronts;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hosts;
mod node_roles;
mod path;
mod redirect;
mod sign_in;
mod stacks;
mod targets;
#[cfg(test)]
mod testing;
mod trust;

use kfcheck::{Check, FactMeta, Stretch};

pub use client::{Aws, AwsAccess};
pub use cloud::AmazonCloud;
pub use controller::{AlbController, AlbControllers};
pub use facts::*;
use facts::{lean, shape};
pub use fronts::{AlbIngresses, BalancedServices, Front, FrontClassics, FrontLoadBalancers};
pub use hosts::Hosts;
pub use sign_in::{CognitoSignIns, Door, Doors};
pub use stacks::{
    Conflict, Failed, Operation, OurStacks, Shortage, conflict, foreign_inline, is_in_use,
    is_of_eksctl, shortage,
};
pub use targets::{FrontTargetGroup, FrontTargetGroups};

/// The checks of this crate, in report order.
pub static CHECKS: &[&dyn Check] = &[
    &checks::credentials::Credentials,
    &checks::eks_cluster::EksCluster,
    &checks::availability_zone::AvailabilityZone,
    &checks::alb_controller::AlbControllerWorks,
    &checks::alb_missing::AlbMissing,
    &checks::alb_listener::AlbListener,
    &checks::alb_auth::AlbAuth,
    &checks::target_health::TargetHealthy,
    &checks::elb_classic::ElbClassic,
    &checks::elb_listener::ElbListener,
    &checks::elb_node_port::ElbNodePort,
    &checks::elb_instances::ElbInstances,
    &checks::elb_orphan::ElbOrphan,
    &checks::certificate::CertificateGood,
    &checks::cognito_user_pool::CognitoUserPool,
    &checks::cognito_app_client::CognitoAppClient,
    &checks::cognito_domain::CognitoDomain,
    &checks::dns_record::DnsRecord,
    &checks::endpoint::Endpoint,
    &checks::authz_adaptor::AuthzAdaptor,
    &checks::iam_node_role::IamNodeRole,
    &checks::stack_failed::StackFailed,
    &checks::stack_orphaned::StackOrphaned,
    &checks::node_security_group::NodeSecurityGroup,
    &checks::imds_hop_limit::ImdsHopLimit,
    &checks::cognito_email_verified::CognitoEmailVerified,
    &checks::certificate_key_type::CertificateKeyType,
];

/// The stretches of the request path that this crate knows.
pub static PATH: &[&dyn Stretch] =
    &[&path::FrontEnd, &path::Classic, &path::SignIn, &path::Controller, &path::Ground];

/// The facts of this crate that ask AWS.
pub static FACTS: &[FactMeta] = &[
    FactMeta::of::<AttachedRolePolicies>(),
    FactMeta::of::<CallerIdentity>(),
    FactMeta::of::<Certificates>(),
    FactMeta::of::<ClassicLoadBalancerTags>(),
    FactMeta::of::<ClassicLoadBalancers>(),
    FactMeta::of::<ClusterNames>(),
    FactMeta::of::<Clusters>(),
    FactMeta::of::<HostedZones>(),
    FactMeta::of::<IdentityProviders>(),
    FactMeta::of::<Instances>(),
    FactMeta::of::<InstancesHealth>(),
    FactMeta::of::<Listeners>(),
    FactMeta::of::<LoadBalancerTags>(),
    FactMeta::of::<LoadBalancers>(),
    FactMeta::of::<NetworkInterfaces>(),
    FactMeta::of::<Nodegroups>(),
    FactMeta::of::<RecordSets>(),
    FactMeta::of::<RegionCertificates>(),
    FactMeta::of::<RoleInstanceProfiles>(),
    FactMeta::of::<RolePolicies>(),
    FactMeta::of::<RolePolicyNames>(),
    FactMeta::of::<Roles>(),
    FactMeta::of::<Rules>(),
    FactMeta::of::<Scope>(),
    FactMeta::of::<SecurityGroups>(),
    FactMeta::of::<StackEvents>(),
    FactMeta::of::<StackResources>(),
    FactMeta::of::<Stacks>(),
    FactMeta::of::<Subnets>(),
    FactMeta::of::<TargetGroups>(),
    FactMeta::of::<TargetsHealth>(),
    FactMeta::of::<UserPoolClients>(),
    FactMeta::of::<UserPoolDomains>(),
    FactMeta::of::<UserPools>(),
    FactMeta::of::<Zones>(),
];

/// The facts of this crate that are worked out from others, by name.
pub static DERIVED: &[&str] = &[
    "aws.accountReady",
    "aws.albControllers",
    "aws.albIngresses",
    "aws.balancedServices",
    "aws.cognitoSignIns",
    "aws.doors",
    "aws.frontClassics",
    "aws.frontLoadBalancers",
    "aws.hosts",
    "aws.ourCluster",
    "aws.ourVpc",
    "aws.ourStacks",
    "aws.nodeRoles",
    "aws.frontTargetGroups",
];
