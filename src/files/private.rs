//! Small files that others must not read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// Why such a file is not read.
#[derive(Debug)]
pub(super) enum Unfit {
    /// What the system said.
    Io(io::Error),
    /// It is no file, or a longer one than expected.
    NotAFile,
    /// Others may read it, or the group may change it; its permission bits.
    Exposed(u32),
}

/// Reads a file of at most `most` octets that only its owner and its group may read, and only its owner may change. Blocks on
/// the file system.
pub(super) fn read(path: &Path, most: u32) -> Result<Zeroizing<Vec<u8>>, Unfit> {
    // Opening a pipe would wait for somebody to write to it.
    if !std::fs::metadata(path).map_err(Unfit::Io)?.is_file() {
        return Err(Unfit::NotAFile);
    }
    let file = File::open(path).map_err(Unfit::Io)?;
    // Of the file that was opened, whatever stands there by now.
    let metadata = file.metadata().map_err(Unfit::Io)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(Unfit::Exposed(mode));
    }
    if metadata.size() > most.into() {
        return Err(Unfit::NotAFile);
    }
    // Reserved whole, for a buffer that grows leaves secrets behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(most as usize));
    file.take(most.into()).read_to_end(&mut octets).map_err(Unfit::Io)?;
    Ok(octets)
}
