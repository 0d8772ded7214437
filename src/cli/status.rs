//! `waxseal status`.

mod recorder;

use std::io::Write;
use std::path::Path;

use anstyle::Style;
use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::generate::unique;
use super::list::{all_domains, style_of};
use super::output::{BAD, Columns, FAINT, Format, JsonArray, STRONG, WARN};
use super::rotate::open::{Hands, runner};
use super::rotate::words::{AlarmInWords, PlanInWords, WaitInWords, when};
use super::{Exit, Installation};
use crate::dkim::Algorithm;
use crate::finding::Chain;
use crate::keystore::KeyStore;
use crate::lifecycle::{Automation, Observations, plan};
use crate::manifest::{Binding, DomainManifest, Origin, StateName, Status};
use crate::names::{DomainName, Selector};
use crate::rotation::{DueIndex, Patrol, Runner, Start};

/// Show where each key stands, and what it waits for
///
/// For each key its state, since when, what it waits for and until when, and what is next; for each domain whether it is
/// rotated automatically. Without domains, an overview of the key store, a line for each of its first domains. Goes by the key
/// store alone: what DNS says, `waxseal verify` and `waxseal rotate --dry-run` tell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains; without any, an overview.
    domains: Vec<DomainName>,

    /// Show so many domains and read no more than it takes to find them; 0 shows all. In text an overview shows 50.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,

    /// Only domains with this mark. May be given several times.
    #[arg(long, value_name = "MARK")]
    only: Vec<Mark>,

    /// Instead of keys, show the last messages of the running daemon, and the slowest with where their time went. --limit
    /// says how many of the last, 20 where it is left out.
    #[arg(long, conflicts_with_all = ["domains", "only"])]
    recorder: bool,

    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Domains that an overview shows to people.
const OVERVIEW: usize = 50;

/// A run that is due for longer was missed.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// What sets a domain apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Mark {
    /// Something threatens its mail.
    Alarm,
    /// Others may have one of its keys.
    Compromised,
    /// Changes of a record are blocked.
    Held,
    /// A key that signs is older than `key_age`.
    Overdue,
    /// `waxseal rotate` should have looked at it an hour ago.
    Late,
    /// What was tried last failed.
    Failing,
    /// A key that signs came from another signer.
    Imported,
    /// The operator publishes its records.
    ByHand,
    /// The operator rotates it.
    Reminders,
    /// It is being taken out.
    Leaving,
    /// It is not delegated to us any more.
    Gone,
}

/// Where a domain stands.
#[derive(Debug, Serialize)]
struct DomainStatus {
    domain: DomainName,
    status: Status,
    marks: Vec<Mark>,
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
    if args.recorder {
        return recorder::run(config, args.limit, args.format, out);
    }
    let installation = Installation::open(config)?;
    let is_overview = args.domains.is_empty();
    let domains = if is_overview { all_domains(&installation.store)?.0 } else { unique(&args.domains) };
    for domain in &args.domains {
        installation.manifest(domain)?;
    }
    let limit = match (args.limit, args.format) {
        (Some(0), _) | (None, Format::Json) => usize::MAX,
        (Some(limit), _) => limit,
        (None, Format::Text) if is_overview => OVERVIEW,
        (None, Format::Text) => usize::MAX,
    };
    let runner = runner(installation, &[], Hands::Tied)?;
    let index = DueIndex::read(&runner.config.rotation.state.join("due.jsonl"), &runner.now());
    let mut shown = Shown { count: 0, is_alarmed: false, array: JsonArray::default(), table: Columns::new(HEADINGS) };
    let mut left = 0;
    for (number, domain) in domains.iter().enumerate() {
        if shown.count >= limit {
            left = domains.len() - number;
            break;
        }
        let manifest = match runner.store.manifest(domain) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => continue,
            Err(error) => {
                // One broken domain must not hide the others.
                anstream::eprintln!("{BAD}{domain}:{BAD:#} {}", Chain(&error));
                shown.is_alarmed = true;
                continue;
            }
        };
        let status = of(&runner, &index, manifest);
        if !args.only.is_empty() && !args.only.iter().any(|mark| status.marks.contains(mark)) {
            continue;
        }
        shown.count += 1;
        shown.is_alarmed |= !status.alarms.is_empty();
        match args.format {
            Format::Json => shown.array.write(out, &status)?,
            Format::Text if is_overview => shown.table.write(out, row(&status, runner.clock.now()), style(&status))?,
            Format::Text => write_text(&status, runner.clock.now(), out)?,
        }
    }
    match args.format {
        Format::Json => shown.array.end(out)?,
        Format::Text if is_overview && shown.count > 0 => shown.table.end(out)?,
        Format::Text if shown.count == 0 => writeln!(out, "no such domain")?,
        Format::Text => {}
    }
    if left > 0 && args.format == Format::Text {
        writeln!(out, "{FAINT}{left} more were not read: name them, or choose with --only or --limit{FAINT:#}")?;
    }
    Ok(if shown.is_alarmed { Exit::Findings } else { Exit::Clean })
}

