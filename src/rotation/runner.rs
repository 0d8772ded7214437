//! Performs what the machine asks for, one effect at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::audit::Entry;
use super::destruction::{DestroyError, LetGo};
use super::disclosure::{self, Disclosure};
use super::effect::{Effect, Outcome, Refusal, RefusalKind};
use super::emergency::Order;
use super::eyes::Eyes;
use super::hooks;
use super::machine::{Machine, Next, Patrol, Start, Summary};
use super::naming::Naming;
use super::pace::Pace;
use super::settings::{automation, schedule};
use crate::audit::{Actor, AuditError, AuditLog, Line};
use crate::clock::Clock;
use crate::config::Config;
use crate::dkim::{Algorithm, KeyId, KeyKind, PrivateKey, backend};
use crate::dns::publish::Publisher;
use crate::evidence;
use crate::keystore::{Directory, KeyStore, StoreError};
use crate::lifecycle::{Evidence, Silences, Witnessed};
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace, StateName};
use crate::names::{DomainName, Selector};

/// How often a domain is begun anew because somebody else wrote meanwhile.
const ATTEMPTS: u32 = 5;

/// All that a run needs. Shared by the domains that are worked on.
#[derive(Debug)]
pub struct Runner {
    /// The configuration.
    pub config: Config,
    /// The key store.
    pub store: Directory,
    /// Who is asked for records.
    pub eyes: Eyes,
    /// The configured publishers by name.
    pub publishers: BTreeMap<String, Opened>,
    /// Where lines go.
    pub audit: AuditLog,
    /// Who does this.
    pub actor: Actor,
    /// When keys were last used.
    pub evidence: KnownUse,
    /// Where daemons write evidence.
    pub evidence_directory: PathBuf,
    /// How many domains a second begin to ask or change DNS.
    pub pace: Pace,
    /// Shared keys that are to be gone when no domain binds them.
    pub let_go: LetGo,
    /// The time.
    pub clock: Clock,
    /// Which boot this is.
    pub boot_id: String,
    /// Keys that are declared compromised before a domain is worked on.
    pub emergency: Option<Order>,
}

/// A publisher of the configuration.
#[derive(Debug, Clone)]
pub enum Opened {
    /// As it should be.
    Usable(Arc<dyn Publisher>),
    /// Its secret is missing, say. Whatever it is to do is refused for this reason.
    Unusable {
        /// Why, for people.
        reason: String,
    },
}

/// What is known of the use of keys.
#[derive(Debug, Clone)]
pub enum KnownUse {
    /// No daemon writes it down.
    Nothing,
    /// This.
    Written(evidence::Evidence),
    /// It is written down and cannot be read: every key may have been used just now.
    Unreadable,
}

/// What came of a domain.
#[derive(Debug)]
pub struct Ran {
    /// What was done, as the audit log has it.
    pub done: Vec<Entry>,
    /// The keys as they are now.
    pub manifest: DomainManifest,
    /// What is left.
    pub summary: Summary,
    /// Since when servers are silent.
    pub silences: Silences,
}

