//! When and how keys are replaced.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Config;
use super::file::v1;
use super::parse::Accounts;
use super::publisher::{DomainPattern, Publisher, PublishingMethod};
use super::resolve::Resolver;
use super::source::Step;
use super::values::{Count, Percent, Period};
use crate::manifest::{DomainManifest, SelectorTemplate};
use crate::names::DomainName;

pub use super::file::rotation::DomainAutomation;

/// The TTL, in seconds, of the records of a domain's first keys: short enough to mend a mistake the same day.
const RECORD_TTL: u32 = 3600;

/// The longest TTL, in seconds (RFC 2181 §8).
const MOST_TTL: u32 = (1 << 31) - 1;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// When and how keys are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Lock, audit log, due index.
    pub state: PathBuf,
    /// How long each state lasts.
    pub spans: Spans,
    /// Whether the next keys are Ready all the time.
    pub standby: bool,
    /// Rounds in a row that find the record on every server.
    pub rounds: NonZeroUsize,
    /// Between the first and the last of these rounds.
    pub rounds_over: Duration,
    /// The age of the last look when a key is activated, at most.
    pub reseen_within: Duration,
    /// For how long a server is silent before it is excused.
    pub excuse_after: Duration,
    /// How long a record with an empty p= stays.
    pub revoked_for: Duration,
    /// What selectors of new keys look like.
    pub selector: SelectorTemplate,
    /// The TTL, in seconds, of the records of new keys; none: that of the newest key.
    pub record_ttl: Option<u32>,
    /// Imported domains that are rotated.
    pub enrolled: Vec<DomainPattern>,
    /// The operator's programs.
    pub hooks: Hooks,
    /// Where private keys go that are no longer needed; destroyed without that, if none.
    pub publish_retired_keys: Option<PathBuf>,
    /// How much is done at once.
    pub waves: Waves,
    /// What domains have of their own.
    pub domains: BTreeMap<DomainName, DomainRotation>,
}

/// What a domain may have of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// How long a key signs.
    pub key_age: Duration,
    /// How long mail is under way.
    pub mail_life: Duration,
    /// How long a record stands before its key signs.
    pub settle: Duration,
}

/// What a domain's own table says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainRotation {
    /// How much is done for it.
    pub automation: Option<DomainAutomation>,
    /// Instead of [`Spans::key_age`].
    pub key_age: Option<Duration>,
    /// Instead of [`Spans::mail_life`].
    pub mail_life: Option<Duration>,
    /// Instead of [`Spans::settle`].
    pub settle: Option<Duration>,
    /// Instead of [`Rotation::selector`].
    pub selector: Option<SelectorTemplate>,
    /// Instead of [`Rotation::record_ttl`].
    pub record_ttl: Option<u32>,
}

/// Programs and their arguments; none where empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Before a record is published.
    pub pre_publish: Vec<String>,
    /// After a key became Ready.
    pub post_ready: Vec<String>,
    /// After a key became Active.
    pub post_activate: Vec<String>,
    /// Before a record is revoked or deleted.
    pub pre_withdraw: Vec<String>,
    /// How long each may take.
    pub timeout: Duration,
}

/// How much is done at once, and when a run halts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waves {
    /// Domains at once.
    pub concurrency: NonZeroUsize,
    /// Domains that begin to ask or change DNS each second.
    pub domains_per_second: NonZeroUsize,
    /// How often records in use are looked at.
    pub patrol_every: Duration,
    /// Done first.
    pub canary: Percent,
    /// Failing, they halt the run.
    pub halt: Percent,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            state: PathBuf::from("/var/lib/waxseal-rotate"),
            spans: Spans {
                key_age: Duration::from_secs(180 * DAY),
                mail_life: Duration::from_secs(14 * DAY),
                settle: Duration::from_secs(DAY),
            },
            standby: true,
            rounds: NonZeroUsize::MIN.saturating_add(2),
            rounds_over: Duration::from_secs(300),
            reseen_within: Duration::from_secs(HOUR),
            excuse_after: Duration::from_secs(DAY),
            revoked_for: Duration::from_secs(30 * DAY),
            selector: SelectorTemplate::default(),
            record_ttl: None,
            enrolled: Vec::new(),
            hooks: Hooks {
                pre_publish: Vec::new(),
                post_ready: Vec::new(),
                post_activate: Vec::new(),
                pre_withdraw: Vec::new(),
                timeout: Duration::from_secs(60),
            },
            publish_retired_keys: None,
            waves: Waves {
                concurrency: NonZeroUsize::MIN.saturating_add(63),
                domains_per_second: NonZeroUsize::MIN.saturating_add(399),
                patrol_every: Duration::from_secs(DAY),
                canary: Percent(5),
                halt: Percent(20),
            },
            domains: BTreeMap::new(),
        }
    }
}

impl Config {
    /// How long the states of a domain's keys last.
    pub fn spans(&self, domain: &DomainName) -> Spans {
        let all = self.rotation.spans;
        let Some(own) = self.rotation.domains.get(domain) else { return all };
        Spans {
            key_age: own.key_age.unwrap_or(all.key_age),
            mail_life: own.mail_life.unwrap_or(all.mail_life),
            settle: own.settle.unwrap_or(all.settle),
        }
    }

