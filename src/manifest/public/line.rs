//! One key on its line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dkim::key::{Algorithm, KeyId};
use crate::manifest::v1::{Compromised, Origin, State};
use crate::names::Selector;

/// The version of the format that is written, and the only one that is read.
pub(super) const VERSION: u64 = 1;

/// A key as it stands on its line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) selector: Selector,
    pub(super) state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compromised: Option<Compromised>,
    pub(super) algorithm: Algorithm,
    pub(super) bits: u32,
    pub(super) key_id: KeyId,
    pub(super) public_key: String,
    pub(super) origin: Origin,
    pub(super) created: Timestamp,
    pub(super) record_ttl: u32,
    /// Whether other domains are meant to have the same key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) shared: bool,
}
