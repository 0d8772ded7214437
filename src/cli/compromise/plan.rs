//! What is about to be done, and what it costs.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::scope::Scope;
use crate::cli::output::{BAD, STRONG, WARN};
use crate::cli::progress::progress_bar;
use crate::keystore::KeyStore;
use crate::lifecycle::{Automation, Silences};
use crate::manifest::{Meanwhile, Status};
use crate::names::{DomainName, Selector};
use crate::rotation::{Declared, Order, Patrol, Runner, Start};

/// How much is told of each domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Everything.
    Everything,
    /// What is wrong: of a whole store nobody could read more.
    Trouble,
}

/// What is about to be done.
#[derive(Debug)]
pub(super) struct Planned {
    /// The order.
    pub(super) order: Order,
    /// Whose keys.
    pub(super) domains: Vec<DomainName>,
    pub(super) detail: Detail,
    /// Whether some domain would have a key that signs and none to take over.
    pub(super) needs_choice: bool,
    /// What is lost with each key; of a whole store, none is listed.
    pub(super) lost: Vec<Lost>,
    /// Keys of domains that are not gone.
    keys: usize,
    /// Domains whose records the operator publishes.
    by_hand: usize,
    /// Domains that are gone and left alone.
    gone: usize,
    /// An earlier run began it.
    is_resumed: Resumed,
    /// Until when, at the latest, mail that is lost may be under way.
    mail_until: Option<Timestamp>,
    /// The longest that resolvers hold a record.
    cached_for: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resumed {
    Yes,
    No,
}

/// What is lost with a key.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Lost {
    pub(super) domain: DomainName,
    pub(super) selector: Selector,
    /// The standby key that signs in its place.
    pub(super) successor: Option<Selector>,
    /// What it does until another can sign; null if that does not matter.
    pub(super) meanwhile: Option<Meanwhile>,
    /// Until when mail that it signed is under way; null if it never signed.
    pub(super) mail_until: Option<Timestamp>,
    /// For how many seconds resolvers may hold its record after that was revoked.
    pub(super) cached_for: u64,
}

