//! Where the files come from that a configuration names.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Hands over files, as a signer on this machine would read them.
pub trait Sources {
    /// The octets of a file. They may be a private key.
    fn read(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable>;
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
