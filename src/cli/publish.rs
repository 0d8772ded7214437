//! `waxseal publish`.

mod act;
mod seen;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Serialize;

use self::act::{Act, Task, publish_all};
use self::seen::{Eyes, Sighting};
use super::generate::unique;
use super::output::{BAD, Confirmation, FAINT, Format, GOOD, STRONG, WARN, confirmed, write_json};
use super::{Exit, Installation};
use crate::clock::Clock;
use crate::config::values::{DnsServer, Period};
use crate::dns::publish::{Manual, Publisher, Record, open};
use crate::files::secret;
use crate::manifest::{Acknowledgement, Binding, DomainManifest, StateName};
use crate::names::{DomainName, Selector};

/// Publish the records of domains' keys in DNS
///
/// Each domain's records go to the publisher that the configuration names for it, and are then looked for on every
/// authoritative server; domains without a publisher get the records printed. Nobody else's record is ever overwritten. Keys
/// become `published` once that is acknowledged; nothing signs with them yet.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains.
    #[arg(required = true)]
    domains: Vec<DomainName>,

    /// Only this selector's record, whatever its key's state. May be given several times. Without it: those of keys that are
    /// `generated` or `published`.
    #[arg(long, value_name = "SELECTOR")]
    selector: Vec<Selector>,

    /// Publish nothing: you have published the records by hand. They are looked for, and the keys noted as `published`.
    #[arg(long, conflicts_with = "dry_run")]
    published: bool,

    /// Print what would be published and by whom, and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// Look again until every server has the records, at most so long: 10 minutes if no duration is given.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m")]
    wait: Option<Period>,

    /// Look on exactly these servers (addresses, with commas between) instead of the zone's name servers.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    servers: Vec<DnsServer>,

    /// How to print the results. JSON needs --yes or --dry-run.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// What became of one record.
#[derive(Debug, Serialize)]
struct Line {
    domain: DomainName,
    selector: Selector,
    name: String,
    /// The selector's own name, where that is to be a CNAME to `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    ttl: u32,
    value: String,
    /// The publisher's name.
    publisher: String,
    /// What it did.
    outcome: Act,
    /// What it said, or why it failed; empty where there is nothing to say.
    detail: String,
    /// What the servers have.
    seen: Sighting,
    /// Each server's address and what it has.
    servers: BTreeMap<String, &'static str>,
    /// The state of the key afterwards.
    state: StateName,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let mut manifests = Vec::new();
    for domain in unique(&args.domains) {
        manifests.push(installation.manifest(&domain)?);
    }
    let tasks = plan(args, &installation, &manifests)?;
    if tasks.is_empty() {
        match args.format {
            Format::Json => write_json(out, &[(); 0])?,
            Format::Text => writeln!(out, "no key waits to be published; name one with --selector")?,
        }
        return Ok(Exit::Clean);
    }
    if args.format == Format::Text {
        write_plan(&tasks, args, out)?;
        out.flush()?;
    }
    if args.dry_run {
        let lines: Vec<Line> = tasks.iter().map(|task| line(task, Act::Planned)).collect();
        if args.format == Format::Json {
            write_json(out, &lines)?;
        }
        return Ok(Exit::Clean);
    }
    let yes = Confirmation::from(args.yes);
    if args.format == Format::Json && yes == Confirmation::Wanted {
        bail!("nothing was published; with --format json nobody is asked: add --yes");
    }
    let question = if args.published { "\nNote them as published?" } else { "\nPublish?" };
    if !confirmed(question, yes)? {
        bail!("nothing was published; answer y on a terminal, or add --yes");
    }

    let eyes = Eyes::open(&installation.config.dns, &args.servers)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut lines: Vec<Line> = tasks.iter().map(|task| line(task, Act::Told)).collect();
    runtime.block_on(async {
        if !args.published {
            let outcomes = publish_all(&tasks, installation.config.dns.concurrency).await;
            for (line, (outcome, detail)) in lines.iter_mut().zip(outcomes) {
                (line.outcome, line.detail) = (outcome, detail);
            }
        }
        if args.format == Format::Text {
            for line in &lines {
                write_outcome(line, out)?;
            }
            out.flush()?;
        }
        look(&eyes, &tasks, &mut lines, args.wait).await;
        anyhow::Ok(())
    })?;
    note(&installation, &manifests, &mut lines)?;
    match args.format {
        Format::Json => write_json(out, &lines)?,
        Format::Text => write_seen(&lines, out)?,
    }
    Ok(exit_of(&lines))
}

