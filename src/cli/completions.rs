//! `waxseal completions`.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{CommandLine, Exit};

/// Print a shell's completion script
///
/// For bash: `waxseal completions bash > /usr/share/bash-completion/completions/waxseal`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    generate(args.shell, &mut CommandLine::command(), "waxseal", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Clean)
}
