//! `waxseal login`: as which authors a login may write.

mod edit;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand};
use rustix::fs::FlockOperation;

use super::explain::read;
use super::installation::ConfigUnusable;
use super::output::{FAINT, STRONG, WARN};
use super::{Exit, UsageError};
use crate::config::Config;
use crate::files::configuration::ConfigError;
use crate::files::maps;
use crate::names::DomainName;
use crate::policy::{AddressPattern, Line, LoginBinding, Policy};
use crate::report::safe::line;
use edit::{Change, edited};

/// Say as which authors a login may write, and change it
///
/// Works on the maps in `login_maps` of the configuration; a running daemon takes a change within two seconds. It
/// counts while `bind_logins` is on.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show as whom a login may write, and where that is said
    ///
    /// Exits with 0 if it may write as anybody, 1 if as nobody.
    Show {
        /// The login, as the MTA has it in {auth_authen}.
        login: String,
    },
    /// Let a login write as more authors
    ///
    /// Adds them to its line in a map, or a line to the first map of `login_maps`.
    Allow {
        /// The login, as the MTA has it in {auth_authen}.
        login: String,
        /// joe@example.com, example.com for everybody there, *.example.com for everybody below.
        #[arg(required = true)]
        authors: Vec<AddressPattern>,
    },
    /// Take authors from a login
    ///
    /// Takes them out of its line, and the line out of its map with the last. Without authors, all that are listed.
    Forbid {
        /// The login, as the MTA has it in {auth_authen}.
        login: String,
        /// As they are listed.
        authors: Vec<AddressPattern>,
    },
}

/// How often a map that others replace meanwhile is tried again.
const TRIES: usize = 10;

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let config = read(config)?;
    let (policy, _) = maps::compile(&config).policy.map_err(ConfigError::Invalid).map_err(ConfigUnusable)?;
    if config.trust.logins.binding == LoginBinding::Off {
        anstream::eprintln!(
            "{WARN}warning:{WARN:#} bind_logins is off: whatever is listed, every login may write as anybody"
        );
    }
    match &args.command {
        Command::Show { login } => show(login, &config, &policy, out),
        Command::Allow { login, authors } => {
            change(login, &Change::Allow(words(authors)), &config, &policy)?;
            show_changed(login, &config, out)
        }
        Command::Forbid { login, authors } => {
            change(login, &Change::Forbid(words(authors)), &config, &policy)?;
            show_changed(login, &config, out)
        }
    }
}

fn words(authors: &[AddressPattern]) -> Vec<String> {
    authors.iter().map(AddressPattern::to_string).collect()
}

fn show_changed(login: &str, config: &Config, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let (policy, _) = maps::compile(config).policy.map_err(ConfigError::Invalid).map_err(ConfigUnusable)?;
    show(login, config, &policy, out)?;
    Ok(Exit::Clean)
}

fn show(login: &str, config: &Config, policy: &Policy, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let own = login.rsplit_once('@').and_then(|(_, domain)| DomainName::parse(domain).ok());
    let own = match config.trust.logins.binding {
        LoginBinding::Off => Some("anybody (bind_logins is off)".to_owned()),
        LoginBinding::OwnDomain => own.map(|own| format!("{own} (its own domain)")),
        LoginBinding::OwnRegistrable => own
            .map(|own| own.registrable().unwrap_or(own))
            .map(|own| format!("{own} and below (its own registrable domain)")),
        LoginBinding::Listed => None,
    };
    let listed = policy.listed_for(login);
    if own.is_none() && listed.is_none() {
        writeln!(out, "{STRONG}{}{STRONG:#} may write as nobody", line(login))?;
        return Ok(Exit::Findings);
    }
    writeln!(out, "{STRONG}{}{STRONG:#} may write as", line(login))?;
    if let Some(own) = own {
        writeln!(out, "  {own}")?;
    }
    if let Some((patterns, at)) = listed {
        for pattern in patterns.split(' ') {
            let shown =
                pattern.parse::<AddressPattern>().map_or_else(|_| pattern.to_owned(), |known| known.to_string());
            writeln!(out, "  {}  {FAINT}{}{FAINT:#}", line(&shown), place(&at))?;
        }
    }
    Ok(Exit::Clean)
}

fn place(at: &Line) -> String {
    if at.line == 0 { "[login] of the configuration".to_owned() } else { line(&at.to_string()).into_owned() }
}

fn change(login: &str, change: &Change, config: &Config, policy: &Policy) -> anyhow::Result<()> {
    let is_word = !login.is_empty()
        && !login.starts_with(['#', '$'])
        && login.chars().all(|letter| !letter.is_whitespace() && !letter.is_control());
    if !is_word {
        return Err(UsageError(anyhow::anyhow!("{login:?} cannot stand in a map: a login is one word")).into());
    }
    let listed = policy.listed_for(login).map(|(_, at)| at);
    let path = match (&listed, change) {
        (Some(at), _) if at.line == 0 => {
            bail!("{login} is listed in [login] of the configuration; change it there, and reload the daemon")
        }
        (Some(at), _) => at.path.clone(),
        (None, Change::Forbid(_)) => bail!("nothing is listed for {login}"),
        (None, Change::Allow(_)) => match config.trust.logins.maps.first() {
            Some(path) => path.clone(),
            None => bail!(
                "the configuration names no map; add login_maps = [\"logins.map\"] to [trust], and make that file"
            ),
        },
    };
    let path = fs::canonicalize(&path).with_context(|| format!("{} cannot be found", path.display()))?;
    for _ in 0..TRIES {
        if rewrite(&path, |text| edited(text, login, change))? {
            return Ok(());
        }
    }
    bail!("{} is replaced again and again by somebody else; nothing was changed", path.display())
}

/// Replaces a map in one step, its owner and mode as they are; false if somebody else replaced it meanwhile.
fn rewrite(path: &Path, edit: impl FnOnce(&str) -> Result<String, edit::Unlisted>) -> anyhow::Result<bool> {
    let unwritable = || format!("{} cannot be written", path.display());
    let old = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    // Two who change it at once do so one after the other.
    rustix::fs::flock(&old, FlockOperation::LockExclusive).with_context(unwritable)?;
    let found = old.metadata().with_context(unwritable)?;
    let is_still = |now: fs::Metadata| (now.dev(), now.ino()) == (found.dev(), found.ino());
    if !fs::metadata(path).is_ok_and(is_still) {
        return Ok(false);
    }
    let text = std::io::read_to_string(&old).with_context(|| format!("{} cannot be read", path.display()))?;
    let new = edit(&text)?;
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(new.as_bytes())?;
        if (file.as_file().metadata()?.uid(), file.as_file().metadata()?.gid()) != (found.uid(), found.gid()) {
            fchown(file.as_file(), Some(found.uid()), Some(found.gid()))?;
        }
        file.as_file().set_permissions(found.permissions())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(unwritable)?;
    Ok(true)
}