/// The records and who publishes them.
fn plan(args: &Args, installation: &Installation, manifests: &[DomainManifest]) -> anyhow::Result<Vec<Task>> {
    let credentials = secret::credentials_directory();
    let mut publishers: BTreeMap<String, Arc<dyn Publisher>> = BTreeMap::new();
    let mut tasks = Vec::new();
    for manifest in manifests {
        let domain = manifest.domain();
        for selector in &args.selector {
            if !manifests.iter().any(|manifest| manifest.binding(selector).is_some()) {
                bail!("none of these domains has a key with the selector {selector}");
            }
        }
        for binding in manifest.bindings().iter().filter(|binding| is_wanted(args, binding)) {
            let settings = installation.config.publisher_of(domain, &binding.selector);
            let name = settings.map_or("by hand", |settings| &settings.name).to_owned();
            let publisher = match (publishers.get(&name), settings) {
                (Some(publisher), _) => Arc::clone(publisher),
                (None, None) => Arc::new(Manual),
                // What is not used needs no secret.
                (None, Some(_)) if args.dry_run || args.published => Arc::new(Manual),
                (None, Some(settings)) => {
                    let place = settings.method.secret();
                    let secret = place.map(|place| secret::read(place, credentials.as_deref())).transpose();
                    let secret = secret.with_context(|| format!("the publisher {name:?} cannot be used"))?;
                    open(settings, secret.as_ref(), Clock::System)?
                }
            };
            publishers.insert(name.clone(), Arc::clone(&publisher));
            let published = installation.record(domain, binding);
            tasks.push(Task {
                domain: domain.clone(),
                binding: binding.clone(),
                record: Record::new(published.name, published.ttl, published.value),
                alias: published.alias,
                publisher_name: name,
                publisher,
            });
        }
    }
    Ok(tasks)
}

/// Keys whose records are to stand in DNS. Revoked ones have another, and those that are held or compromised are changed by
/// nobody.
fn is_wanted(args: &Args, binding: &Binding) -> bool {
    use StateName::{Active, Generated, Published, Ready, Retiring};
    let state = binding.state.name();
    let is_free = binding.held.is_none() && binding.compromised.is_none();
    let is_meant = if args.selector.is_empty() {
        matches!(state, Generated | Published)
    } else {
        args.selector.contains(&binding.selector) && matches!(state, Generated | Published | Ready | Active | Retiring)
    };
    is_free && is_meant
}

fn line(task: &Task, outcome: Act) -> Line {
    Line {
        domain: task.domain.clone(),
        selector: task.binding.selector.clone(),
        name: task.record.name.clone(),
        alias: task.alias.clone(),
        ttl: task.record.ttl,
        value: task.record.value.clone(),
        publisher: task.publisher_name.clone(),
        outcome,
        detail: String::new(),
        seen: Sighting::NotAsked,
        servers: BTreeMap::new(),
        state: task.binding.state.name(),
    }
}

/// Looks for what is, or may be, in DNS.
async fn look(eyes: &Eyes, tasks: &[Task], lines: &mut [Line], wait: Option<Period>) {
    let clock = Clock::System;
    let deadline = wait.map(|wait| clock.monotonic() + wait.0);
    loop {
        for (task, line) in tasks.iter().zip(lines.iter_mut()) {
            let is_settled = line.seen == Sighting::Everywhere || matches!(line.outcome, Act::Failed | Act::Conflict);
            if !is_settled {
                (line.seen, line.servers) = eyes.look(&task.domain, &task.binding).await;
            }
        }
        let is_open =
            lines.iter().any(|line| matches!(line.seen, Sighting::Nowhere | Sighting::Partly | Sighting::Unknown));
        match deadline.and_then(|deadline| deadline.checked_duration_since(clock.monotonic())) {
            Some(left) if is_open && !left.is_zero() => tokio::time::sleep(seen::POLL.min(left)).await,
            _ => return,
        }
    }
}

