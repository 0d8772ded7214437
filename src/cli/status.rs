//! `waxseal status`.

use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::generate::unique;
use super::list::{all_domains, style_of};
use super::output::{BAD, FAINT, Format, JsonArray, STRONG, WARN};
use super::rotate::open::{Hands, runner};
use super::rotate::words::{AlarmInWords, PlanInWords, WaitInWords, when};
use super::{Exit, Installation};
use crate::dkim::Algorithm;
use crate::keystore::KeyStore;
use crate::lifecycle::{Automation, Observations, plan};
use crate::manifest::{Binding, DomainManifest, Origin, StateName, Status};
use crate::names::{DomainName, Selector};
use crate::rotation::{DueIndex, Patrol, Runner, Start};

/// Show where each key stands, and what it waits for
///
/// For each key its state, since when, what it waits for and until when, and what is next; for each domain whether it is
/// rotated automatically. Goes by the key store alone: what DNS says, `waxseal verify` and `waxseal rotate --dry-run` tell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains; all of the key store if none is given.
    domains: Vec<DomainName>,

    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Where a domain stands.
#[derive(Debug, Serialize)]
struct DomainStatus {
    domain: DomainName,
    status: Status,
    /// `automatic`, `by-hand` or `reminders`.
    rotation: &'static str,
    /// Whether keys that sign came from another signer.
    imported: bool,
    /// When rotation looks at it again; null if that is not known.
    next_run: Option<Timestamp>,
    keys: Vec<KeyStatus>,
    /// What the domain as a whole waits for.
    waits: Vec<WaitInWords>,
    alarms: Vec<AlarmInWords>,
}

/// Where a key stands.
#[derive(Debug, Serialize)]
struct KeyStatus {
    selector: Selector,
    algorithm: Algorithm,
    state: StateName,
    since: Timestamp,
    /// The state that comes next; null after the last.
    next: Option<&'static str>,
    held: Option<String>,
    compromised: bool,
    /// The CNAME that the domain's zone needs for it, where it has a fixed slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<String>,
    waits: Vec<WaitInWords>,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let domains = if args.domains.is_empty() { all_domains(&installation.store)?.0 } else { unique(&args.domains) };
    for domain in &args.domains {
        installation.manifest(domain)?;
    }
    let runner = runner(installation, &[], Hands::Tied)?;
    let index = DueIndex::read(&runner.config.rotation.state.join("due.jsonl"), &runner.now());
    let mut is_alarmed = false;
    let mut array = JsonArray::default();
    for domain in &domains {
        let Some(manifest) = runner.store.manifest(domain)? else { continue };
        let status = of(&runner, &index, manifest);
        is_alarmed |= !status.alarms.is_empty();
        match args.format {
            Format::Json => array.write(out, &status)?,
            Format::Text => write_text(&status, runner.clock.now(), out)?,
        }
    }
    if args.format == Format::Json {
        array.end(out)?;
    }
    Ok(if is_alarmed { Exit::Findings } else { Exit::Clean })
}

fn of(runner: &Runner, index: &DueIndex, manifest: DomainManifest) -> DomainStatus {
    let start = runner.start(manifest, Patrol::OnlyDue, crate::lifecycle::Silences::default(), None);
    let Start { manifest, schedule, automation, evidence, .. } = start;
    let now = runner.now();
    let plan = plan(&manifest, &Observations::default(), &evidence, &now, &schedule, automation);
    let PlanInWords { mut waits, alarms, .. } = (&plan).into();
    let known = index.get(manifest.domain());
    // What others are to do lasts until somebody looks, which nobody does here.
    for wait in waits.iter_mut().filter(|wait| matches!(wait.reason, "propagation" | "rounds" | "resolvers")) {
        wait.until = known.and_then(|due| due.at);
    }
    let is_imported =
        |binding: &Binding| binding.origin == Origin::Imported && binding.state.name() == StateName::Active;
    let of_key = |binding: &Binding| KeyStatus {
        selector: binding.selector.clone(),
        algorithm: binding.algorithm(),
        state: binding.state.name(),
        since: binding.state.since(),
        next: next(binding.state.name()),
        held: binding.held.as_ref().map(|held| held.evidence.clone().unwrap_or_default()),
        compromised: binding.compromised.is_some(),
        cname: runner
            .config
            .target_of(manifest.domain(), &binding.selector)
            .map(|target| format!("{}. CNAME {target}.", binding.selector.record_name(manifest.domain()))),
        waits: waits.iter().filter(|wait| wait.selector.as_ref() == Some(&binding.selector)).cloned().collect(),
    };
    DomainStatus {
        domain: manifest.domain().clone(),
        status: manifest.status(),
        rotation: match automation {
            Automation::Full => "automatic",
            Automation::ByHand => "by-hand",
            Automation::Reminders => "reminders",
        },
        imported: manifest.bindings().iter().any(is_imported),
        next_run: known.map(|due| due.at.map_or(due.patrol, |at| at.min(due.patrol))),
        keys: manifest.bindings().iter().map(of_key).collect(),
        waits: waits.iter().filter(|wait| wait.selector.is_none()).cloned().collect(),
        alarms,
    }
}

fn next(state: StateName) -> Option<&'static str> {
    Some(match state {
        StateName::Generated => "published",
        StateName::Published => "ready",
        StateName::Ready => "active",
        StateName::Active => "retiring",
        StateName::Retiring => "revoked",
        StateName::Revoked => "withdrawn",
        StateName::Withdrawn => return None,
    })
}

fn write_text(status: &DomainStatus, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mark = match (status.status, status.rotation, status.imported) {
        (Status::Leaving, ..) => "leaving",
        (Status::Gone, ..) => "gone",
        (_, "reminders", true) => "imported, rotated by you",
        (_, "reminders", false) => "rotated by you",
        (_, "by-hand", _) => "records published by you",
        _ => "rotated automatically",
    };
    writeln!(out, "{STRONG}{}{STRONG:#}  {FAINT}{mark}{FAINT:#}", status.domain)?;
    for key in &status.keys {
        let style = style_of(key.state);
        write!(out, "  {}  {}  {style}{}{style:#} since {:.0}", key.selector, key.algorithm, key.state, key.since)?;
        if let Some(next) = key.next {
            write!(out, ", then {next}")?;
        }
        if key.compromised {
            write!(out, "  {BAD}compromised{BAD:#}")?;
        }
        writeln!(out)?;
        if let Some(held) = &key.held {
            writeln!(out, "    {WARN}held:{WARN:#} {held}")?;
        }
        write_waits(&key.waits, now, out)?;
        let is_coming = matches!(key.state, StateName::Generated | StateName::Published);
        if let Some(cname) = key.cname.as_ref().filter(|_| is_coming) {
            writeln!(out, "    {FAINT}the domain's zone needs: {cname}{FAINT:#}")?;
        }
    }
    write_waits(&status.waits, now, out)?;
    for alarm in &status.alarms {
        let key = alarm.selector.as_ref().map_or("all keys", Selector::as_str);
        writeln!(out, "  {BAD}{key}: {}{BAD:#}", alarm.detail)?;
    }
    Ok(())
}

fn write_waits(waits: &[WaitInWords], now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    for wait in waits {
        let until = wait.until.map(|until| format!(", {}", when(until, now))).unwrap_or_default();
        writeln!(out, "    {FAINT}waits until {}{until}{FAINT:#}", wait.detail)?;
    }
    Ok(())
}
