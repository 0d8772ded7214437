//! `waxseal config`: is the configuration right, and what does it come to?

use std::io::{self, Write};
use std::path::Path;

use clap::{Args as ClapArgs, Subcommand};

use super::Exit;
use super::installation::ConfigUnusable;
use super::output::{Format, write_json};

use crate::config::{Config, Listeners};
use crate::files::configuration::{self, ConfigError};
use crate::files::{maps, surroundings};
use crate::finding::{Chain, Finding, Place, Severity};
use crate::keystore::{Directory, StoreError};

/// Check the configuration, or show what it comes to
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,

    /// How to print it.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    format: Format,
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
    /// The output is itself a configuration file; a relative key store is written joined to the directory of
    /// the file that was read.
    Show,
}

pub(super) fn run(args: &Args, path: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match args.command {
        Command::Check => check(path, args.format, out),
        Command::Show => show(path, args.format, out),
    }
}

fn check(path: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let findings = match configuration::read(path) {
        Ok((config, mut findings)) => {
            let (Ok((_, of_maps)) | Err(of_maps)) = maps::compile(&config).policy;
            findings.extend(of_maps);
            findings.extend(surroundings::listeners(&config));
            findings.extend(Directory::open(&config.keys.store).err().map(|error| unusable(&config, error)));
            findings
        }
        Err(ConfigError::Invalid(findings)) => findings,
        Err(error) => return Err(ConfigUnusable(error).into()),
    };
    print(path, &findings, format, out)?;
    let errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if errors { Exit::Findings } else { Exit::Clean })
}

/// What the daemon would say of the store, and not start.
fn unusable(config: &Config, error: StoreError) -> Finding {
    Finding::new(
        "store.open",
        Severity::Error,
        Place::Path { path: config.keys.store.clone() },
        Chain(&error).to_string(),
        "",
    )
}

fn print(path: &Path, findings: &[Finding], format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Json => write_json(out, &findings),
        Format::Text => {
            for finding in findings {
                writeln!(out, "{finding}")?;
            }
            let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
            let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
            let s = |count| if count == 1 { "" } else { "s" };
            writeln!(out, "{}: {errors} error{}, {warnings} warning{}", path.display(), s(errors), s(warnings))
        }
    }
}

fn show(path: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let (config, _) = configuration::read(path).map_err(ConfigUnusable)?;
    match format {
        Format::Json => write_json(out, &config.to_spec())?,
        Format::Text => out.write_all(effective(&config)?.as_bytes())?,
    }
    Ok(Exit::Clean)
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
