//! What must never happen, whatever is seen and whoever is killed: I1 to I6 of docs/lifecycle.md.

use super::step::has_signed;
use super::waits::Witnessed;
use crate::manifest::{Binding, DomainManifest, EnteredBy, PrivateKeyPlace, State, StateName, Status};
use crate::names::Selector;

/// Who changed a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hand {
    /// Rotation, by itself.
    Rotation,
    /// An operator, who may remove keys and declare them compromised.
    Operator,
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// I1.
    #[error("I1: the last key that signs for an enabled domain was taken away")]
    LastKeyRemoved,
    /// I2.
    #[error("I2: {selector} signs and was never Ready")]
    NeverReady {
        /// The selector.
        selector: Selector,
    },
    /// I3.
    #[error("I3: the withdrawal of {selector} began {seconds} s early")]
    Early {
        /// The selector.
        selector: Selector,
        /// By how many witnessed seconds.
        seconds: u64,
    },
    /// I3.
    #[error("I3: {selector} went from {from} to {to}")]
    Skipped {
        /// The selector.
        selector: Selector,
        /// Where it was.
        from: StateName,
        /// Where it is.
        to: StateName,
    },
    /// I3.
    #[error("I3: {selector} vanished while it was {from}")]
    Vanished {
        /// The selector.
        selector: Selector,
        /// Where it was.
        from: StateName,
    },
    /// I4.
    #[error("I4: the private key of {selector} was destroyed while it was {state}")]
    Destroyed {
        /// The selector.
        selector: Selector,
        /// Its state.
        state: StateName,
    },
    /// I5.
    #[error("I5: {selector} got another key")]
    AnotherKey {
        /// The selector.
        selector: Selector,
    },
}

/// What a change of a manifest breaks. I6 is about effects: nothing is replaced or deleted but by the value that a
/// [`super::Sighting`] calls standing, and nothing at all while the binding is held.
pub fn violations(before: &DomainManifest, after: &DomainManifest, now: &Witnessed, by: Hand) -> Vec<Violation> {
    let mut found = Vec::new();
    // Steps of rotation never stop the last one: a compromised key that was told to stop signs no more already.
    let signs = |manifest: &DomainManifest| manifest.signing().next().is_some();
    if by == Hand::Rotation && after.status() == Status::Enabled && signs(before) && !signs(after) {
        found.push(Violation::LastKeyRemoved);
    }
    for binding in before.bindings() {
        match after.binding(&binding.selector) {
            Some(next) => found.extend(of_binding(binding, next, now)),
            None if by == Hand::Rotation && binding.state.name() != StateName::Withdrawn => {
                found.push(Violation::Vanished { selector: binding.selector.clone(), from: binding.state.name() });
            }
            None if !after.tombstones().iter().any(|stone| stone.selector == binding.selector) => {
                found.push(Violation::Vanished { selector: binding.selector.clone(), from: binding.state.name() });
            }
            None => {}
        }
    }
    for binding in after.bindings() {
        let selector = binding.selector.clone();
        let is_new = before.binding(&selector).is_none();
        if is_new && before.has_used(&selector) && !before.is_vacant(&selector, now.wall) {
            found.push(Violation::AnotherKey { selector });
        } else if is_new && matches!(&binding.state, State::Active(state) if state.by == EnteredBy::Waits) {
            found.push(Violation::NeverReady { selector });
        }
    }
    found
}

fn of_binding(before: &Binding, after: &Binding, now: &Witnessed) -> Vec<Violation> {
    use StateName::{Active, Generated, Published, Ready, Retiring, Revoked, Withdrawn};
    let mut found = Vec::new();
    let selector = || before.selector.clone();
    let (from, to) = (before.state.name(), after.state.name());
    if before.public_key != after.public_key {
        found.push(Violation::AnotherKey { selector: selector() });
    }
    if let State::Active(state) = &after.state
        && !matches!(from, Active | Ready)
        && state.by != EnteredBy::Operator
    {
        found.push(Violation::NeverReady { selector: selector() });
    }
    let legal = from == to
        || matches!(
            (from, to),
            (Generated, Published)
                | (Published, Ready)
                | (Ready, Published)
                | (Generated | Published | Ready, Active)
                | (Generated | Published | Ready | Active, Retiring)
                | (Retiring, Active | Revoked | Withdrawn)
                | (Revoked, Withdrawn)
        );
    if !legal {
        found.push(Violation::Skipped { selector: selector(), from, to });
    }
    let is_destroyed = before.private_key != PrivateKeyPlace::None && after.private_key == PrivateKeyPlace::None;
    if is_destroyed && matches!(to, Generated | Published | Ready | Active | Retiring) {
        found.push(Violation::Destroyed { selector: selector(), state: to });
    }
    if let State::Retiring(state) = &before.state
        && has_signed(state)
        && state.withdrawal_begun.is_none()
        && after.compromised.is_none()
        && after.state.is_being_withdrawn()
    {
        let wait = state.not_withdrawn_before.duration_since(state.since).as_secs();
        let early = u64::try_from(wait).unwrap_or(0).saturating_sub(now.waited(before.witness.as_ref()));
        if early > 0 {
            found.push(Violation::Early { selector: selector(), seconds: early });
        }
    }
    if matches!(&before.state, State::Retiring(state) if state.withdrawal_begun.is_none())
        && matches!(to, Revoked | Withdrawn)
    {
        found.push(Violation::Skipped { selector: selector(), from, to });
    }
    if before.state.is_being_withdrawn() && matches!(to, Active) {
        found.push(Violation::Skipped { selector: selector(), from, to });
    }
    found
}
