//! Questions and answers as octets.

use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::name::plain;
use crate::observation::Truncation;

/// The largest datagram that is asked for (DNS Flag Day 2020): it fits every path unfragmented.
const UDP_PAYLOAD: u16 = 1232;

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) record_type: RecordType,
    pub(super) recursion: Wish,
    /// CD: without DNSSEC validation.
    pub(super) unchecked: Wish,
    /// With EDNS (RFC 6891) and DNSSEC records.
    pub(super) edns: Wish,
}

/// Whether something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Yes,
    No,
}

impl Question {
    /// Of an authoritative server: RD=0.
    pub(super) fn authoritative(name: &Name, record_type: RecordType) -> Self {
        let name = name.clone();
        Self { name, record_type, recursion: Wish::No, unchecked: Wish::No, edns: Wish::Yes }
    }

    /// Of a resolver: RD=1.
    pub(super) fn recursive(name: &Name, record_type: RecordType) -> Self {
        Self { recursion: Wish::Yes, ..Self::authoritative(name, record_type) }
    }

    /// The same with checking disabled.
    pub(super) fn unchecked(&self) -> Self {
        Self { unchecked: Wish::Yes, ..self.clone() }
    }

    /// The same for servers that do not know EDNS.
    pub(super) fn without_edns(&self) -> Self {
        Self { edns: Wish::No, ..self.clone() }
    }

    /// A message with a random id that asks it.
    pub(super) fn encode(&self) -> Option<(u16, Vec<u8>)> {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Query;
        message.metadata.recursion_desired = self.recursion == Wish::Yes;
        message.metadata.checking_disabled = self.unchecked == Wish::Yes;
        message.add_query(Query::query(self.name.clone(), self.record_type));
        if self.edns == Wish::Yes {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD).set_dnssec_ok(true);
            message.set_edns(edns);
        }
        Some((message.metadata.id, message.to_vec().ok()?))
    }

    /// The answer in these octets, or what is wrong with them.
    pub(super) fn decode(&self, id: u16, octets: &[u8]) -> Result<Message, String> {
        if octets.len() < 2 || octets[..2] != id.to_be_bytes() {
            return Err("it has another id than the question".into());
        }
        let message = Message::from_vec(octets).map_err(|error| error.to_string())?;
        if message.metadata.message_type != MessageType::Response || message.metadata.op_code != OpCode::Query {
            return Err("it is no answer to a query".into());
        }
        let repeats = |query: &Query| query.name() == &self.name && query.query_type() == self.record_type;
        match message.queries.as_slice() {
            [query] if repeats(query) => Ok(message),
            // A server that did not understand the question may leave it out.
            [] if message.metadata.response_code == ResponseCode::FormErr => Ok(message),
            [query] => Err(format!("it answers {} {} instead", plain(query.name()), query.query_type())),
            _ => Err("it does not repeat the question".into()),
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) message: Message,
    pub(super) truncation: Truncation,
    pub(super) took: Duration,
}