impl Planned {
    pub(super) fn of(scope: &Scope, order: Order, is_resumed: bool, runner: &Arc<Runner>) -> anyhow::Result<Self> {
        let domains = scope.domains(&runner.store)?;
        let detail = if *scope == Scope::Store { Detail::Trouble } else { Detail::Everything };
        let mut planned = Self {
            order,
            domains: Vec::new(),
            detail,
            needs_choice: false,
            lost: Vec::new(),
            keys: 0,
            by_hand: 0,
            gone: 0,
            is_resumed: if is_resumed { Resumed::Yes } else { Resumed::No },
            mail_until: None,
            cached_for: 0,
        };
        let bar = progress_bar(domains.len(), "read");
        for domain in domains {
            planned.take(domain, runner)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(planned)
    }

    fn take(&mut self, domain: DomainName, runner: &Arc<Runner>) -> anyhow::Result<()> {
        let manifest = runner.store.manifest(&domain);
        let manifest = manifest.with_context(|| format!("the keys of {domain} cannot be read; nothing was changed"))?;
        let Some(manifest) = manifest else { return Ok(()) };
        if manifest.status() == Status::Gone {
            self.gone += 1;
            return Ok(());
        }
        let Start { manifest, schedule, evidence, .. } =
            runner.start(manifest, Patrol::OnlyDue, Silences::default(), None);
        let (after, emergencies) = self.order.apply(&manifest, &evidence, &runner.now(), &schedule)?;
        if emergencies.is_empty() {
            return Ok(());
        }
        self.by_hand += usize::from(crate::rotation::automation(&runner.config, &after) != Automation::Full);
        for (selector, emergency) in emergencies {
            self.keys += 1;
            self.needs_choice |= emergency.meanwhile.is_some();
            self.mail_until = self.mail_until.max(emergency.mail_until);
            self.cached_for = self.cached_for.max(emergency.cached_for);
            if self.detail == Detail::Everything {
                self.lost.push(Lost {
                    domain: domain.clone(),
                    selector,
                    successor: emergency.successor,
                    meanwhile: emergency.meanwhile,
                    mail_until: emergency.mail_until,
                    cached_for: emergency.cached_for,
                });
            }
        }
        self.domains.push(domain);
        Ok(())
    }

    /// Whether there is nothing to declare.
    pub(super) fn is_nothing(&self) -> bool {
        self.domains.is_empty()
    }

    /// The standby keys that sign from now on.
    pub(super) fn successors(&self) -> Vec<(DomainName, Selector)> {
        let of = |lost: &Lost| Some((lost.domain.clone(), lost.successor.clone()?));
        self.lost.iter().filter_map(of).collect()
    }

    pub(super) fn write(&self, chosen: Option<Meanwhile>, runner: &Runner, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.is_nothing() {
            writeln!(out, "there is no key to be declared compromised: all are revoked, or were made since")?;
            return Ok(());
        }
        for lost in &self.lost {
            write_lost(lost, chosen, runner.clock.now(), out)?;
        }
        match self.detail {
            Detail::Everything => {
                writeln!(out, "each record is revoked as soon as no daemon signs with its key any more")?
            }
            Detail::Trouble => self.write_store(chosen, runner, out)?,
        }
        if let Declared::MadeUntil(made_until) = self.order.keys {
            writeln!(out, "compromised are the keys made until {made_until:.0}, standby keys too")?;
            if self.is_resumed == Resumed::Yes {
                writeln!(out, "  {WARN}this was begun then and not ended:{WARN:#} it goes on; --anew begins anew")?;
            }
        }
        if self.by_hand > 0 {
            writeln!(
                out,
                "  {WARN}{} domains have records that you publish:{WARN:#} they are printed at the end",
                self.by_hand
            )?;
        }
        Ok(())
    }

    fn write_store(&self, chosen: Option<Meanwhile>, runner: &Runner, out: &mut dyn Write) -> anyhow::Result<()> {
        let waves = &runner.config.rotation.waves;
        writeln!(
            out,
            "{STRONG}the whole key store:{STRONG:#} {} keys of {} domains are compromised; {} domains that are gone are left alone",
            self.keys,
            self.domains.len(),
            self.gone
        )?;
        writeln!(
            out,
            "  of each domain fresh keys are made, published, seen on every server, and sign; then the old records are revoked"
        )?;
        writeln!(
            out,
            "  {}% of more than 20 domains come first; when more than {}% fail, the rest is not begun",
            waves.canary.0, waves.halt.0
        )?;
        if self.needs_choice {
            write_meanwhile(chosen, "  ", out)?;
        }
        if let Some(until) = self.mail_until {
            writeln!(
                out,
                "  {WARN}lost:{WARN:#} mail that was signed until the switch can no longer be verified; some may be under way until {until:.0}"
            )?;
        }
        writeln!(out, "  resolvers may hold revoked records for up to {} more", span(self.cached_for))?;
        Ok(())
    }
}

fn write_lost(lost: &Lost, chosen: Option<Meanwhile>, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{STRONG}{}{STRONG:#}: {} is compromised", lost.domain, lost.selector)?;
    if let Some(successor) = &lost.successor {
        writeln!(out, "  {successor} signs in its place, at once")?;
    }
    if lost.meanwhile.is_some() {
        writeln!(out, "  {WARN}no standby key can take over:{WARN:#} a fresh one is made, published and looked for")?;
        write_meanwhile(chosen, "  ", out)?;
    }
    if let Some(until) = lost.mail_until {
        writeln!(
            out,
            "  {WARN}lost:{WARN:#} mail that it signed can no longer be verified; some may be under way until {until:.0}"
        )?;
    }
    let caches = now.saturating_add(SignedDuration::from_secs(i64::try_from(lost.cached_for).unwrap_or(0)));
    let caches = caches.unwrap_or(now);
    writeln!(
        out,
        "  revoked now, its record is held by resolvers for up to {}, until {caches:.0}: until then others can sign with it",
        span(lost.cached_for)
    )?;
    Ok(())
}

fn write_meanwhile(chosen: Option<Meanwhile>, indent: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    match chosen {
        Some(Meanwhile::Sign) => {
            writeln!(out, "{indent}{WARN}meanwhile{WARN:#} the old keys sign on, and others may sign with them too")?;
        }
        Some(Meanwhile::Stop) => {
            writeln!(
                out,
                "{indent}{BAD}meanwhile{BAD:#} nothing is signed with their algorithms: such mail goes unsigned"
            )?;
        }
        None => {}
    }
    Ok(())
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
