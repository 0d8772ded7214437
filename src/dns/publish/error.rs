//! Why a record could not be published.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;

/// Why an operation failed. Whether it took effect all the same is not known for [`PublishError::Timeout`] and
/// [`PublishError::Connection`]: repeat it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The name is longer than DNS can carry, or none at all.
    #[error("{name} is no name that DNS can carry; use a shorter selector")]
    Name {
        /// The record's name.
        name: String,
    },
    /// The server's name has no address.
    #[error("the name server {server} has no address; check `server` of the publisher")]
    NoAddress {
        /// As configured.
        server: String,
        /// What the system's resolver said.
        source: io::Error,
    },
    /// No connection to the server, or it broke.
    #[error("cannot talk to {server}")]
    Connection {
        /// Which server.
        server: String,
        /// The cause.
        source: io::Error,
    },
    /// No answer in time. What was asked for may have happened.
    #[error("{server} did not answer within {} s", after.as_secs_f64())]
    Timeout {
        /// Which server or program.
        server: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The server did not accept our key, or we do not believe its answer.
    #[error("{server} and this host do not agree on the TSIG key {key_name}: {problem}")]
    Credentials {
        /// Which server.
        server: String,
        /// The key's name.
        key_name: String,
        /// What is wrong.
        problem: CredentialsProblem,
    },
    /// The server answered that it will not do it.
    #[error("{server} does not update {name} in the zone {zone}: {refusal}")]
    Refused {
        /// Which server.
        server: String,
        /// The record's name.
        name: String,
        /// The zone.
        zone: String,
        /// What it said.
        refusal: Refusal,
    },
    /// The server has no zone for the name.
    #[error(
        "{server} has no zone that {name} is in; check `server` and `zone` of the publisher, and that it is the primary"
    )]
    NoZone {
        /// Which server.
        server: String,
        /// The record's name.
        name: String,
    },
    /// The name is not in the zone that is configured.
    #[error("{name} is not in the zone {zone}; give the publisher another `zone`, or none, or other `domains`")]
    OutsideZone {
        /// The record's name.
        name: String,
        /// The zone that is configured.
        zone: String,
    },
    /// The API does not know our key.
    #[error(
        "the API at {server} does not take this publisher's key (HTTP {status}); check its secret against api-key there"
    )]
    ApiKey {
        /// Which API.
        server: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The API did not do it.
    #[error("the API at {server} says (HTTP {status}): {message}")]
    Api {
        /// Which API.
        server: String,
        /// The status of HTTP.
        status: u16,
        /// What it said, fit to be shown.
        message: String,
    },
    /// HTTP itself failed.
    #[error("cannot talk HTTP with {server}")]
    Http {
        /// Which API.
        server: String,
        /// The cause.
        source: hyper::Error,
    },
    /// A program failed.
    #[error("{program} {problem}{}", Said(said))]
    Program {
        /// Its path.
        program: String,
        /// How.
        problem: ProgramProblem,
        /// What it said last, fit to be shown; may be empty.
        said: String,
    },
    /// The file that a zone includes cannot be read or written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file, or its directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file that a zone includes has a line that is not ours.
    #[error("line {line} of {} is none that this program writes; the file is ours alone: put it elsewhere", path.display())]
    ForeignLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The file was written, and the server does not serve it.
    #[error(
        "{server} does not show the change of {name} though the zone {zone} was to be loaded; see its log, and what reload does"
    )]
    NotLoaded {
        /// Which server.
        server: String,
        /// The record's name.
        name: String,
        /// The zone.
        zone: String,
    },
    /// The server serves it with the serial number of before: secondaries will not fetch it.
    #[error(
        "{server} shows the change of {name}, but the serial of the zone {zone} did not rise from {serial}: secondaries will not fetch it; have reload raise it"
    )]
    SerialStands {
        /// Which server.
        server: String,
        /// The record's name.
        name: String,
        /// The zone.
        zone: String,
        /// The serial number.
        serial: u32,
    },
    /// The server sent what is no answer.
    #[error("{server} answered what cannot be understood: {detail}")]
    Malformed {
        /// Which server.
        server: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// How a program failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProgramProblem {
    /// It could not be started.
    Start(io::Error),
    /// Its end could not be waited for.
    Wait(io::Error),
    /// It was killed by a signal.
    Killed,
    /// It ended with this code.
    Exit(i32),
    /// It ended with 75: another time it may work.
    TryAgain,
}

