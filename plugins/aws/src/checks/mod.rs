//! The checks, one file each.

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
