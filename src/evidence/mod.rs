//! When each key last signed, as each daemon writes it down for rotation.
//!
//! ```text
//! filter ─ used(key) ─▶ Recorder (memory) ─ each minute, at the end ─▶ writer ─▶ STATE/evidence.HOST.json
//! store: acknowledge.json ─ each second ─▶ daemon ─ reads the domain anew ─▶ writer ─┘        │ read()
//!                                                                                              ▼
//!                                                                    Evidence of all daemons ─▶ rotation
//! ```
//!
//! Evidence only ever lengthens a wait. A key that no file names was used at the latest when the files say that they know
//! of nothing older ([`Evidence::last_use`]): so a lost file, a bound that was hit, and what was dropped for age shorten
//! nothing either. Times only move on. What a daemon that is killed loses is at most its interval, which is less than
//! `keys.max_staleness`, by which rotation waits longer in any case.
//!
//! **Files.** One for each daemon, `evidence.HOST.json`, mode 0640, replaced whole: written beside it, synced, renamed,
//! and the directory synced. Its format is `file`'s. A second daemon with the same directory writes `evidence.HOST.2.json`,
//! and so on: `evidence.HOST.lock` is held for as long as a daemon runs. Files of several hosts may be
//! brought together in one directory.
//!
//! **Acknowledgement.** Who must know that no daemon signs with a key any more writes which revision of which domain is
//! to be seen into the key store; each daemon reads these domains anew and writes into its file what it has seen
//! ([`Evidence::acknowledged`]). Messages whose header was complete before may still be signed as before.

pub mod file;
mod read;
mod recorder;
mod writer;

pub use read::{Evidence, EvidenceError, read};
pub use recorder::Recorder;
pub use writer::{Acknowledged, StartError, Writer, start};
