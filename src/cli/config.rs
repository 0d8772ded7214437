//! `waxseal config`: is the configuration right, and what does it come to?

use std::io::{self, Write};
use std::path::Path;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::config::{Config, Listeners};
use crate::files::configuration::{self, ConfigError};
use crate::files::surroundings;
use crate::finding::{Finding, Severity};

/// Check the configuration, or show what it comes to
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Report everything that is wrong with the configuration and what it names
    ///
    /// Reads the configuration file and opens everything the daemon would open at its start, but no key. Run it as the
    /// daemon's user: what may be read and written is judged for the user who asks. Exits with 0 if nothing is wrong
    /// (warnings are printed), 1 if there are errors, 2 if the file cannot be read.
    Check,
    /// Print the configuration that would run, defaults included
    ///
    /// The output is itself a configuration file; a relative key store is written with its whole path.
    Show,
}

/// How output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is wrong: exit code 0.
    Clean,
    /// Errors were found and printed: exit code 1.
    Findings,
}

/// Runs the command on one configuration file. An error is one of usage or configuration: exit code 2.
pub fn run(args: &Args, path: &Path, format: Format, out: &mut impl Write) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Check => check(path, format, out),
        Command::Show => show(path, format, out),
    }
}

fn check(path: &Path, format: Format, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let findings = match configuration::read(path) {
        Ok((config, mut findings)) => {
            findings.extend(surroundings::listeners(&config));
            findings
        }
        Err(ConfigError::Invalid(findings)) => findings,
        Err(error) => return Err(error.into()),
    };
    print(path, &findings, format, out)?;
    let errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if errors { Outcome::Findings } else { Outcome::Clean })
}

fn print(path: &Path, findings: &[Finding], format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, findings)?;
            writeln!(out)
        }
        Format::Text => {
            for finding in findings {
                writeln!(out, "{finding}")?;
            }
            let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
            let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
            writeln!(out, "{}: {errors} errors, {warnings} warnings", path.display())
        }
    }
}

fn show(path: &Path, format: Format, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let (config, _) = configuration::read(path)?;
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &config.to_spec())?;
            writeln!(out)?;
        }
        Format::Text => out.write_all(effective(&config)?.as_bytes())?,
    }
    Ok(Outcome::Clean)
}

/// The configuration as a file.
fn effective(config: &Config) -> Result<String, toml::ser::Error> {
    let text = toml::to_string_pretty(&config.to_spec())?;
    Ok(match &config.listeners {
        Listeners::Named(_) => text,
        Listeners::PassedOr(listener) => {
            format!("# No [[listener]]: the sockets that systemd passes, else {}\n{text}", listener.address)
        }
    })
}
