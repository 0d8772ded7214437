//! The companion CLI: arguments to `cli::run` to an exit code.

use std::process::ExitCode;

use anstyle::AnsiColor;
use clap::Parser;
use waxseal::cli::{self, CommandLine};
use waxseal::finding::Chain;

fn main() -> ExitCode {
    let error = match cli::run(CommandLine::parse()) {
        Ok(exit) => return exit.into(),
        Err(error) if cli::is_broken_pipe(&error) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let red = AnsiColor::Red.on_default().bold();
    anstream::eprintln!("{red}waxseal:{red:#} {}", Chain(&*error));
    cli::exit_of(&error).into()
}
