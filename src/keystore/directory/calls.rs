//! The calls that change a store, and no others: the seam at which tests see what a disk is told, and in which order.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

/// The disk under a store. Has nothing in it but in tests, and reading does not come by here.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// Takes down every call that succeeded.
    #[cfg(test)]
    pub(super) record: Option<std::sync::Arc<super::replay::Record>>,
}

impl Disk {
    /// mkdirat(2), for the owner alone.
    pub(super) fn make_directory(&self, at: &File, name: &str) -> rustix::io::Result<()> {
        rustix::fs::mkdirat(at, name, Mode::RWXU)?;
        #[cfg(test)]
        self.note(|record| record.made_directory(at, name));
        Ok(())
    }

    /// Makes a file that must not exist, for the owner alone.
    pub(super) fn create(&self, at: &File, name: &str) -> rustix::io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR)?);
        #[cfg(test)]
        self.note(|record| record.created(at, name, &file));
        Ok(file)
    }

    /// fchown(2).
    pub(super) fn set_owner(&self, file: &File, owner: Option<Uid>, group: Option<Gid>) -> rustix::io::Result<()> {
        rustix::fs::fchown(file, owner, group)
    }

    /// fchmod(2).
    pub(super) fn set_mode(&self, file: &File, mode: u32) -> rustix::io::Result<()> {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
        #[cfg(test)]
        self.note(|record| record.changed_mode(file, mode));
        Ok(())
    }

    /// Writes all of it.
    pub(super) fn write(&self, mut file: &File, octets: &[u8]) -> io::Result<()> {
        file.write_all(octets)?;
        #[cfg(test)]
        self.note(|record| record.wrote(file, octets));
        Ok(())
    }

    /// fsync(2), of a file or of a directory.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        #[cfg(test)]
        self.note(|record| record.synced(file));
        Ok(())
    }

    /// renameat(2) within a directory.
    pub(super) fn rename(&self, at: &File, from: &str, to: &str) -> rustix::io::Result<()> {
        rustix::fs::renameat(at, from, at, to)?;
        #[cfg(test)]
        self.note(|record| record.renamed(at, from, to));
        Ok(())
    }

    /// linkat(2) within a directory.
    pub(super) fn link(&self, at: &File, from: &str, to: &str) -> rustix::io::Result<()> {
        rustix::fs::linkat(at, from, at, to, AtFlags::empty())?;
        #[cfg(test)]
        self.note(|record| record.linked(at, to));
        Ok(())
    }

    /// unlinkat(2).
    pub(super) fn unlink(&self, at: &File, name: &str) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(at, name, AtFlags::empty())?;
        #[cfg(test)]
        self.note(|record| record.unlinked(at, name));
        Ok(())
    }

    #[cfg(test)]
    fn note(&self, take_down: impl FnOnce(&super::replay::Record)) {
        if let Some(record) = &self.record {
            take_down(record);
        }
    }
}
