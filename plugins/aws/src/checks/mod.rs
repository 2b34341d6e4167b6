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
