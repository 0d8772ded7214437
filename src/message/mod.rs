//! Messages as received (RFC 5322, RFC 6532): the header with its exact octets, and the addresses in it.
//!
//! ```text
//! octets ──▶ Message::parse ─┐
//!                            ├──▶ Headers ──▶ Field ──▶ dkim (name, value, raw octets)
//! milter events ──▶ push ────┘                  └────▶ parse_mailboxes ──▶ whom we sign for
//! ```
//!
//! Two readings of one header, on purpose unlike each other. [`Headers`] keeps whatever an MTA accepted, octet by octet,
//! for that is what a signature covers. [`parse_mailboxes`] is strict: it decides in whose name we sign, so what could
//! be read in two ways is an error, never a guess.

mod address;
mod headers;
mod parse;

pub use address::{AddressError, Mailbox, parse_mailboxes};
pub use headers::{Field, FieldError, Headers, Spacing};
pub use parse::{Message, MessageError};
