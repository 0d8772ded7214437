//! The passphrase of encrypted keys: from a file that nobody else reads, or asked for. Never an argument, which every
//! user of the machine can see.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use crate::keystore::Quoted;

/// Longer than anybody types.
const LARGEST: u64 = 4096;

/// One passphrase for all the encrypted keys of a run, found when the first of them needs it.
pub(super) struct Passphrase {
    file: Option<PathBuf>,
    known: Mutex<Option<Zeroizing<String>>>,
}

impl Passphrase {
    pub(super) fn new(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), known: Mutex::new(None) }
    }

    /// The passphrase; `key` names what it is for, should it be asked for.
    pub(super) fn of(&self, key: &Path) -> anyhow::Result<Zeroizing<String>> {
        // Held while somebody types: they are asked once.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let found = match &self.file {
            Some(file) => read(file)?,
            None => ask(key)?,
        };
        Ok(known.insert(found).clone())
    }
}

/// The first line of a file that its owner alone can read.
fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let failed = || format!("the passphrase file {} cannot be read", path.display());
    let file = File::open(path).with_context(failed)?;
    let found = file.metadata().with_context(failed)?;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        bail!(
            "the passphrase file {} has mode {mode:04o}, which lets others read it; run: chmod 0600 {}",
            path.display(),
            Quoted(path)
        );
    }
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        bail!("the passphrase file {} is that of user id {}, not of {own} or root", path.display(), found.uid());
    }
    let mut text = Zeroizing::new(String::with_capacity(LARGEST as usize));
    file.take(LARGEST).read_to_string(&mut text).with_context(failed)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => bail!("the passphrase file {} has no first line; the passphrase stands there", path.display()),
    }
}

fn ask(key: &Path) -> anyhow::Result<Zeroizing<String>> {
    if !io::stderr().is_terminal() || !io::stdin().is_terminal() {
        bail!(
            "{} is encrypted, and there is no terminal to ask for its passphrase; give it with --passphrase-file FILE",
            key.display()
        );
    }
    let asked = rpassword::prompt_password(format!("Passphrase of {}: ", key.display()));
    Ok(Zeroizing::new(asked.context("the passphrase cannot be asked for")?))
}
