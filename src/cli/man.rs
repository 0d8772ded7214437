//! `waxseal man`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use super::{CommandLine, Exit};

/// Write the manual pages of waxseal and its subcommands
///
/// `waxseal man /usr/local/share/man/man1`, then `man waxseal-generate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory to write them to; made if it is missing.
    directory: PathBuf,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    fs::create_dir_all(&args.directory)
        .and_then(|()| clap_mangen::generate_to(CommandLine::command(), &args.directory))
        .with_context(|| format!("manual pages cannot be written to {}", args.directory.display()))?;
    writeln!(out, "manual pages written to {}", args.directory.display())?;
    Ok(Exit::Clean)
}