/// Why work on a domain stopped. Nothing is lost: the manifest tells the next run where to go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The key store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log: what cannot be written down is not done.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A key cannot be declared compromised.
    #[error(transparent)]
    Change(#[from] crate::lifecycle::ChangeError),
    /// Shared private keys are still there.
    #[error(transparent)]
    Destroy(#[from] DestroyError),
    /// A key could not be made.
    #[error("no key could be generated")]
    Generate(#[from] crate::dkim::key::KeyError),
    /// A thread ended before its work.
    #[error("a thread ended before its work was done")]
    Thread(#[from] tokio::task::JoinError),
    /// It took far too long, and was cut off.
    #[error("work on {domain} was cut off after {} s", after.as_secs())]
    Slow {
        /// Which.
        domain: DomainName,
        /// How long it took.
        after: std::time::Duration,
    },
    /// Others write all the time.
    #[error("the keys of {domain} were changed by others {ATTEMPTS} times meanwhile")]
    Overtaken {
        /// Whose.
        domain: DomainName,
    },
}

impl Runner {
    /// The time by all clocks.
    pub fn now(&self) -> Witnessed {
        Witnessed { wall: self.clock.now(), boot_id: self.boot_id.clone(), boot_time: self.clock.boot_time() }
    }

    /// Does for one domain what can be done now. None if the store does not know it any more.
    ///
    /// Killed anywhere, the next run goes on: every effect may be repeated. No lock is held but within one commit.
    pub async fn run(
        self: &Arc<Self>,
        domain: &DomainName,
        patrol: Patrol,
        silences: Silences,
        audited: Option<u64>,
    ) -> Result<Option<Ran>, RunError> {
        let ran = self.work_on(domain, patrol, silences, audited).await?;
        self.destroy_let_go().await?;
        Ok(ran)
    }

    /// Destroys shared keys that were let go of by domains that were worked on, if no other binds them.
    pub(super) async fn destroy_let_go(self: &Arc<Self>) -> Result<(), RunError> {
        let runner = Arc::clone(self);
        Ok(tokio::task::spawn_blocking(move || runner.let_go.destroy(&runner.store)).await??)
    }

    /// The same as [`Self::run`], but that shared keys are left for [`Self::destroy_let_go`].
    pub(super) async fn work_on(
        self: &Arc<Self>,
        domain: &DomainName,
        mut patrol: Patrol,
        mut silences: Silences,
        mut audited: Option<u64>,
    ) -> Result<Option<Ran>, RunError> {
        let mut has_turn = HasTurn::NotYet;
        let mut done = Vec::new();
        let mut refused = Vec::new();
        if let Some(order) = &self.emergency {
            let declared = super::emergency::declare(self, domain, order).await?;
            if !declared.successors.is_empty() {
                // The last look at what signs now may be old.
                patrol = Patrol::AllInUse;
            }
            (done, refused) = (declared.done, declared.refused);
        }
        for _ in 0..ATTEMPTS {
            let Some(manifest) = self.blocking_on(domain, |runner, domain| runner.store.manifest(domain)).await??
            else {
                return Ok(None);
            };
            let rsa = rsa_of(&manifest);
            let (keys, lines) = (Vec::new(), Lines::OfBefore);
            let mut work = Work { runner: self, domain, rsa, keys, lines, done: &mut done, has_turn: &mut has_turn };
            let mut machine = Machine::new(self.start(manifest, patrol, silences, audited));
            let mut outcome = Outcome::Begin;
            let mut summary = loop {
                match machine.next(outcome, &self.now()) {
                    Next::Effect(effect) => outcome = work.perform(effect).await?,
                    Next::Done(summary) => break summary,
                }
            };
            silences = machine.silences().clone();
            // All of its lines were appended before it was done.
            let manifest = machine.manifest().clone();
            audited = Some(manifest.revision());
            if !summary.overtaken {
                summary.refusals.splice(0..0, refused);
                return Ok(Some(Ran { done, manifest, summary: *summary, silences }));
            }
        }
        Err(RunError::Overtaken { domain: domain.clone() })
    }

    /// What a machine or a plan for a domain begins with.
    pub fn start(&self, manifest: DomainManifest, patrol: Patrol, silences: Silences, audited: Option<u64>) -> Start {
        Start {
            schedule: schedule(&self.config, manifest.domain()),
            automation: automation(&self.config, &manifest),
            evidence: self.evidence_of(&manifest),
            naming: Naming {
                template: self.config.selector_template(manifest.domain()).clone(),
                random: backend::random_number().unwrap_or_default(),
            },
            record_ttl: self.config.record_ttl(&manifest),
            silences,
            patrol,
            audited,
            manifest,
        }
    }

    fn evidence_of(&self, manifest: &DomainManifest) -> Evidence {
        let ids = manifest.bindings().iter().map(crate::manifest::Binding::key_id);
        match &self.evidence {
            KnownUse::Nothing => Evidence::default(),
            KnownUse::Written(evidence) => Evidence {
                last_used: ids.map(|id| (id, evidence.last_use(id))).collect(),
                acknowledged_revision: evidence.acknowledged(manifest.domain()),
            },
            KnownUse::Unreadable => {
                let now = self.clock.now();
                Evidence { last_used: ids.map(|id| (id, now)).collect(), acknowledged_revision: None }
            }
        }
    }

    /// Who publishes the record of a selector's key.
    pub(super) fn publisher(&self, domain: &DomainName, selector: &Selector) -> Result<&dyn Publisher, Refusal> {
        let refused = |detail: String| Refusal { kind: RefusalKind::Failed, detail };
        let Some(settings) = self.config.publisher_of(domain, selector) else {
            let target = self.config.target_of(domain, selector);
            return Err(refused(format!("no [[publisher]] is for {}", target.as_ref().unwrap_or(domain))));
        };
        match self.publishers.get(&settings.name) {
            Some(Opened::Usable(publisher)) => Ok(publisher.as_ref()),
            Some(Opened::Unusable { reason }) => Err(refused(reason.clone())),
            None => Err(refused(format!("the publisher {:?} was not opened", settings.name))),
        }
    }

    /// Appends lines to the audit log.
    pub(super) async fn write_down(self: &Arc<Self>, domain: &DomainName, entries: Vec<Entry>) -> Result<(), RunError> {
        let line = |entry: Entry| Line { id: entry.line_id(), actor: self.actor.clone(), entry };
        let lines: Vec<Line<Entry>> = entries.into_iter().map(line).collect();
        self.blocking_on(domain, move |runner, _| runner.audit.append(&lines)).await??;
        Ok(())
    }

    pub(super) async fn blocking_on<T: Send + 'static>(
        self: &Arc<Self>,
        domain: &DomainName,
        work: impl FnOnce(&Self, &DomainName) -> T + Send + 'static,
    ) -> Result<T, RunError> {
        let (runner, domain) = (Arc::clone(self), domain.clone());
        Ok(tokio::task::spawn_blocking(move || work(&runner, &domain)).await?)
    }
}

/// The work of one machine.
struct Work<'a> {
    runner: &'a Arc<Runner>,
    domain: &'a DomainName,
    /// What RSA keys of the domain are like.
    rsa: KeyKind,
    /// Private keys that were made and are not in the store yet.
    keys: Vec<Arc<PrivateKey>>,
    lines: Lines,
    done: &'a mut Vec<Entry>,
    has_turn: &'a mut HasTurn,
}

/// What the audit lines are about that come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// What was done before this run, and may have been written down then.
    OfBefore,
    /// What this run did.
    OfThisRun,
}

