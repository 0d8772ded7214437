//! `waxseal list`.

use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::generate::unique;
use super::output::{BAD, FAINT, Format, GOOD, WARN, table, write_json, write_table};
use super::{Exit, Installation};
use crate::dkim::Algorithm;
use crate::finding::Chain;
use crate::keystore::{KeyStore, Listed};
use crate::manifest::{Binding, StateName};
use crate::names::{DomainName, Selector};

/// List the keys of all domains, or of those named
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains; all if none is given.
    domains: Vec<DomainName>,

    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// A key as it is listed.
#[derive(Debug, Serialize)]
pub(super) struct ListedKey {
    pub(super) domain: DomainName,
    pub(super) selector: Selector,
    pub(super) algorithm: Algorithm,
    pub(super) bits: u32,
    pub(super) state: StateName,
    pub(super) since: Timestamp,
    pub(super) key_id: String,
}

impl ListedKey {
    pub(super) fn of(domain: &DomainName, binding: &Binding) -> Self {
        Self {
            domain: domain.clone(),
            selector: binding.selector.clone(),
            algorithm: binding.algorithm(),
            bits: binding.public_key.bits(),
            state: binding.state.name(),
            since: binding.state.since(),
            key_id: binding.key_id().to_string(),
        }
    }
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let mut exit = Exit::Clean;
    let mut domains = unique(&args.domains);
    if domains.is_empty() {
        for listed in installation.store.domains()? {
            match listed? {
                Listed::Domain(domain) => domains.push(domain),
                Listed::Foreign(finding) => anstream::eprintln!("{finding}"),
            }
        }
        domains.sort_unstable();
    }

    let mut keys = Vec::new();
    for domain in &domains {
        let manifest = if args.domains.is_empty() {
            installation.store.manifest(domain).map_err(Into::into)
        } else {
            installation.manifest(domain).map(Some)
        };
        match manifest {
            Ok(manifest) => {
                let bindings = manifest.iter().flat_map(|manifest| manifest.bindings());
                keys.extend(bindings.map(|binding| ListedKey::of(domain, binding)));
            }
            // One broken domain must not hide the others.
            Err(error) => {
                anstream::eprintln!("{BAD}{domain}:{BAD:#} {}", Chain(&*error));
                exit = Exit::Findings;
            }
        }
    }

    match args.format {
        Format::Json => write_json(out, &keys)?,
        // What could not be read has been said.
        Format::Text if keys.is_empty() && exit == Exit::Findings => {}
        Format::Text if keys.is_empty() => {
            writeln!(out, "no keys in {}; `waxseal generate DOMAIN` makes some", installation.store.root().display())?;
        }
        Format::Text => {
            let mut rows = table(&["domain", "selector", "algorithm", "bits", "state", "since"]);
            for key in &keys {
                rows.add_row([
                    key.domain.to_string(),
                    key.selector.to_string(),
                    key.algorithm.to_string(),
                    key.bits.to_string(),
                    key.state.to_string(),
                    format!("{:.0}", key.since),
                ]);
            }
            write_table(out, &rows)?;
        }
    }
    Ok(exit)
}

/// The colour of a state.
pub(super) fn style_of(state: StateName) -> anstyle::Style {
    match state {
        StateName::Active => GOOD,
        StateName::Generated | StateName::Published | StateName::Ready => WARN,
        StateName::Retiring | StateName::Revoked | StateName::Withdrawn => FAINT,
    }
}
