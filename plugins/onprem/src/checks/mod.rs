//! The checks, one file each.

pub(crate) mod endpoint;
pub(crate) mod gateway_service;
pub(crate) mod kube_proxy_strict_arp;
pub(crate) mod metallb_advertisement;
pub(crate) mod metallb_allocation;
pub(crate) mod metallb_announce;
pub(crate) mod metallb_arp;
pub(crate) mod metallb_excluded_nodes;
pub(crate) mod metallb_pods;
pub(crate) mod metallb_pool;
