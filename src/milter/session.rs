//! One connection of an MTA, from the filter's side.

use std::sync::Arc;

use super::command::{CommandError, CommandKind, Event};
use super::error::{ProtocolError, Stranger};
use super::frame::{self, FrameError, FrameReader, Located, Source};
use super::macros::{Macros, Stage};
use super::negotiation::{
    Actions, Agreement, ConnectReplies, HeaderChanges, Offer, RecipientEvents, Steps, SymbolLists,
};
use super::reply::{Reply, ReplyError, ValueSpacing};

/// What a session asks of the MTA, and its limits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The longest frame taken, in octets, command included. Default: 1 MiB and the command.
    pub frame_limit: u32,
    /// The most macros kept, in octets, all stages together. Default: 256 KiB.
    pub macro_limit: u32,
    /// Whether fields are changed and deleted, or only added. Default: only added.
    pub header_changes: HeaderChanges,
    /// Whether the filter is asked at CONNECT. Default: it is not.
    pub connects: ConnectReplies,
    /// Whether recipients are looked at. Default: they are not.
    pub recipients: RecipientEvents,
    /// The macros wanted; none to take what the MTA is configured to send.
    pub symbol_lists: Option<Arc<SymbolLists>>,
}

/// The filter's side of one connection: takes octets, gives events, knows when a reply is due.
///
/// The filter is asked at [`Event::Mail`], [`Event::EndOfHeader`] and [`Event::EndOfMessage`], and at [`Event::Connect`] where
/// its options want that, and must answer each with [`Session::reply`] before it goes on. All other replies the session gives by itself. Idle, it holds the macros of
/// the connection and nothing else.
#[derive(Debug)]
pub struct Session {
    frames: FrameReader,
    dialogue: Dialogue,
}

/// What [`Session::receive`] found.
#[derive(Debug)]
pub struct Received<'a> {
    /// How much of the input is done with, in octets.
    pub consumed: usize,
    /// What the MTA told; none if all the input is taken, or a reply is owed first.
    pub event: Option<Event<'a>>,
    /// The macros, for the event's sake.
    pub macros: &'a Macros,
}

/// All but the frames: what is agreed, where the dialogue stands.
#[derive(Debug)]
struct Dialogue {
    options: SessionOptions,
    agreement: Option<Agreement>,
    macros: Macros,
    state: State,
    due: Due,
}

/// See the diagram in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Negotiating,
    Connected,
    Envelope,
    Header,
    Body,
    PassedOver(Verdict),
    Ended,
}

/// What the filter said of a message before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Discarded,
    Rejected,
    Deferred,
}

/// The reply that the filter owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Connect,
    Mail,
    EndOfHeader,
    /// As EndOfHeader, but the MTA never sent it: nothing must be sent for it.
    ImpliedEndOfHeader,
    EndOfMessage,
}

/// What a command comes to.
enum Taken {
    /// Nothing that the filter need know.
    Quietly,
    /// An event, read from the payload.
    AsEvent,
    /// The body begins but the header was never ended.
    AsEndOfHeader,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            frame_limit: (1 << 20) + 1,
            macro_limit: 256 << 10,
            header_changes: HeaderChanges::AddOnly,
            connects: ConnectReplies::Unwanted,
            recipients: RecipientEvents::Unwanted,
            symbol_lists: Some(Arc::new(SymbolLists::default())),
        }
    }
}

impl Session {
    /// A session of which nothing has been heard.
    pub fn new(options: SessionOptions) -> Self {
        let dialogue = Dialogue {
            options,
            agreement: None,
            macros: Macros::default(),
            state: State::Negotiating,
            due: Due::Nothing,
        };
        Self { frames: FrameReader::default(), dialogue }
    }

    /// Takes octets from the MTA up to the next event, and appends replies that need no decision to `out`, which the
    /// caller sends before it waits for more input.
    ///
    /// Call it again with the rest of the input until that is used up; nothing is pending then. While a reply is owed it
    /// takes nothing. Frames that lie whole in `input` are not copied, bodies never. After an error the connection must be
    /// closed.
    pub fn receive<'a>(&'a mut self, input: &'a [u8], out: &mut Vec<u8>) -> Result<Received<'a>, ProtocolError> {
        let mut consumed = 0;
        let found = self.next(input, &mut consumed, out);
        if found.is_err() {
            self.dialogue.end();
        }
        let event = match found? {
            None => None,
            Some(Found::Piece(range)) => Some(Event::Body(&input[range])),
            Some(Found::Command(command, source)) => match Event::parse(command, self.frames.payload(input, &source)) {
                Ok(event) => Some(event),
                Err(error) => {
                    self.dialogue.end();
                    return Err(error.into());
                }
            },
        };
        Ok(Received { consumed, event, macros: &self.dialogue.macros })
    }

