//! One writer a directory at a time.

use std::fs::TryLockError;
use std::thread;
use std::time::Duration;

use super::disk::Dir;
use crate::keystore::error::StoreError;

/// Between two attempts. A commit holds the lock for some milliseconds.
const PAUSE: Duration = Duration::from_millis(10);
/// Attempts, so 5 s: longer than a commit takes on any disk that works.
const ATTEMPTS: u32 = 500;

/// Locks a directory that `open` opens, and makes sure that it is still the one at its path. The lock is that of its
/// descriptor: it ends when the directory is dropped, also when the process dies.
pub(super) fn lock(open: impl Fn() -> Result<Dir, StoreError>) -> Result<Dir, StoreError> {
    let mut directory = open()?;
    for _ in 0..ATTEMPTS {
        match directory.file.try_lock() {
            Ok(()) if is_still_there(&directory)? => return Ok(directory),
            // Removed or replaced before we had the lock: whoever comes now locks another one.
            Ok(()) => directory = open()?,
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &directory.path, error)),
        }
    }
    Err(StoreError::Locked { path: directory.path })
}

fn is_still_there(directory: &Dir) -> Result<bool, StoreError> {
    let ours = directory.stat()?;
    match rustix::fs::lstat(&directory.path) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(StoreError::io("look at", &directory.path, error.into())),
    }
}
