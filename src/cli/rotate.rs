//! `waxseal rotate`.

pub(super) mod open;
mod run;
pub(super) mod words;

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use jiff::Timestamp;
use serde::Serialize;

use self::open::{Hands, lock_path, make_state_directory, runner};
use self::run::Selection;
use self::words::{PlanInWords, when};
use super::generate::unique;
use super::output::{BAD, FAINT, Format, GOOD, STRONG, WARN, write_json};
use super::{Exit, Installation};
use crate::config::values::DnsServer;
use crate::files::lock::{RunLock, RunLockError};
use crate::finding::Chain;
use crate::names::{DomainName, Selector};
use crate::rotation::{Entry, Finished, Halt};

/// Do what is due: publish, activate, retire and withdraw keys
///
/// Looks at the keys whose waits are over, at what every name server of their zones says, and at when daemons last signed;
/// then does at most one safe thing for each key. Meant to be run by a timer, every few minutes: it may be killed at any
/// moment and goes on at the next run, and a second run finds the first and ends. Without a publisher for a domain it only
/// reminds. With nothing due it asks no DNS.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// These domains, whether something is due or not; all domains for which something is due if none is given.
    domains: Vec<DomainName>,

    /// All domains for which something is due: what happens when no domain is given.
    #[arg(long, conflicts_with = "domains")]
    all_due: bool,

    /// Print what would be done to which key, when and why. DNS is asked, nothing is changed.
    #[arg(long)]
    dry_run: bool,

    /// Ask exactly these servers (addresses, with commas between) instead of the zones' name servers.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    servers: Vec<DnsServer>,

    /// How to print what was done.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// What a run came to.
#[derive(Debug, Serialize)]
pub(super) struct Rotated {
    /// Whether nothing was to be changed.
    dry_run: bool,
    /// Domains in the store; absent where domains were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    /// Domains that were looked at.
    due: usize,
    /// Why the rest was not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted: Option<String>,
    /// Each of them.
    domains: Vec<RotatedDomain>,
}

/// What came of one domain.
#[derive(Debug, Serialize)]
pub(super) struct RotatedDomain {
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

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let domains = unique(&args.domains);
    for domain in &domains {
        installation.manifest(domain)?;
        if installation.config.publisher_for(domain).is_none() {
            anstream::eprintln!(
                "{WARN}note:{WARN:#} no [[publisher]] is for {domain}: its records are yours to publish (docs/publishing.md)"
            );
        }
    }
    let lock = if args.dry_run {
        None
    } else {
        make_state_directory(&installation.config)?;
        match RunLock::try_acquire(&lock_path(&installation.config)) {
            Ok(lock) => Some(lock),
            Err(RunLockError::Held { .. }) => {
                anstream::eprintln!("another `waxseal rotate` is at work; it does what is due");
                return Ok(Exit::Clean);
            }
            Err(error) => bail!(error),
        }
    };
    let hands = if args.dry_run { Hands::Tied } else { Hands::Free };
    let runner = runner(installation, &args.servers, hands)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let selection = if domains.is_empty() { Selection::Due } else { Selection::These(domains) };
    let rotated = if args.dry_run {
        runtime.block_on(run::dry(&runner, selection))?
    } else {
        runtime.block_on(run::real(&runner, selection))?
    };
    drop(lock);
    write(&rotated, runner.clock.now(), args.format, out)
}

/// Tells what came of one domain that was named.
pub(super) fn tell(
    domain: Option<RotatedDomain>,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let domains: Vec<_> = domain.into_iter().collect();
    write(&Rotated { dry_run: false, total: None, due: domains.len(), halted: None, domains }, now, format, out)
}

fn write(rotated: &Rotated, now: Timestamp, format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match format {
        Format::Json => write_json(out, rotated)?,
        Format::Text => write_text(rotated, now, out)?,
    }
    let is_named = rotated.total.is_none();
    let is_bad = |domain: &RotatedDomain| !domain.plan.alarms.is_empty() || (is_named && !domain.refused.is_empty());
    let is_bad = rotated.halted.is_some() || rotated.domains.iter().any(is_bad);
    Ok(if is_bad { Exit::Findings } else { Exit::Clean })
}

impl RotatedDomain {
    pub(super) fn of(finished: &Finished) -> Option<Self> {
        let domain = finished.domain.clone();
        match &finished.result {
            Ok(Some(ran)) => Some(Self {
                domain,
                done: ran.done.iter().map(Done::of).collect(),
                refused: each_once(ran.summary.refusals.iter().map(|refusal| refusal.detail.clone())),
                plan: (&ran.summary.plan).into(),
            }),
            Ok(None) => None,
            Err(error) => Some(Self {
                domain,
                done: Vec::new(),
                refused: vec![Chain(error).to_string()],
                plan: PlanInWords { actions: Vec::new(), waits: Vec::new(), alarms: Vec::new() },
            }),
        }
    }
}

impl Done {
    fn of(entry: &Entry) -> Self {
        let Entry { at, selector, what, before, after, .. } = entry.clone();
        Self { at, selector, what: what.to_string(), before, after }
    }
}

/// What fails for one key often fails for all of a domain's in the same words.
fn each_once(details: impl Iterator<Item = String>) -> Vec<String> {
    let mut told = Vec::new();
    for detail in details {
        if !told.contains(&detail) {
            told.push(detail);
        }
    }
    told
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

impl From<Halt> for String {
    fn from(halt: Halt) -> Self {
        halt.to_string()
    }
}

fn write_text(rotated: &Rotated, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    for RotatedDomain { domain, done, refused, plan } in &rotated.domains {
        // What waits is only told to those who ask for it.
        let is_asked = rotated.total.is_none() || rotated.dry_run;
        if !is_asked && done.is_empty() && refused.is_empty() && plan.alarms.is_empty() {
            continue;
        }
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
        if rotated.dry_run {
            for action in &plan.actions {
                let key = action.selector.as_ref().map_or("a new key", Selector::as_str);
                writeln!(out, "  {key}: now {GOOD}{}{GOOD:#}: {}", action.action, action.why)?;
            }
        }
        if is_asked {
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
    }
    if let Some(halted) = &rotated.halted {
        writeln!(out, "{BAD}halted:{BAD:#} {halted}")?;
    }
    if let Some(total) = rotated.total {
        writeln!(out, "{} of {total} domains were due", rotated.due)?;
    }
    Ok(())
}
