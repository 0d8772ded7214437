//! `waxseal key`: the private key files themselves.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use super::generate::unique;
use super::list::all_domains;
use super::output::{BAD, FAINT, Format, GOOD, WARN, write_json};
use super::parallel::in_order;
use super::progress::progress_bar;
use super::{Exit, Installation};
use crate::finding::{Finding, Severity};
use crate::names::DomainName;

/// Look after the private key files
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to do with them.
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    Check(CheckArgs),
}

/// Check every private key file: can it be read, is it its manifest's, who may see it, is something left over
#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The domains; all, and the keys that domains share, if none is given.
    domains: Vec<DomainName>,

    /// How to print what is wrong.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Checked {
    domains: usize,
    keys: usize,
    findings: Vec<Finding>,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match &args.subject {
        Subject::Check(args) => check(args, config, out),
    }
}

fn check(args: &CheckArgs, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let Installation { store, .. } = Installation::open(config)?;
    let mut findings = Vec::new();
    let mut domains = unique(&args.domains);
    let is_whole = domains.is_empty();
    if is_whole {
        (domains, findings) = all_domains(&store)?;
    }
    let mut keys = 0;
    let mut bound = HashSet::new();
    let mut is_certain = true;
    let bar = progress_bar(domains.len(), "domains");
    let examine = |domain: &DomainName| {
        if is_whole { store.examine(domain) } else { store.examine_named(domain) }
    };
    in_order(&domains, examine, |_, examined| {
        bar.inc(1);
        keys += examined.keys;
        is_certain &= examined.is_readable;
        bound.extend(examined.shared);
        findings.extend(examined.findings);
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();
    if is_whole {
        // A domain that cannot be read may use any of them.
        findings.extend(store.examine_shared(is_certain.then_some(&bound)));
    }

    let worst = findings.iter().map(|finding| finding.severity).max();
    let checked = Checked { domains: domains.len(), keys, findings };
    match args.format {
        Format::Json => write_json(out, &checked)?,
        Format::Text => {
            for finding in &checked.findings {
                let style = match finding.severity {
                    Severity::Error => BAD,
                    Severity::Warning => WARN,
                    Severity::Info => FAINT,
                };
                writeln!(out, "{style}{}{style:#} {}", finding.rule, finding)?;
            }
            match checked.findings.len() {
                0 => writeln!(out, "{GOOD}sound:{GOOD:#} {keys} private keys of {} domains", checked.domains)?,
                count => writeln!(out, "{count} findings; {keys} private keys of {} domains", checked.domains)?,
            }
        }
    }
    Ok(if worst >= Some(Severity::Warning) { Exit::Findings } else { Exit::Clean })
}
