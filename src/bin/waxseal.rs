//! The companion CLI: arguments to `cli::run` to an exit code.

use std::process::ExitCode;

use anstyle::AnsiColor;
use clap::Parser;
use waxseal::cli::{self, CommandLine, ConfigUnusable, Exit};

fn main() -> ExitCode {
    let error = match cli::run(CommandLine::parse()) {
        Ok(exit) => return exit.into(),
        Err(error) if cli::is_broken_pipe(&error) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let red = AnsiColor::Red.on_default().bold();
    anstream::eprintln!("{red}waxseal:{red:#} {error:#}");
    if error.is::<ConfigUnusable>() { Exit::Usage } else { Exit::Findings }.into()
}
