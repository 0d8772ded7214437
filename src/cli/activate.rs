//! `waxseal activate`.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::generate::{command, unique};
use super::output::{Confirmation, STRONG, WARN, confirmed};
use super::{Exit, Installation};
use crate::clock::Clock;
use crate::keystore::Directory;
use crate::manifest::{Activation, Choice, DomainManifest, RetirementWaits};
use crate::names::{DomainName, Selector};
use crate::record_format::{PublishedRecord, write_bind};

/// Let keys sign from now on
///
/// Of each algorithm the newest key becomes active, and the one that was active before retires: it signs no more and
/// stays published. This is your word that the records are on every name server of the zone, as `waxseal verify` tells,
/// and that older answers have expired from caches. If they have not, receivers cannot verify what is signed meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains.
    #[arg(required = true)]
    domains: Vec<DomainName>,

    /// Make this selector's key active instead of the newest. May be given once for each algorithm.
    #[arg(long, value_name = "SELECTOR")]
    selector: Vec<Selector>,

    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let mut planned = Vec::new();
    let domains = unique(&args.domains);
    for domain in &domains {
        let before = installation.manifest(domain)?;
        let activation = activate(&before, &args.selector, &installation)?;
        planned.push(activation);
    }
    let (planned, settled): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|activation| !activation.activated.is_empty());
    for activation in &settled {
        writeln!(out, "{} signs with these keys already", activation.manifest.domain())?;
    }
    if planned.is_empty() {
        return Ok(Exit::Clean);
    }

    for activation in &planned {
        describe(activation, out)?;
    }
    writeln!(
        out,
        "\n{WARN}What this risks:{WARN:#} DNS is not asked here (waxseal verify does). Until every name server of the zone answers with\n\
         these records, and negative answers have expired from caches, receivers will find mail signed with them invalid:\n"
    )?;
    let records: Vec<_> = planned.iter().flat_map(|activation| records(activation, &installation)).collect();
    write_bind(out, &records)?;
    out.flush()?;
    if !confirmed("\nActivate?", Confirmation::from(args.yes))? {
        let selectors: String = args.selector.iter().map(|selector| format!(" --selector {selector}")).collect();
        let again = command(&format!("activate --yes{selectors}"), config, &domains);
        anyhow::bail!("nothing was changed; answer y on a terminal, or: {again}");
    }
    for activation in &planned {
        let domain = activation.manifest.domain();
        let committed = commit(&installation.store, activation);
        committed.with_context(|| format!("the keys of {domain} were not activated; nothing changed for it"))?;
        writeln!(out, "{domain} signs with {}", join_selectors(&activation.activated))?;
    }
    Ok(Exit::Clean)
}

/// What is to become of a domain's keys.
pub(super) fn activate(
    before: &DomainManifest,
    selectors: &[Selector],
    installation: &Installation,
) -> anyhow::Result<Activation> {
    let choice = if selectors.is_empty() { Choice::Newest } else { Choice::Selectors(selectors) };
    let max_staleness = installation.config.keys.max_staleness.try_into().unwrap_or(jiff::SignedDuration::MAX);
    let waits = RetirementWaits { max_staleness, ..RetirementWaits::default() };
    Ok(before.activate(choice, waits, Clock::System.now())?)
}

pub(super) fn commit(store: &Directory, activation: &Activation) -> anyhow::Result<DomainManifest> {
    Ok(store.commit(&activation.manifest, &[])?)
}

fn describe(activation: &Activation, out: &mut dyn Write) -> anyhow::Result<()> {
    let domain = activation.manifest.domain();
    writeln!(out, "{STRONG}{domain}{STRONG:#}: {} will sign", join_selectors(&activation.activated))?;
    if !activation.retired.is_empty() {
        writeln!(out, "  {} will retire; leave the records in DNS", join_selectors(&activation.retired))?;
    }
    Ok(())
}

fn records(activation: &Activation, installation: &Installation) -> Vec<PublishedRecord> {
    let manifest = &activation.manifest;
    let bindings = activation.activated.iter().filter_map(|selector| manifest.binding(selector));
    bindings.map(|binding| installation.record(manifest.domain(), binding)).collect()
}

fn join_selectors(selectors: &[Selector]) -> String {
    selectors.iter().map(Selector::as_str).collect::<Vec<_>>().join(" and ")
}
