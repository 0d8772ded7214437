//! The sections `[[slots]]` of version 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::publisher::DomainPattern;
use crate::config::slots::TargetTemplate;
use crate::names::Selector;

/// Domains whose zones we cannot write, but which have a few CNAMEs to names that we can, each written once:
/// `s1._domainkey.example.com CNAME s1.example.com._dkim.example.net`. Their keys take turns in these selectors, the only ones
/// that are ever used again; docs/rotation.md says when. A domain's slots are those with the closest of the patterns that fit
/// it. `waxseal record --cnames` prints the CNAMEs. The daemon uses nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slots {
    /// Required. The domains: `example.com` is that domain, `*.example.com` are all below it, `*` are all.
    #[schemars(example = ["example.com", "*.example.net"])]
    pub domains: Option<Vec<DomainPattern>>,
    /// The selectors of RSA keys, three or more: while one signs and the next stands ready, the one before rests. Unset:
    /// these domains have no RSA keys.
    #[schemars(with = "Option<Vec<String>>", example = ["s1", "s2", "s3"])]
    pub rsa: Option<Vec<Selector>>,
    /// The same for Ed25519 keys, other selectors.
    #[schemars(with = "Option<Vec<String>>", example = ["e1", "e2", "e3"])]
    pub ed25519: Option<Vec<Selector>>,
    /// Required. The name that the CNAME of a selector leads to, with `{selector}` and `{domain}`. The publisher whose patterns fit
    /// that name publishes there.
    #[schemars(example = &"{selector}.{domain}._dkim.example.net")]
    pub target: Option<TargetTemplate>,
}
