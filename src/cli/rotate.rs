//! `waxseal rotate`.

pub(super) mod open;
mod run;
mod select;
mod tell;
pub(super) mod words;

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use indicatif::ProgressBar;
use jiff::Timestamp;

use self::open::{Hands, lock_path, make_state_directory, runner};
use self::select::Selection;
pub(super) use self::tell::RotatedDomain;
use self::tell::{Mode, Scope, Teller};
use super::generate::unique;
use super::output::{Format, WARN};
use super::{Exit, Installation};
use crate::config::values::DnsServer;
use crate::files::lock::{RunLock, RunLockError};
use crate::names::DomainName;

/// Do what is due: publish, activate, retire and withdraw keys
///
/// Looks at the keys whose waits are over, at what every name server of their zones says, and at when daemons last signed;
/// then does at most one safe thing for each key. Meant to be run by a timer, every few minutes: it may be killed at any
/// moment and goes on at the next run, and a second run finds the first and ends. Without a publisher for a domain it only
/// reminds. With nothing due it asks no DNS.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// These domains, whether something is due or not; all domains for which something is due if none is given.
    domains: Vec<DomainName>,

    /// All domains for which something is due: what happens when no domain is given.
    #[arg(long, conflicts_with = "domains")]
    all_due: bool,

    /// Print what would be done to which key, when and why. DNS is asked, nothing is changed.
    #[arg(long)]
    dry_run: bool,

    /// Ask exactly these servers (addresses, with commas between) instead of the zones' name servers.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    servers: Vec<DnsServer>,

    /// How to print what was done.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let domains = unique(&args.domains);
    for domain in &domains {
        installation.manifest(domain)?;
        if installation.config.publisher_for(domain).is_none() {
            anstream::eprintln!(
                "{WARN}note:{WARN:#} no [[publisher]] is for {domain}: its records are yours to publish (docs/publishing.md)"
            );
        }
    }
    let lock = if args.dry_run {
        None
    } else {
        make_state_directory(&installation.config)?;
        match RunLock::try_acquire(&lock_path(&installation.config)) {
            Ok(lock) => Some(lock),
            Err(RunLockError::Held { .. }) => {
                anstream::eprintln!("another `waxseal rotate` is at work; it does what is due");
                return Ok(Exit::Clean);
            }
            Err(error) => bail!(error),
        }
    };
    let hands = if args.dry_run { Hands::Tied } else { Hands::Free };
    let runner = runner(installation, &args.servers, hands)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let selection = if domains.is_empty() { Selection::Due } else { Selection::These(domains) };
    let exit = match hands {
        Hands::Tied => runtime.block_on(run::dry(&runner, selection, args.format, out)),
        Hands::Free => runtime.block_on(run::real(&runner, selection, args.format, out)),
    };
    drop(lock);
    exit
}

/// Tells what came of domains that were named.
pub(super) fn tell(
    domains: Vec<RotatedDomain>,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let mut teller = Teller::begin(out, format, Scope::Named, Mode::Real, domains.len(), ProgressBar::hidden());
    domains.into_iter().for_each(|domain| teller.tell(Some(domain), now));
    teller.end(None)
}