/// Notes in the manifests what was published.
fn note(installation: &Installation, manifests: &[DomainManifest], lines: &mut [Line]) -> anyhow::Result<()> {
    for manifest in manifests {
        let domain = manifest.domain();
        let published = lines.iter().filter(|line| line.domain == *domain).filter_map(|line| {
            let by = match line.outcome {
                Act::Done | Act::AlreadySo => Acknowledgement::Publisher,
                Act::Told => Acknowledgement::Operator,
                // Nobody said so, but there it is.
                Act::ByHand if line.seen == Sighting::Everywhere => Acknowledgement::Operator,
                _ => return None,
            };
            Some((line.selector.clone(), by))
        });
        let published: Vec<_> = published.collect();
        // Another command may have changed the manifest while the DNS was asked: of its present state.
        for attempt in 0.. {
            let before = installation.manifest(domain)?;
            let next = before.publish(&published, Clock::System.now());
            let committed = if next == before { Ok(before) } else { installation.store.commit(&next, &[]) };
            match committed {
                Ok(manifest) => {
                    for line in lines.iter_mut().filter(|line| line.domain == *domain) {
                        line.state =
                            manifest.binding(&line.selector).map_or(line.state, |binding| binding.state.name());
                    }
                    break;
                }
                Err(_) if attempt < 3 => {}
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("the records of {domain} are published, but its manifest could not say so")
                    });
                }
            }
        }
    }
    Ok(())
}

fn exit_of(lines: &[Line]) -> Exit {
    let is_bad = |line: &Line| {
        matches!(line.outcome, Act::Failed | Act::Conflict)
            || matches!(line.seen, Sighting::Nowhere | Sighting::Partly | Sighting::Foreign)
    };
    if lines.iter().any(is_bad) {
        Exit::Findings
    } else if lines.iter().any(|line| line.seen != Sighting::Everywhere) {
        Exit::Undetermined
    } else {
        Exit::Clean
    }
}

fn write_plan(tasks: &[Task], args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    for task in tasks {
        let state = task.binding.state.name();
        let what =
            if args.published { "is published".to_owned() } else { format!("publish ({})", task.publisher_name) };
        writeln!(out, "{STRONG}{}{STRONG:#} TXT, {} s: {what}", task.record.name, task.record.ttl)?;
        writeln!(out, "  {FAINT}{} key, {state}{FAINT:#}", task.binding.algorithm())?;
    }
    Ok(())
}

fn write_outcome(line: &Line, out: &mut dyn Write) -> anyhow::Result<()> {
    let style = match line.outcome {
        Act::Done | Act::AlreadySo => GOOD,
        Act::Failed | Act::Conflict => BAD,
        Act::ByHand | Act::Told | Act::Planned => WARN,
    };
    write!(out, "{}: {style}{}{style:#}", line.name, line.outcome)?;
    if !line.detail.is_empty() {
        write!(out, ": {}", line.detail)?;
    }
    writeln!(out)?;
    Ok(())
}

fn write_seen(lines: &[Line], out: &mut dyn Write) -> anyhow::Result<()> {
    for line in lines.iter().filter(|line| line.seen != Sighting::NotAsked) {
        let style = if line.seen == Sighting::Everywhere { GOOD } else { WARN };
        writeln!(out, "{}: {style}{}{style:#}, the key is {}", line.name, line.seen, line.state)?;
        for (server, has) in line.servers.iter().filter(|_| line.seen != Sighting::Everywhere) {
            writeln!(out, "  {server}: {has}")?;
        }
        if let Some(alias) = line.alias.as_ref().filter(|_| line.seen != Sighting::Everywhere) {
            writeln!(out, "  it is looked for through this, in the domain's zone: {alias}. CNAME {}.", line.name)?;
        }
    }
    Ok(())
}
