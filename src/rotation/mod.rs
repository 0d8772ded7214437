//! Carries out what [`crate::lifecycle`] plans: one domain, one effect at a time.
//!
//! ```text
//! runner ──Outcome──▶ Machine::next ──Effect──▶ runner: Observe, Generate, Commit, Publish, Revoke, Delete, Hook, …
//! ```
//!
//! The machine does no I/O and keeps nothing that matters: the manifest is the journal, and a new machine goes on from
//! the store's, whenever the last one was killed.

mod acknowledgement;
mod audit;
mod destruction;
mod effect;
mod eyes;
mod hooks;
mod machine;
mod publishing;
mod runner;
mod settings;

pub use audit::{Entry, What};
pub use effect::{Effect, Hook, Outcome, Refusal, RefusalKind};
pub use eyes::Eyes;
pub use hooks::HookError;
pub use machine::{Machine, Next, Patrol, Start, Summary};
pub use runner::{KnownUse, Opened, Ran, RunError, Runner};
pub use settings::{automation, schedule};
