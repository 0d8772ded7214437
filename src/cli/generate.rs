//! `waxseal generate`.

use std::collections::HashSet;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::output::{Format, write_json};
use super::{Exit, Installation, UsageError};
use crate::clock::Clock;
use crate::dkim::{KeyKind, PrivateKey};
use crate::files::configuration::DEFAULT_PATH;
use crate::keystore::{Directory, KeyStore, Quoted};
use crate::manifest::{DomainManifest, PrivateKeyPlace};
use crate::names::DomainName;
use crate::record_format::{PublishedRecord, write_bind};

/// What the published record's TTL is meant to be, in seconds: an hour, short enough to mend a mistake the same day.
pub(super) const RECORD_TTL: u32 = 3600;

/// Make new keys for domains, and print the records to publish
///
/// A new key signs nothing until it is activated. Keys a domain has already are left as they are.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains, in A-labels or U-labels.
    #[arg(required = true)]
    domains: Vec<DomainName>,

    #[command(flatten)]
    pub(super) keys: KeyArgs,

    /// How to print the records.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Which keys to make.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KeyArgs {
    /// The algorithm; both if none is given. May be given twice.
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Vec<KeyAlgorithm>,

    /// Bits of the RSA key: 2048, 3072 or 4096. Some DNS providers refuse records of more than 2048.
    #[arg(long, value_name = "BITS", default_value = "2048", value_parser = rsa)]
    bits: KeyKind,
}

/// An algorithm, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyAlgorithm {
    Rsa,
    Ed25519,
}

impl KeyArgs {
    /// The kinds of key to make, RSA first.
    fn kinds(&self) -> Vec<KeyKind> {
        let wants = |algorithm| self.algorithm.is_empty() || self.algorithm.contains(&algorithm);
        let mut kinds = Vec::new();
        if wants(KeyAlgorithm::Rsa) {
            kinds.push(self.bits);
        }
        if wants(KeyAlgorithm::Ed25519) {
            kinds.push(KeyKind::Ed25519);
        }
        kinds
    }

    /// Makes keys for a domain and commits them; the manifest as committed, and the records of the new keys.
    pub(super) fn make(&self, store: &Directory, domain: &DomainName) -> anyhow::Result<Vec<PublishedRecord>> {
        if domain.as_str().parse::<Ipv4Addr>().is_ok() {
            return Err(UsageError(anyhow!("{domain} is an address; give the domain that stands in From")).into());
        }
        let now = Clock::System.now();
        let date = TimeZone::UTC.to_datetime(now).date();
        let before = store.manifest(domain)?.unwrap_or_else(|| DomainManifest::new(domain.clone()));
        let mut manifest = before.clone();
        let mut keys = Vec::new();
        for kind in self.kinds() {
            let key = PrivateKey::generate(kind)?;
            let selector = manifest
                .default_selector(date, kind.algorithm())
                .with_context(|| format!("no selector is left for {domain} today"))?;
            manifest =
                manifest.bind_generated(selector, key.public().clone(), PrivateKeyPlace::Own, RECORD_TTL, now)?;
            keys.push(key);
        }
        let manifest = store.commit(&manifest, &keys.iter().collect::<Vec<_>>())?;
        let is_new = |selector| before.binding(selector).is_none();
        Ok(manifest
            .bindings()
            .iter()
            .filter(|binding| is_new(&binding.selector))
            .map(|binding| PublishedRecord::of(domain, binding))
            .collect())
    }
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let mut records = Vec::new();
    let domains = unique(&args.domains);
    for domain in &domains {
        let made = args.keys.make(&installation.store, domain);
        records.extend(made.with_context(|| format!("no keys were made for {domain}"))?);
    }
    match args.format {
        Format::Json => write_json(out, &records)?,
        Format::Text => {
            writeln!(out, "Publish these records, on every name server of the zone:\n")?;
            write_bind(out, &records)?;
            writeln!(out, "\nThen:  {}", command("activate", config, &domains))?;
        }
    }
    Ok(Exit::Clean)
}

fn rsa(bits: &str) -> anyhow::Result<KeyKind> {
    Ok(KeyKind::rsa(bits.parse().context("write a number of bits: 2048, 3072 or 4096")?)?)
}

/// Each domain once, in the order given.
pub(super) fn unique(domains: &[DomainName]) -> Vec<DomainName> {
    let mut seen = HashSet::new();
    domains.iter().filter(|domain| seen.insert(*domain)).cloned().collect()
}

/// A command to be typed next, for the same configuration.
pub(super) fn command(name: &str, config: &Path, domains: &[DomainName]) -> String {
    let option =
        if config == Path::new(DEFAULT_PATH) { String::new() } else { format!("--config {} ", Quoted(config)) };
    format!("waxseal {option}{name} {}", join(domains))
}

/// Domains as they stand on a command line.
pub(super) fn join(domains: &[DomainName]) -> String {
    domains.iter().map(DomainName::as_str).collect::<Vec<_>>().join(" ")
}
