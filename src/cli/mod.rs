//! `waxseal`: one file a subcommand. Its doc comment is its help and its manual page.
//!
//! Commands write to the `out` they are given and return how they ended; errors carry the chain of what failed and the
//! next step.

mod activate;
mod bench;
mod check_message;
mod completions;
mod config;
mod demo;
mod exit;
mod generate;
mod init;
mod installation;
mod list;
mod man;
mod output;
mod record;
mod show;
mod sign;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{ColorChoice, Parser, Subcommand};

pub use exit::Exit;
pub use installation::{ConfigUnusable, Installation};

/// Looks after DKIM keys, and signs and checks single messages.
///
/// The daemon that signs outgoing mail is `waxseald`.
#[derive(Debug, Parser)]
#[command(
    name = "waxseal",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 clean, 1 something is wrong and was said, 2 usage or configuration, 3 undetermined."
)]
pub struct CommandLine {
    /// The configuration file.
    #[arg(long, short, global = true, value_name = "FILE", default_value = "/etc/waxseal/waxseal.toml")]
    config: PathBuf,

    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Demo(demo::Args),
    Generate(generate::Args),
    List(list::Args),
    Show(show::Args),
    Record(record::Args),
    Activate(activate::Args),
    Sign(sign::Args),
    CheckMessage(check_message::Args),
    Config(config::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs one command.
pub fn run(command_line: CommandLine) -> anyhow::Result<Exit> {
    match command_line.color {
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
    let mut out = anstream::stdout().lock();
    let config = &command_line.config;
    let exit = match &command_line.command {
        Command::Init(args) => init::run(args, &mut out),
        Command::Demo(args) => demo::run(args, &mut out),
        Command::Generate(args) => generate::run(args, config, &mut out),
        Command::List(args) => list::run(args, config, &mut out),
        Command::Show(args) => show::run(args, config, &mut out),
        Command::Record(args) => record::run(args, config, &mut out),
        Command::Activate(args) => activate::run(args, config, &mut out),
        // As it is: what looks like colours for a terminal belongs to the message.
        Command::Sign(args) => sign::run(args, config, &mut io::stdout().lock()),
        Command::CheckMessage(args) => check_message::run(args, &mut out),
        Command::Config(args) => config::run(args, config, &mut out),
        Command::Bench(args) => bench::run(args, &mut out),
        Command::Completions(args) => completions::run(args, &mut out),
        Command::Man(args) => man::run(args, &mut out),
    }?;
    out.flush()?;
    Ok(exit)
}

/// Whether an error only says that nobody reads any more, as in `waxseal list | head`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}
