//! Which authors a login may write as.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pattern::AddressPattern;

/// Whether a client that logged in is bound to authors of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoginBinding {
    /// Any login may write as any author.
    #[default]
    Off,
    /// As the domain behind the login's own `@`, and as whatever is listed for it.
    OwnDomain,
    /// As any domain of the same registrable domain, and as whatever is listed for it.
    OwnRegistrable,
    /// As what is listed for it, and nothing else.
    Listed,
}

/// What is known of logins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logins {
    /// Whether they are bound.
    pub binding: LoginBinding,
    /// The authors that each may write as; upper and lower case of a login are the same.
    pub listed: BTreeMap<String, Vec<AddressPattern>>,
    /// Maps with more of them.
    pub maps: Vec<PathBuf>,
}

/// How the envelope sender must fit the author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnvelopeMatch {
    /// It need not.
    #[default]
    Off,
    /// Its domain is the author's. The null sender (`<>`) fits.
    SameDomain,
    /// Its domain has the same registrable domain as the author's. The null sender (`<>`) fits.
    SameRegistrable,
}
