//! What the tests against real programs stand on.
//!
//! ```text
//!  messages ──▶ smtp_client ──▶ postfix | sendmail ──▶ sink ──▶ delivery: what arrived, against what was sent
//!                                      │ milter                     │
//!                               waxseal (the daemon, the CLI)       ▼
//!                                      ▲                        verifiers: dkimpy, Mail::DKIM, OpenDKIM
//!  dialogue (the MTA's side of the milter protocol, byte by byte) ──┘
//! ```
//!
//! Every server runs in a scratch folder of its own, on free ports, and stops when its value is dropped, also by a
//! panic. A tool that is missing fails the test with the package to install; nothing is skipped in silence.

#![allow(dead_code, unused_imports, reason = "each test program uses its own part of the harness")]
#![allow(clippy::print_stderr, reason = "what a server said is shown when its test fails")]

mod bind;
mod decisions;
mod delivery;
mod dialogue;
mod dns_server;
mod http;
mod knot;
mod many;
mod messages;
mod opendkim;
mod page;
mod postfix;
mod powerdns;
mod process;
mod records;
mod scratch;
mod sendmail;
mod sink;
mod smtp_client;
mod tools;
mod unbound;
mod verifiers;
mod verifying;
mod waxseal;

pub(crate) use bind::{Bind, Signatures, SignedZone, Statements, ZoneText, sign_zone};
pub(crate) use decisions::{Case, Expected, Table, tables};
pub(crate) use delivery::{
    Delivery, Header, deliveries, judge, recipient, send_all, signatures_in, with_unix_line_ends,
};
pub(crate) use dialogue::{
    ACTIONS, Dialogue, FIELDS, PROTOCOL, Verdict, connect, frame, header, macros, offer, whole_message,
};
pub(crate) use dns_server::{Asked, DnsServer, Lie, is_authoritative};
pub(crate) use http::{Answer, Site, value};
pub(crate) use knot::{Knot, KnotSigning, Sections};
pub(crate) use many::{KeysAre, Many};
pub(crate) use messages::{Breaks, Change, Message, Mta, eight_bit_to_a_seven_bit_hop, message_set};
pub(crate) use opendkim::OpenDkim;
pub(crate) use page::{PATIENCE, PageReader, PageStep, page_steps};
pub(crate) use postfix::{Postfix, PostfixOptions};
pub(crate) use powerdns::PowerDns;
pub(crate) use process::Server;
pub(crate) use records::{Taken, dkimpy_reads, opendkim_reads};
pub(crate) use scratch::{Scratch, eventually, free_port};
pub(crate) use sendmail::Sendmail;
pub(crate) use sink::{Received, Sink, SinkOptions};
pub(crate) use smtp_client::{Reply, SmtpClient, Transfer};
pub(crate) use tools::{installed, need_root, own, run};
pub(crate) use unbound::{Unbound, is_absent};
pub(crate) use verifiers::{Outcome, Signature, dkimpy, dkimpy_in_dns, mail_dkim, opendkim};
pub(crate) use verifying::Verifying;
pub(crate) use waxseal::{Daemon, Installation, LogLine, with_input};
