//! Negotiation: which version, which modifications, which commands and which replies.
//!
//! Only what was offered is asked for: Sendmail ends the session otherwise. NR_MAIL is never asked for, since Sendmail
//! then leaves ABORT out; nor NR_EOH, since the answer there spares the body of messages that are not ours.

use std::borrow::Cow;
use std::fmt;
use std::ops::{BitAnd, BitOr};

use super::frame;
use super::macros::Stage;

/// The newest version of the protocol.
const VERSION: u32 = 6;

/// What the filter may do to messages (SMFIF_*).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u32);

/// Which commands are sent and which are answered (SMFIP_*).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Steps(u32);

impl Actions {
    /// Add and insert header fields.
    pub const ADD_HEADERS: Self = Self(0x1);
    /// Replace the body.
    pub const CHANGE_BODY: Self = Self(0x2);
    /// Add recipients.
    pub const ADD_RECIPIENTS: Self = Self(0x4);
    /// Delete recipients.
    pub const DELETE_RECIPIENTS: Self = Self(0x8);
    /// Change and delete header fields.
    pub const CHANGE_HEADERS: Self = Self(0x10);
    /// Put the message into quarantine.
    pub const QUARANTINE: Self = Self(0x20);
    /// Change the envelope sender.
    pub const CHANGE_SENDER: Self = Self(0x40);
    /// Add recipients with ESMTP parameters.
    pub const ADD_RECIPIENTS_WITH_PARAMETERS: Self = Self(0x80);
    /// Say which macros are wanted.
    pub const SET_SYMBOL_LISTS: Self = Self(0x100);
}

impl Steps {
    /// HELO is not sent.
    pub const NO_HELO: Self = Self(0x2);
    /// RCPT is not sent.
    pub const NO_RECIPIENT: Self = Self(0x8);
    /// Header fields are not answered.
    pub const NO_REPLY_HEADER: Self = Self(0x80);
    /// Unknown SMTP commands are not sent.
    pub const NO_UNKNOWN: Self = Self(0x100);
    /// DATA is not sent.
    pub const NO_DATA: Self = Self(0x200);
    /// CONNECT is not answered.
    pub const NO_REPLY_CONNECT: Self = Self(0x1000);
    /// HELO is not answered.
    pub const NO_REPLY_HELO: Self = Self(0x2000);
    /// MAIL is not answered.
    pub const NO_REPLY_MAIL: Self = Self(0x4000);
    /// RCPT is not answered.
    pub const NO_REPLY_RECIPIENT: Self = Self(0x8000);
    /// DATA is not answered.
    pub const NO_REPLY_DATA: Self = Self(0x1_0000);
    /// Unknown SMTP commands are not answered.
    pub const NO_REPLY_UNKNOWN: Self = Self(0x2_0000);
    /// End of header is not answered.
    pub const NO_REPLY_END_OF_HEADER: Self = Self(0x4_0000);
    /// Body is not answered.
    pub const NO_REPLY_BODY: Self = Self(0x8_0000);
    /// Values of header fields keep the white space after the colon, both ways.
    pub const HEADER_LEADING_SPACE: Self = Self(0x10_0000);

    /// What a signer asks for, if it is offered.
    const WANTED: Self = Self(
        Self::NO_HELO.0
            | Self::NO_RECIPIENT.0
            | Self::NO_UNKNOWN.0
            | Self::NO_DATA.0
            | Self::NO_REPLY_HEADER.0
            | Self::NO_REPLY_BODY.0
            | Self::NO_REPLY_CONNECT.0
            | Self::HEADER_LEADING_SPACE.0,
    );

    /// The same for a signer that looks at recipients.
    const WANTED_WITH_RECIPIENTS: Self = Self(Self::WANTED.0 & !Self::NO_RECIPIENT.0 | Self::NO_REPLY_RECIPIENT.0);
}

/// What the MTA offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The highest version it speaks.
    pub version: u32,
    /// The modifications it allows.
    pub actions: Actions,
    /// The commands it can leave out, and the replies it can do without.
    pub steps: Steps,
}

