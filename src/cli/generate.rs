//! `waxseal generate`.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::output::{Format, write_json};
use super::record::{self, PublishedRecord};
use super::{Exit, Installation};
use crate::clock::Clock;
use crate::dkim::{KeyKind, PrivateKey};
use crate::keystore::{Directory, KeyStore};
use crate::manifest::{DomainManifest, PrivateKeyPlace};
use crate::names::DomainName;

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
    #[arg(long, value_name = "BITS", default_value_t = 2048)]
    bits: u32,
}

/// An algorithm, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyAlgorithm {
    Rsa,
    Ed25519,
}

impl KeyArgs {
    /// The kinds of key to make, RSA first.
    fn kinds(&self) -> anyhow::Result<Vec<KeyKind>> {
        let wants = |algorithm| self.algorithm.is_empty() || self.algorithm.contains(&algorithm);
        let mut kinds = Vec::new();
        if wants(KeyAlgorithm::Rsa) {
            kinds.push(KeyKind::rsa(self.bits)?);
        }
        if wants(KeyAlgorithm::Ed25519) {
            kinds.push(KeyKind::Ed25519);
        }
        Ok(kinds)
    }

    /// Makes keys for a domain and commits them; the manifest as committed, and the records of the new keys.
    pub(super) fn make(&self, store: &Directory, domain: &DomainName) -> anyhow::Result<Vec<PublishedRecord>> {
        let now = Clock::System.now();
        let date = TimeZone::UTC.to_datetime(now).date();
        let before = store.manifest(domain)?.unwrap_or_else(|| DomainManifest::new(domain.clone()));
        let mut manifest = before.clone();
        let mut keys = Vec::new();
        for kind in self.kinds()? {
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
    for domain in &args.domains {
        let made = args.keys.make(&installation.store, domain);
        records.extend(made.with_context(|| format!("no keys were made for {domain}"))?);
    }
    match args.format {
        Format::Json => write_json(out, &records)?,
        Format::Text => {
            writeln!(out, "Publish these records, on every name server of the zone:\n")?;
            record::write_bind(out, &records)?;
            writeln!(out, "\nThen:  waxseal --config {} activate {}", config.display(), join(&args.domains))?;
        }
    }
    Ok(Exit::Clean)
}

/// Domains as they stand on a command line.
pub(super) fn join(domains: &[DomainName]) -> String {
    domains.iter().map(DomainName::as_str).collect::<Vec<_>>().join(" ")
}