/// Whether a domain may ask and change DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HasTurn {
    NotYet,
    Now,
}

impl Work<'_> {
    async fn perform(&mut self, effect: Effect) -> Result<Outcome, RunError> {
        let is_about_dns = matches!(effect, Effect::Observe { .. }) || effect.changes_dns();
        if is_about_dns && *self.has_turn == HasTurn::NotYet {
            self.runner.pace.turn().await;
            *self.has_turn = HasTurn::Now;
        }
        if effect.changes_dns() || matches!(effect, Effect::Commit { .. }) {
            self.lines = Lines::OfThisRun;
        }
        let Runner { eyes, config, .. } = &**self.runner;
        Ok(match effect {
            Effect::Observe { selectors, depth } => {
                Outcome::Observed(eyes.look(self.domain, &selectors, depth, &self.runner.now()).await)
            }
            Effect::Generate { algorithm } => {
                let kind = match algorithm {
                    Algorithm::RsaSha256 => self.rsa,
                    Algorithm::Ed25519Sha256 => KeyKind::Ed25519,
                };
                let made = self.runner.blocking_on(self.domain, move |_, _| PrivateKey::generate(kind));
                let key = made.await??;
                let public = key.public().clone();
                self.keys.push(Arc::new(key));
                Outcome::Generated(public)
            }
            Effect::Commit { manifest, new_key } => self.commit(*manifest, new_key).await?,
            Effect::Publish { record } => super::publishing::publish(self.runner, self.domain, &record).await,
            Effect::Revoke { old, standing, new } => {
                super::publishing::revoke(self.runner, self.domain, &old, &standing, &new).await
            }
            Effect::Delete { records, standing } => {
                super::publishing::delete(self.runner, self.domain, &records, &standing).await
            }
            Effect::Hook { hook, selectors } => {
                match hooks::run(&config.rotation.hooks, hook, self.domain, &selectors).await {
                    Ok(()) => Outcome::Done,
                    Err(error) => failed(&error),
                }
            }
            Effect::AwaitDaemons { revision, seconds } => {
                // In an emergency whoever ordered it comes again, and others need not wait behind this domain.
                let seconds = if self.runner.emergency.is_some() { 0 } else { seconds };
                super::acknowledgement::await_daemons(self.runner, self.domain, revision, seconds).await?
            }
            Effect::Audit { entries } => self.audit(entries).await?,
            Effect::Destroy { key_id, place, .. } => {
                let destroy = move |runner: &Runner, domain: &DomainName| match place {
                    PrivateKeyPlace::Shared => Ok(runner.let_go.note(key_id)?),
                    PrivateKeyPlace::Own | PrivateKeyPlace::None => Ok::<_, RunError>(runner.store.sweep(domain)?),
                };
                self.runner.blocking_on(self.domain, destroy).await??;
                Outcome::Done
            }
        })
    }

    async fn commit(&mut self, manifest: DomainManifest, new_key: Option<KeyId>) -> Result<Outcome, RunError> {
        if let Some(postponed) = self.disclose(&manifest).await? {
            return Ok(postponed);
        }
        let key = new_key.and_then(|id| self.keys.iter().find(|key| key.public().id() == id).cloned());
        let commit = move |runner: &Runner, domain: &DomainName| {
            if let Err(error) = can_sign(&runner.store, domain, &manifest) {
                return Ok(failed(&error));
            }
            let keys: Vec<&PrivateKey> = key.iter().map(|key| &**key).collect();
            match runner.store.commit(&manifest, &keys) {
                Ok(written) => Ok(Outcome::Committed(Box::new(written))),
                Err(StoreError::Conflict { .. }) => Ok(Outcome::Overtaken),
                Err(error) => Err(error),
            }
        };
        Ok(self.runner.blocking_on(self.domain, commit).await??)
    }

    /// Publishes the private keys that a manifest destroys, where that is wanted; what keeps it from being committed.
    async fn disclose(&mut self, next: &DomainManifest) -> Result<Option<Outcome>, RunError> {
        let Some(directory) = &self.runner.config.rotation.publish_retired_keys else { return Ok(None) };
        let (directory, next) = (directory.clone(), next.clone());
        let disclose = move |runner: &Runner, _: &DomainName| disclosure::disclose(runner, &next, &directory);
        match self.runner.blocking_on(self.domain, disclose).await? {
            Ok(Disclosure::Done { entries }) => {
                if !entries.is_empty() {
                    self.audit(entries).await?;
                }
                Ok(None)
            }
            Ok(Disclosure::TooEarly { selector, until }) => Ok(Some(Outcome::Postponed { selector, until })),
            Err(error) => Ok(Some(failed(&error))),
        }
    }

    async fn audit(&mut self, entries: Vec<Entry>) -> Result<Outcome, RunError> {
        self.runner.write_down(self.domain, entries.clone()).await?;
        if self.lines == Lines::OfThisRun {
            self.done.extend(entries);
        }
        Ok(Outcome::Done)
    }
}