/// What both sides hold to from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The version spoken: 2 to 6.
    pub version: u32,
    /// The modifications the filter may make.
    pub actions: Actions,
    /// The commands that are not sent and the replies that are not given.
    pub steps: Steps,
}

/// Whether the filter changes or deletes header fields, or only adds some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderChanges {
    /// Fields are only added.
    #[default]
    AddOnly,
    /// Fields are changed and deleted too, if the MTA allows it.
    AddAndChange,
}

/// Whether the filter may be done with a client when it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConnectReplies {
    /// CONNECT is not answered, if the MTA can do without.
    #[default]
    Unwanted,
    /// The filter is asked at CONNECT, so that it can accept all that the client will send.
    Wanted,
}

/// Whether the filter looks at recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecipientEvents {
    /// RCPT is not sent, if the MTA can leave it out.
    #[default]
    Unwanted,
    /// RCPT is sent, and not answered, if the MTA can do without.
    Wanted,
}

/// Which macros the filter wants at each stage: names separated by spaces, those longer than a letter in braces.
///
/// They replace what the MTA is configured to send. Sendmail takes at most 50 names a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolLists {
    /// With CONNECT.
    pub connect: Cow<'static, str>,
    /// With HELO.
    pub helo: Cow<'static, str>,
    /// With MAIL.
    pub mail: Cow<'static, str>,
    /// With each RCPT.
    pub recipient: Cow<'static, str>,
    /// With DATA.
    pub data: Cow<'static, str>,
    /// With end of header.
    pub end_of_header: Cow<'static, str>,
    /// With end of message.
    pub end_of_message: Cow<'static, str>,
}

/// Why there can be no session with this MTA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// Fewer octets than an offer has.
    #[error("the MTA's offer has {length} octets; 12 were expected")]
    Short {
        /// Octets that came.
        length: usize,
    },
    /// Older than anything that can be spoken with.
    #[error("the MTA offers milter version {offered}; at least 2 is needed (for Postfix, set milter_protocol = 6)")]
    Version {
        /// The version offered.
        offered: u32,
    },
    /// Signatures could not be added.
    #[error(
        "the MTA does not allow header fields to be added (it offers the actions {offered}, without 0x1), so it cannot be given signatures"
    )]
    NoAddHeaders {
        /// The actions offered.
        offered: Actions,
    },
}

impl Offer {
    /// What Postfix and Sendmail offer by default since 2009.
    pub const POSTFIX: Self = Self { version: VERSION, actions: Actions(0x1ff), steps: Steps(0x1f_ffff) };

    /// Reads the payload of the MTA's O.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, NegotiationError> {
        let Some([version, actions, steps]) = words(payload) else {
            return Err(NegotiationError::Short { length: payload.len() });
        };
        Ok(Self { version, actions: Actions(actions), steps: Steps(steps) })
    }

    /// The payload of O.
    pub(super) fn octets(&self) -> [u8; 12] {
        three_words(self.version, self.actions, self.steps)
    }

    /// What a signer agrees to.
    pub(super) fn accept(
        &self,
        changes: HeaderChanges,
        recipients: RecipientEvents,
        connects: ConnectReplies,
        lists: Option<&SymbolLists>,
    ) -> Result<Agreement, NegotiationError> {
        if self.version < 2 {
            return Err(NegotiationError::Version { offered: self.version });
        }
        // Sendmail before version 2 of the protocol offered 0 and allowed these four; libmilter takes it so to this day.
        let offered = if self.actions == Actions(0) { Actions(0xf) } else { self.actions };
        if !offered.contains(Actions::ADD_HEADERS) {
            return Err(NegotiationError::NoAddHeaders { offered });
        }
        let mut wanted = Actions::ADD_HEADERS;
        if changes == HeaderChanges::AddAndChange {
            wanted = wanted | Actions::CHANGE_HEADERS;
        }
        if lists.is_some() {
            wanted = wanted | Actions::SET_SYMBOL_LISTS;
        }
        let mut steps = match recipients {
            RecipientEvents::Unwanted => Steps::WANTED,
            RecipientEvents::Wanted => Steps::WANTED_WITH_RECIPIENTS,
        };
        if connects == ConnectReplies::Wanted {
            steps = Steps(steps.0 & !Steps::NO_REPLY_CONNECT.0);
        }
        Ok(Agreement { version: self.version.min(VERSION), actions: wanted & offered, steps: steps & self.steps })
    }
}

