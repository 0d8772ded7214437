//! Who puts records into DNS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The hash of a TSIG key's HMAC (RFC 8945 §6). SHA-1 and MD5 are not offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TsigHash {
    /// Every server knows it.
    #[default]
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// 384 bits.
    #[serde(rename = "hmac-sha384")]
    Sha384,
    /// 512 bits.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}
