//! `waxseal import rspamd`.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use super::sources::Files;
use super::takeover::{Options, Takeover};
use crate::cli::Exit;
use crate::finding::{Finding, Severity};
use crate::import::CarriedKey;
use crate::import::rspamd::{Setup, by_design, samples};
use crate::names::DomainName;

/// Take over what rspamd signs: its module dkim_signing, with tables and keys
///
/// Reads what rspamd reads and changes nothing of it. Writes DIR/waxseal.toml, DIR/signers.map and DIR/keys, the keys
/// under the selectors they have, signing from the first message on. Says what was not taken over, what was a trap, and,
/// over a set of messages put through a model of both, where the two would differ. Nothing is written if there is an
/// error among that.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// rspamd's directory.
    #[arg(default_value = "/etc/rspamd")]
    directory: PathBuf,

    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let prepared = args.options.prepare()?;
    let directory = std::path::absolute(&args.directory).context("the current directory cannot be found")?;
    let mut findings = Vec::new();
    let setup = Setup::read(&directory, &prepared.wishes.domains, &mut Files, &mut findings);
    let has_error = |findings: &[Finding]| findings.iter().any(|finding| finding.severity == Severity::Error);
    let carried = if has_error(&findings) {
        None
    } else {
        let carried = setup.carry(&prepared.wishes, &mut Files, &mut findings);
        (!has_error(&findings)).then_some(carried)
    };
    let keys: Vec<CarriedKey> = carried.iter().flat_map(|carried| carried.keys.clone()).collect();
    let there: HashSet<(&str, &str)> = keys.iter().map(|key| (key.domain.as_str(), key.selector.as_str())).collect();
    let has_key = |domain: &DomainName, selector: &str| there.contains(&(domain.as_str(), &*selector.to_lowercase()));
    let takeover = Takeover {
        name: "rspamd",
        source: &directory,
        findings,
        carried,
        samples: &|| samples(&setup, &keys),
        select: &|sample| setup.select(sample, &has_key),
        by_design,
        program: None,
    };
    prepared.finish(takeover, out)
}
