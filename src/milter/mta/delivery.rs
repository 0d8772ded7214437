//! One message played through a filter, step by step.

use super::answer::{Answer, AnswerError};
use super::commands::{Expect, Mta};
use super::message::Message;

/// How much is written before it is sent, in octets, where no reply is due.
const BURST: usize = 64 << 10;

/// Who sends a message to whom.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// In angle brackets, as in SMTP.
    pub sender: Vec<u8>,
    /// In angle brackets, as in SMTP.
    pub recipients: Vec<Vec<u8>>,
    /// The queue id, which Postfix has after the first recipient.
    pub queue_id: Vec<u8>,
}

/// A message on its way through a filter, as Postfix does it: write what can be written, wait where a reply is due.
#[derive(Debug)]
pub struct Delivery {
    next: Next,
    /// Octets of the body that were written.
    written: usize,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send what was written and go on.
    Flush,
    /// Send what was written, read answers up to a final one, and hand each to [`Delivery::answered`].
    Await,
    /// Send what was written; this is over.
    Finished(Outcome),
}

/// What became of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It may be delivered.
    Accepted,
    /// It was refused; with the filter's own text if it gave one.
    Refused(Vec<u8>),
    /// It was deferred; with the filter's own text if it gave one.
    Deferred(Vec<u8>),
    /// It was dropped.
    Discarded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Mail,
    Recipient(usize),
    Data,
    Header(usize),
    EndOfHeader,
    Body,
    EndOfMessage,
    /// End of message was sent.
    Answer,
    Over(Outcome),
}

impl Delivery {
    /// A message of which nothing was sent.
    pub fn new() -> Self {
        Self { next: Next::Mail, written: 0 }
    }

    /// Writes commands up to the next reply that is due, or until there is enough to be sent.
    pub fn step(&mut self, mta: &mut Mta, envelope: &Envelope, message: &Message, out: &mut Vec<u8>) -> Step {
        loop {
            let expect = match &self.next {
                Next::Mail => {
                    self.next = Next::Recipient(0);
                    mta.clear_macro("i");
                    mta.mail(&envelope.sender, &[], out)
                }
                &Next::Recipient(index) => match envelope.recipients.get(index) {
                    Some(recipient) => {
                        self.next = Next::Recipient(index + 1);
                        let expect = mta.recipient(recipient, &[], out);
                        mta.set_macro("i", &envelope.queue_id);
                        expect
                    }
                    None => {
                        self.next = Next::Data;
                        Expect::Nothing
                    }
                },
                Next::Data => {
                    self.next = Next::Header(0);
                    mta.data(out)
                }
                &Next::Header(from) => self.headers(from, mta, message, out),
                Next::EndOfHeader => {
                    self.next = if message.body().is_empty() { Next::EndOfMessage } else { Next::Body };
                    mta.end_of_header(out)
                }
                Next::Body => {
                    let (expect, rest) = mta.body(&message.body()[self.written..], out);
                    self.written = message.body().len() - rest.len();
                    if rest.is_empty() {
                        self.next = Next::EndOfMessage;
                    }
                    expect
                }
                Next::EndOfMessage => {
                    self.next = Next::Answer;
                    mta.end_of_message(out)
                }
                Next::Answer => Expect::Reply,
                Next::Over(outcome) => {
                    mta.clear_macro("i");
                    return Step::Finished(outcome.clone());
                }
            };
            if expect == Expect::Reply {
                return Step::Await;
            }
            if out.len() >= BURST {
                return Step::Flush;
            }
        }
    }

    /// Takes one answer of the filter. Modifications are the caller's to apply.
    pub fn answered(&mut self, answer: &Answer<'_>) -> Result<(), AnswerError> {
        if !answer.is_final() {
            return match (answer, &self.next) {
                (Answer::Progress, _) | (_, Next::Answer) => Ok(()),
                _ => Err(AnswerError::NotEndOfMessage),
            };
        }
        // A recipient that is refused leaves the others.
        let is_recipient = matches!(self.next, Next::Recipient(1..));
        let outcome = match answer {
            Answer::Accept => Outcome::Accepted,
            Answer::Discard => Outcome::Discarded,
            Answer::Reject | Answer::TempFail | Answer::Code(_) if is_recipient => return Ok(()),
            Answer::Reject => Outcome::Refused(Vec::new()),
            Answer::TempFail | Answer::Shutdown => Outcome::Deferred(Vec::new()),
            Answer::Code(text) if text.starts_with(b"5") => Outcome::Refused(text.to_vec()),
            Answer::Code(text) => Outcome::Deferred(text.to_vec()),
            Answer::Skip if self.next == Next::Body => {
                self.next = Next::EndOfMessage;
                return Ok(());
            }
            _ if self.next == Next::Answer => Outcome::Accepted,
            _ => return Ok(()),
        };
        self.next = Next::Over(outcome);
        Ok(())
    }

    /// Whether end of message was sent and is not answered.
    pub fn is_at_end_of_message(&self) -> bool {
        self.next == Next::Answer
    }

    /// Header fields up to one that is answered.
    fn headers(&mut self, from: usize, mta: &Mta, message: &Message, out: &mut Vec<u8>) -> Expect {
        for (index, (name, value)) in message.shown().enumerate().skip(from) {
            if mta.header(name, value, out) == Expect::Reply {
                self.next = Next::Header(index + 1);
                return Expect::Reply;
            }
        }
        self.next = Next::EndOfHeader;
        Expect::Nothing
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self::new()
    }
}
