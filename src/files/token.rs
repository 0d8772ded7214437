//! The token that whoever asks for metrics or the status page must show.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::private::{self, Unfit};

/// Fewer characters could be guessed.
const FEWEST: usize = 16;

/// More than any token has; a longer file is some other file.
const MOST: u32 = 4096;

/// A token, which is never shown, and wiped when dropped.
pub struct Token(Zeroizing<Vec<u8>>);

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no file, or a very long one.
    #[error("{} is no file with a token", path.display())]
    NotAToken {
        /// What was given.
        path: PathBuf,
    },
    /// Others may read it, or the group may change it.
    #[error("others may read or change the token in {path}, whose mode is {mode:04o}; mend it with: chmod 0640 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It could be guessed, or could not be typed.
    #[error("the token in {path} has not {FEWEST} visible ASCII characters or more; make one with: openssl rand -hex 32 > {path}", path = path.display())]
    Weak {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// Reads a token. Blocks on the file system.
    ///
    /// # Errors
    /// When there is none that is long enough, or when others than its owner and its group may read it, or others than its
    /// owner may change it.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let octets = private::read(path, MOST).map_err(|unfit| match unfit {
            Unfit::Io(source) => TokenError::Read { path: path.to_owned(), source },
            Unfit::NotAFile => TokenError::NotAToken { path: path.to_owned() },
            Unfit::Exposed(mode) => TokenError::Exposed { path: path.to_owned(), mode },
        })?;
        let token = octets.trim_ascii();
        if token.len() < FEWEST || !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Weak { path: path.to_owned() });
        }
        Ok(Self(Zeroizing::new(token.to_vec())))
    }

    /// Whether somebody shows this token. How long that takes tells nothing but its length.
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.as_slice().ct_eq(shown).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_token_is_taken_without_its_line_end_and_never_shown() {
        let (_directory, path) = file("0123456789abcdef\n", 0o640);
        let token = Token::read(&path).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        assert!(!token.is(b"0123456789abcdeg") && !token.is(b"0123456789abcde") && !token.is(b""));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn what_can_be_read_or_guessed_by_others_is_refused() {
        let (_directory, path) = file("0123456789abcdef\n", 0o644);
        assert!(matches!(Token::read(&path), Err(TokenError::Exposed { mode: 0o644, .. })));
        for text in ["", "short\n", "0123456789 abcdef", "0123456789abcde\u{fc}"] {
            let (_directory, path) = file(text, 0o600);
            assert!(matches!(Token::read(&path), Err(TokenError::Weak { .. })), "{text:?}");
        }
        let (directory, _) = file("", 0o600);
        assert!(matches!(Token::read(directory.path()), Err(TokenError::NotAToken { .. })));
        assert!(matches!(Token::read(&directory.path().join("none")), Err(TokenError::Read { .. })));
    }
}
