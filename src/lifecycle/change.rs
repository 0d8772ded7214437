//! Changes of a domain's manifest, each a function from one manifest to the next.

use jiff::Timestamp;

use super::event::Event;
use super::plan::{Change, Evidence};
use super::schedule::Schedule;
use super::step::{Circumstances, Daemons, Refused, Step, counted, step};
use super::waits::Witnessed;
use crate::dkim::Algorithm;
use crate::dkim::key::PublicKey;
use crate::manifest::{
    BindError, Binding, Contradiction, DomainManifest, EnteredBy, Generated, Meanwhile, PrivateKeyPlace, Slot, State,
    StateName, Status, bury,
};
use crate::names::Selector;

/// Why a manifest is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// No binding has this selector.
    #[error("there is no key with the selector {selector}")]
    NoSuchSelector {
        /// The selector.
        selector: Selector,
    },
    /// The step is not legal, or not yet.
    #[error("selector {selector}: {source}")]
    Refused {
        /// The selector.
        selector: Selector,
        /// Why.
        source: Refused,
    },
    /// A domain that is leaving or gone signs with nothing.
    #[error("the domain is not signed for any more")]
    NotEnabled,
    /// The result would contradict itself.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

/// The manifest after a change.
///
/// # Errors
/// [`ChangeError`]; then nothing may be changed.
pub fn apply(
    manifest: &DomainManifest,
    change: &Change,
    evidence: &Evidence,
    now: &Witnessed,
    schedule: &Schedule,
) -> Result<DomainManifest, ChangeError> {
    let domain = Domain { manifest, evidence, now, schedule, hasty: &schedule.shortened() };
    let mut bindings = manifest.bindings().to_vec();
    let mut tombstones = manifest.tombstones().to_vec();
    match change {
        Change::Step { selector, event } => match domain.step(selector, event)? {
            Step::Unchanged => {}
            Step::Changed(after) => replace(&mut bindings, *after),
            Step::Forgotten(stone) => {
                bindings.retain(|binding| binding.selector != *selector);
                bury(&mut tombstones, stone);
            }
        },
        Change::Activate { selectors } => {
            if manifest.status() != Status::Enabled {
                return Err(ChangeError::NotEnabled);
            }
            for selector in selectors {
                domain.activate(selector, EnteredBy::Waits, &mut bindings)?;
            }
        }
        Change::Count => {
            for binding in &mut bindings {
                *binding = counted(binding, &domain.circumstances(binding));
            }
        }
    }
    Ok(manifest.with_bindings(bindings, tombstones)?)
}

/// Binds a key that rotation made to a selector of its own.
///
/// # Errors
/// As [`DomainManifest::bind_generated`].
pub fn bind(
    manifest: &DomainManifest,
    selector: Selector,
    public_key: PublicKey,
    record_ttl: u32,
    now: &Witnessed,
) -> Result<DomainManifest, BindError> {
    let bound = manifest.bind_generated(selector.clone(), public_key, PrivateKeyPlace::Own, record_ttl, now.wall)?;
    Ok(begun(bound, &selector, now))
}

/// Binds a key that rotation made to a fixed slot, whose last key is over.
///
/// # Errors
/// As [`DomainManifest::bind_slot`].
pub fn bind_slot(
    manifest: &DomainManifest,
    slot: &Slot,
    public_key: PublicKey,
    record_ttl: u32,
    now: &Witnessed,
) -> Result<DomainManifest, BindError> {
    Ok(begun(manifest.bind_slot(slot, public_key, record_ttl, now.wall)?, &slot.selector, now))
}

/// A key that rotation, not an operator, made.
fn begun(bound: DomainManifest, selector: &Selector, now: &Witnessed) -> DomainManifest {
    let mut bindings = bound.bindings().to_vec();
    for binding in bindings.iter_mut().filter(|binding| binding.selector == *selector) {
        let largest_ttl = binding.state.largest_ttl();
        binding.state = State::Generated(Generated { since: binding.created, by: EnteredBy::Waits, largest_ttl });
        binding.witness = Some(now.begin());
    }
    // Only states changed, and none to Active.
    bound.with_bindings(bindings, bound.tombstones().to_vec()).unwrap_or(bound)
}

/// The domain leaves (`offboard`): nothing signs any more from the commit of this on; the plan does the rest.
pub fn leave(manifest: &DomainManifest) -> DomainManifest {
    manifest.with_status(Status::Leaving)
}

/// The domain is not delegated to us any more: nothing is done or said about it from now on.
pub fn gone(manifest: &DomainManifest) -> DomainManifest {
    manifest.with_status(Status::Gone)
}

