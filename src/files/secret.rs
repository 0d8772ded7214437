//! Secrets that are shared with name servers: TSIG keys and keys of APIs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::private::{self, Unfit};
use crate::config::SecretPlace;

/// More than any secret has; a longer file is some other file.
const MAX_OCTETS: u32 = 64 << 10;

/// Octets that are never shown, and wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret from elsewhere.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// The octets without white space around them, which is how files end.
    pub fn expose(&self) -> &[u8] {
        self.0.trim_ascii()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no file, or a very long one.
    #[error("{} is no file with a secret", path.display())]
    NotASecret {
        /// What was given.
        path: PathBuf,
    },
    /// Others may read it, or the group may change it.
    #[error("others may read or change the secret in {path}, whose mode is {mode:04o}; mend it with: chmod 0640 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is empty.
    #[error("the secret in {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// There are no credentials.
    #[error(
        "the credential {name:?} is only there where systemd passes it: add LoadCredential={name}:/path to the unit, or set secret_file"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
}

/// Reads a secret. `credentials` is where systemd puts credentials, if it started us ([`credentials_directory`]). Blocks on
/// the file system.
///
/// # Errors
/// When there is none, or when others than its owner and its group may read it, or others than its owner may write to it.
pub fn read(place: &SecretPlace, credentials: Option<&Path>) -> Result<Secret, SecretError> {
    let path = match (place, credentials) {
        (SecretPlace::File(path), _) => path.clone(),
        (SecretPlace::Credential(name), Some(directory)) => directory.join(name),
        (SecretPlace::Credential(name), None) => return Err(SecretError::NoCredentials { name: name.clone() }),
    };
    let octets = private::read(&path, MAX_OCTETS).map_err(|unfit| match unfit {
        Unfit::Io(source) => SecretError::Read { path: path.clone(), source },
        Unfit::NotAFile => SecretError::NotASecret { path: path.clone() },
        Unfit::Exposed(mode) => SecretError::Exposed { path: path.clone(), mode },
    })?;
    let secret = Secret(octets);
    if secret.expose().is_empty() {
        return Err(SecretError::Empty { path });
    }
    Ok(secret)
}

/// Where systemd puts the credentials of a unit.
pub fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_may_read_is_refused_with_what_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dns");
        fs::write(&path, "c2VjcmV0\n").unwrap();
        for (mode, is_good) in [(0o600, true), (0o640, true), (0o400, true), (0o644, false), (0o660, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match read(&SecretPlace::File(path.clone()), None) {
                Ok(secret) => {
                    assert!(is_good, "{mode:o}");
                    assert_eq!(secret.expose(), b"c2VjcmV0");
                    assert!(!format!("{secret:?}").contains("c2V"));
                }
                Err(error) => {
                    assert!(!is_good, "{mode:o}: {error}");
                    assert!(error.to_string().contains(&format!("chmod 0640 {}", path.display())), "{error}");
                }
            }
        }
    }

    #[test]
    fn credentials_are_files_in_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dns");
        fs::write(&path, "c2VjcmV0").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        let place = SecretPlace::Credential("dns".into());
        assert_eq!(read(&place, Some(directory.path())).unwrap().expose(), b"c2VjcmV0");
        assert!(matches!(read(&place, None), Err(SecretError::NoCredentials { .. })));
        assert!(matches!(read(&SecretPlace::File(directory.path().into()), None), Err(SecretError::NotASecret { .. })));
    }
}
