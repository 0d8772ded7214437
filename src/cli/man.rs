//! `waxseal man`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use super::{CommandLine, Exit};

/// Write the manual pages of waxseal and its subcommands
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory to write them to.
    directory: PathBuf,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    clap_mangen::generate_to(CommandLine::command(), &args.directory)
        .with_context(|| format!("manual pages cannot be written to {}", args.directory.display()))?;
    writeln!(out, "manual pages written to {}", args.directory.display())?;
    Ok(Exit::Clean)
}
