//! `waxseal record`: what to publish in DNS.

use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use super::generate::unique;
use super::output::write_json;
use super::{Exit, Installation};
use crate::dkim::{Algorithm, KeyRecord};
use crate::manifest::{Binding, StateName};
use crate::names::{DomainName, Selector};

/// Print the DNS records of domains' keys
///
/// Keys that are withdrawn have none. The record of a revoked key has an empty p=.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains.
    #[arg(required = true)]
    domains: Vec<DomainName>,

    /// Only the record of this selector. May be given several times.
    #[arg(long, value_name = "SELECTOR")]
    selector: Vec<Selector>,

    /// The form.
    #[arg(long, value_name = "FORMAT", default_value = "bind")]
    format: RecordFormat,
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecordFormat {
    /// A line of a zone file, the value in quoted strings of at most 255 octets.
    Bind,
    /// Name and value alone, each in one line, for web forms.
    Plain,
    /// An array of objects with name, type, ttl, value, domain, selector, algorithm.
    Json,
}

/// A record as it is to stand in DNS.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PublishedRecord {
    /// The owner's name, without the final dot.
    pub name: String,
    /// Always TXT.
    #[serde(rename = "type")]
    pub rr_type: &'static str,
    /// Seconds.
    pub ttl: u32,
    /// The text, all strings joined.
    pub value: String,
    /// The domain.
    pub domain: DomainName,
    /// The selector.
    pub selector: Selector,
    /// a= of the key's signatures.
    pub algorithm: Algorithm,
    /// The text as the character-strings of a TXT record.
    #[serde(skip)]
    strings: Vec<String>,
}

impl PublishedRecord {
    /// The record of one binding.
    pub(super) fn of(domain: &DomainName, binding: &Binding) -> Self {
        let record = match binding.state.name() {
            StateName::Revoked => KeyRecord::revoked(binding.algorithm()),
            _ => KeyRecord::of(&binding.public_key),
        };
        Self {
            name: binding.selector.record_name(domain),
            rr_type: "TXT",
            ttl: binding.record_ttl,
            value: record.to_string(),
            domain: domain.clone(),
            selector: binding.selector.clone(),
            algorithm: binding.algorithm(),
            strings: record.txt_strings(),
        }
    }
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let mut records = Vec::new();
    for domain in &unique(&args.domains) {
        let manifest = installation.manifest(domain)?;
        for selector in &args.selector {
            anyhow::ensure!(
                manifest.binding(selector).is_some(),
                "{domain} has no selector {selector}; `waxseal show {domain}` lists those it has"
            );
        }
        let wanted = manifest
            .bindings()
            .iter()
            .filter(|binding| binding.state.name() != StateName::Withdrawn)
            .filter(|binding| args.selector.is_empty() || args.selector.contains(&binding.selector));
        records.extend(wanted.map(|binding| PublishedRecord::of(domain, binding)));
    }
    match args.format {
        RecordFormat::Bind => write_bind(out, &records)?,
        RecordFormat::Plain => write_plain(out, &records)?,
        RecordFormat::Json => write_json(out, &records)?,
    }
    Ok(Exit::Clean)
}

/// Zone file lines (RFC 1035 §5.1).
pub(super) fn write_bind(out: &mut dyn Write, records: &[PublishedRecord]) -> io::Result<()> {
    for record in records {
        write!(out, "{}. {} IN TXT (", record.name, record.ttl)?;
        for string in &record.strings {
            write!(out, " \"{}\"", string.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        writeln!(out, " )")?;
    }
    Ok(())
}

fn write_plain(out: &mut dyn Write, records: &[PublishedRecord]) -> io::Result<()> {
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(out, "name   {}", record.name)?;
        writeln!(out, "type   TXT")?;
        writeln!(out, "ttl    {}", record.ttl)?;
        writeln!(out, "value  {}", record.value)?;
    }
    Ok(())
}
