//! One run at a time: a lock that a process holds as long as it lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock, held until this is dropped or the process ends, however it ends. Its file stays.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunLockError {
    /// Another process has it: there is nothing to do.
    #[error("another process holds {}", path.display())]
    Held {
        /// The lock's file.
        path: PathBuf,
    },
    /// Its file cannot be made, opened or locked.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl RunLock {
    /// Takes the lock at once or not at all. Makes the file (0640) where it is missing; its directory must exist.
    pub fn try_acquire(path: &Path) -> Result<Self, RunLockError> {
        let failed = |source| RunLockError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o640);
        let file =
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RunLockError::Held { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_finds_the_first_and_a_third_comes_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rotate.lock");
        let first = RunLock::try_acquire(&path).unwrap();
        assert!(matches!(RunLock::try_acquire(&path), Err(RunLockError::Held { .. })));
        drop(first);
        RunLock::try_acquire(&path).unwrap();
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_not_taken_for_one_that_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let error = RunLock::try_acquire(&directory.path().join("missing/rotate.lock")).unwrap_err();
        assert!(matches!(error, RunLockError::Io { .. }), "{error}");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), directory.path().join("link")).unwrap();
        assert!(matches!(RunLock::try_acquire(&directory.path().join("link")), Err(RunLockError::Io { .. })));
        assert!(!directory.path().join("elsewhere").exists());
    }
}
