//! The checks, one file each.

pub(crate) mod authz_adaptor;
pub(crate) mod availability_zone;
pub(crate) mod credentials;
pub(crate) mod eks_cluster;
pub(crate) mod elb_orphan;
pub(crate) mod iam_node_role;
pub(crate) mod imds_hop_limit;
pub(crate) mod stack_failed;
pub(crate) mod stack_orphaned;
pub(crate) mod alb_auth;
pub(crate) mod alb_controller;
pub(crate) mod alb_listener;
pub(crate) mod alb_missing;
pub(crate) mod certificate;
pub(crate) mod certificate_key_type;
pub(crate) mod credentials;
pub(crate) mod elb_classic;
pub(crate) mod elb_instances;
pub(crate) mod elb_listener;
pub(crate) mod elb_node_port;
pub(crate) mod node_security_group;
pub(crate) mod target_health;