impl Agreement {
    /// Appends the filter's O. The lists of all stages go with it or none: Sendmail looks for end of header's list to
    /// tell whether there is one for end of message.
    pub(super) fn append(&self, lists: Option<&SymbolLists>, out: &mut Vec<u8>) {
        frame::append_with(out, b'O', |out| {
            out.extend_from_slice(&three_words(self.version, self.actions, self.steps));
            let Some(lists) = lists.filter(|_| self.actions.contains(Actions::SET_SYMBOL_LISTS)) else { return };
            for stage in Stage::ALL {
                out.extend_from_slice(&stage.number().to_be_bytes());
                out.extend(lists.of(stage).bytes().filter(|&octet| octet != 0));
                out.push(0);
            }
        });
    }

    /// Reads the filter's O: the agreement and what follows it, the symbol lists.
    pub(super) fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let [version, actions, steps] = words(payload)?;
        Some((Self { version, actions: Actions(actions), steps: Steps(steps) }, payload.get(12..)?))
    }
}

impl SymbolLists {
    /// The same and these macros, at each stage up to the end of the header at which an MTA may have a value for them. Names
    /// as they stand in lists: those longer than a letter in braces.
    #[must_use]
    pub fn with<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        for name in names {
            for list in [&mut self.connect, &mut self.helo, &mut self.mail, &mut self.end_of_header] {
                if !list.split(' ').any(|known| known == name) {
                    *list = Cow::Owned(format!("{list} {name}"));
                }
            }
        }
        self
    }

    /// The list of one stage.
    pub fn of(&self, stage: Stage) -> &str {
        match stage {
            Stage::Connect => &self.connect,
            Stage::Helo => &self.helo,
            Stage::Mail => &self.mail,
            Stage::Recipient => &self.recipient,
            Stage::Data => &self.data,
            Stage::EndOfHeader => &self.end_of_header,
            Stage::EndOfMessage => &self.end_of_message,
        }
    }
}

impl Default for SymbolLists {
    /// Who submits, to which MTA, and the queue id at every stage, since MTAs know it early or late.
    fn default() -> Self {
        Self {
            connect: "j v {daemon_name} {daemon_addr} {client_addr} {client_name}".into(),
            helo: "{tls_version}".into(),
            mail: "i {auth_type} {auth_authen} {auth_author} {mail_addr}".into(),
            recipient: "i".into(),
            data: "i".into(),
            end_of_header: "i".into(),
            end_of_message: "i".into(),
        }
    }
}

/// The first three 32-bit words.
fn words(payload: &[u8]) -> Option<[u32; 3]> {
    let (words, _) = payload.as_chunks::<4>();
    let &[version, actions, steps, ..] = words else { return None };
    Some([version, actions, steps].map(u32::from_be_bytes))
}

fn three_words(version: u32, actions: Actions, steps: Steps) -> [u8; 12] {
    let mut octets = [0; 12];
    octets[..4].copy_from_slice(&version.to_be_bytes());
    octets[4..8].copy_from_slice(&actions.0.to_be_bytes());
    octets[8..].copy_from_slice(&steps.0.to_be_bytes());
    octets
}

/// The operations of a set of bits.
macro_rules! bits {
    ($($name:ident),*) => {$(
        impl $name {
            /// The set with these bits, known or not.
            pub const fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// The bits as they stand on the wire.
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Whether all of `other` is in this set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitAnd for $name {
            type Output = Self;

            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:#x})", stringify!($name), self.0)
            }
        }
    )*};
}

