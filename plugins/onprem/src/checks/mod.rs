//! The checks, one file each.

pub(crate) mod auth_proxy;
pub(crate) mod dex_config;
pub(crate) mod dex_env_expansion;
pub(crate) mod dex_issuer;
pub(crate) mod dex_password;
pub(crate) mod dex_stale_config;
pub(crate) mod endpoint;
pub(crate) mod gateway_service;
pub(crate) mod kube_proxy_strict_arp;
pub(crate) mod ldap_bind;
pub(crate) mod ldap_connect;
pub(crate) mod ldap_group_search;
pub(crate) mod ldap_user_search;
pub(crate) mod metallb_advertisement;
pub(crate) mod metallb_allocation;
pub(crate) mod metallb_announce;
pub(crate) mod metallb_arp;
pub(crate) mod metallb_excluded_nodes;
pub(crate) mod metallb_pods;
pub(crate) mod metallb_pool;
pub(crate) mod oidc_redirect;
