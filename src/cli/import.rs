//! `waxseal import`: what other signers leave behind.

mod install;
mod key;
mod opendkim;
mod passphrase;
mod real;
mod report;
mod rspamd;
mod sources;
mod takeover;

use std::io::Write;
use std::path::Path;

use clap::Subcommand;

use super::Exit;

/// Take over from another signer
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to take over.
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    Key(key::Args),
    Opendkim(opendkim::Args),
    Rspamd(rspamd::Args),
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match &args.subject {
        Subject::Key(args) => key::run(args, config, out),
        Subject::Opendkim(args) => opendkim::run(args, out),
        Subject::Rspamd(args) => rspamd::run(args, out),
    }
}
