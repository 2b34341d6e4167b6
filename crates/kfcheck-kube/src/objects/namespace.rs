use serde::{Deserialize, Serialize};

use super::Metadata;
use crate::object;

/// One namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its name, and the labels that webhooks look at.
    pub metadata: Metadata,
}

object!(Namespace, core, "namespaces", "Namespace", false);
