//! What the signatures of one message say: the same for the daemon and for `waxseal sign`.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use super::signing_pool::Pending;
use crate::config::{Config, DomainSettings};
use crate::dkim::SignatureSpec;
use crate::dkim::signer::prepare;
use crate::keystore::{ActiveKey, DomainKeys, Presence};
use crate::message::Headers;
use crate::names::{DomainName, Selector};
use crate::policy::{Author, Decider, Found, Lifetime, PlannedSignature, Policy, SigningKeys};

impl SigningKeys for Arc<DomainKeys> {
    fn selectors(&self) -> Vec<Selector> {
        self.keys.iter().map(|key| key.selector.clone()).collect()
    }
}

/// For which domain a signature is, and the key that makes it.
pub(super) type SignedBy = (DomainName, ActiveKey);

/// What a domain's keys are to the search for them.
pub fn found(domain: Arc<DomainKeys>) -> Found<Arc<DomainKeys>> {
    match domain.presence {
        Presence::NoSuchDomain => Found::Unknown,
        Presence::NoActiveKey => Found::NotActive,
        Presence::Active if domain.keys.is_empty() => Found::Unusable,
        Presence::Active if domain.unusable.is_empty() => Found::Usable(domain),
        Presence::Active => Found::UsableInPart(domain),
    }
}

/// How one domain signs a message: as it does, so far as the rule that decided about the message does not differ.
pub fn settings<'c>(
    config: &'c Config,
    policy: &Policy,
    decided: Option<(Decider, &Author)>,
    domain: &DomainName,
) -> Cow<'c, DomainSettings> {
    let of_domain = config.domain(domain);
    let Some((decider, author)) = decided else { return Cow::Borrowed(of_domain) };
    let mut settings = Cow::Borrowed(of_domain);
    if let Some(identity) = policy.auid(decider, author, domain) {
        settings.to_mut().identity = identity;
    }
    let Some(rule) = policy.settings(decider) else { return settings };
    if let Some(canonicalization) = rule.canonicalization {
        settings.to_mut().canonicalization = canonicalization;
    }
    if let Some(lifetime) = rule.lifetime {
        settings.to_mut().expire_after = match lifetime {
            Lifetime::Unlimited => None,
            Lifetime::Limited(after) => Some(after),
        };
    }
    if rule.headers.is_some() || !rule.leave_out.is_empty() {
        let mut headers = rule.headers.as_deref().unwrap_or(&of_domain.headers).clone();
        headers.left_out = of_domain.headers.left_out.clone();
        headers.left_out.extend(rule.leave_out.iter().cloned());
        settings.to_mut().headers = Arc::new(headers);
    }
    settings
}

/// The keys that make one planned signature, in the order in which their signatures are inserted.
pub fn keys_of(planned: &PlannedSignature<Arc<DomainKeys>>) -> impl Iterator<Item = &ActiveKey> {
    let wanted = |key: &&ActiveKey| planned.selector.as_ref().is_none_or(|selector| key.selector == *selector);
    planned.keys.keys.iter().filter(wanted)
}

/// Prepares a signature of a domain with each of these keys.
pub fn prepare_all<'k>(
    settings: &DomainSettings,
    domain: &DomainName,
    keys: impl Iterator<Item = &'k ActiveKey>,
    headers: &Headers,
    body_hash: &[u8; 32],
    now: Timestamp,
) -> Vec<Pending> {
    let selected = settings.headers.select(headers);
    let expiration = settings.expire_after.and_then(|after| now.checked_add(after).ok());
    let prepare_one = |key: &ActiveKey| {
        let spec = SignatureSpec {
            domain: domain.clone(),
            selector: key.selector.clone(),
            auid: settings.identity.clone(),
            canonicalization: settings.canonicalization,
            timestamp: now,
            expiration,
        };
        (prepare(&spec, key.algorithm, &selected, headers, body_hash), Arc::clone(&key.key))
    };
    keys.map(prepare_one).collect()
}
