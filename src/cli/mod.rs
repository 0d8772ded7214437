//! `waxseal`: one file a subcommand. Its doc comment is its help and its manual page.
//!
//! Commands write to the `out` they are given and return how they ended; errors carry the chain of what failed and the
//! next step.

mod activate;
mod asking;
mod bench;
mod check_message;
mod completions;
mod compromise;
mod config;
mod demo;
mod exit;
mod explain;
mod export;
mod generate;
mod import;
mod init;
mod installation;
mod key;
mod list;
mod login;
mod man;
mod observing;
mod offboard;
mod output;
mod parallel;
mod progress;
mod public;
mod publish;
mod record;
mod remove;
mod rotate;
mod show;
mod sign;
mod status;
mod verify;

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
    after_help = "Exit codes: 0 clean, 1 something is wrong and was said, 2 usage or configuration, 3 undetermined.\n\
                  docs/cli.md has every command with an example and the fields of its JSON."
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
    Publish(publish::Args),
    Activate(activate::Args),
    Import(import::Args),
    Export(export::Args),
    Remove(remove::Args),
    Rotate(rotate::Args),
    Status(status::Args),
    Compromise(compromise::Args),
    Offboard(offboard::Args),
    Key(key::Args),
    Sign(sign::Args),
    CheckMessage(check_message::Args),
    Explain(Box<explain::Args>),
    Login(login::Args),
    Verify(Box<verify::Args>),
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
    let mut out = StandardOutput(anstream::stdout().lock());
    let config = &command_line.config;
    let exit = match &command_line.command {
        Command::Init(args) => init::run(args, config, &mut out),
        Command::Demo(args) => demo::run(args, &mut out),
        Command::Generate(args) => generate::run(args, config, &mut out),
        Command::List(args) => list::run(args, config, &mut out),
        Command::Show(args) => show::run(args, config, &mut out),
        Command::Record(args) => record::run(args, config, &mut out),
        Command::Publish(args) => publish::run(args, config, &mut out),
        Command::Activate(args) => activate::run(args, config, &mut out),
        Command::Import(args) => import::run(args, config, &mut out),
        Command::Export(args) => export::run(args, config, &mut out),
        Command::Remove(args) => remove::run(args, config, &mut out),
        Command::Rotate(args) => rotate::run(args, config, &mut out),
        Command::Status(args) => status::run(args, config, &mut out),
        Command::Compromise(args) => compromise::run(args, config, &mut out),
        Command::Offboard(args) => offboard::run(args, config, &mut out),
        Command::Key(args) => key::run(args, config, &mut out),
        // As it is: what looks like colours for a terminal belongs to the message.
        Command::Sign(args) => sign::run(args, config, &mut StandardOutput(io::stdout().lock())),
        Command::CheckMessage(args) => check_message::run(args, &mut out),
        Command::Explain(args) => explain::run(args, config, &mut out),
        Command::Login(args) => login::run(args, config, &mut out),
        Command::Verify(args) => verify::run(args, config, &mut out),
        Command::Config(args) => config::run(args, config, &mut out),
        Command::Bench(args) => bench::run(args, &mut out),
        Command::Completions(args) => completions::run(args, &mut out),
        Command::Man(args) => man::run(args, &mut out),
    }?;
    out.flush()?;
    Ok(exit)
}

/// Standard output. What goes wrong with it says so: a full disk behind `>` is not one of the key store's.
struct StandardOutput<W>(W);

impl<W: Write> Write for StandardOutput<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets).map_err(unwritten)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> io::Error {
    match error.kind() {
        // To be tried again.
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => error,
        kind => io::Error::new(kind, format!("standard output cannot be written: {error}")),
    }
}

/// What the command line asks for cannot be done, whatever the installation: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct UsageError(#[from] anyhow::Error);

/// It could not be found out: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Undetermined(#[from] anyhow::Error);

/// The exit code that goes with an error.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<ConfigUnusable>() || error.is::<UsageError>() {
        Exit::Usage
    } else if error.is::<Undetermined>() {
        Exit::Undetermined
    } else {
        Exit::Findings
    }
}

/// Whether an error only says that nobody reads any more, as in `waxseal list | head`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}
