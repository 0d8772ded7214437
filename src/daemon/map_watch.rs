//! Maps that change take hold by themselves.

use std::sync::Arc;
use std::time::Duration;

use crate::files::maps::{self, Compiled, Stamps};
use crate::filter::{Filter, Running};
use crate::finding::{Finding, Severity};
use crate::keystore::KeyStore;

/// How often the maps are looked at: as soon as a changed key takes hold, a changed map shall, and a look is a `stat` a file.
pub(super) const LOOK_AT_MAPS_EVERY: Duration = Duration::from_secs(1);

/// What was last made of the maps.
#[derive(Debug)]
pub(super) struct MapWatch {
    /// The maps as they were read last, with success or without.
    read: Stamps,
    /// As they were at the last look.
    seen: Stamps,
}

impl MapWatch {
    /// Maps that were read when they were so.
    pub(super) fn new(read: Stamps) -> Self {
        Self { seen: read.clone(), read }
    }

    /// Reads the maps again if any changed and none has since the last look: whoever writes one is then done with it. A map
    /// that cannot be used changes nothing, and is tried again when it changes.
    pub(super) fn look<S: KeyStore + 'static>(&mut self, filter: &Filter<S>) {
        if self.read.is_empty() {
            return;
        }
        let now = self.read.look();
        let is_settled = now == self.seen;
        self.seen = now;
        if self.seen == self.read || !is_settled {
            return;
        }
        let running = filter.running.load_full();
        let Compiled { policy, stamps } = maps::compile(&running.config);
        self.read = stamps;
        match policy {
            Ok((policy, warnings)) => {
                report(&warnings);
                tracing::info!(entries = policy.entries(), octets = policy.memory(), "maps reread");
                filter.running.store(Arc::new(Running::new(Arc::clone(&running.config), policy)));
            }
            Err(findings) => {
                tracing::error!(
                    "the maps changed and cannot be used; what was read before stays until they are mended"
                );
                report(&findings);
            }
        }
    }
}

/// Logs findings.
pub(super) fn report(findings: &[Finding]) {
    for finding in findings {
        if finding.severity == Severity::Error {
            tracing::error!(place = %finding.place, remedy = finding.remedy, "{}", finding.evidence);
        } else {
            tracing::warn!(place = %finding.place, remedy = finding.remedy, "{}", finding.evidence);
        }
    }
}
