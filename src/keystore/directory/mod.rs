//! The key store of files, the default.
//!
//! ```text
//! ROOT/                                           whoever owns it owns the store; its mode and group are the model
//! ├── domains/
//! │   └── example.com/                            one directory a domain, by its A-labels
//! │       ├── manifest.json                       bindings, states, deadlines, tombstones, revision
//! │       ├── 20261123e.1f0c9a3e.pem              SELECTOR.ID8.pem: PKCS#8, LF; ID8 = the key id's first 8 digits
//! │       ├── .20261123e.1f0c9a3e.pem.new         while a commit is under way, or after one was cut short
//! │       └── .manifest.json.new                  likewise
//! ├── acknowledge.json                            what daemons are asked to read anew; not there until somebody asks
//! └── shared/
//!     └── 8a41….pem                               ID.pem, all 64 digits: keys that several bindings use
//! ```
//!
//! **Modes.** With two users (the CLI's owns, the daemon's group reads) directories are 2750 and files 0640; with one,
//! 0700 and 0600. What is made takes owner, group and mode from ROOT, whoever makes it. What is read is checked
//! through its open descriptor, each time: any bit for others, group write, or a group other than ROOT's is refused
//! with the command that sets it right. Symbolic links below ROOT are not followed.
//!
//! **Writing.** `manifest.json` is the commit point: a key that no manifest names does not exist. A commit locks the
//! domain's directory, makes sure that it is still the one at its path, compares the revision, then
//!
//! 1. writes the private keys (`.….pem.new`, fsync, fsync of the directory, link to the final name, fsync of the
//!    directory),
//! 2. writes the manifest (`.manifest.json.new`, fsync, rename, fsync of the directory),
//! 3. removes the `.….pem.new` names and the key files that the new manifest says are destroyed.
//!
//! Cut short anywhere, also by a power failure that loses what was not synced, the domain has its old manifest with all its keys, or the new one with all of its. The next
//! writer takes away what is left: a `.….pem.new` shows that its key never came to be, unless the manifest names it.
//! A key file without such a mark that no manifest names (after a manifest was restored from a backup, say) is left
//! alone. So are all names that are not of these patterns.
//!
//! **Reading** takes no lock: renames are atomic, and keys are there before the manifest that names them.
//!
//! Deliberately absent: an index. `domains/` is only listed when somebody asks for all domains.

mod asked;
mod calls;
mod disk;
mod examine;
mod layout;
mod lock;
mod modes;
mod read;
#[cfg(test)]
mod replay;
mod root;
mod write;

pub use asked::Asked;
pub use examine::Examined;
pub use read::{Domains, Listed, Manifests};
pub use root::{Access, Directory};
