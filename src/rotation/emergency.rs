//! Keys that the operator says others may have.

use std::sync::Arc;

use jiff::Timestamp;

use super::audit::{Entry, entries};
use super::effect::{Hook, Refusal, RefusalKind};
use super::hooks;
use super::runner::{RunError, Runner};
use super::{Patrol, Start};
use crate::dkim::KeyId;
use crate::keystore::{KeyStore, StoreError};
use crate::lifecycle::{ChangeError, Emergency, Evidence, Schedule, Silences, Witnessed, compromise, declarable};
use crate::manifest::{DomainManifest, Meanwhile, StateName, Status};
use crate::names::{DomainName, Selector};

/// How often a domain is declared anew because somebody else wrote meanwhile.
const ATTEMPTS: u32 = 5;

/// What is to be declared compromised. The same order, given again, changes nothing: it can be gone on with after any cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which keys.
    pub keys: Declared,
    /// What those that sign do until others can.
    pub meanwhile: Meanwhile,
}

/// Keys that are to be declared compromised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// This one, under whichever selectors.
    Key(KeyId),
    /// All that were made until then; their successors are younger.
    MadeUntil(Timestamp),
}

impl Order {
    /// The manifest after the order, and what it means for each key. A domain that is gone is left alone.
    ///
    /// # Errors
    /// As [`compromise`].
    pub fn apply(
        &self,
        manifest: &DomainManifest,
        evidence: &Evidence,
        now: &Witnessed,
        schedule: &Schedule,
    ) -> Result<(DomainManifest, Vec<(Selector, Emergency)>), ChangeError> {
        let mut next = manifest.clone();
        let mut emergencies = Vec::new();
        if manifest.status() == Status::Gone {
            return Ok((next, emergencies));
        }
        for selector in self.selectors(manifest) {
            let emergency = compromise(&next, &selector, self.meanwhile, evidence, now, schedule)?;
            next = emergency.manifest.clone();
            emergencies.push((selector, emergency));
        }
        Ok((next, emergencies))
    }

    fn selectors(&self, manifest: &DomainManifest) -> Vec<Selector> {
        match &self.keys {
            Declared::MadeUntil(at) => declarable(manifest, *at),
            Declared::Key(key_id) => {
                let mut selectors = declarable(manifest, Timestamp::MAX);
                selectors.retain(|selector| manifest.binding(selector).is_some_and(|one| one.key_id() == *key_id));
                selectors
            }
        }
    }
}

/// What came of an order for one domain.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Lines of the audit log.
    pub(super) done: Vec<Entry>,
    /// Hooks that failed: reported, no more.
    pub(super) refused: Vec<Refusal>,
    /// Standby keys that sign from now on.
    pub(super) successors: Vec<Selector>,
}

/// Declares a domain's keys compromised, unless they are: one commit, which also lets the standby keys sign.
pub(super) async fn declare(runner: &Arc<Runner>, domain: &DomainName, order: &Order) -> Result<Done, RunError> {
    for _ in 0..ATTEMPTS {
        let order = order.clone();
        let written = runner.blocking_on(domain, move |runner, domain| write(runner, domain, &order)).await??;
        let (before, after) = match written {
            Written::Nothing => return Ok(Done::default()),
            Written::Overtaken => continue,
            Written::Done(before, after) => (before, after),
        };
        let lines = entries(&before, &after);
        runner.write_down(domain, lines.clone()).await?;
        let signs = |manifest: &DomainManifest, selector: &Selector| {
            manifest.binding(selector).is_some_and(|binding| binding.state.name() == StateName::Active)
        };
        let selectors = after.bindings().iter().map(|binding| binding.selector.clone());
        let successors: Vec<_> =
            selectors.filter(|selector| signs(&after, selector) && !signs(&before, selector)).collect();
        let mut done = Done { done: lines, refused: Vec::new(), successors };
        if !done.successors.is_empty()
            && let Err(error) =
                hooks::run(&runner.config.rotation.hooks, Hook::PostActivate, domain, &done.successors).await
        {
            let detail = crate::finding::Chain(&error).to_string();
            done.refused.push(Refusal { kind: RefusalKind::Failed, detail });
        }
        return Ok(done);
    }
    Err(RunError::Overtaken { domain: domain.clone() })
}

