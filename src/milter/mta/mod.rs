//! The MTA's side of the milter protocol, as Postfix plays it: for the load tool, the demo and the tests.
//!
//! [`Mta`] writes commands with the macros that go before them, [`Answer`] reads the filter's answers as strictly as
//! Postfix does, [`Delivery`] plays one message through and [`Message`] takes the modifications.

mod answer;
mod commands;
mod delivery;
mod message;

pub use answer::{Answer, AnswerError};
pub use commands::{Expect, Mta};
pub use delivery::{Delivery, Envelope, Outcome, Step};
pub use message::{Message, MessageError};
