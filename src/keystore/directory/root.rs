//! Opening and making a store.

use std::path::{Path, PathBuf};

use super::calls::Disk;
use super::disk::Dir;
use super::layout::{DOMAINS, Layout, SHARED};
use super::modes::Ownership;
use crate::keystore::error::StoreError;
use crate::manifest::Binding;
use crate::names::DomainName;

/// A key store of files; see the head of this folder. Holds nothing open: a store that is moved away and restored goes
/// on being used.
#[derive(Debug, Clone)]
pub struct Directory {
    pub(super) layout: Layout,
    pub(super) disk: Disk,
}

/// Who is to use a new store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// One user, the one who makes it, for everything.
    OneUser,
    /// `owner` writes (the CLI and its timer), members of `group` read (the daemon).
    TwoUsers {
        /// The owner's user id; other than our own for root only.
        owner: u32,
        /// The group's id.
        group: u32,
    },
}

/// What a checkout may hold where its store is to be.
const NOT_IN_THE_WAY: [&str; 3] = ["README.md", ".gitignore", SHARED];

impl Directory {
    /// Opens the store at `root`: checks that it is one and that nobody sees it who should not. Reads no domain.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(|error| StoreError::io("find", root, error))?;
        let store = Self { layout: Layout { root }, disk: Disk::default() };
        let (root, ownership) = store.open_root()?;
        store.open_part(&root, DOMAINS, &ownership)?;
        store.open_part(&root, SHARED, &ownership)?;
        Ok(store)
    }

    /// Makes a store at `root`, whose parent must exist; `root` itself may exist if it is empty but for a README.md and
    /// a .gitignore. What was cut short is completed.
    pub fn create(root: &Path, access: Access) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(|error| StoreError::io("find", root, error))?;
        let own = rustix::process::geteuid();
        let ownership = match access {
            Access::OneUser => Ownership::one_user(own.as_raw(), rustix::process::getegid().as_raw()),
            Access::TwoUsers { owner, .. } if !own.is_root() && owner != own.as_raw() => {
                let source = rustix::io::Errno::PERM.into();
                return Err(StoreError::io("give to another user", &root, source));
            }
            Access::TwoUsers { owner, group } => Ownership::two_users(owner, group),
        };
        match rustix::fs::mkdir(&root, rustix::fs::Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(StoreError::io("make", &root, error.into())),
        }
        let disk = Disk::default();
        let directory = Dir::open_root(&root, &disk)?;
        if directory.names()?.iter().any(|name| !NOT_IN_THE_WAY.contains(&name.as_str())) {
            return Err(StoreError::NotEmpty { path: root });
        }
        directory.adopt(&ownership)?;
        directory.make(SHARED, &ownership)?;
        // Last, for it is what makes the directory a store.
        directory.make(DOMAINS, &ownership)?;
        if let Some(parent) = root.parent() {
            Dir::open_root(parent, &disk)?.sync()?;
        }
        Self::open(&root)
    }

    /// Where the store is, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// Where a domain's manifest is, or would be.
    pub fn manifest_path(&self, domain: &DomainName) -> PathBuf {
        self.layout.manifest(domain)
    }

    /// Where the private key of a binding is; none if it is not kept.
    pub fn key_path(&self, domain: &DomainName, binding: &Binding) -> Option<PathBuf> {
        self.layout.private_key(domain, binding).map(|(directory, name)| directory.join(name))
    }

    /// The root as it is now, and what it says about all below.
    pub(super) fn open_root(&self) -> Result<(Dir, Ownership), StoreError> {
        let root = Dir::open_root(&self.layout.root, &self.disk)?;
        let ownership = Ownership::of_root(&root.path, &root.stat()?)?;
        Ok((root, ownership))
    }

    /// `domains/` or `shared/`: a store without is none, perhaps a file system that is not mounted.
    pub(super) fn open_part(&self, root: &Dir, name: &str, ownership: &Ownership) -> Result<Dir, StoreError> {
        root.open(name, ownership)?.ok_or_else(|| StoreError::Missing { path: root.path.join(name) })
    }
}