    /// What the selectors of a domain's new keys look like, where it has no fixed slots.
    pub fn selector_template(&self, domain: &DomainName) -> &SelectorTemplate {
        let own = self.rotation.domains.get(domain).and_then(|own| own.selector.as_ref());
        own.unwrap_or(&self.rotation.selector)
    }

    /// The TTL, in seconds, of the records of a domain's new keys, beside those that it has.
    pub fn record_ttl(&self, manifest: &DomainManifest) -> u32 {
        let own = self.rotation.domains.get(manifest.domain()).and_then(|own| own.record_ttl);
        let newest = || manifest.bindings().last().map(|binding| binding.record_ttl);
        own.or(self.rotation.record_ttl).or_else(newest).unwrap_or(RECORD_TTL)
    }

    /// Who publishes the records of a domain's keys: where it has fixed slots, the publisher of what their CNAMEs lead to.
    fn publishers_of_keys(&self, domain: &DomainName) -> Vec<Option<&Publisher>> {
        match self.slots.of(domain) {
            Some(slots) => slots.iter().map(|slot| self.publisher_for(&slot.target)).collect(),
            None => vec![self.publisher_for(domain)],
        }
    }

    /// How much is done for a domain: what its table says; else everything where a publisher can write its records,
    /// everything but DNS where its publisher is the operator, and reminders where it has none. A domain that was imported
    /// gets reminders until it is enrolled.
    pub fn automation(&self, domain: &DomainName, provenance: Provenance) -> DomainAutomation {
        if let Some(own) = self.rotation.domains.get(domain).and_then(|own| own.automation) {
            return own;
        }
        let is_enrolled = || self.rotation.enrolled.iter().any(|pattern| pattern.closeness(domain).is_some());
        let publishers = self.publishers_of_keys(domain);
        let is_manual =
            |publisher: &Option<&Publisher>| publisher.is_some_and(|it| it.method == PublishingMethod::Manual);
        let is_written = !publishers.is_empty() && publishers.iter().all(Option::is_some);
        if !is_written || (provenance == Provenance::Imported && !is_enrolled()) {
            DomainAutomation::Reminders
        } else if publishers.iter().any(is_manual) {
            DomainAutomation::ByHand
        } else {
            DomainAutomation::Automatic
        }
    }
}

/// Whose keys a domain signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// Waxseal made them.
    Ours,
    /// At least one came from another signer.
    Imported,
}

