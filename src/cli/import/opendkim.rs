//! `waxseal import opendkim`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::real::{PROGRAM, Real};
use super::sources::Files;
use super::takeover::{Options, Takeover};
use crate::cli::Exit;
use crate::finding::Severity;
use crate::import::opendkim::{Setup, by_design, samples};

/// Take over OpenDKIM's configuration, tables and keys
///
/// Reads what OpenDKIM reads and changes nothing of it. Writes DIR/waxseal.toml, DIR/signers.map and DIR/keys, the keys
/// under the selectors they have, signing from the first message on. Says what was not taken over, what was a trap, and,
/// over a set of messages put through both, where the two would differ. Nothing is written if there is an error among that.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// OpenDKIM's configuration.
    #[arg(default_value = "/etc/opendkim.conf")]
    file: PathBuf,

    #[command(flatten)]
    options: Options,

    /// The program that the messages are put through, run with this configuration on a socket of its own. Left out,
    /// /usr/sbin/opendkim if it is installed.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "model_only")]
    opendkim: Option<PathBuf>,

    /// Run no OpenDKIM: compare by a model of it alone.
    #[arg(long)]
    model_only: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let prepared = args.options.prepare()?;
    let file = std::path::absolute(&args.file).context("the current directory cannot be found")?;
    let mut findings = Vec::new();
    let setup = Setup::read(&file, &mut Files, &mut findings);
    let has_error =
        |findings: &[crate::finding::Finding]| findings.iter().any(|finding| finding.severity == Severity::Error);
    let carried = if has_error(&findings) {
        None
    } else {
        let carried = setup.carry(&prepared.wishes, &mut Files, &mut findings);
        (!has_error(&findings)).then_some(carried)
    };
    let installed = Some(PathBuf::from(PROGRAM)).filter(|program| program.is_file());
    let program = args.opendkim.clone().or(installed).filter(|_| !args.model_only);
    let start = |program: &Path| Real::start(program, &file, setup.user());
    let domains = prepared.wishes.domains.clone();
    let takeover = Takeover {
        name: "OpenDKIM",
        source: &file,
        findings,
        carried,
        samples: &|| samples(&setup, &domains),
        select: &|sample| setup.select(sample),
        by_design,
        program: program.map(|program| (program, &start as _)),
    };
    prepared.finish(takeover, out)
}