const HEADINGS: [&str; 5] = ["domain", "signs with", "next", "marks", "rotation"];

/// What was shown so far.
struct Shown {
    count: usize,
    is_alarmed: bool,
    array: JsonArray,
    table: Columns<5>,
}

/// A domain's line of an overview.
fn row(status: &DomainStatus, now: Timestamp) -> [String; 5] {
    let signs = status.keys.iter().filter(|key| key.state == StateName::Active && status.status == Status::Enabled);
    let signs: Vec<&str> = signs.map(|key| key.selector.as_str()).collect();
    let waits = status.keys.iter().flat_map(|key| &key.waits).chain(&status.waits);
    let next = waits.filter_map(|wait| wait.until).min().map_or("-".into(), |until| when(until, now));
    let names = status.marks.iter().filter_map(ValueEnum::to_possible_value);
    let marks: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    [status.domain.to_string(), or_none(signs.join(" ")), next, or_none(marks.join(" ")), status.rotation.to_owned()]
}

fn style(status: &DomainStatus) -> Style {
    let has = |marks: &[Mark]| marks.iter().any(|mark| status.marks.contains(mark));
    match () {
        () if has(&[Mark::Alarm, Mark::Compromised]) => BAD,
        () if has(&[Mark::Held, Mark::Overdue, Mark::Late, Mark::Failing]) => WARN,
        () => FAINT,
    }
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
    let is_imported = manifest.bindings().iter().any(is_imported);
    let next_run = known.map(|due| due.at.map_or(due.patrol, |at| at.min(due.patrol)));
    let due = |binding: &Binding| binding.state.since().saturating_add(schedule.key_age).unwrap_or(Timestamp::MAX);
    let is_enabled = manifest.status() == Status::Enabled;
    let is_late = next_run.is_some_and(|next| now.wall.duration_since(next) > LATE);
    let marks = [
        (Mark::Alarm, !alarms.is_empty()),
        (Mark::Compromised, manifest.bindings().iter().any(|binding| binding.compromised.is_some())),
        (Mark::Held, manifest.bindings().iter().any(|binding| binding.held.is_some())),
        (Mark::Overdue, manifest.signing().any(|binding| due(binding) <= now.wall)),
        (Mark::Late, is_late && manifest.status() != Status::Gone),
        (Mark::Failing, known.is_some_and(|due| due.failures > 0)),
        (Mark::Imported, is_imported),
        (Mark::ByHand, is_enabled && automation == Automation::ByHand),
        (Mark::Reminders, is_enabled && automation == Automation::Reminders),
        (Mark::Leaving, manifest.status() == Status::Leaving),
        (Mark::Gone, manifest.status() == Status::Gone),
    ];
    DomainStatus {
        domain: manifest.domain().clone(),
        status: manifest.status(),
        marks: marks.into_iter().filter_map(|(mark, is_set)| is_set.then_some(mark)).collect(),
        rotation: match automation {
            Automation::Full => "automatic",
            Automation::ByHand => "by-hand",
            Automation::Reminders => "reminders",
        },
        imported: is_imported,
        next_run,
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
    write!(out, "{STRONG}{}{STRONG:#}  {FAINT}{mark}{FAINT:#}", status.domain)?;
    for (mark, words) in [
        (Mark::Overdue, "older than key_age"),
        (Mark::Late, "waxseal rotate was due over an hour ago"),
        (Mark::Failing, "what was tried last failed"),
    ] {
        if status.marks.contains(&mark) {
            write!(out, "  {WARN}{words}{WARN:#}")?;
        }
    }
    writeln!(out)?;
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