/// Whether the private keys of those that are to begin to sign can be read. Nobody looked at their files since they were
/// made, and what signs until now retires in the same commit.
fn can_sign(store: &Directory, domain: &DomainName, manifest: &DomainManifest) -> Result<(), StoreError> {
    let is_active = |binding: &Binding| binding.state.name() == StateName::Active;
    let Some(before) = store.manifest(domain)? else { return Ok(()) };
    let begins = |binding: &&Binding| is_active(binding) && !before.binding(&binding.selector).is_some_and(is_active);
    manifest.bindings().iter().filter(begins).try_for_each(|binding| store.private_key(domain, binding).map(drop))
}

/// As the newest RSA key of the domain, where such are still made.
fn rsa_of(manifest: &DomainManifest) -> KeyKind {
    let newest = manifest.bindings().iter().rev().find(|binding| binding.algorithm() == Algorithm::RsaSha256);
    newest.and_then(|binding| KeyKind::rsa(binding.public_key.bits()).ok()).unwrap_or_default()
}

/// An effect that was not done, with the whole chain of why.
pub(super) fn failed(error: &(dyn std::error::Error + 'static)) -> Outcome {
    let detail = crate::finding::Chain(error).to_string();
    Outcome::Refused(Refusal { kind: RefusalKind::Failed, detail })
}