impl fmt::Display for ProgramProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "cannot be started ({error}); give its path, and make it executable"),
            Self::Wait(error) => write!(f, "cannot be waited for ({error})"),
            Self::Killed => f.write_str("was killed by a signal"),
            Self::Exit(code) => write!(f, "failed with exit code {code}"),
            Self::TryAgain => f.write_str("could not do it for the moment (exit code 75)"),
        }
    }
}

/// What a program said, behind a colon.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// What is wrong between our TSIG key and the server's (RFC 8945 §5.2, §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialsProblem {
    /// BADKEY: it knows no key of this name and algorithm.
    UnknownKey,
    /// BADSIG: the secrets differ.
    WrongSecret,
    /// BADTIME: the clocks differ.
    Clock {
        /// By how much the server's clock is ahead of ours; negative when it is behind. None if the server does not say.
        ahead: Option<SignedDuration>,
    },
    /// BADTRUNC: it wants longer codes.
    Truncated,
    /// Another error than these.
    Other(u16),
    /// NOTAUTH to a question, without a signature: PowerDNS says no more of a wrong key, secret or clock.
    NotSaid,
    /// Its answer bears no signature; it was not believed.
    Unsigned,
    /// Its answer bears a signature that does not fit; it was not believed.
    Forged,
}

impl fmt::Display for CredentialsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => f.write_str(
                "it knows no key of this name and algorithm (BADKEY); check `key_name` and `algorithm` of the publisher",
            ),
            Self::WrongSecret => f.write_str("it has another secret (BADSIG); check the publisher's secret"),
            Self::Clock { ahead: Some(ahead) } => {
                let seconds = ahead.as_secs();
                let way = if seconds < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "its clock is {} s {way} this host's (BADTIME); set the clocks by NTP",
                    seconds.unsigned_abs()
                )
            }
            Self::Clock { ahead: None } => f.write_str("the clocks differ (BADTIME); set them by NTP"),
            Self::Truncated => f.write_str("it wants longer message authentication codes (BADTRUNC)"),
            Self::Other(code) => write!(f, "it reports TSIG error {code}"),
            Self::NotSaid => f.write_str(
                "it takes nothing that is signed with it, and does not say why (NOTAUTH); check `key_name`, `algorithm` and the publisher's secret, and that the clocks agree",
            ),
            Self::Unsigned => f.write_str("its answer is not signed, and is not believed"),
            Self::Forged => f.write_str("its answer is not signed with this key, and is not believed"),
        }
    }
}

/// An answer to an update that changed nothing (RFC 2136 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// REFUSED: the key may not do this.
    Refused,
    /// NOTAUTH: it is not authoritative for the zone.
    NotAuthoritative,
    /// NOTZONE: the name is not in the zone.
    NotInZone,
    /// SERVFAIL: something is wrong on its side.
    ServerFailure,
    /// FORMERR or NOTIMP: it takes no updates.
    NotImplemented,
    /// Another response code.
    Other(u16),
    /// The prerequisites failed though what stands there fits them; somebody changes it at the same time.
    Unsettled,
}

impl Refusal {
    /// Whether it can come of an update that was sent for another zone than the one which the name is in.
    pub(super) fn may_mean_another_zone(self) -> bool {
        matches!(self, Self::Refused | Self::NotAuthoritative | Self::NotInZone)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str(
                "REFUSED; allow the key to change TXT records there (BIND: update-policy, Knot: acl, PowerDNS: allow-dnsupdate-from)",
            ),
            Self::NotAuthoritative => f.write_str("NOTAUTH, it is not authoritative for the zone; check `zone` and `server` of the publisher (PowerDNS says the same of a wrong key or clock)"),
            Self::NotInZone => f.write_str("NOTZONE, the name is not in the zone; check `zone` of the publisher"),
            Self::ServerFailure => f.write_str("SERVFAIL; see its log"),
            Self::NotImplemented => f.write_str("it does not take updates (FORMERR or NOTIMP)"),
            Self::Other(code) => write!(f, "response code {code}"),
            Self::Unsettled => f.write_str("the record changes while it is looked at; try again"),
        }
    }
}
