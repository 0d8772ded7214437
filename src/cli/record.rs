//! `waxseal record`: what to publish in DNS.

use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;

use super::generate::unique;
use super::output::write_json;
use super::{Exit, Installation};
use crate::manifest::StateName;
use crate::names::{DomainName, Selector};
use crate::record_format::{PublishedRecord, write_bind};

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
