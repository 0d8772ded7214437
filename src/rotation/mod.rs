//! Carries out what [`crate::lifecycle`] plans: one domain, one effect at a time.
//!
//! ```text
//! runner ──Outcome──▶ Machine::next ──Effect──▶ runner: Observe, Generate, Commit, Publish, Revoke, Delete, Hook, …
//! ```
//!
//! The machine does no I/O and keeps nothing that matters: the manifest is the journal, and a new machine goes on from
//! the store's, whenever the last one was killed. [`Runner`] performs one effect after the other: no lock is held but
//! within a commit. [`DueIndex`] tells which domains are to be looked at, [`work_through`] takes many of them in waves.

mod acknowledgement;
mod audit;
mod crew;
mod destruction;
mod disclosure;
mod due;
mod effect;
mod emergency;
mod eyes;
mod hooks;
mod machine;
mod naming;
mod pace;
mod preview;
mod publishing;
mod runner;
mod settings;
mod summary;
mod waves;

pub use audit::{Entry, What, entries, entries_of};
pub use crew::{Halt, Standing};
pub use destruction::{DestroyError, LetGo};
pub use disclosure::DisclosureError;
pub use due::{Due, DueIndex, IndexError};
pub use effect::{Effect, Hook, Outcome, Refusal, RefusalKind};
pub use emergency::{Declared, Order};
pub use eyes::Eyes;
pub use hooks::HookError;
pub use machine::{Machine, Next, Patrol, Start, Summary};
pub use naming::Naming;
pub use pace::Pace;
pub use preview::Preview;
pub use runner::{KnownUse, Opened, Ran, RunError, Runner};
pub use settings::{automation, schedule};
pub use summary::{Counted, Halted, KeyCounts, NextStep, RunSummary, SummaryError, Troubled};
pub use waves::{Finished, LeftUndone, Wave, preview_all, work_through};

#[cfg(test)]
mod tests;