    /// Appends the reply to `out`. A final reply to a message ends it, and drops what its macros said.
    ///
    /// On an error nothing is appended, and the reply is still owed.
    pub fn reply(&mut self, reply: Reply<'_>, out: &mut Vec<u8>) -> Result<(), ReplyError> {
        let spacing = self.value_spacing();
        self.dialogue.reply(reply, spacing, out)?;
        if self.dialogue.state == State::Connected {
            self.frames.release(0);
        }
        Ok(())
    }

    /// Whether the filter must reply before anything else.
    pub fn owes_reply(&self) -> bool {
        self.dialogue.due != Due::Nothing
    }

    /// A macro's value, from the latest stage that has it. The braces of `{name}` may be left out.
    pub fn macro_value(&self, name: &str) -> Option<&[u8]> {
        self.dialogue.macros.value(name)
    }

    /// The macros known at this moment.
    pub fn macros(&self) -> &Macros {
        &self.dialogue.macros
    }

    /// What was agreed with the MTA; none before [`Event::Negotiated`].
    pub fn agreement(&self) -> Option<&Agreement> {
        self.dialogue.agreement.as_ref()
    }

    /// Whether the values of [`Event::Header`] keep the white space after the colon.
    pub fn value_spacing(&self) -> ValueSpacing {
        if self.dialogue.agreed(Steps::HEADER_LEADING_SPACE) {
            ValueSpacing::AsReceived
        } else {
            ValueSpacing::OneSpaceRemoved
        }
    }

    /// What the MTA lets the filter do to a message's header.
    pub fn header_changes(&self) -> HeaderChanges {
        match self.agreement() {
            Some(agreement) if agreement.actions.contains(Actions::CHANGE_HEADERS) => HeaderChanges::AddAndChange,
            _ => HeaderChanges::AddOnly,
        }
    }

    /// Whether no message is in progress and no frame has begun, so that the connection may be closed at shutdown.
    pub fn is_idle(&self) -> bool {
        let between_messages =
            matches!(self.dialogue.state, State::Negotiating | State::Connected | State::PassedOver(_) | State::Ended);
        between_messages && self.dialogue.due == Due::Nothing && self.frames.is_between_frames()
    }

    /// Whether a frame has begun to arrive and is not complete; the rest should not be long in coming.
    pub fn is_within_frame(&self) -> bool {
        !self.frames.is_between_frames()
    }

    /// Goes through the input until something is found that the filter must know.
    fn next(&mut self, input: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Result<Option<Found>, ProtocolError> {
        let Self { frames, dialogue } = self;
        while dialogue.due == Due::Nothing {
            if dialogue.state == State::Ended {
                *at = input.len();
                return Ok(None);
            }
            let located =
                frames.next(input, at, dialogue.options.frame_limit).map_err(|error| dialogue.explain(error))?;
            let (command, source) = match located {
                Located::NeedMore => return Ok(None),
                Located::Frame(command, source) => (command, source),
                Located::StreamBegins(command) => match dialogue.begin_stream(command)? {
                    Taken::AsEndOfHeader => {
                        frames.hold_back(at);
                        return Ok(Some(Found::Command(CommandKind::EndOfHeader, Source::Collected)));
                    }
                    _ => continue,
                },
                Located::Piece(range) if dialogue.state == State::Body => return Ok(Some(Found::Piece(range))),
                Located::Piece(_) => continue,
                Located::LastPiece(range) => {
                    dialogue.take(CommandKind::Body, &[], out)?;
                    match dialogue.state {
                        State::Body => return Ok(Some(Found::Piece(range))),
                        _ => continue,
                    }
                }
                Located::StreamEnds(command) => (command, Source::Collected),
            };
            match dialogue.take(command, frames.payload(input, &source), out)? {
                Taken::Quietly => {}
                _ => return Ok(Some(Found::Command(command, source))),
            }
        }
        Ok(None)
    }
}

/// What [`Session::next`] stops at.
enum Found {
    Command(CommandKind, Source),
    Piece(std::ops::Range<usize>),
}

impl Dialogue {
    /// A BODY or end of message is about to come.
    fn begin_stream(&mut self, command: CommandKind) -> Result<Taken, ProtocolError> {
        if self.state == State::Negotiating {
            return Err(ProtocolError::NotNegotiated { command });
        }
        if !matches!(self.state, State::Envelope | State::Header) {
            return Ok(Taken::Quietly);
        }
        self.state = State::Body;
        self.due = Due::ImpliedEndOfHeader;
        Ok(Taken::AsEndOfHeader)
    }