enum Written {
    Nothing,
    Overtaken,
    Done(Box<DomainManifest>, Box<DomainManifest>),
}

fn write(runner: &Runner, domain: &DomainName, order: &Order) -> Result<Written, RunError> {
    let Some(manifest) = runner.store.manifest(domain)? else { return Ok(Written::Nothing) };
    let Start { manifest, schedule, evidence, .. } = runner.start(manifest, Patrol::OnlyDue, Silences::default(), None);
    let (next, _) = order.apply(&manifest, &evidence, &runner.now(), &schedule)?;
    if next == manifest {
        return Ok(Written::Nothing);
    }
    match runner.store.commit(&next, &[]) {
        Ok(after) => Ok(Written::Done(Box::new(manifest), Box::new(after))),
        Err(StoreError::Conflict { .. }) => Ok(Written::Overtaken),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::Algorithm;
    use crate::lifecycle::tests::world::{at, bound, domain, key, selector};
    use crate::manifest::{Choice, RetirementWaits};

    /// RSA and Ed25519 sign, made before second 10; another RSA key is made at second 20.
    fn manifest() -> DomainManifest {
        let mut manifest = bound(&domain(), "e", key(Algorithm::Ed25519Sha256, 1), &at(1));
        manifest = bound(&manifest, "r", key(Algorithm::RsaSha256, 2), &at(2));
        manifest = manifest.activate(Choice::Newest, RetirementWaits::default(), at(3).wall).unwrap().manifest;
        bound(&manifest, "new", key(Algorithm::RsaSha256, 3), &at(20))
    }

    fn apply(order: &Order, manifest: &DomainManifest) -> (DomainManifest, Vec<(Selector, Emergency)>) {
        order.apply(manifest, &Evidence::default(), &at(30), &Schedule::default()).unwrap()
    }

    #[test]
    fn an_order_given_again_changes_nothing_and_spares_what_was_made_since() {
        for meanwhile in [Meanwhile::Sign, Meanwhile::Stop] {
            let order = Order { keys: Declared::MadeUntil(at(10).wall), meanwhile };
            let (after, emergencies) = apply(&order, &manifest());
            let declared: Vec<_> = emergencies.iter().map(|(selector, _)| selector.as_str()).collect();
            assert_eq!(declared, ["r", "e"]);
            assert!(emergencies.iter().all(|(_, emergency)| emergency.meanwhile == Some(meanwhile)));
            assert!(after.binding(&selector("new")).unwrap().compromised.is_none());
            assert_eq!(after.signing().count(), if meanwhile == Meanwhile::Sign { 2 } else { 0 });
            assert_eq!(apply(&order, &after).0, after);
        }
    }

    #[test]
    fn one_key_is_declared_and_no_other() {
        let manifest = manifest();
        let key_id = manifest.binding(&selector("e")).unwrap().key_id();
        let (after, emergencies) = apply(&Order { keys: Declared::Key(key_id), meanwhile: Meanwhile::Sign }, &manifest);
        assert_eq!(emergencies.len(), 1);
        // RSA signs: Ed25519 stops at once, and nobody need choose.
        assert_eq!(emergencies[0].1.meanwhile, None);
        assert_eq!(after.signing().map(|one| one.selector.clone()).collect::<Vec<_>>(), [selector("r")]);
    }

    #[test]
    fn a_domain_that_is_gone_is_left_alone() {
        let gone = crate::lifecycle::gone(&manifest());
        let order = Order { keys: Declared::MadeUntil(at(10).wall), meanwhile: Meanwhile::Stop };
        assert_eq!(apply(&order, &gone).0, gone);
    }
}
