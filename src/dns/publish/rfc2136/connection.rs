//! Signed questions and answers.

use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType};

use super::super::PublishError;
use super::super::stream::Stream;
use super::tsig::{TsigKey, believe};
use crate::clock::Clock;
use crate::config::NameServer;

/// A connection to a server, on which everything is signed.
pub(super) struct Connection<'a> {
    stream: Stream,
    key: &'a TsigKey,
    clock: Clock,
}

impl<'a> Connection<'a> {
    pub(super) async fn open(
        server: &NameServer,
        key: &'a TsigKey,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self, PublishError> {
        Ok(Self { stream: Stream::open(server, timeout).await?, key, clock })
    }

    /// The server, for messages.
    pub(super) fn server(&self) -> &str {
        self.stream.server()
    }

    /// Signs a message, sends it and gives the answer, verified.
    pub(super) async fn ask(&mut self, mut message: Message) -> Result<Message, PublishError> {
        let asked_at = u64::try_from(self.clock.now().as_second()).unwrap_or(0);
        let (id, op_code) = (message.metadata.id, message.metadata.op_code);
        let unsent = |error: hickory_resolver::proto::ProtoError| self.stream.malformed(error.to_string());
        let verifier = message.finalize(self.key.signer(), asked_at).map_err(unsent)?;
        let octets = message.to_vec().map_err(unsent)?;
        let Some(verifier) = verifier else { return Err(self.stream.malformed("it could not be signed".into())) };
        let answer = self.stream.exchange(&octets).await?;
        let message = believe(&answer, verifier, asked_at).map_err(|problem| match problem {
            Ok(problem) => {
                let (server, key_name) = (self.stream.server().to_owned(), self.key.name());
                PublishError::Credentials { server, key_name, problem }
            }
            Err(detail) => self.stream.malformed(detail),
        })?;
        let metadata = &message.metadata;
        if metadata.id != id || metadata.message_type != MessageType::Response || metadata.op_code != op_code {
            return Err(self.stream.malformed("it answers something else".into()));
        }
        Ok(message)
    }
}
