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
    let (records, exit) =
        if args.all { of_all(args, &installation)? } else { (of_named(args, &installation)?, Exit::Clean) };
    record_format::write(&records, args.format, &Zones::named(args.zone.clone()), out)?;
    Ok(exit)
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
        records.extend(wanted(args, &manifest));
    }
    Ok(records)
}

/// One broken domain must not hide the others.
fn of_all(args: &Args, installation: &Installation) -> anyhow::Result<(Vec<PublishedRecord>, Exit)> {
    let mut domains = Vec::new();
    for listed in installation.store.domains()? {
        match listed? {
            Listed::Domain(domain) => domains.push(domain),
            Listed::Foreign(finding) => anstream::eprintln!("{finding}"),
        }
    }
    domains.sort_unstable();
    let (mut records, mut exit) = (Vec::new(), Exit::Clean);
    for domain in &domains {
        match installation.store.manifest(domain) {
            Ok(manifest) => records.extend(manifest.iter().flat_map(|manifest| wanted(args, manifest))),
            Err(error) => {
                anstream::eprintln!("{BAD}{domain}:{BAD:#} {}", Chain(&error));
                exit = Exit::Findings;
            }
        }
    }
    Ok((records, exit))
}

fn wanted(args: &Args, manifest: &DomainManifest) -> impl Iterator<Item = PublishedRecord> {
    manifest.bindings().iter().filter_map(|binding| {
        let state = PublishedState::of(binding)?;
        let is_wanted = (args.state.is_empty() || args.state.contains(&state))
            && (args.selector.is_empty() || args.selector.contains(&binding.selector));
        is_wanted.then(|| PublishedRecord::of(manifest.domain(), binding))
    })
}
