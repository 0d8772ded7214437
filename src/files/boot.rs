//! Which boot this is.

use std::fs;
use std::io;
use std::path::PathBuf;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What tells this boot from all others cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}, which tells one boot from another; is /proc mounted, and not only for processes (ProcSubset=)?", path.display())]
pub struct BootIdError {
    path: PathBuf,
    source: io::Error,
}

/// What tells this boot from all others.
pub fn boot_id() -> Result<String, BootIdError> {
    let failed = |source| BootIdError { path: BOOT_ID.into(), source };
    Ok(fs::read_to_string(BOOT_ID).map_err(failed)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_id() {
        let id = boot_id().unwrap();
        assert_eq!((id.len(), &id), (36, &boot_id().unwrap()));
    }
}
