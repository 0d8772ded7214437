//! Telling what a run does, while it does it: of a million domains nothing is kept.

use std::io::{self, Write};

use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;

use super::words::{PlanInWords, when};
use crate::cli::Exit;
use crate::cli::output::{BAD, FAINT, Format, GOOD, STRONG, WARN};
use crate::finding::Chain;
use crate::lifecycle::Plan;
use crate::names::{DomainName, Selector};
use crate::rotation::{Entry, Finished, Preview};

/// What came of one domain.
#[derive(Debug, Serialize)]
pub(crate) struct RotatedDomain {
    domain: DomainName,
    /// What was done.
    done: Vec<Done>,
    /// What was tried and refused, or why work on it stopped.
    refused: Vec<String>,
    #[serde(flatten)]
    plan: PlanInWords,
}

/// Something that was done.
#[derive(Debug, Serialize)]
struct Done {
    at: Timestamp,
    selector: Selector,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// Which domains a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that were named: everything is told of each.
    Named,
    /// Those that are due, out of so many: only what happened and what is wrong.
    Due {
        /// Domains in the store.
        total: usize,
    },
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What would be done is told.
    DryRun,
    /// What was done is told.
    Real,
}

/// Tells what came of one domain after the other.
pub(crate) struct Teller<'a> {
    out: &'a mut dyn Write,
    format: Format,
    scope: Scope,
    mode: Mode,
    due: usize,
    told: usize,
    is_bad: bool,
    bar: ProgressBar,
    /// The first failure to write; the work goes on.
    written: io::Result<()>,
}

impl<'a> Teller<'a> {
    /// Begins to tell of `due` domains.
    pub(crate) fn begin(
        out: &'a mut dyn Write,
        format: Format,
        scope: Scope,
        mode: Mode,
        due: usize,
        bar: ProgressBar,
    ) -> Self {
        let mut teller = Self { out, format, scope, mode, due, told: 0, is_bad: false, bar, written: Ok(()) };
        if format == Format::Json {
            teller.written = teller.write_head();
        }
        teller
    }

    /// Tells of one domain; none: there is nothing to tell of it.
    pub(crate) fn tell(&mut self, domain: Option<RotatedDomain>, now: Timestamp) {
        self.bar.inc(1);
        let Some(domain) = domain else { return };
        self.is_bad |= domain.is_bad(self.scope);
        // A bar that stands in the middle of a text is taken away meanwhile.
        let (bar, is_told) = (self.bar.clone(), self.is_told(&domain));
        if is_told && self.written.is_ok() {
            self.written = bar.suspend(|| match self.format {
                Format::Json => self.write_json(&domain),
                Format::Text => self.write_text(&domain, now),
            });
            self.told += 1;
        }
    }

    /// Ends, with why the rest was left undone.
    pub(crate) fn end(mut self, halted: Option<String>) -> anyhow::Result<Exit> {
        self.bar.finish_and_clear();
        std::mem::replace(&mut self.written, Ok(()))?;
        match self.format {
            Format::Json => self.write_tail(halted.as_deref())?,
            Format::Text => {
                if let Some(halted) = &halted {
                    writeln!(self.out, "{BAD}halted:{BAD:#} {halted}")?;
                }
                if let Scope::Due { total } = self.scope {
                    writeln!(self.out, "{} of {total} domains were due", self.due)?;
                }
            }
        }
        Ok(if self.is_bad || halted.is_some() { Exit::Findings } else { Exit::Clean })
    }

    fn is_told(&self, domain: &RotatedDomain) -> bool {
        let is_asked = self.scope == Scope::Named || self.mode == Mode::DryRun;
        is_asked || !domain.done.is_empty() || !domain.refused.is_empty() || !domain.plan.alarms.is_empty()
    }

    fn write_head(&mut self) -> io::Result<()> {
        writeln!(self.out, "{{\n  \"dry_run\": {},", self.mode == Mode::DryRun)?;
        if let Scope::Due { total } = self.scope {
            writeln!(self.out, "  \"total\": {total},")?;
        }
        write!(self.out, "  \"due\": {},\n  \"domains\": [", self.due)
    }

    fn write_json(&mut self, domain: &RotatedDomain) -> io::Result<()> {
        let text = serde_json::to_string_pretty(domain)?;
        let comma = if self.told == 0 { "" } else { "," };
        write!(self.out, "{comma}\n    {}", text.replace('\n', "\n    "))
    }

    fn write_tail(&mut self, halted: Option<&str>) -> io::Result<()> {
        write!(self.out, "{}]", if self.told == 0 { "" } else { "\n  " })?;
        if let Some(halted) = halted {
            write!(self.out, ",\n  \"halted\": {}", serde_json::to_string(halted)?)?;
        }
        writeln!(self.out, "\n}}")
    }

