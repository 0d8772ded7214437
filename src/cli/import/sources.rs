//! The files of this machine, for importers.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cli::parallel::in_order;
use crate::cli::progress::progress_bar;
use crate::dkim::PrivateKey;
use crate::import::{KeyUnusable, Sources, Unreadable};

/// No table is larger, in octets: a million lines have some 100 MB.
const LARGEST: u64 = 256 << 20;

/// No private key is larger, in octets: one of RSA with 8192 bits has 6.5 KB.
const LARGEST_KEY: u64 = 64 << 10;

/// The file system, as who runs the import sees it.
pub(super) struct Files;

impl Sources for Files {
    fn read(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        read(path, LARGEST).map(|(octets, _)| octets)
    }

    fn list(&mut self, path: &Path) -> Result<Vec<String>, Unreadable> {
        let failed = |source| Unreadable { path: path.to_owned(), source };
        let entries = fs::read_dir(path).map_err(failed)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<Vec<String>>>().map_err(failed)
    }

    fn private_keys(&mut self, paths: &[PathBuf]) -> Vec<Result<PrivateKey, KeyUnusable>> {
        let bar = progress_bar(paths.len(), "keys");
        let mut keys = Vec::with_capacity(paths.len());
        let taken: Result<(), std::convert::Infallible> = in_order(
            paths,
            |path| {
                let (octets, mode) = read(path, LARGEST_KEY)?;
                if mode & 0o007 != 0 { Err(KeyUnusable::OpenToAll { mode }) } else { KeyUnusable::or_key(&octets) }
            },
            |_, key| {
                keys.push(key);
                bar.inc(1);
                Ok(())
            },
        );
        let Ok(()) = taken;
        bar.finish_and_clear();
        keys
    }
}

/// A file's octets and its mode.
fn read(path: &Path, largest: u64) -> Result<(Zeroizing<Vec<u8>>, u32), Unreadable> {
    let failed = |source| Unreadable { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(failed)?;
    // Before it is opened: opening a FIFO would wait for its writer.
    if !found.is_file() || found.len() > largest {
        return Err(failed(io::Error::other(format!("it is no plain file, or larger than {largest} octets"))));
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1));
    let file = fs::File::open(path).map_err(failed)?;
    file.take(largest).read_to_end(&mut octets).map_err(failed)?;
    Ok((octets, found.permissions().mode() & 0o7777))
}
