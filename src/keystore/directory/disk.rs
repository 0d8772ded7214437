//! One open directory, and the few things done in one: everything goes through its descriptor, by single names, without
//! following symbolic links. So nobody who may write to the store can lead another user out of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use zeroize::Zeroizing;

use super::calls::Disk;
use super::layout::within;
use super::modes::Ownership;
use crate::keystore::error::StoreError;

const OPEN_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open directory of the store.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) file: File,
    pub(super) path: PathBuf,
    disk: Disk,
}

impl Dir {
    /// Opens the store's root, which an administrator may have put behind a symbolic link.
    pub(super) fn open_root(path: &Path, disk: &Disk) -> Result<Self, StoreError> {
        Self::open_at(CWD, path, path, OPEN_DIRECTORY, disk).map_err(|error| failed_open(path, error))
    }

    /// Opens a directory below; none if there is none. Its owner and mode are not checked.
    pub(super) fn open_unchecked(&self, name: &str) -> Result<Option<Self>, StoreError> {
        let path = within(&self.path, name);
        match Self::open_at(&self.file, Path::new(name), &path, OPEN_DIRECTORY | OFlags::NOFOLLOW, &self.disk) {
            Ok(directory) => Ok(Some(directory)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(failed_open(&path, error)),
        }
    }

    /// Opens a directory below and checks owner and mode; none if there is none.
    pub(super) fn open(&self, name: &str, ownership: &Ownership) -> Result<Option<Self>, StoreError> {
        let Some(directory) = self.open_unchecked(name)? else { return Ok(None) };
        ownership.check(&directory.path, &directory.stat()?)?;
        Ok(Some(directory))
    }

    fn open_at(
        at: impl std::os::fd::AsFd,
        name: &Path,
        path: &Path,
        flags: OFlags,
        disk: &Disk,
    ) -> rustix::io::Result<Self> {
        let descriptor = rustix::fs::openat(at, name, flags, Mode::empty())?;
        Ok(Self { file: File::from(descriptor), path: path.to_owned(), disk: disk.clone() })
    }

    /// Owner, mode and identity of the directory itself.
    pub(super) fn stat(&self) -> Result<Stat, StoreError> {
        rustix::fs::fstat(&self.file).map_err(|error| self.failed("look at", None, error))
    }

    /// Makes a directory below with the store's owner and mode. One that is there already is left as it is.
    pub(super) fn make(&self, name: &str, ownership: &Ownership) -> Result<(), StoreError> {
        match self.disk.make_directory(&self.file, name) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Ok(()),
            Err(error) => return Err(self.failed("make", Some(name), error)),
        }
        if let Some(directory) = self.open_unchecked(name)? {
            directory.adopt(ownership)?;
        }
        self.sync()
    }

    /// Gives the directory the store's owner, group and mode.
    pub(super) fn adopt(&self, ownership: &Ownership) -> Result<(), StoreError> {
        self.adopt_file(&self.file, &self.path, ownership)
    }

    fn adopt_file(&self, file: &File, path: &Path, ownership: &Ownership) -> Result<(), StoreError> {
        let failed = |error: rustix::io::Errno| StoreError::io("set owner and mode of", path, error.into());
        let stat = rustix::fs::fstat(file).map_err(failed)?;
        let owner = (stat.st_uid != ownership.owner).then(|| Uid::from_raw(ownership.owner));
        let group = (stat.st_gid != ownership.group).then(|| Gid::from_raw(ownership.group));
        // The owner can be changed by root alone. A store's own group is inherited or ours.
        let owner = owner.filter(|_| rustix::process::geteuid().is_root());
        if owner.is_some() || group.is_some() {
            self.disk.set_owner(file, owner, group).map_err(failed)?;
        }
        // After the owner: changing that clears the set-group-id bit.
        self.disk.set_mode(file, ownership.right_mode(&stat)).map_err(failed)
    }

    /// Reads a file of at most `limit` octets, wiped from memory afterwards; none if there is none. Owner and mode are
    /// checked through the open descriptor.
    pub(super) fn read(
        &self,
        name: &str,
        limit: u64,
        ownership: &Ownership,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let path = within(&self.path, name);
        // Without NONBLOCK opening a FIFO would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.file, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
                return Err(StoreError::WrongKind { path, wanted: "file" });
            }
            Err(error) => return Err(self.failed("read", Some(name), error)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| self.failed("look at", Some(name), error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(StoreError::WrongKind { path, wanted: "file" });
        }
        ownership.check(&path, &stat)?;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if size > limit {
            return Err(StoreError::TooLarge { path, limit });
        }
        // Reserved whole, for a buffer that grows leaves secrets behind.
        let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
        match file.take(size).read_to_end(&mut octets) {
            Ok(_) => Ok(Some(octets)),
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    /// Writes a new file with the store's owner and mode, through to stable storage. Its name must not exist.
    pub(super) fn write_new(&self, name: &str, octets: &[u8], ownership: &Ownership) -> Result<(), StoreError> {
        let path = within(&self.path, name);
        let file = self.disk.create(&self.file, name).map_err(|error| self.failed("write", Some(name), error))?;
        self.adopt_file(&file, &path, ownership)?;
        let written = self.disk.write(&file, octets).and_then(|()| self.disk.sync(&file));
        written.map_err(|error| StoreError::io("write", &path, error))
    }

    /// Gives a file a new name, in place of whatever had it.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.disk.rename(&self.file, from, to).map_err(|error| self.failed("write", Some(to), error))
    }

    /// Gives a file a second name. One that is there already is left as it is.
    pub(super) fn link(&self, from: &str, to: &str) -> Result<(), StoreError> {
        match self.disk.link(&self.file, from, to) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(self.failed("write", Some(to), error)),
        }
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.disk.unlink(&self.file, name) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("remove", Some(name), error)),
        }
    }

    /// Brings names made, changed and removed to stable storage.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.disk.sync(&self.file).map_err(|error| StoreError::io("write", &self.path, error))
    }

    /// The names in the directory that are text; all of ours are.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error: rustix::io::Errno| self.failed("list", None, error);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.file).map_err(failed)? {
            match entry.map_err(failed)?.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    fn failed(&self, action: &'static str, name: Option<&str>, error: rustix::io::Errno) -> StoreError {
        match name {
            Some(name) => StoreError::io(action, &within(&self.path, name), error.into()),
            None => StoreError::io(action, &self.path, error.into()),
        }
    }
}

fn failed_open(path: &Path, error: rustix::io::Errno) -> StoreError {
    match error {
        rustix::io::Errno::NOENT => StoreError::Missing { path: path.to_owned() },
        rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => {
            StoreError::WrongKind { path: path.to_owned(), wanted: "directory" }
        }
        error => StoreError::io("open", path, io::Error::from(error)),
    }
}
