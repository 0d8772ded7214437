//! `waxseal offboard`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::output::{Confirmation, Format, STRONG, WARN, confirmed};
use super::rotate::open::{Hands, make_state_directory, runner};
use super::rotate::{self, RotatedDomain};
use super::{Exit, Installation};
use crate::config::values::DnsServer;
use crate::lifecycle::{Silences, gone, leave};
use crate::manifest::Status;
use crate::names::DomainName;
use crate::rotation::{Finished, Patrol, Runner};

/// Take a domain out: stop signing, then retire, revoke and delete its keys
///
/// Nothing signs for the domain from the next second on. Its records stay as long as mail may be under way, then they are
/// revoked and deleted and the private keys destroyed, by the runs of `waxseal rotate` that follow. A domain that is not
/// delegated to you any more is `--gone`: nothing is done or said about it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domain.
    domain: DomainName,

    /// It is not delegated to us any more: leave its records and keys as they are, and be silent about them.
    #[arg(long)]
    gone: bool,

    /// Ask exactly these servers (addresses, with commas between) instead of the zone's name servers.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    servers: Vec<DnsServer>,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// How to print what was done, as `waxseal rotate` does. JSON needs --yes.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let installation = Installation::open(config)?;
    make_state_directory(&installation.config)?;
    let before = installation.manifest(&args.domain)?;
    let runner = runner(installation, &args.servers, Hands::Free)?;
    let after = if args.gone { gone(&before) } else { leave(&before) };
    if args.format == Format::Text {
        writeln!(out, "{STRONG}{}{STRONG:#}: {WARN}nothing signs for it any more{WARN:#}", args.domain)?;
        if after.status() == Status::Leaving {
            writeln!(out, "  its records stay until no mail can be under way, then they are revoked and deleted")?;
        }
        out.flush()?;
    }
    let yes = Confirmation::from(args.yes);
    if args.format == Format::Json && yes == Confirmation::Wanted {
        bail!("nothing was changed; with --format json nobody is asked: add --yes");
    }
    if !confirmed("\nTake it out?", yes)? {
        bail!("nothing was changed; answer y on a terminal, or add --yes");
    }
    if after != before {
        let committed = runner.store.commit(&after, &[]);
        committed.with_context(|| format!("{} was not taken out; nothing changed", args.domain))?;
    }
    go_on(&runner, &args.domain, args.format, out)
}

/// Does at once what follows from the change.
fn go_on(runner: &Arc<Runner>, domain: &DomainName, format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(runner.run(domain, Patrol::OnlyDue, Silences::default(), None));
    let finished = Finished { domain: domain.clone(), patrol: Patrol::OnlyDue, result };
    rotate::tell(RotatedDomain::of(&finished).into_iter().collect(), runner.clock.now(), format, out)
}
