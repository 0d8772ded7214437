//! Since when servers are silent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::Witness;

/// Since when servers are silent, by zone and server. Whoever loses it waits longer, nothing worse: keep it beside
/// the key store, not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Silences {
    pub(super) silent: BTreeMap<String, Witness>,
}
