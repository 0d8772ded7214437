//! The milter protocol, as Postfix and Sendmail speak it, without any input or output.
//!
//! There is no specification; libmilter is the reference for filters and Sendmail for MTAs. A connection carries frames
//! (`frame`): the MTA sends commands (`command`), the filter answers some of them (`reply`). It begins with a
//! `negotiation`, and the MTA sends macros (`macros`) ahead of its commands.
//!
//! [`Session`] is the filter's side: octets in, [`Event`]s out, and it knows which command wants which answer.
//! [`mta`] is the MTA's side, for the load tool, the demo and the tests.
//!
//! The states of a session, the commands that change them, and who answers. "Filter" means that the filter is asked
//! and must call [`Session::reply`]; every other reply that is due the session queues by itself, as CONTINUE where not
//! stated otherwise.
//!
//! ```text
//!                  O: answered, or an error
//!   Negotiating ─────────────────────────────▶ Connected ◀─────────────────────────────────────────────┐
//!                                               │   ▲  A: quiet; E: TEMPFAIL; L N B R T: no event        │
//!                                             M │   │                                                    │
//!                                 (filter)      ▼   │ A                                                  │
//!                         ┌───────────────── Envelope ── R T ──▶ Envelope                                │
//!                         │ other answer        │   │                                                    │
//!                         │ than CONTINUE     L │   │ N (filter)                                         │
//!                         │                     ▼   │                                                    │
//!                         ├◀─────────────── Header ─┤   a B or E without N asks the filter as N does,    │
//!                         │   N (filter),           │   but nothing is sent for it                       │
//!                         │   not CONTINUE          ▼                                                    │
//!                         ▼                       Body ── B ──▶ Body                                     │
//!                     PassedOver                    │ E (filter)                                         │
//!                         │  E: the same verdict    └──────── final reply ──────────────────────────────▶┤
//!                         └──────────────── A, or the verdict at E ─────────────────────────────────────▶┘
//!
//!   From every state after Negotiating: M begins a new message (Envelope); C, H and K lead to Connected; Q and any
//!   error lead to Ended, where input is dropped. D (macros) fits anywhere and changes no state.
//! ```

mod command;
mod error;
mod frame;
mod macros;
pub mod mta;
mod negotiation;
mod reply;
mod session;

pub use command::{Client, CommandError, CommandKind, Event, Parameters};
pub use error::{ProtocolError, Stranger};
pub use frame::{FrameError, MAX_SENT_PAYLOAD};
pub use macros::{Macros, MacrosTooLong, Stage};
pub use negotiation::{
    Actions, Agreement, ConnectReplies, HeaderChanges, NegotiationError, Offer, RecipientEvents, Steps, SymbolLists,
};
pub use reply::{Reply, ReplyError, ValueSpacing};
pub use session::{Received, Session, SessionOptions};