    /// Takes a command that has come whole.
    fn take(&mut self, command: CommandKind, payload: &[u8], out: &mut Vec<u8>) -> Result<Taken, ProtocolError> {
        if self.state == State::Negotiating && command != CommandKind::Negotiation {
            // An MTA that gives up at once is no error.
            if command == CommandKind::Quit {
                self.end();
                return Ok(Taken::AsEvent);
            }
            return Err(ProtocolError::NotNegotiated { command });
        }
        match command {
            CommandKind::Negotiation => self.negotiate(payload, out)?,
            CommandKind::Macros => return self.take_macros(payload),
            CommandKind::Connect => {
                self.macros.command(Stage::Connect);
                self.leave_message();
                match self.options.connects {
                    ConnectReplies::Wanted => self.due = Due::Connect,
                    ConnectReplies::Unwanted => self.continue_unless(Steps::NO_REPLY_CONNECT, out),
                }
            }
            CommandKind::Helo => {
                self.macros.command(Stage::Helo);
                self.leave_message();
                self.continue_unless(Steps::NO_REPLY_HELO, out);
            }
            CommandKind::Mail => {
                self.macros.command(Stage::Mail);
                self.state = State::Envelope;
                self.due = Due::Mail;
            }
            CommandKind::Recipient => {
                self.macros.command(Stage::Recipient);
                self.continue_unless(Steps::NO_REPLY_RECIPIENT, out);
                return Ok(self.event_in(&[State::Envelope]));
            }
            CommandKind::Data => {
                self.macros.command(Stage::Data);
                self.continue_unless(Steps::NO_REPLY_DATA, out);
                return Ok(self.event_in(&[State::Envelope]));
            }
            CommandKind::Header => {
                self.continue_unless(Steps::NO_REPLY_HEADER, out);
                let taken = self.event_in(&[State::Envelope, State::Header]);
                if self.state == State::Envelope {
                    self.state = State::Header;
                }
                return Ok(taken);
            }
            CommandKind::EndOfHeader => {
                if !matches!(self.state, State::Envelope | State::Header) {
                    self.continue_unless(Steps::NO_REPLY_END_OF_HEADER, out);
                    return Ok(Taken::Quietly);
                }
                self.state = State::Body;
                self.due = Due::EndOfHeader;
            }
            CommandKind::Body => {
                self.continue_unless(Steps::NO_REPLY_BODY, out);
                return Ok(Taken::Quietly);
            }
            CommandKind::EndOfMessage => {
                if self.state != State::Body {
                    self.end_unseen_message(out);
                    return Ok(Taken::Quietly);
                }
                self.due = Due::EndOfMessage;
            }
            CommandKind::Abort => {
                let taken = self.event_in(&[State::Envelope, State::Header, State::Body]);
                self.macros.forget_from(Stage::Mail);
                self.leave_message();
                return Ok(taken);
            }
            CommandKind::Unknown => self.continue_unless(Steps::NO_REPLY_UNKNOWN, out),
            CommandKind::Quit => self.end(),
            CommandKind::QuitNewConnection => {
                self.macros.forget_from(Stage::Connect);
                self.leave_message();
            }
        }
        Ok(Taken::AsEvent)
    }

    fn negotiate(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        if self.state != State::Negotiating {
            return Err(ProtocolError::NegotiatedTwice);
        }
        let lists = self.options.symbol_lists.as_deref();
        let SessionOptions { header_changes, recipients, connects, .. } = self.options;
        let agreement = Offer::parse(payload)?.accept(header_changes, recipients, connects, lists)?;
        agreement.append(lists, out);
        self.agreement = Some(agreement);
        self.state = State::Connected;
        Ok(())
    }

