//! Publishing private keys whose time is over, for deniability: docs/emergency.md says what that breaks.
//!
//! In this order: the record is revoked or deleted, and seen so on every server; caches let go of it; the private key is
//! published; the manifest that destroys it is committed. Cut short anywhere, it is done again, to the same effect.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::audit::{Entry, What};
use super::runner::Runner;
use crate::keystore::{DiscloseError, KeyStore, StoreError, disclose as write};
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace, State};
use crate::names::Selector;

/// What became of the private keys that a manifest destroys.
#[derive(Debug)]
pub(super) enum Disclosure {
    /// All that are to be published are.
    Done {
        /// What was published.
        entries: Vec<Entry>,
    },
    /// Caches may hold a record: whoever finds it there would believe what anyone signs.
    TooEarly {
        /// Whose key.
        selector: Selector,
        /// Until when.
        until: Timestamp,
    },
}

/// Why a private key is neither published nor destroyed yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisclosureError {
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be written.
    #[error("a retired private key cannot be published, and is kept")]
    Write(#[from] DiscloseError),
}

/// Publishes those private keys that `next` destroys and that may be published.
pub(super) fn disclose(
    runner: &Runner,
    next: &DomainManifest,
    directory: &Path,
) -> Result<Disclosure, DisclosureError> {
    let mut entries = Vec::new();
    let Some(before) = runner.store.manifest(next.domain())? else { return Ok(Disclosure::Done { entries }) };
    let now = runner.clock.now();
    for binding in before.bindings().iter().filter(|binding| is_destroyed(binding, next)) {
        let Some(free) = free_after(binding) else { continue };
        if now < free {
            return Ok(Disclosure::TooEarly { selector: binding.selector.clone(), until: free });
        }
        let key = runner.store.private_key(next.domain(), binding)?;
        let path = write(directory, &binding.selector.record_name(next.domain()), &key)?;
        entries.push(Entry {
            at: now,
            domain: next.domain().clone(),
            revision: before.revision(),
            selector: binding.selector.clone(),
            key_id: binding.key_id(),
            what: What::Disclosed,
            before: Some("secret".into()),
            after: Some("published".into()),
            detail: Some(path.display().to_string()),
        });
    }
    Ok(Disclosure::Done { entries })
}

/// Whether a manifest destroys the private key of a binding that is alone in having it.
fn is_destroyed(binding: &Binding, next: &DomainManifest) -> bool {
    let after = next.binding(&binding.selector).map(|after| after.private_key);
    let is_used = |other: &Binding| other.key_id() == binding.key_id() && other.private_key != PrivateKeyPlace::None;
    binding.private_key == PrivateKeyPlace::Own
        && after == Some(PrivateKeyPlace::None)
        && !next.bindings().iter().any(is_used)
}

/// When no cache can hold the record of a key that may be published; none if it may not be: it never signed, others may
/// have it (its mail life is not over), or nobody knows since when its record is gone.
fn free_after(binding: &Binding) -> Option<Timestamp> {
    let State::Retiring(state) = &binding.state else { return None };
    let has_signed = state.not_withdrawn_before > state.since;
    if !has_signed || binding.compromised.is_some() || state.withdrawal_begun.is_none() {
        return None;
    }
    let ttl = i64::from(binding.record_ttl.max(state.largest_ttl.unwrap_or(0)));
    state.acknowledged?.saturating_add(SignedDuration::from_secs(ttl)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::Algorithm;
    use crate::lifecycle::tests::world::{at, bound, domain, key, selector};
    use crate::manifest::{Compromised, EnteredBy, Meanwhile, Retiring};

    fn withdrawn() -> (DomainManifest, Binding, Retiring) {
        let manifest = bound(&domain(), "k", key(Algorithm::RsaSha256, 1), &at(0));
        let state = Retiring {
            since: at(0).wall,
            by: EnteredBy::Waits,
            successor: None,
            not_withdrawn_before: at(100).wall,
            last_used: None,
            largest_ttl: Some(7200),
            withdrawal_begun: Some(at(100).wall),
            acknowledged: Some(at(200).wall),
        };
        let binding = Binding { state: State::Retiring(state.clone()), ..manifest.bindings()[0].clone() };
        (manifest, binding, state)
    }

    #[test]
    fn only_a_key_whose_mail_life_is_over_is_published_and_only_when_caches_have_let_go() {
        let (_, binding, state) = withdrawn();
        assert_eq!(free_after(&binding), Some(at(7400).wall));
        let with = |state: Retiring| free_after(&Binding { state: State::Retiring(state), ..binding.clone() });
        assert_eq!(with(Retiring { not_withdrawn_before: state.since, ..state.clone() }), None);
        assert_eq!(with(Retiring { withdrawal_begun: None, ..state.clone() }), None);
        assert_eq!(with(Retiring { acknowledged: None, ..state }), None);
        let compromised = Some(Compromised { since: at(1).wall, meanwhile: Meanwhile::Stop });
        assert_eq!(free_after(&Binding { compromised, ..binding }), None);
    }

    #[test]
    fn a_key_that_is_shared_or_bound_elsewhere_is_not_published() {
        let (manifest, binding, _) = withdrawn();
        let gone = Binding { private_key: PrivateKeyPlace::None, ..binding.clone() };
        let next = |bindings| manifest.with_bindings(bindings, Vec::new()).unwrap();
        assert!(is_destroyed(&binding, &next(vec![gone.clone()])));
        assert!(!is_destroyed(&binding, &next(vec![binding.clone()])));
        let shared = Binding { private_key: PrivateKeyPlace::Shared, ..binding.clone() };
        assert!(!is_destroyed(&shared, &next(vec![gone.clone()])));
        let again = Binding { selector: selector("again"), ..binding.clone() };
        assert!(!is_destroyed(&binding, &next(vec![gone, again])));
    }
}
