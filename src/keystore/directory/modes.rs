//! Who may see a key store: owner, group and modes of everything in it follow its root.

use std::path::Path;

use rustix::fs::{FileType, Stat};

use crate::keystore::error::StoreError;

/// Any bit for others, and writing by the group.
const TOO_WIDE: u32 = 0o027;

/// Owner, group and modes of everything in one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ownership {
    pub(super) owner: u32,
    pub(super) group: u32,
    readers: Readers,
}

/// Who reads beside the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    /// Nobody: 0700 and 0600.
    Owner,
    /// The group: 2750 and 0640.
    Group,
}

impl Ownership {
    /// What a store's root, at `path`, says about everything in it. Refuses a root that is too wide itself.
    pub(super) fn of_root(path: &Path, root: &Stat) -> Result<Self, StoreError> {
        let readers = match root.st_mode & 0o2050 {
            // A checkout's 0755 says nothing about a group that was meant to read.
            mode if mode & 0o2000 != 0 || mode & 0o050 == 0o050 && root.st_mode & 0o007 == 0 => Readers::Group,
            _ => Readers::Owner,
        };
        let ownership = Self { owner: root.st_uid, group: root.st_gid, readers };
        ownership.check(path, root)?;
        Ok(ownership)
    }

    pub(super) fn one_user(owner: u32, group: u32) -> Self {
        Self { owner, group, readers: Readers::Owner }
    }

    pub(super) fn two_users(owner: u32, group: u32) -> Self {
        Self { owner, group, readers: Readers::Group }
    }

    /// Refuses what lets in more than the store's owner and, to read, its group.
    pub(super) fn check(&self, path: &Path, stat: &Stat) -> Result<(), StoreError> {
        let mode = stat.st_mode & 0o7777;
        if mode & TOO_WIDE != 0 {
            return Err(StoreError::WideMode { path: path.to_owned(), mode, right: self.right_mode(stat) });
        }
        if stat.st_gid != self.group {
            return Err(StoreError::ForeignGroup { path: path.to_owned(), group: stat.st_gid, right: self.group });
        }
        Ok(())
    }

    /// The mode that a directory or a file of the store should have.
    pub(super) fn right_mode(&self, stat: &Stat) -> u32 {
        match (self.readers, FileType::from_raw_mode(stat.st_mode)) {
            (Readers::Owner, FileType::Directory) => 0o700,
            (Readers::Owner, _) => 0o600,
            (Readers::Group, FileType::Directory) => 0o2750,
            (Readers::Group, _) => 0o640,
        }
    }
}
