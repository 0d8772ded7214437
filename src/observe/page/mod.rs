//! The status page, for people: what the daemon does now, why mail is not signed, where keys stand, what went wrong.
//!
//! Rendered whole on the server: no script, no style and no picture from elsewhere, nothing that changes anything. Whatever comes
//! from outside (domains, queue ids, lines of the log, what was searched for) is escaped by `maud`; message content and secrets
//! never get here.

mod chart;
mod headline;
mod keys;
mod layout;
mod limits;
mod problems;
mod reasons;
mod search;
mod view;
mod words;

pub use keys::waits_for;
pub use layout::{STYLE, found_page, status_page};
pub use view::{DomainFound, Found, KeyFound, Mood, Searched, View};