impl<A: Accounts> Resolver<'_, '_, A> {
    pub(super) fn rotation(&mut self, spec: &v1::Spec, directory: &Path) -> Rotation {
        let defaults = Rotation::default();
        let domains = spec.domain.iter().flatten().map(|(name, table)| (name.clone(), self.own(name, table)));
        let domains: Vec<_> = domains.collect();
        let spec = spec.rotation.clone().unwrap_or_default();
        let period = |given: Option<Period>, default: Duration| given.map_or(default, |period| period.0);
        let count = |given: Option<Count>, default: NonZeroUsize| given.map_or(default, |count| count.0);
        let rotation = Rotation {
            state: spec.state.as_ref().map_or(defaults.state, |state| directory.join(state)),
            spans: Spans {
                key_age: period(spec.key_age, defaults.spans.key_age),
                mail_life: period(spec.mail_life, defaults.spans.mail_life),
                settle: period(spec.settle, defaults.spans.settle),
            },
            standby: spec.standby.unwrap_or(defaults.standby),
            rounds: count(spec.rounds, defaults.rounds),
            rounds_over: period(spec.rounds_over, defaults.rounds_over),
            reseen_within: period(spec.reseen_within, defaults.reseen_within),
            excuse_after: period(spec.excuse_after, defaults.excuse_after),
            revoked_for: period(spec.revoked_for, defaults.revoked_for),
            selector: spec.selector.clone().unwrap_or(defaults.selector),
            record_ttl: self.ttl(spec.record_ttl, &[Step::from("rotation"), "record_ttl".into()]),
            enrolled: spec.enrolled.clone().unwrap_or_default(),
            hooks: Hooks {
                pre_publish: self.hook("pre_publish", spec.pre_publish.as_ref()),
                post_ready: self.hook("post_ready", spec.post_ready.as_ref()),
                post_activate: self.hook("post_activate", spec.post_activate.as_ref()),
                pre_withdraw: self.hook("pre_withdraw", spec.pre_withdraw.as_ref()),
                timeout: period(spec.hook_timeout, defaults.hooks.timeout),
            },
            publish_retired_keys: spec.publish_retired_keys.as_ref().map(|path| directory.join(path)),
            waves: Waves {
                concurrency: count(spec.concurrency, defaults.waves.concurrency),
                domains_per_second: count(spec.domains_per_second, defaults.waves.domains_per_second),
                patrol_every: period(spec.patrol_every, defaults.waves.patrol_every),
                canary: spec.canary.unwrap_or(defaults.waves.canary),
                halt: spec.halt.unwrap_or(defaults.waves.halt),
            },
            domains: domains.into_iter().filter(|(_, own)| *own != DomainRotation::default()).collect(),
        };
        self.check_rotation(&rotation, spec.state.as_deref());
        if spec.publish_retired_keys.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            let remedy = "name a directory, or leave the setting out to destroy keys";
            let at = [Step::from("rotation"), "publish_retired_keys".into()];
            self.error("config.retired_keys", &at, "is empty".into(), remedy);
        }
        rotation
    }

    fn own(&mut self, name: &DomainName, table: &v1::Domain) -> DomainRotation {
        let period = |given: Option<Period>| given.map(|period| period.0);
        let at = [Step::from("domain"), name.as_str().into(), "record_ttl".into()];
        DomainRotation {
            automation: table.rotation,
            key_age: period(table.key_age),
            mail_life: period(table.mail_life),
            settle: period(table.settle),
            selector: table.selector.clone(),
            record_ttl: self.ttl(table.record_ttl, &at),
        }
    }

    /// A TTL in whole seconds (RFC 2181 §8).
    fn ttl(&mut self, given: Option<Period>, path: &[Step]) -> Option<u32> {
        let given = given?.0;
        let ttl = u32::try_from(given.as_secs()).ok().filter(|ttl| (1..=MOST_TTL).contains(ttl));
        if ttl.is_none() || given.subsec_nanos() != 0 {
            let evidence = format!("{} is no TTL", Period(given));
            self.error("config.record_ttl", path, evidence, "give it whole seconds, at least one, such as \"1h\"");
        }
        ttl
    }

    fn hook(&mut self, name: &str, given: Option<&Vec<String>>) -> Vec<String> {
        let at = [Step::from("rotation"), name.into()];
        let program = given.cloned().unwrap_or_default();
        if given.is_some() && !program.first().is_some_and(|program| program.starts_with('/')) {
            let evidence = "the program is not named by an absolute path".to_owned();
            self.error(
                "config.rotation_hook",
                &at,
                evidence,
                "for example [\"/usr/local/lib/waxseal/hook\", \"argument\"]",
            );
        }
        program
    }

    fn check_rotation(&mut self, rotation: &Rotation, state: Option<&Path>) {
        let at = |setting: &str| [Step::from("rotation"), setting.into()];
        if state.is_some_and(|state| state.as_os_str().is_empty()) {
            let remedy = "for example state = \"/var/lib/waxseal-rotate\"";
            self.error("config.state", &at("state"), "is empty".into(), remedy);
        }
        let not_zero = [
            ("key_age", rotation.spans.key_age, "180d"),
            ("hook_timeout", rotation.hooks.timeout, "60s"),
            ("patrol_every", rotation.waves.patrol_every, "1d"),
            ("reseen_within", rotation.reseen_within, "1h"),
        ];
        for (setting, period, example) in not_zero {
            if period.is_zero() {
                let evidence = "0s leaves no time at all".to_owned();
                self.error("config.timeout", &at(setting), evidence, &format!("for example \"{example}\""));
            }
        }
        if rotation.spans.mail_life < Duration::from_secs(5 * DAY) {
            let evidence =
                "MTAs try for five days to deliver mail; what they deliver last can no longer be verified".to_owned();
            self.warning("config.rotation_mail_life", &at("mail_life"), evidence, "set it to 7d or more");
        }
    }
}

/// A TTL as the file has it.
pub(super) fn period_of(ttl: u32) -> Period {
    Period(Duration::from_secs(ttl.into()))
}

/// As the file has it.
pub(super) fn shown(rotation: &Rotation) -> v1::Rotation {
    let program = |program: &Vec<String>| (!program.is_empty()).then(|| program.clone());
    let Hooks { pre_publish, post_ready, post_activate, pre_withdraw, timeout } = &rotation.hooks;
    v1::Rotation {
        state: Some(rotation.state.clone()),
        key_age: Some(Period(rotation.spans.key_age)),
        standby: Some(rotation.standby),
        mail_life: Some(Period(rotation.spans.mail_life)),
        settle: Some(Period(rotation.spans.settle)),
        rounds: Some(Count(rotation.rounds)),
        rounds_over: Some(Period(rotation.rounds_over)),
        reseen_within: Some(Period(rotation.reseen_within)),
        excuse_after: Some(Period(rotation.excuse_after)),
        revoked_for: Some(Period(rotation.revoked_for)),
        selector: Some(rotation.selector.clone()),
        record_ttl: rotation.record_ttl.map(period_of),
        enrolled: Some(rotation.enrolled.clone()),
        pre_publish: program(pre_publish),
        post_ready: program(post_ready),
        post_activate: program(post_activate),
        pre_withdraw: program(pre_withdraw),
        hook_timeout: Some(Period(*timeout)),
        publish_retired_keys: rotation.publish_retired_keys.clone(),
        concurrency: Some(Count(rotation.waves.concurrency)),
        domains_per_second: Some(Count(rotation.waves.domains_per_second)),
        patrol_every: Some(Period(rotation.waves.patrol_every)),
        canary: Some(rotation.waves.canary),
        halt: Some(rotation.waves.halt),
    }
}