/// What declaring a key compromised comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// The manifest as it is to be. From its commit on the key does not sign, if `meanwhile` says stop or there is a
    /// successor.
    pub manifest: DomainManifest,
    /// The standby key that signs in its place, at once: no look is waited for. The plan looks at its record next, and
    /// as long as the other is not withdrawn.
    pub successor: Option<Selector>,
    /// When the successor's record was last seen on every server; none: not since the clock was set.
    pub successor_seen: Option<Timestamp>,
    /// What the operator chose for the time until another key can sign. None: nobody need choose, for another signs at
    /// once, or the key signs nothing.
    pub meanwhile: Option<Meanwhile>,
    /// Until when mail that it signed is under way: what is lost when its record is revoked. None: it never signed.
    pub mail_until: Option<Timestamp>,
    /// For how many seconds resolvers may hold its record after it was revoked.
    pub cached_for: u64,
}

/// The operator says that others may have a key. Its standby key takes over in the same commit, if it is Ready and not
/// held; the plan does the rest: daemons, revocation, another standby key. An Ed25519 key beside an RSA key that signs
/// stops at once, whatever is to be meanwhile.
///
/// # Errors
/// [`ChangeError::NoSuchSelector`].
pub fn compromise(
    manifest: &DomainManifest,
    selector: &Selector,
    meanwhile: Meanwhile,
    evidence: &Evidence,
    now: &Witnessed,
    schedule: &Schedule,
) -> Result<Emergency, ChangeError> {
    let domain = Domain { manifest, evidence, now, schedule, hasty: &schedule.shortened() };
    let unknown = || ChangeError::NoSuchSelector { selector: selector.clone() };
    let binding = manifest.binding(selector).ok_or_else(unknown)?;
    let mut bindings = manifest.bindings().to_vec();
    let signs = binding.state.name() == StateName::Active && manifest.status() == Status::Enabled;
    let has_rsa = manifest.signing().any(|other| other.algorithm() == Algorithm::RsaSha256 && is_usable(other));
    let is_spare = binding.algorithm() == Algorithm::Ed25519Sha256 && has_rsa;
    let until_then = if is_spare { Meanwhile::Stop } else { meanwhile };
    if let Step::Changed(after) = domain.step(selector, &Event::Compromised { meanwhile: until_then })? {
        replace(&mut bindings, *after);
    }
    let (mut successor, mut successor_seen) = (None, None);
    if signs {
        let standby = bindings.iter().rev().find(|other| {
            let is_ready = other.state.name() == StateName::Ready && other.held.is_none();
            other.algorithm() == binding.algorithm() && is_ready && is_usable(other)
        });
        if let Some((standby, seen)) = standby.map(|standby| (standby.selector.clone(), last_seen(standby))) {
            // The operator, not the waits: the last look at its record may be older than a rotation would have it.
            domain.activate(&standby, EnteredBy::Operator, &mut bindings)?;
            (successor, successor_seen) = (Some(standby), seen);
        }
    }
    let mail = jiff::SignedDuration::from_secs(schedule.mail_seconds().cast_signed());
    let mail_until = match &binding.state {
        State::Active(_) => now.wall.saturating_add(mail).ok(),
        State::Retiring(state) if state.not_withdrawn_before > state.since => Some(state.not_withdrawn_before),
        _ => None,
    };
    let manifest = manifest.with_bindings(bindings, manifest.tombstones().to_vec())?;
    let meanwhile = (signs && successor.is_none() && !is_spare).then_some(meanwhile);
    let cached_for = u64::from(binding.record_ttl.max(binding.state.largest_ttl().unwrap_or(0)));
    Ok(Emergency { manifest, successor, successor_seen, meanwhile, mail_until, cached_for })
}

/// The keys that may still be declared compromised: those made until `made_until` whose records may still be believed,
/// those that sign last, so that none of the others takes over from them.
pub fn declarable(manifest: &DomainManifest, made_until: Timestamp) -> Vec<Selector> {
    let is_believed = |binding: &&Binding| !matches!(binding.state.name(), StateName::Revoked | StateName::Withdrawn);
    let of_time = manifest.bindings().iter().filter(|binding| binding.created <= made_until);
    let mut declarable: Vec<&Binding> = of_time.filter(is_believed).collect();
    // RSA first: Ed25519 beside an RSA key that is about to be declared is no spare.
    declarable.sort_by_key(|binding| {
        (binding.state.name() == StateName::Active, binding.algorithm() != Algorithm::RsaSha256)
    });
    declarable.into_iter().map(|binding| binding.selector.clone()).collect()
}