    fn write_text(&mut self, domain: &RotatedDomain, now: Timestamp) -> io::Result<()> {
        let RotatedDomain { domain, done, refused, plan } = domain;
        let out = &mut *self.out;
        writeln!(out, "{STRONG}{domain}{STRONG:#}")?;
        for Done { selector, what, before, after, .. } in done {
            match (what.as_str(), before, after) {
                ("transition", Some(before), Some(after)) => {
                    writeln!(out, "  {selector}: {before} → {GOOD}{after}{GOOD:#}")?;
                }
                ("transition", None, Some(after)) => writeln!(out, "  {selector}: {GOOD}{after}{GOOD:#}")?,
                ("transition", _, None) => writeln!(out, "  {selector}: {GOOD}forgotten{GOOD:#}")?,
                (what, _, after) => writeln!(out, "  {selector}: {}", in_words(what, after.as_deref()))?,
            }
        }
        for refused in refused {
            writeln!(out, "  {WARN}not done:{WARN:#} {refused}")?;
        }
        if self.mode == Mode::DryRun {
            for action in &plan.actions {
                let key = action.selector.as_ref().map_or("a new key", Selector::as_str);
                writeln!(out, "  {key}: now {GOOD}{}{GOOD:#}: {}", action.action, action.why)?;
            }
        }
        // What waits is only told to those who ask for it.
        if self.scope == Scope::Named || self.mode == Mode::DryRun {
            for wait in &plan.waits {
                let key = wait.selector.as_ref().map_or("all keys", Selector::as_str);
                let until = wait.until.map(|until| format!(", {}", when(until, now))).unwrap_or_default();
                writeln!(out, "  {FAINT}{key}: waits until {}{until}{FAINT:#}", wait.detail)?;
            }
        }
        for alarm in &plan.alarms {
            let key = alarm.selector.as_ref().map_or("all keys", Selector::as_str);
            let until = alarm.until.map(|until| format!(", {}", when(until, now))).unwrap_or_default();
            writeln!(out, "  {BAD}{key}: {}{BAD:#}{until}", alarm.detail)?;
        }
        Ok(())
    }
}

/// What was done beside a change of state.
fn in_words<'a>(what: &'a str, after: Option<&str>) -> &'a str {
    match (what, after) {
        ("published", _) => "its record was published",
        ("revoked", _) => "its record was replaced by one with an empty p=",
        ("deleted", _) => "its record was deleted",
        ("destroyed", _) => "its private key was destroyed",
        ("held", Some("free")) => "it is held no longer",
        ("held", _) => "it is held: its record is left as it is",
        ("compromised", _) => "it is compromised",
        _ => what,
    }
}

impl RotatedDomain {
    /// None if the store does not know it any more.
    pub(crate) fn of(finished: &Finished) -> Option<Self> {
        match &finished.result {
            Ok(Some(ran)) => Some(Self {
                domain: finished.domain.clone(),
                done: ran.done.iter().map(Done::of).collect(),
                refused: ran.summary.refusals.iter().map(|refusal| refusal.detail.clone()).collect(),
                plan: (&ran.summary.plan).into(),
            }),
            Ok(None) => None,
            Err(error) => Some(Self::stopped(&finished.domain, error)),
        }
    }

    pub(super) fn of_preview(preview: &Preview) -> Option<Self> {
        let Preview { domain, result } = preview;
        match result {
            Ok(Some(plan)) => {
                Some(Self { domain: domain.clone(), done: Vec::new(), refused: Vec::new(), plan: plan.into() })
            }
            Ok(None) => None,
            Err(error) => Some(Self::stopped(domain, error)),
        }
    }

    pub(super) fn domain(&self) -> &DomainName {
        &self.domain
    }

    fn stopped(domain: &DomainName, error: &(dyn std::error::Error + 'static)) -> Self {
        let refused = vec![Chain(error).to_string()];
        Self { domain: domain.clone(), done: Vec::new(), refused, plan: (&Plan::default()).into() }
    }

    fn is_bad(&self, scope: Scope) -> bool {
        !self.plan.alarms.is_empty() || (scope == Scope::Named && !self.refused.is_empty())
    }
}

impl Done {
    fn of(entry: &Entry) -> Self {
        let Entry { at, selector, what, before, after, .. } = entry.clone();
        Self { at, selector, what: what.to_string(), before, after }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn told(scope: Scope, mode: Mode, domains: &[&str], halted: Option<&str>) -> (Value, Exit) {
        let mut out = Vec::new();
        let bar = ProgressBar::hidden();
        let mut teller = Teller::begin(&mut out, Format::Json, scope, mode, domains.len(), bar);
        for domain in domains {
            let plan = (&Plan::default()).into();
            let domain = DomainName::parse(domain).unwrap();
            teller.tell(Some(RotatedDomain { domain, done: Vec::new(), refused: Vec::new(), plan }), Timestamp::MIN);
        }
        let exit = teller.end(halted.map(str::to_owned)).unwrap();
        (serde_json::from_slice(&out).unwrap(), exit)
    }

    #[test]
    fn json_that_is_written_as_it_comes_is_json() {
        for (mode, number) in [(Mode::DryRun, 2), (Mode::Real, 0)] {
            let (json, exit) = told(Scope::Due { total: 7 }, mode, &["a.example", "b.example"], None);
            assert_eq!((json["total"].as_u64(), json["due"].as_u64()), (Some(7), Some(2)));
            assert_eq!(json["domains"].as_array().unwrap().len(), number);
            assert_eq!((json.get("halted"), exit), (None, Exit::Clean));
        }
        let (json, exit) = told(Scope::Named, Mode::Real, &["a.example"], Some("too \"many\" failed"));
        assert_eq!((json.get("total"), json["domains"].as_array().unwrap().len()), (None, 1));
        assert_eq!((json["halted"].as_str(), exit), (Some("too \"many\" failed"), Exit::Findings));
    }
}
