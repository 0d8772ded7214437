//! Signed questions and answers.

use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Message, MessageType};

use super::super::PublishError;
use super::super::pool::{Place, Pool};
use super::super::stream::Stream;
use super::Rfc2136Settings;
use super::tsig::believe;

/// A conversation with a server, in which everything is signed, each message by itself. It goes over a connection that was
/// kept, or a new one.
pub(super) struct Connection<'a> {
    settings: &'a Rfc2136Settings,
    place: Place<'a>,
}

impl<'a> Connection<'a> {
    pub(super) async fn new(settings: &'a Rfc2136Settings, pool: &'a Pool) -> Self {
        Self { settings, place: pool.place().await }
    }

    /// The server, for messages.
    pub(super) fn server(&self) -> String {
        self.settings.server.to_string()
    }

    /// Signs a message, sends it and gives the answer, verified.
    ///
    /// A server may close a connection on which it has answered, at any time (RFC 7766 §6.2.3). Then the message is sent
    /// once more, on a new one. That is safe even if the server had acted on it: every update has prerequisites that its own
    /// effect makes fail, or deletes a record by its value, and questions change nothing. After a timeout nothing is
    /// sent again.
    pub(super) async fn ask(&mut self, message: Message) -> Result<Message, PublishError> {
        if let Some(used) = self.place.take() {
            match self.exchange(used, message.clone()).await {
                Err(PublishError::Connection { .. }) => {}
                answer => return answer,
            }
        }
        let new = Stream::open(&self.settings.server, self.settings.timeout).await?;
        self.exchange(new, message).await
    }

    async fn exchange(&mut self, mut stream: Stream, mut message: Message) -> Result<Message, PublishError> {
        let Rfc2136Settings { key, clock, .. } = self.settings;
        let asked_at = u64::try_from(clock.now().as_second()).unwrap_or(0);
        let (id, op_code) = (message.metadata.id, message.metadata.op_code);
        let unsent = |error: ProtoError| stream.malformed(format!("the question could not be written: {error}"));
        let verifier = key.sign(&mut message, asked_at).map_err(unsent)?;
        let octets = message.to_vec().map_err(unsent)?;
        let answer = stream.exchange(&octets).await?;
        let message = believe(&answer, &verifier).map_err(|problem| match problem {
            Ok(problem) => PublishError::Credentials { server: self.server(), key_name: key.name(), problem },
            Err(detail) => stream.malformed(detail),
        })?;
        let metadata = &message.metadata;
        if metadata.id != id || metadata.message_type != MessageType::Response || metadata.op_code != op_code {
            return Err(stream.malformed("it answers something else".into()));
        }
        self.place.put(stream);
        Ok(message)
    }
}
