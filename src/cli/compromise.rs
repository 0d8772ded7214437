//! `waxseal compromise`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::output::{BAD, Confirmation, Format, STRONG, WARN, confirmed};
use super::rotate::open::{Hands, make_state_directory, runner};
use super::rotate::{self, RotatedDomain};
use super::{Exit, Installation};
use crate::config::values::DnsServer;
use crate::lifecycle::{Emergency, Silences, compromise};
use crate::manifest::Meanwhile;
use crate::names::{DomainName, Selector};
use crate::rotation::{Finished, Patrol, Runner, Start};

/// Declare that others may have a private key, and replace it at once
///
/// The standby key signs in its place from the next second on; when the daemons say so, or after their longest patience, the
/// key's record is replaced by one that says it is revoked. Mail that it signed and that is still under way can then not be
/// verified any more: that is the price, and it is printed before. What is left to do is done by the runs of `waxseal
/// rotate` that follow.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domain.
    domain: DomainName,

    /// The key's selector.
    #[arg(long, value_name = "SELECTOR")]
    selector: Selector,

    /// Without a standby key, sign on with this one until there is another, rather than not at all.
    #[arg(long)]
    sign_meanwhile: bool,

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
    let Start { manifest, schedule, evidence, .. } = runner.start(before, Patrol::OnlyDue, Silences::default(), None);
    let meanwhile = if args.sign_meanwhile { Meanwhile::Sign } else { Meanwhile::Stop };
    let emergency = compromise(&manifest, &args.selector, meanwhile, &evidence, &runner.now(), &schedule)
        .with_context(|| format!("{} has no such key to be compromised", args.domain))?;
    if args.format == Format::Text {
        write_plan(args, &emergency, out)?;
        out.flush()?;
    }
    let yes = Confirmation::from(args.yes);
    if args.format == Format::Json && yes == Confirmation::Wanted {
        bail!("nothing was changed; with --format json nobody is asked: add --yes");
    }
    if !confirmed("\nDeclare it compromised?", yes)? {
        bail!("nothing was changed; answer y on a terminal, or add --yes");
    }
    let committed = runner.store.commit(&emergency.manifest, &[]);
    committed.with_context(|| format!("{} was not declared compromised; nothing changed", args.selector))?;
    go_on(&runner, &args.domain, args.format, out)
}

/// Does at once what follows from a change that was committed.
pub(super) fn go_on(
    runner: &Arc<Runner>,
    domain: &DomainName,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(runner.run(domain, Patrol::OnlyDue, Silences::default(), None));
    let finished = Finished { domain: domain.clone(), patrol: Patrol::OnlyDue, result };
    rotate::tell(RotatedDomain::of(&finished), runner.clock.now(), format, out)
}

fn write_plan(args: &Args, emergency: &Emergency, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{STRONG}{}{STRONG:#}: {} is compromised", args.domain, args.selector)?;
    match &emergency.successor {
        Some(successor) => writeln!(out, "  {successor} signs in its place, at once")?,
        None if emergency.mail_until.is_none() => {}
        None if args.sign_meanwhile => {
            writeln!(out, "  {WARN}there is no standby key:{WARN:#} it signs on until another can")?;
        }
        None => writeln!(
            out,
            "  {BAD}there is no standby key:{BAD:#} nothing signs with its algorithm until another can; --sign-meanwhile signs on"
        )?,
    }
    writeln!(out, "  its record is revoked as soon as no daemon signs with it any more")?;
    if let Some(until) = emergency.mail_until {
        writeln!(
            out,
            "  {WARN}lost:{WARN:#} mail that it signed can no longer be verified; some may be under way until {until:.0}"
        )?;
    }
    Ok(())
}
