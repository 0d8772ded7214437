//! What was seen in DNS of one key record, as plain values: `dns` makes them, `check` judges them, reports show them.
//!
//! ```text
//! Observation ── hops ──▶ Hop (the record's name, then each CNAME target)
//!     │                    ├── zone ──▶ Zone: its apex, its name servers, how it is delegated
//!     │                    └── answers ──▶ ServerAnswer, one for each address of each name server
//!     ├── wildcard: a sibling name that nobody published
//!     └── recursive: what a validating resolver says, asked only once all servers agree
//! ```
//!
//! Names are in lower case without the final dot. Octets that came over the network are kept as they are and shown only
//! through [`presentation`], which no terminal takes for a command.

mod answer;
mod text;
mod zone;

pub use answer::{
    ChainEnd, Cname, Code, Hop, Observation, Outcome, Recursive, RecursiveAnswer, Response, Security, ServerAnswer,
    Signature, Silence, Truncation, Txt, Wildcard,
};
pub use text::presentation;
pub use zone::{Dmarc, NameServer, Server, ServerSoa, Soa, Zone};
