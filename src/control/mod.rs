//! What is spoken on the daemon's control socket: one line of JSON for each question, one for each answer.
//!
//! ```text
//! waxseal explain --live ─▶ {"version":1,"ask":"explain","question":{…}} ─▶ daemon
//!                        ◀─ {"version":1,"answer":"explained",…}         ◀─
//! ```
//!
//! A [`Question`] is a message as an MTA would describe it, an [`Explanation`] what becomes of it; without a daemon both are
//! the same. Names may be added; a reader passes over what it does not know. Only where that would mislead does [`VERSION`] grow.
//!
//! Architecture invariant: no secret has a place here, nor has a message's content: of a header only who asks sends one.

mod explanation;
mod protocol;
mod question;
mod recent;

pub use explanation::{
    ExplainedDomain, ExplainedKey, ExplainedRule, ExplainedSignature, ExplainedStep, ExplainedWarning, Explanation,
};
pub use protocol::{Answer, Ask, LONGEST_ANSWER, LONGEST_REQUEST, Refusal, Request, Response, VERSION, VersionOf};
pub use question::{Client, ClientError, Octets, Question};
pub use recent::{RecentMessage, RecentMessages, RecentSignature, Spent};
