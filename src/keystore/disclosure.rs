//! Private keys made public, each a file of its own that nobody overwrites.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::dkim::key::PrivateKey;

/// Everybody may read it: that is what it is for.
const MODE: u32 = 0o644;

/// Far more than any key takes, in octets.
const LARGEST: u64 = 64 << 10;

/// Why a private key could not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscloseError {
    /// The directory is not there, or the file cannot be written.
    #[error("cannot write {}; see publish_retired_keys in [rotation]", path.display())]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another key is published under the name. It stays.
    #[error("{} has another contents than the key that is to be published there; move it away", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
}

/// Writes a private key, unencrypted, to `DIRECTORY/NAME.pem` for everybody to read: written beside it, synced, renamed, and
/// the directory synced. Done again, it changes nothing. Gives the path.
///
/// # Errors
/// If it cannot be written, or something else has the name: then nothing was published.
pub fn disclose(directory: &Path, name: &str, key: &PrivateKey) -> Result<PathBuf, DiscloseError> {
    let path = directory.join(format!("{name}.pem"));
    let failed = |source| DiscloseError::Io { path: path.clone(), source };
    let pem = key.to_pem();
    match File::open(&path) {
        Ok(file) => {
            let mut there = zeroize::Zeroizing::new(Vec::new());
            file.take(LARGEST).read_to_end(&mut there).map_err(failed)?;
            if *there != *pem.as_bytes() {
                return Err(DiscloseError::Occupied { path });
            }
            // Perhaps of one who was cut short before the directory was synced.
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
            return Ok(path);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let new = directory.join(format!(".{name}.pem.new"));
    let written = write(&new, pem.as_bytes()).and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        // Half a key is of no use to anyone, and in the way of the next.
        let _ = fs::remove_file(&new);
    }
    written.and_then(|()| File::open(directory)?.sync_all()).map_err(failed)?;
    Ok(path)
}

fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    // Whatever the umask says.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::KeyKind;

    #[test]
    fn a_key_is_published_once_for_everybody_and_nothing_is_overwritten() {
        let scratch = tempfile::tempdir().unwrap();
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        // What one who was cut short left.
        fs::write(scratch.path().join(".s._domainkey.example.com.pem.new"), "half").unwrap();
        for _ in 0..2 {
            let path = disclose(scratch.path(), "s._domainkey.example.com", &key).unwrap();
            assert_eq!(fs::read(&path).unwrap(), key.to_pem().as_bytes());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        }
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        let other = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let error = disclose(scratch.path(), "s._domainkey.example.com", &other).unwrap_err();
        assert!(matches!(error, DiscloseError::Occupied { .. }), "{error}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_is_not_made() {
        let scratch = tempfile::tempdir().unwrap();
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let missing = scratch.path().join("missing");
        assert!(matches!(disclose(&missing, "s", &key), Err(DiscloseError::Io { .. })));
        assert!(!missing.exists());
    }
}
