//! The checks, one file each.

pub(crate) mod cognito_app_client;
pub(crate) mod cognito_domain;
pub(crate) mod cognito_email_verified;
pub(crate) mod cognito_user_pool;
pub(crate) mod credentials;
pub(crate) mod dns_record;
pub(crate) mod endpoint;
