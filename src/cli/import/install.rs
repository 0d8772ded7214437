//! Writes what was taken over: as a whole, or not at all.
//!
//! Everything is made in a directory of its own beside where it goes, and moved there when it is complete. What is there
//! already is never replaced, but for a key store without any domain, such as packages make.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::cli::generate::RECORD_TTL;
use crate::cli::init::{access, make_store, write_new};
use crate::cli::parallel::{Threads, in_order_on};
use crate::cli::progress::progress_bar;
use crate::clock::Clock;
use crate::dkim::key::KeyId;
use crate::import::{Carried, CarriedKey, KeyUse, MAP};
use crate::keystore::{Access, Directory};
use crate::manifest::{Choice, DomainManifest, PrivateKeyPlace, RetirementWaits};

/// The names of what is written, in the order in which it comes to be: with the configuration it is complete.
const PARTS: [&str; 3] = ["keys", MAP, CONFIGURATION];

/// The name of the configuration.
pub(super) const CONFIGURATION: &str = "waxseal.toml";

/// Refuses a directory in which something would have to be replaced.
pub(super) fn refuse_what_is_there(directory: &Path) -> anyhow::Result<()> {
    for name in [CONFIGURATION, MAP] {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            bail!("{} exists and is not replaced; name another directory with --to", path.display());
        }
    }
    let keys = directory.join("keys");
    if keys.symlink_metadata().is_ok() {
        let mut domains = Directory::open(&keys)?.domains()?;
        if domains.next().is_some() {
            bail!("{} has keys already; name another directory with --to", keys.display());
        }
    }
    Ok(())
}

/// Writes configuration, map and keys.
pub(super) fn install(directory: &Path, text: &str, carried: &Carried) -> anyhow::Result<()> {
    let access = access();
    let is_new = !directory.exists();
    let beside = if is_new { directory.parent().unwrap_or(directory) } else { directory };
    let staged = || -> anyhow::Result<tempfile::TempDir> {
        fs::create_dir_all(beside)?;
        Ok(tempfile::Builder::new().prefix(".waxseal-import-").tempdir_in(beside)?)
    };
    // Dropped, it is removed with all that is in it.
    let staging = staged().with_context(|| format!("nothing can be written in {}", beside.display()))?;
    fill(staging.path(), access, text, carried)?;
    if is_new {
        if let Access::TwoUsers { .. } = access {
            fs::set_permissions(staging.path(), fs::Permissions::from_mode(0o755))?;
        }
        let moved = renameat_with(CWD, staging.path(), CWD, directory, RenameFlags::NOREPLACE);
        moved.with_context(|| format!("{} cannot be made", directory.display()))?;
        // Nothing is there any more to be removed.
        let _ = staging.keep();
    } else {
        move_into(staging.path(), directory)?;
    }
    fs::File::open(beside)?.sync_all().with_context(|| format!("{} cannot be written", beside.display()))
}

/// Moves each part to its place; none stays there if one cannot.
fn move_into(staging: &Path, directory: &Path) -> anyhow::Result<()> {
    let mut moved: Vec<(PathBuf, PathBuf, RenameFlags)> = Vec::new();
    for name in PARTS {
        let (from, to) = (staging.join(name), directory.join(name));
        // A store without domains gives way, and is removed with the rest of the staging directory.
        let flags = if to.is_dir() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        if let Err(error) = renameat_with(CWD, &from, CWD, &to, flags) {
            for (from, to, flags) in moved.iter().rev() {
                renameat_with(CWD, to, CWD, from, *flags)
                    .with_context(|| format!("{} cannot be taken away again", to.display()))?;
            }
            return Err(io::Error::from(error)).with_context(|| format!("{} cannot be written", to.display()));
        }
        moved.push((from, to, flags));
    }
    Ok(())
}

fn fill(staging: &Path, access: Access, text: &str, carried: &Carried) -> anyhow::Result<()> {
    let store = make_store(&staging.join("keys"), access)?;
    let mut uses: HashMap<KeyId, usize> = HashMap::new();
    for key in &carried.keys {
        *uses.entry(key.key.public().id()).or_default() += 1;
    }
    let domains: Vec<&[CarriedKey]> = carried.keys.chunk_by(|one, other| one.domain == other.domain).collect();
    let bar = progress_bar(domains.len(), "domains");
    // What takes time is waiting for the disk.
    in_order_on(
        Threads::AlsoWaiting,
        &domains,
        |keys| commit(&store, keys, &uses),
        |_, committed| {
            bar.inc(1);
            committed
        },
    )?;
    bar.finish_and_clear();
    write_new(&staging.join(MAP), &carried.map)?;
    write_new(&staging.join(CONFIGURATION), text)
}

/// One domain's keys.
fn commit(store: &Directory, keys: &[CarriedKey], uses: &HashMap<KeyId, usize>) -> anyhow::Result<()> {
    let Some(CarriedKey { domain, .. }) = keys.first() else { return Ok(()) };
    let write = || -> anyhow::Result<()> {
        let now = Clock::System.now();
        let mut manifest = DomainManifest::new(domain.clone());
        for CarriedKey { selector, key, .. } in keys {
            let is_shared = uses.get(&key.public().id()).is_some_and(|uses| *uses > 1);
            let place = if is_shared { PrivateKeyPlace::Shared } else { PrivateKeyPlace::Own };
            manifest = manifest.bind_imported(selector.clone(), key.public().clone(), place, RECORD_TTL, now)?;
        }
        let signing: Vec<_> =
            keys.iter().filter(|key| key.usage == KeyUse::Signs).map(|key| key.selector.clone()).collect();
        manifest = manifest.activate(Choice::Selectors(&signing), RetirementWaits::default(), now)?.manifest;
        let keys: Vec<_> = keys.iter().map(|key| &*key.key).collect();
        store.commit(&manifest, &keys)?;
        Ok(())
    };
    write().with_context(|| format!("the keys of {domain} cannot be taken over"))
}
