//! The Amazon Web Services side of the request path.

mod checks;
mod client;
mod controller;
mod facts;
mod fronts;
mod hosts;
mod path;
mod redirect;
mod sign_in;
#[cfg(test)]
mod testing;

use kfcheck::{Check, FactMeta, Stretch};

pub use client::{Aws, AwsAccess};
pub use controller::{AlbController, AlbControllers};
pub use facts::*;
use facts::{lean, shape};
pub use fronts::{AlbIngresses, BalancedServices, Front, FrontClassics, FrontLoadBalancers};
pub use hosts::Hosts;
pub use sign_in::{CognitoSignIns, Door, Doors};

/// The checks of this crate, in report order.
pub static CHECKS: &[&dyn Check] = &[
    &checks::credentials::Credentials,
    &checks::cognito_user_pool::CognitoUserPool,
    &checks::cognito_app_client::CognitoAppClient,
    &checks::cognito_domain::CognitoDomain,
    &checks::dns_record::DnsRecord,
    &checks::endpoint::Endpoint,
    &checks::cognito_email_verified::CognitoEmailVerified,
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
