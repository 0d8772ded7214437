//! What the configuration says of one domain, as the plan wants it.

use std::time::Duration;

use jiff::SignedDuration;

use crate::config::{Config, DomainAutomation, Provenance};
use crate::lifecycle::{Automation, Schedule, Standby};
use crate::manifest::{DomainManifest, Origin, StateName};
use crate::names::DomainName;

/// How long the states of a domain's keys last.
pub fn schedule(config: &Config, domain: &DomainName) -> Schedule {
    let (rotation, spans) = (&config.rotation, config.spans(domain));
    Schedule {
        key_age: signed(spans.key_age),
        standby: if rotation.standby { Standby::Always } else { Standby::WhenDue },
        mail_life: signed(spans.mail_life),
        settle: signed(spans.settle),
        rounds: u32::try_from(rotation.rounds.get()).unwrap_or(u32::MAX),
        rounds_over: signed(rotation.rounds_over),
        reseen_within: signed(rotation.reseen_within),
        excuse_after: signed(rotation.excuse_after),
        revoked_for: signed(rotation.revoked_for),
        max_staleness: signed(config.keys.max_staleness),
        expire_after: config.domain(domain).expire_after.map(signed),
        slots: config.slots.of(domain),
        ..Schedule::default()
    }
}

/// How much is done for a domain by itself.
pub fn automation(config: &Config, manifest: &DomainManifest) -> Automation {
    let is_imported = manifest
        .bindings()
        .iter()
        .any(|binding| binding.origin == Origin::Imported && binding.state.name() == StateName::Active);
    let never_ours = manifest.bindings().iter().all(|binding| binding.origin == Origin::Imported);
    let provenance = if is_imported || (never_ours && !manifest.bindings().is_empty()) {
        Provenance::Imported
    } else {
        Provenance::Ours
    };
    match config.automation(manifest.domain(), provenance) {
        DomainAutomation::Automatic => Automation::Full,
        DomainAutomation::ByHand => Automation::ByHand,
        // The operator ordered that these keys be replaced: everything but DNS.
        DomainAutomation::Reminders if is_emergency(manifest) => Automation::ByHand,
        DomainAutomation::Reminders => Automation::Reminders,
    }
}

fn is_emergency(manifest: &DomainManifest) -> bool {
    let is_believed = |state: StateName| !matches!(state, StateName::Revoked | StateName::Withdrawn);
    manifest.bindings().iter().any(|binding| binding.compromised.is_some() && is_believed(binding.state.name()))
}

fn signed(span: Duration) -> SignedDuration {
    span.try_into().unwrap_or(SignedDuration::MAX)
}
