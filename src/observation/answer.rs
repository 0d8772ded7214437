//! Answers: of each server, and what they come to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::text::presentation;
use super::zone::{Server, Soa, Zone};

/// All that was seen of one record name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// `<selector>._domainkey.<domain>`.
    pub record_name: String,
    /// When it was seen.
    pub at: Timestamp,
    /// The record's own name first, then the target of each CNAME.
    pub hops: Vec<Hop>,
    /// How the chain of CNAMEs ended.
    pub chain: ChainEnd,
    /// What a sibling name said; none if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<Arc<Wildcard>>,
    /// What a resolver says.
    pub recursive: Recursive,
}

/// One name on the way to the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// The name that was asked for.
    pub name: String,
    /// The zone it is in; none if that could not be found out.
    pub zone: Option<Arc<Zone>>,
    /// Why the zone is not known, if so: for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_unknown: Option<String>,
    /// What each address of each name server said to TXT at this name.
    pub answers: Vec<ServerAnswer>,
}

/// How a chain of CNAMEs ended. Without any CNAME it is [`ChainEnd::Complete`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainEnd {
    /// At a name that is no alias (with or without a record), or where nobody answered.
    Complete,
    /// A name came again.
    Loop,
    /// More hops than are followed.
    TooLong,
}

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerAnswer {
    /// The server.
    pub server: Server,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of asking a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It answered, whatever the answer.
    Answered(Box<Response>),
    /// It did not.
    Silent(Silence),
    /// It was not asked: there is no route to its address family here.
    NoRoute,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Neither UDP nor TCP brought one in time.
    Timeout,
    /// The network said that it cannot be reached, or the connection was refused.
    Unreachable {
        /// The system's words.
        detail: String,
    },
    /// What came could not be understood, or answered another question.
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Unreachable { detail } => write!(f, "cannot be reached ({detail})"),
            Self::Malformed { detail } => write!(f, "its answer cannot be understood ({detail})"),
        }
    }
}

/// An answer, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Response {
    /// RCODE.
    pub code: Code,
    /// AA: the server answers for the zone itself. Without it, it is lame.
    pub authoritative: bool,
    /// What became of an answer cut off over UDP.
    pub truncation: Truncation,
    /// TXT records at the name.
    pub txt: Vec<Txt>,
    /// The CNAME at the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cname: Option<Cname>,
    /// SOA of the authority section: whose absence it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soa: Option<Soa>,
    /// RRSIGs over TXT or CNAME at the name.
    pub signatures: Vec<Signature>,
    /// After SERVFAIL: the answer to the same question with checking disabled (CD=1), if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<Box<Response>>,
    /// How long it took, in whole milliseconds.
    #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
    pub took: Duration,
}

/// A response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// NOERROR; without records this is NODATA.
    NoError,
    /// NXDOMAIN: no such name.
    NxDomain,
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// Another, by number.
    Other(u16),
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoError => f.pad("NOERROR"),
            Self::NxDomain => f.pad("NXDOMAIN"),
            Self::ServFail => f.pad("SERVFAIL"),
            Self::Refused => f.pad("REFUSED"),
            Self::Other(code) => write!(f, "RCODE{code}"),
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What became of an answer too long for UDP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// It was not cut off.
    None,
    /// It was, and came whole over TCP.
    CompletedOverTcp,
    /// It was, and TCP failed.
    TcpFailed {
        /// Why.
        detail: String,
    },
}

/// A TXT record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Txt {
    /// Its character-strings, as they came.
    #[serde(serialize_with = "in_presentation_form")]
    pub strings: Vec<Vec<u8>>,
    /// Its TTL, in seconds.
    pub ttl: u32,
}

impl Txt {
    /// The strings joined without anything between them (RFC 6376 §3.6.2.2).
    pub fn joined(&self) -> Vec<u8> {
        self.strings.concat()
    }
}

/// A CNAME record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cname {
    /// Where it points.
    pub target: String,
    /// Its TTL, in seconds.
    pub ttl: u32,
}

/// An RRSIG record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// When it expires.
    pub expires: Timestamp,
}

/// What a sibling name that nobody published said: with a wildcard it has records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wildcard {
    /// The name that was asked for.
    pub name: String,
    /// What the servers said.
    pub answers: Vec<ServerAnswer>,
}

/// What a resolver says, validating.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recursive {
    /// Which resolver, for people; empty where none was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolver: String,
    /// What it says.
    #[serde(flatten)]
    pub answer: RecursiveAnswer,
}

/// A resolver's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum RecursiveAnswer {
    /// Not asked: the servers do not agree yet, or nobody wanted it.
    NotAsked,
    /// TXT records.
    Found {
        /// The records, with the TTLs that are left of them.
        txt: Vec<Txt>,
        /// What DNSSEC says.
        security: Security,
    },
    /// NXDOMAIN (`no_such_name`) or no TXT record at the name.
    Absent {
        /// NXDOMAIN or NOERROR.
        code: Code,
        /// For how many more seconds the resolver will say so, where it told.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<u32>,
    },
    /// DNSSEC validation failed.
    Bogus {
        /// What is wrong.
        detail: String,
    },
    /// No answer of use.
    Failed {
        /// Why.
        detail: String,
    },
}

/// What DNSSEC says of an answer (RFC 4033 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Signed, and the chain of trust holds.
    Secure,
    /// Provably not signed.
    Insecure,
    /// It was not found out.
    Unknown,
}

fn milliseconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

fn in_presentation_form<S: Serializer>(strings: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(strings.iter().map(|string| presentation(string)))
}