bits!(Actions, Steps);

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(version: u32, actions: u32, steps: u32) -> Result<Agreement, NegotiationError> {
        let offer = Offer { version, actions: Actions(actions), steps: Steps(steps) };
        assert_eq!(Offer::parse(&offer.octets()), Ok(offer));
        offer.accept(
            HeaderChanges::AddOnly,
            RecipientEvents::Unwanted,
            ConnectReplies::Unwanted,
            Some(&SymbolLists::default()),
        )
    }

    #[test]
    fn todays_mtas_are_asked_for_all_that_a_signer_wants() {
        let agreement = agree(6, 0x1ff, 0x1f_ffff).unwrap();
        assert_eq!(agreement, Agreement { version: 6, actions: Actions(0x101), steps: Steps(0x18_138a) });
        assert_eq!(agree(6, 0x1ff, 0x3fff_ffff | 0x8000_0000).unwrap(), agreement);
        assert_eq!(agree(7, 0x1ff, 0x1f_ffff).unwrap(), agreement);
    }

    #[test]
    fn nothing_is_asked_for_that_was_not_offered() {
        for (version, actions, steps) in
            [(2, 0x3f, 0x7f), (2, 0x1ff, 0x7f), (3, 0x1ff, 0x17f), (4, 0x1ff, 0x37f), (4, 0x1f, 0x3ff), (6, 1, 0)]
        {
            let agreement = agree(version, actions, steps).unwrap();
            assert_eq!(agreement.version, version);
            assert_eq!(agreement.actions.bits() & !actions, 0);
            assert_eq!(agreement.steps.bits() & !steps, 0);
            assert!(!agreement.steps.contains(Steps::NO_REPLY_MAIL));
            assert!(!agreement.steps.contains(Steps::NO_REPLY_END_OF_HEADER));
        }
    }

    #[test]
    fn an_mta_that_cannot_be_served_is_told_why() {
        assert_eq!(agree(1, 0x1ff, 0x3f), Err(NegotiationError::Version { offered: 1 }));
        let error = agree(6, 0x1fe, 0x1f_ffff).unwrap_err();
        assert_eq!(error, NegotiationError::NoAddHeaders { offered: Actions(0x1fe) });
        assert!(error.to_string().contains("0x1fe"));
        assert_eq!(Offer::parse(&[0; 11]), Err(NegotiationError::Short { length: 11 }));
        assert_eq!(agree(2, 0, 0).unwrap().actions, Actions::ADD_HEADERS);
    }

    #[test]
    fn changes_and_lists_are_asked_for_only_if_wanted() {
        let offer = Offer { version: 6, actions: Actions(0x1ff), steps: Steps(0x1f_ffff) };
        let agreement =
            offer.accept(HeaderChanges::AddAndChange, RecipientEvents::Wanted, ConnectReplies::Wanted, None).unwrap();
        assert_eq!(agreement.actions, Actions(0x11));
        assert!(!agreement.steps.contains(Steps::NO_RECIPIENT) && agreement.steps.contains(Steps::NO_REPLY_RECIPIENT));
        assert!(!agreement.steps.contains(Steps::NO_REPLY_CONNECT));
        let mut out = Vec::new();
        agreement.append(Some(&SymbolLists::default()), &mut out);
        assert_eq!(out.len(), frame::OVERHEAD + 12);
    }

    #[test]
    fn macros_of_the_administrator_are_asked_for_where_they_may_be_known() {
        let lists = SymbolLists::default().with(["{ours}", "j", "{auth_type}"]);
        assert!(lists.connect.ends_with(" {ours} {auth_type}") && lists.connect.starts_with("j v "));
        assert_eq!(lists.mail, "i {auth_type} {auth_authen} {auth_author} {mail_addr} {ours} j");
        assert_eq!(lists.end_of_header, "i {ours} j {auth_type}");
        assert_eq!(lists.end_of_message, "i");
    }

    #[test]
    fn all_seven_lists_are_sent_or_none() {
        let mut out = Vec::new();
        agree(6, 0x1ff, 0x1f_ffff).unwrap().append(Some(&SymbolLists::default()), &mut out);
        let (_, mut lists) = Agreement::parse(&out[frame::OVERHEAD..]).unwrap();
        let mut numbers = Vec::new();
        while let Some((number, rest)) = lists.split_first_chunk::<4>() {
            numbers.push(u32::from_be_bytes(*number));
            let end = rest.iter().position(|&octet| octet == 0).unwrap();
            lists = &rest[end + 1..];
        }
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    }
}
