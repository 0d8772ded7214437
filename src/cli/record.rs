//! `waxseal record`: what to publish in DNS.

use std::io::Write;
use std::path::Path;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::generate::unique;
use super::output::BAD;
use super::{Exit, Installation};
use crate::finding::Chain;
use crate::keystore::{KeyStore, Listed};
use crate::manifest::{Binding, DomainManifest, StateName};
use crate::names::{DomainName, Selector};
use crate::record_format::{self, PublishedRecord, RecordFormat, Zones};

/// What the CNAMEs of slots may live for, in seconds: they never change.
const CNAME_TTL: u32 = 3600;

/// Print the DNS records of domains' keys
///
/// Keys that are withdrawn have none. The record of a revoked key has an empty p=.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains.
    #[arg(required_unless_present = "all")]
    domains: Vec<DomainName>,

    /// Those of all domains of the key store.
    #[arg(long, conflicts_with = "domains")]
    all: bool,

    /// Only the record of this selector. May be given several times.
    #[arg(long, value_name = "SELECTOR")]
    selector: Vec<Selector>,

    /// Only records of keys in this state. May be given several times.
    #[arg(long, value_name = "STATE")]
    state: Vec<PublishedState>,

    /// The form.
    #[arg(long, value_name = "FORMAT", default_value_t)]
    format: RecordFormat,

    /// A zone that the domains are in, for forms that name it. May be given several times. Without it a domain is taken to
    /// be in the zone of its registrable domain.
    #[arg(long, value_name = "ZONE")]
    zone: Vec<DomainName>,

    /// Print the CNAMEs instead that domains with `[[slots]]` need in their own zones, once and for all: for whoever runs
    /// these.
    #[arg(long, conflicts_with_all = ["selector", "state", "format", "zone"])]
    cnames: bool,
}

/// The states of keys that have a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PublishedState {
    /// Made; the record is to be published.
    Generated,
    /// In DNS.
    Published,
    /// Seen everywhere.
    Ready,
    /// Signs.
    Active,
    /// Signs no more; the record must stay.
    Retiring,
    /// The record has an empty p=.
    Revoked,
}

impl PublishedState {
    /// That of a key; none once it is withdrawn.
    fn of(binding: &Binding) -> Option<Self> {
        match binding.state.name() {
            StateName::Generated => Some(Self::Generated),
            StateName::Published => Some(Self::Published),
            StateName::Ready => Some(Self::Ready),
            StateName::Active => Some(Self::Active),
            StateName::Retiring => Some(Self::Retiring),
            StateName::Revoked => Some(Self::Revoked),
            StateName::Withdrawn => None,
        }
    }
}

impl ValueEnum for RecordFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.description()))
    }
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    if args.cnames {
        return cnames(args, &installation, out);
    }
    let (records, exit) =
        if args.all { of_all(args, &installation)? } else { (of_named(args, &installation)?, Exit::Clean) };
    record_format::write(&records, args.format, &Zones::named(args.zone.clone()), out)?;
    Ok(exit)
}

/// The lines that a domain's own zone needs, as a zone file has them.
fn cnames(args: &Args, installation: &Installation, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let domains = if args.all { domains_of(installation)? } else { unique(&args.domains) };
    for domain in &domains {
        let Some(slots) = installation.config.slots.of(domain) else {
            anyhow::ensure!(args.all, "{domain} has no CNAMEs: no [[slots]] are for it");
            continue;
        };
        for slot in slots.iter() {
            let alias = slot.selector.record_name(domain);
            writeln!(out, "{alias}. {CNAME_TTL} IN CNAME {}.", slot.target)?;
        }
    }
    Ok(Exit::Clean)
}

fn of_named(args: &Args, installation: &Installation) -> anyhow::Result<Vec<PublishedRecord>> {
    let mut records = Vec::new();
    for domain in &unique(&args.domains) {
        let manifest = installation.manifest(domain)?;
        for selector in &args.selector {
            anyhow::ensure!(
                manifest.binding(selector).is_some(),
                "{domain} has no selector {selector}; `waxseal show {domain}` lists those it has"
            );
        }
        records.extend(wanted(args, installation, &manifest));
    }
    Ok(records)
}

/// All domains of the store, sorted.
fn domains_of(installation: &Installation) -> anyhow::Result<Vec<DomainName>> {
    let mut domains = Vec::new();
    for listed in installation.store.domains()? {
        match listed? {
            Listed::Domain(domain) => domains.push(domain),
            Listed::Foreign(finding) => anstream::eprintln!("{finding}"),
        }
    }
    domains.sort_unstable();
    Ok(domains)
}

/// One broken domain must not hide the others.
fn of_all(args: &Args, installation: &Installation) -> anyhow::Result<(Vec<PublishedRecord>, Exit)> {
    let domains = domains_of(installation)?;
    let (mut records, mut exit) = (Vec::new(), Exit::Clean);
    for domain in &domains {
        match installation.store.manifest(domain) {
            Ok(manifest) => records.extend(manifest.iter().flat_map(|manifest| wanted(args, installation, manifest))),
            Err(error) => {
                anstream::eprintln!("{BAD}{domain}:{BAD:#} {}", Chain(&error));
                exit = Exit::Findings;
            }
        }
    }
    Ok((records, exit))
}

fn wanted(
    args: &Args,
    installation: &Installation,
    manifest: &DomainManifest,
) -> impl Iterator<Item = PublishedRecord> {
    manifest.bindings().iter().filter_map(|binding| {
        let state = PublishedState::of(binding)?;
        let is_wanted = (args.state.is_empty() || args.state.contains(&state))
            && (args.selector.is_empty() || args.selector.contains(&binding.selector));
        is_wanted.then(|| installation.record(manifest.domain(), binding))
    })
}
