//! Why a connection must be closed.

use std::fmt;

use super::command::{CommandError, CommandKind};
use super::frame::FrameError;
use super::macros::MacrosTooLong;
use super::negotiation::NegotiationError;

/// Why a connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Not a milter client at all.
    #[error("the first octets look like {0}, not like the milter protocol; is something else pointed at this socket?")]
    NotMilter(Stranger),
    /// A frame with an impossible beginning.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A command that cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// More macros than any MTA sends.
    #[error(transparent)]
    Macros(#[from] MacrosTooLong),
    /// No session with this MTA is possible.
    #[error(transparent)]
    Negotiation(#[from] NegotiationError),
    /// A command came before the negotiation.
    #[error("the MTA sent {:?} before negotiating", char::from(*command as u8))]
    NotNegotiated {
        /// The command.
        command: CommandKind,
    },
    /// A second negotiation.
    #[error("the MTA negotiated a second time")]
    NegotiatedTwice,
}

/// Another protocol that may turn up by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stranger {
    /// HTTP.
    Http,
    /// SMTP.
    Smtp,
    /// TLS.
    Tls,
}

impl Stranger {
    /// The protocol that begins with these octets.
    pub(super) fn recognise(octets: [u8; 4]) -> Option<Self> {
        match &octets.map(|octet| octet.to_ascii_uppercase()) {
            b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" | b"DELE" | b"CONN" | b"PRI " => Some(Self::Http),
            b"EHLO" | b"HELO" | b"LHLO" | b"QUIT" | b"NOOP" | b"MAIL" => Some(Self::Smtp),
            [0x16, 3, ..] => Some(Self::Tls),
            _ => None,
        }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http => "HTTP",
            Self::Smtp => "SMTP",
            Self::Tls => "TLS",
        })
    }
}
