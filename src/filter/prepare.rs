//! What the signatures of one message say: the same for the daemon and for `waxseal sign`.

use std::sync::Arc;

use jiff::Timestamp;

use super::signing_pool::Pending;
use crate::config::DomainSettings;
use crate::dkim::SignatureSpec;
use crate::dkim::signer::prepare;
use crate::keystore::{ActiveKey, DomainKeys, Presence};
use crate::message::Headers;
use crate::policy::Reason;

/// Whether a domain signs with what is known of it: with these keys, or not and why. None if it is not known at all,
/// and the next candidate may sign in its place.
pub fn can_sign(domain: &DomainKeys) -> Option<Result<(), Reason>> {
    match domain.presence {
        Presence::NoSuchDomain => None,
        Presence::NoActiveKey => Some(Err(Reason::NoActiveKey)),
        Presence::Active if domain.keys.is_empty() => Some(Err(Reason::KeysUnusable)),
        Presence::Active => Some(Ok(())),
    }
}

/// Prepares a signature with each of the domain's keys, in the order in which they are inserted.
pub fn prepare_all(
    settings: &DomainSettings,
    domain: &DomainKeys,
    headers: &Headers,
    body_hash: &[u8; 32],
    now: Timestamp,
) -> Vec<Pending> {
    let selected = settings.headers.select(headers);
    let expiration = settings.expire_after.and_then(|after| now.checked_add(after).ok());
    let prepare_one = |key: &ActiveKey| {
        let spec = SignatureSpec {
            domain: domain.domain.clone(),
            selector: key.selector.clone(),
            auid: settings.identity.clone(),
            canonicalization: settings.canonicalization,
            timestamp: now,
            expiration,
        };
        (prepare(&spec, key.algorithm, &selected, headers, body_hash), Arc::clone(&key.key))
    };
    domain.keys.iter().map(prepare_one).collect()
}
