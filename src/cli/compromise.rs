//! `waxseal compromise`.

mod journal;
mod plan;
mod replace;
mod report;
mod scope;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;

use self::journal::Journal;
use self::plan::Planned;
use self::replace::Replacing;
use self::report::Report;
use self::scope::{KeyName, Scope};
use super::output::{Confirmation, Format, confirmed};
use super::rotate::open::{Hands, make_state_directory, runner};
use super::{Exit, Installation, UsageError};
use crate::config::values::{DnsServer, Period};
use crate::manifest::Meanwhile;
use crate::names::{DomainName, Selector};
use crate::rotation::{Declared, Order, Runner};

/// Declare that others may have private keys, and replace them at once
///
/// One key, all keys of a domain, or those of the whole store. A standby key signs in a key's place from the next second on.
/// Where there is none, or it is compromised too, a fresh key is made, published and seen twice on every server; what the old
/// one does until then is yours to choose. When the daemons say that they have ceased to use a key, or after a minute, its
/// record is replaced by one that says it is revoked. Mail that it signed and that is still under way can then not be verified
/// any more: that is the price, and it is printed before. Cut short, the same command goes on, and so does `waxseal rotate`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["key", "domain", "store"]))]
pub(super) struct Args {
    /// The key, by the name of its record (SELECTOR._domainkey.DOMAIN), or its domain with --selector.
    key: Option<KeyName>,

    /// The key's selector.
    #[arg(long, value_name = "SELECTOR", requires = "key")]
    selector: Option<Selector>,

    /// All keys of this domain, standby keys too.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<DomainName>,

    /// All keys of all domains of the key store, in waves as `waxseal rotate` does.
    #[arg(long)]
    store: bool,

    /// What keys that sign do until others can: sign on, as others may too, or stop, and mail goes unsigned. Must be given
    /// where no standby key can take over.
    #[arg(long, value_name = "WHAT")]
    meanwhile: Option<Choice>,

    /// Begin anew, though an earlier run for the same domains was cut short: keys that it made are compromised too.
    #[arg(long)]
    anew: bool,

    /// Work on until all is done, at most so long; `waxseal rotate` does the rest.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    wait: Period,

    /// Ask exactly these servers (addresses, with commas between) instead of the zones' name servers.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    servers: Vec<DnsServer>,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// How to print what was done. JSON needs --yes.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// What keys that sign do until others can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// They sign on.
    Sign,
    /// They sign no more.
    Stop,
}

impl From<Choice> for Meanwhile {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Sign => Self::Sign,
            Choice::Stop => Self::Stop,
        }
    }
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    let scope = Scope::of(args, &installation)?;
    make_state_directory(&installation.config)?;
    let mut runner = runner(installation, &args.servers, Hands::Free)?;
    let journal = Journal::of(&scope, &runner)?;
    let begun = journal.as_ref().filter(|_| !args.anew).and_then(Journal::begun);
    let chosen = args.meanwhile.map(Meanwhile::from).or(begun.as_ref().map(|begun| begun.meanwhile));
    let order = Order {
        keys: match (&scope, &begun) {
            (Scope::Key { key_id, .. }, _) => Declared::Key(*key_id),
            (_, Some(begun)) => Declared::MadeUntil(begun.made_until),
            (_, None) => Declared::MadeUntil(runner.clock.now()),
        },
        // Where nobody chose, nobody need choose.
        meanwhile: chosen.unwrap_or_default(),
    };
    let planned = Planned::of(&scope, order, begun.is_some(), &runner)?;
    if args.format == Format::Text {
        planned.write(chosen, &runner, out)?;
        out.flush()?;
    }
    if planned.needs_choice && chosen.is_none() {
        let what = "no standby key can take over: choose --meanwhile sign (mail is signed on with keys that others may have) \
                    or --meanwhile stop (mail goes unsigned until fresh keys can sign); nothing was changed";
        return Err(UsageError(anyhow!(what)).into());
    }
    if planned.is_nothing() {
        if let (Some(journal), Some(_)) = (&journal, &begun) {
            // All was done, and the run that did it was cut short before it could say so.
            journal.end()?;
        }
        if args.format == Format::Json {
            Report::nothing(&planned).write(args.format, runner.clock.now(), out)?;
        }
        return Ok(Exit::Clean);
    }
    let yes = Confirmation::from(args.yes);
    if args.format == Format::Json && yes == Confirmation::Wanted {
        bail!("nothing was changed; with --format json nobody is asked: add --yes");
    }
    if !confirmed("\nDeclare it compromised?", yes)? {
        bail!("nothing was changed; answer y on a terminal, or add --yes");
    }
    let lock = journal.as_ref().map(|journal| journal.begin(&planned.order)).transpose()?;
    let only = Arc::get_mut(&mut runner).context("the runner is in use already; a defect")?;
    only.emergency = Some(planned.order.clone());
    let replaced = carry_out(&planned, &runner, args, out)?;
    if let (Some(journal), true) = (&journal, replaced.is_over()) {
        journal.end()?;
    }
    drop(lock);
    replaced.write(args.format, runner.clock.now(), out)
}

/// Declares the keys and goes on until all are replaced, or for as long as was asked.
fn carry_out(planned: &Planned, runner: &Arc<Runner>, args: &Args, out: &mut dyn Write) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut replacing = Replacing::new(runner, &planned.domains, planned.detail);
        replacing.pass().await;
        // The switch waits for nothing; but whether verifiers can find what signs now is to be known at once.
        replacing.look_at(planned.successors()).await;
        if args.format == Format::Text {
            replacing.write_looks(out)?;
            out.flush()?;
        }
        replacing.until_over(args.wait.0).await;
        Ok(replacing.report(planned).await)
    })
}
