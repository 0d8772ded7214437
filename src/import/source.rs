//! Where the files come from that a configuration names.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::dkim::PrivateKey;
use crate::dkim::key::{KeyError, KeyFile};

/// Hands over files, as a signer on this machine would read them.
pub trait Sources {
    /// The octets of a file.
    fn read(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable>;

    /// The names of the files in a directory.
    fn list(&mut self, path: &Path) -> Result<Vec<String>, Unreadable>;

    /// The private keys in these files, in their order.
    fn private_keys(&mut self, paths: &[PathBuf]) -> Vec<Result<PrivateKey, KeyUnusable>> {
        paths.iter().map(|path| KeyUnusable::or_key(&self.read(path)?)).collect()
    }
}

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", path.display())]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// A private key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyUnusable {
    /// Its file.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It is none, or not one that signs.
    #[error("no private key that can be used")]
    Broken(#[source] KeyError),
    /// It wants a passphrase.
    #[error("the private key is encrypted")]
    Encrypted,
    /// Whoever has an account here may have copied it.
    #[error("mode {mode:04o} lets everybody on this machine read it; run chmod 0600, and replace the key soon")]
    OpenToAll {
        /// Of the file.
        mode: u32,
    },
}

impl KeyUnusable {
    /// The private key that a file holds.
    pub fn or_key(octets: &[u8]) -> Result<PrivateKey, Self> {
        match KeyFile::read(octets).map_err(Self::Broken)? {
            KeyFile::Plain(key) => Ok(key),
            KeyFile::Encrypted(_) => Err(Self::Encrypted),
        }
    }
}
