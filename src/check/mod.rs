//! What `waxseal verify` judges: evidence in, findings out. Nothing here looks anything up.
//!
//! ```text
//! Subject (what we hold, and what was seen) ──judge──▶ Judgement (findings; what could not be found out)
//! ```

mod catalogue;
mod judge;
mod judgement;
mod rule;
mod subject;

pub use catalogue::RULES;
pub use judge::judge;
pub use judgement::{Judgement, KeyJudgement};
pub use rule::{Rule, UnknownRule};
pub use subject::{Dnssec, HeldKey, KeySubject, PrivateKeyAccess, Standby, Subject, Wishes};
