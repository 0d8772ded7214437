//! What came of it.

use std::io::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::plan::{Lost, Planned};
use crate::cli::Exit;
use crate::cli::output::{BAD, Format, GOOD, STRONG, WARN, write_json};
use crate::cli::rotate::{self, RotatedDomain};
use crate::manifest::{DomainManifest, Meanwhile, StateName};
use crate::names::{DomainName, Selector};
use crate::record_format::{PublishedRecord, write_bind};
use crate::rotation::Declared;

/// Unfinished domains that are named to people.
const NAMED: usize = 20;

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Keys made until then are compromised; null where one key was named.
    pub(super) made_until: Option<Timestamp>,
    /// What keys that signed did until others could.
    pub(super) meanwhile: Meanwhile,
    /// Domains whose keys were meant.
    pub(super) total: usize,
    /// Of these, those that are through.
    pub(super) replaced: usize,
    /// And those that are not.
    pub(super) unfinished: Vec<DomainName>,
    /// Why the rest was not begun.
    pub(super) halted: Option<String>,
    /// What is lost with each key.
    pub(super) lost: Vec<Lost>,
    /// What was seen of the records of standby keys that sign now.
    pub(super) standby: Vec<Looked>,
    /// Domains whose old keys some daemon may still sign with, for it did not say otherwise.
    pub(super) unheard: Vec<Unheard>,
    /// What was done for each domain.
    pub(super) domains: Vec<RotatedDomain>,
    /// Records that the operator is to publish.
    pub(super) publish_by_hand: Vec<PublishedRecord>,
    /// Records that the operator is to put in the place of those with keys, when others sign.
    pub(super) revoke_by_hand: Vec<PublishedRecord>,
    #[serde(skip)]
    pub(super) is_bad: bool,
}

/// A look at the record of a standby key that signs now.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Looked {
    pub(super) domain: DomainName,
    pub(super) selector: Selector,
    /// Whether every server has it.
    pub(super) everywhere: bool,
    /// What was seen.
    pub(super) detail: String,
}

/// A domain whose old keys some daemon may still sign with.
#[derive(Debug, Serialize)]
pub(super) struct Unheard {
    pub(super) domain: DomainName,
    /// Which daemon, in words.
    pub(super) detail: String,
}

impl Planned {
    pub(super) fn made_until(&self) -> Option<Timestamp> {
        match self.order.keys {
            Declared::MadeUntil(at) => Some(at),
            Declared::Key(_) => None,
        }
    }
}

impl Report {
    /// Of an order that meant no key.
    pub(super) fn nothing(planned: &Planned) -> Self {
        Self {
            made_until: planned.made_until(),
            meanwhile: planned.order.meanwhile,
            total: 0,
            replaced: 0,
            unfinished: Vec::new(),
            halted: None,
            lost: Vec::new(),
            standby: Vec::new(),
            unheard: Vec::new(),
            domains: Vec::new(),
            publish_by_hand: Vec::new(),
            revoke_by_hand: Vec::new(),
            is_bad: false,
        }
    }

    /// Adds what the operator is to publish for a domain.
    pub(super) fn add_by_hand(&mut self, manifest: &DomainManifest) {
        for binding in manifest.bindings() {
            match (&binding.compromised, binding.state.name()) {
                (None, StateName::Generated | StateName::Published) => {
                    self.publish_by_hand.push(PublishedRecord::with_key(manifest.domain(), binding));
                }
                (Some(_), StateName::Active | StateName::Retiring) => {
                    self.revoke_by_hand.push(PublishedRecord::revoked(manifest.domain(), binding));
                }
                _ => {}
            }
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.unfinished.is_empty() && self.halted.is_none()
    }

    pub(super) fn write(mut self, format: Format, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let is_seen = self.standby.iter().all(|looked| looked.everywhere);
        let is_clean = self.is_over() && is_seen && self.unheard.is_empty() && !self.is_bad;
        match format {
            Format::Json => write_json(out, &self)?,
            Format::Text => self.write_text(now, out)?,
        }
        Ok(if is_clean { Exit::Clean } else { Exit::Findings })
    }

    fn write_text(&mut self, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
        rotate::tell(std::mem::take(&mut self.domains), now, Format::Text, out)?;
        for looked in self.standby.iter().filter(|looked| !looked.everywhere) {
            let Looked { domain, selector, detail, .. } = looked;
            writeln!(
                out,
                "{domain}: {BAD}{selector} signs, and its record is still not on every server:{BAD:#} {detail}"
            )?;
        }
        for Unheard { domain, detail } in self.unheard.iter().take(NAMED) {
            writeln!(out, "{domain}: {WARN}not heard:{WARN:#} {detail}; it may have signed with the old keys since")?;
        }
        if !self.publish_by_hand.is_empty() {
            writeln!(out, "\n{STRONG}publish these records;{STRONG:#} their keys sign when every server has them:\n")?;
            write_bind(out, &self.publish_by_hand)?;
        }
        if !self.revoke_by_hand.is_empty() {
            writeln!(out, "\n{STRONG}then replace the old records by these:{STRONG:#}\n")?;
            write_bind(out, &self.revoke_by_hand)?;
        }
        if let Some(halted) = &self.halted {
            writeln!(out, "{BAD}halted:{BAD:#} {halted}")?;
        }
        let style = if self.is_over() { GOOD } else { WARN };
        writeln!(out, "{style}{} of {} domains are through{style:#}", self.replaced, self.total)?;
        if !self.unfinished.is_empty() {
            let named: Vec<&str> = self.unfinished.iter().take(NAMED).map(DomainName::as_str).collect();
            let more = if self.unfinished.len() > NAMED { ", …" } else { "" };
            writeln!(
                out,
                "  not yet: {}{more}; `waxseal rotate` goes on, and so does the same command",
                named.join(", ")
            )?;
        }
        Ok(())
    }
}
