//! What a run for a domain or the whole store began: keys made until then are compromised, younger ones replace them.
//!
//! The manifests tell what was done; this tells a run that goes on, after one was cut short, which keys were meant.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use crate::files::lock::{RunLock, RunLockError};
use crate::manifest::Meanwhile;
use crate::rotation::{Declared, Order, Runner};

const VERSION: u32 = 1;

/// The file of one scope in the state directory.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    begun: Option<Begun>,
}

/// What was begun and is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    version: u32,
    pub(super) made_until: Timestamp,
    pub(super) meanwhile: Meanwhile,
}

impl Journal {
    /// That of a scope; none for a single key, which names itself.
    pub(super) fn of(scope: &Scope, runner: &Runner) -> anyhow::Result<Option<Self>> {
        let name = match scope {
            Scope::Key { .. } => return Ok(None),
            Scope::Domain(domain) => format!("compromise.{domain}.json"),
            Scope::Store => "compromise.json".to_owned(),
        };
        let path = runner.config.rotation.state.join(name);
        let begun = match fs::read(&path) {
            Ok(octets) => {
                let begun = serde_json::from_slice::<Begun>(&octets).ok().filter(|begun| begun.version == VERSION);
                let unclear = || format!("{} cannot be understood; remove it to begin anew", path.display());
                Some(begun.with_context(unclear)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Some(Self { path, begun }))
    }

    /// What an earlier run began and did not end.
    pub(super) fn begun(&self) -> Option<Begun> {
        self.begun.clone()
    }

    /// Writes down what is begun, and keeps a second run for the same from beginning. No key may be made in the second in
    /// which the order was given: it could not be told from those that are meant.
    pub(super) fn begin(&self, order: &Order) -> anyhow::Result<RunLock> {
        let lock = match RunLock::try_acquire(&self.path.with_extension("lock")) {
            Ok(lock) => lock,
            Err(RunLockError::Held { .. }) => bail!("another `waxseal compromise` for the same is at work"),
            Err(error) => bail!(error),
        };
        let Declared::MadeUntil(made_until) = order.keys else { return Ok(lock) };
        let begun = Begun { version: VERSION, made_until, meanwhile: order.meanwhile };
        let written = self.write(&begun);
        written.with_context(|| format!("cannot write {}; nothing was changed", self.path.display()))?;
        std::thread::sleep(std::time::Duration::from_millis(1000));
        Ok(lock)
    }

    /// It is over.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }

    fn write(&self, begun: &Begun) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
        file.write_all(&serde_json::to_vec(begun)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }
}