fn last_seen(binding: &Binding) -> Option<Timestamp> {
    match &binding.state {
        State::Ready(state) => state.last_seen,
        _ => None,
    }
}

/// Whether a key could sign: it is not compromised, and its private part is here.
pub(super) fn is_usable(binding: &Binding) -> bool {
    binding.compromised.is_none() && binding.private_key != PrivateKeyPlace::None
}

/// Whether checks of keys of an algorithm are shortened now: no sound key of an enabled domain signs because of a
/// compromise; for RSA also while Ed25519 alone signs, for most verifiers know RSA only.
pub(super) fn is_hasty(manifest: &DomainManifest, algorithm: Algorithm) -> bool {
    let signs = |algorithm| manifest.signing().any(|binding| binding.algorithm() == algorithm && is_usable(binding));
    let compromised = |algorithm| {
        let mut bindings = manifest.bindings().iter();
        bindings.any(|binding| binding.algorithm() == algorithm && binding.compromised.is_some())
    };
    let [rsa, ed25519] = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];
    let nothing_signs = !signs(rsa) && !signs(ed25519);
    let is_emergency = match algorithm {
        Algorithm::RsaSha256 => !signs(rsa) && (compromised(rsa) || (nothing_signs && compromised(ed25519))),
        Algorithm::Ed25519Sha256 => nothing_signs && (compromised(rsa) || compromised(ed25519)),
    };
    manifest.status() == Status::Enabled && is_emergency
}

/// What steps of one domain's bindings go by.
#[derive(Clone, Copy)]
pub(super) struct Domain<'a> {
    pub(super) manifest: &'a DomainManifest,
    pub(super) evidence: &'a Evidence,
    pub(super) now: &'a Witnessed,
    pub(super) schedule: &'a Schedule,
    /// With shortened checks.
    pub(super) hasty: &'a Schedule,
}

impl<'a> Domain<'a> {
    /// The schedule that holds for keys of an algorithm now.
    pub(super) fn schedule_of(&self, algorithm: Algorithm) -> &'a Schedule {
        if is_hasty(self.manifest, algorithm) { self.hasty } else { self.schedule }
    }

    pub(super) fn circumstances(&self, binding: &Binding) -> Circumstances<'a> {
        let heard = self.evidence.acknowledged_revision.is_some_and(|revision| revision >= self.manifest.revision());
        Circumstances {
            now: self.now,
            schedule: self.schedule_of(binding.algorithm()),
            last_used: self.evidence.last_used.get(&binding.key_id()).copied(),
            daemons: if heard { Daemons::Ceased } else { Daemons::NotHeard },
        }
    }

    fn step(&self, selector: &Selector, event: &Event) -> Result<Step, ChangeError> {
        let unknown = || ChangeError::NoSuchSelector { selector: selector.clone() };
        self.step_of(self.manifest.binding(selector).ok_or_else(unknown)?, event)
    }

    fn step_of(&self, binding: &Binding, event: &Event) -> Result<Step, ChangeError> {
        let selector = || binding.selector.clone();
        step(binding, event, &self.circumstances(binding))
            .map_err(|source| ChangeError::Refused { selector: selector(), source })
    }

    /// One key begins to sign, and what signed with the same algorithm retires.
    fn activate(&self, selector: &Selector, by: EnteredBy, bindings: &mut [Binding]) -> Result<(), ChangeError> {
        let unknown = || ChangeError::NoSuchSelector { selector: selector.clone() };
        let next = bindings.iter().find(|binding| binding.selector == *selector).ok_or_else(unknown)?.clone();
        let signs =
            |binding: &&Binding| binding.algorithm() == next.algorithm() && binding.state.name() == StateName::Active;
        let before = bindings.iter().find(signs).cloned();
        let previous = before.as_ref().map(|before| before.selector.clone());
        if let Step::Changed(after) = self.step_of(&next, &Event::Activated { by, previous })? {
            replace(bindings, *after);
        }
        if let Some(before) = before {
            let event = Event::Retired { by, successor: Some(selector.clone()) };
            if let Step::Changed(after) = self.step_of(&before, &event)? {
                replace(bindings, *after);
            }
        }
        Ok(())
    }
}

fn replace(bindings: &mut [Binding], after: Binding) {
    for binding in bindings.iter_mut().filter(|binding| binding.selector == after.selector) {
        *binding = after.clone();
    }
}
