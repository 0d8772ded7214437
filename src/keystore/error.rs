//! What can go wrong with a key store. Every message names the path, and the remedy where there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::dkim::key::{Algorithm, KeyError, KeyId};
use crate::finding::Place;
use crate::manifest::ManifestError;
use crate::names::{DomainName, Selector};

/// Why a key store, or something in it, could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no key store.
    #[error("there is no key store at {}; make one with: waxseal init DOMAIN", .path.display())]
    Missing {
        /// Where it should be, or the part of it that is missing.
        path: PathBuf,
    },
    /// A directory is to become a key store, but other things are in it, or a key store is there already.
    #[error("{} is not empty; a key store needs a directory of its own", .path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Something else stands where a directory or a file should.
    #[error("{} is not a {wanted}; only plain directories and files are used in a key store", .path.display())]
    WrongKind {
        /// Its path.
        path: PathBuf,
        /// What should stand there: "directory" or "file".
        wanted: &'static str,
    },
    /// Others than the store's owner may write, or others than its owner and group may read.
    #[error("{} has mode {mode:04o}, which lets too many in; run: chmod {right:04o} {}", .path.display(), Quoted(.path))]
    WideMode {
        /// Its path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        right: u32,
    },
    /// A group other than that of the store's root.
    #[error("{} has group {group}, the key store has {right}; run: chgrp {right} {}", .path.display(), Quoted(.path))]
    ForeignGroup {
        /// Its path.
        path: PathBuf,
        /// Its group's id.
        group: u32,
        /// The group id it should have.
        right: u32,
    },
    /// We may not.
    #[error("user id {uid} may not {action} {}; see its owner, its group and the directories above it", .path.display())]
    PermissionDenied {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Who we are.
        uid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The file system, or our quota on it, is full. What was there before is untouched.
    #[error("no space left to {action} {}; nothing was changed", .path.display())]
    DiskFull {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system takes no writes.
    #[error("cannot {action} {}: the file system is read-only", .path.display())]
    ReadOnly {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other refusal of the system.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is far larger than any of its kind.
    #[error("{} is larger than {limit} octets; it is not what its name says", .path.display())]
    TooLarge {
        /// Its path.
        path: PathBuf,
        /// The bound, in octets.
        limit: u64,
    },
    /// A manifest is broken, contradicts itself or is from a newer waxseal.
    #[error("{place}: {source}")]
    Manifest {
        /// The file; with line and column where one place is to blame.
        place: Place,
        /// What is wrong.
        source: Box<ManifestError>,
    },
    /// A manifest stands in another domain's directory.
    #[error("{} is the manifest of {found}; it stands in the directory of {domain}", .path.display())]
    OtherDomain {
        /// The manifest.
        path: PathBuf,
        /// Whose directory it is.
        domain: DomainName,
        /// Whose manifest it is.
        found: DomainName,
    },
    /// A domain's directory holds keys but no manifest.
    #[error("{} is missing, but keys lie beside where it was; restore it from a backup", .path.display())]
    ManifestMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A manifest names a key file that is not there.
    #[error("the private key {} is missing; restore it from a backup, or generate and activate another", .path.display())]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The manifest says that the private key is not kept here.
    #[error("the private key of selector {selector} of {domain} is not kept here")]
    KeyNotKept {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// A key file holds no private key that can be used.
    #[error("{}: {source}", .path.display())]
    KeyBroken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// A key file holds a key of another algorithm than its manifest says.
    #[error("{} holds a key for {found}; the manifest says {expected}", .path.display())]
    KeyWrongType {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: Algorithm,
        /// What the file holds.
        found: Algorithm,
    },
    /// A key file holds another key than its manifest says.
    #[error("{} holds the key {found}; the manifest says {expected}", .path.display())]
    KeyMismatch {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: KeyId,
        /// What the file holds.
        found: KeyId,
    },
    /// The library does not sign with a key that it could read.
    #[error("the key of selector {selector} of {domain} cannot sign: {source}")]
    KeyUnusable {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
        /// Why not.
        source: KeyError,
    },
    /// A commit binds a key without giving its private part. A defect of the caller.
    #[error("the private key of selector {selector} of {domain} was not given with the commit that binds it")]
    KeyNotGiven {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// Another writer kept the lock for longer than we wait.
    #[error("{} is locked by another waxseal; try again when it is done", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Another writer was faster: the change was made from a manifest that is no longer the present one.
    #[error("{} was changed meanwhile (revision {found}, not {expected}); nothing was written, try again", .path.display())]
    Conflict {
        /// The manifest.
        path: PathBuf,
        /// The revision the change was made from.
        expected: u64,
        /// The revision that is there; 0 for none.
        found: u64,
    },
    /// The manifest to be written could not be put into words.
    #[error("the manifest of {domain} cannot be written")]
    Unwritable {
        /// The domain.
        domain: DomainName,
        /// Why.
        source: Box<ManifestError>,
    },
}

impl StoreError {
    /// What the system said, sorted by what an administrator would do about it.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind;
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::PermissionDenied => {
                Self::PermissionDenied { action, path, uid: rustix::process::geteuid().as_raw(), source }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { action, path, source },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { action, path, source },
            _ => Self::Io { action, path, source },
        }
    }

    pub(super) fn manifest(path: &Path, source: ManifestError) -> Self {
        let path = path.to_owned();
        let place = match &source {
            ManifestError::Syntax(json) if json.line() > 0 => {
                Place::Line { path, line: json.line(), column: json.column() }
            }
            _ => Place::Path { path },
        };
        Self::Manifest { place, source: Box::new(source) }
    }
}

/// A path as a POSIX shell takes it.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.to_string_lossy();
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-+@%:,=".contains(&octet);
        if !path.is_empty() && path.bytes().all(plain) {
            f.write_str(&path)
        } else {
            write!(f, "'{}'", path.replace('\'', r"'\''"))
        }
    }
}