    /// Postfix sends macros for header fields, body and unknown commands too; those of no use are dropped.
    fn take_macros(&mut self, payload: &[u8]) -> Result<Taken, ProtocolError> {
        let Some((&octet, set)) = payload.split_first() else {
            return Err(CommandError::Malformed {
                command: CommandKind::Macros,
                problem: "it does not say which command the macros are for",
            }
            .into());
        };
        if let Some(stage) = CommandKind::of(octet).ok().and_then(Stage::of) {
            self.macros.announce(stage, set, self.options.macro_limit as usize)?;
        }
        Ok(Taken::Quietly)
    }

    /// Answers an end of message of which the filter knows nothing, or has judged before. The MTA waits for one reply; a
    /// message that was never announced must not go out unsigned.
    fn end_unseen_message(&mut self, out: &mut Vec<u8>) {
        let octet = match self.state {
            State::PassedOver(Verdict::Accepted) => b'a',
            State::PassedOver(Verdict::Discarded) => b'd',
            State::PassedOver(Verdict::Rejected) => b'r',
            _ => b't',
        };
        frame::append(out, octet, &[]);
        self.macros.forget_from(Stage::Mail);
        self.leave_message();
    }

    fn reply(&mut self, reply: Reply<'_>, spacing: ValueSpacing, out: &mut Vec<u8>) -> Result<(), ReplyError> {
        if self.due == Due::Nothing {
            return Err(ReplyError::NotDue);
        }
        if !reply.is_final() {
            if self.due != Due::EndOfMessage {
                return Err(ReplyError::NotEndOfMessage);
            }
            let needed = reply.needed_action();
            if !self.agreement.is_some_and(|agreement| agreement.actions.contains(needed)) {
                return Err(ReplyError::NotNegotiated);
            }
            return reply.append(spacing, out);
        }
        if self.due != Due::ImpliedEndOfHeader {
            reply.append(spacing, out)?;
        }
        let due = std::mem::replace(&mut self.due, Due::Nothing);
        match (due, Verdict::of(reply)) {
            (Due::EndOfMessage, _) => {
                self.macros.forget_from(Stage::Mail);
                self.leave_message();
            }
            // All that the client sends: should the MTA show some of it nevertheless, it is judged.
            (Due::Connect, _) => {}
            (_, Some(verdict)) => {
                self.macros.forget_from(Stage::Mail);
                self.leave_message();
                self.state = State::PassedOver(verdict);
            }
            (_, None) => {}
        }
        Ok(())
    }

    /// Between messages: nothing is kept but what is known of the connection.
    fn leave_message(&mut self) {
        self.state = State::Connected;
        self.macros.give_back();
    }

    fn end(&mut self) {
        self.macros = Macros::default();
        self.due = Due::Nothing;
        self.state = State::Ended;
    }

    fn continue_unless(&self, no_reply: Steps, out: &mut Vec<u8>) {
        if !self.agreed(no_reply) {
            frame::append(out, b'c', &[]);
        }
    }

    fn event_in(&self, states: &[State]) -> Taken {
        if states.contains(&self.state) { Taken::AsEvent } else { Taken::Quietly }
    }

    fn agreed(&self, steps: Steps) -> bool {
        self.agreement.is_some_and(|agreement| agreement.steps.contains(steps))
    }

    /// Says what else it may be that sends such frames.
    fn explain(&self, error: FrameError) -> ProtocolError {
        match error {
            FrameError::TooLong { octets, .. } if self.state == State::Negotiating => {
                Stranger::recognise(octets).map_or(error.into(), ProtocolError::NotMilter)
            }
            _ => error.into(),
        }
    }
}

impl Verdict {
    /// What a final reply says of the message; none if it goes on.
    fn of(reply: Reply<'_>) -> Option<Self> {
        Some(match reply {
            Reply::Accept => Self::Accepted,
            Reply::Discard => Self::Discarded,
            Reply::Reject | Reply::Code { code: 500.., .. } => Self::Rejected,
            Reply::TempFail | Reply::Code { .. } => Self::Deferred,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
