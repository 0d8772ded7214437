//! Signed questions and answers over TCP.

use std::io;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::super::PublishError;
use super::tsig::{TsigKey, believe};
use crate::clock::Clock;
use crate::config::NameServer;

/// A connection to a server. It lasts for one operation.
pub(super) struct Connection<'a> {
    stream: TcpStream,
    server: String,
    key: &'a TsigKey,
    clock: Clock,
    timeout: Duration,
}

impl<'a> Connection<'a> {
    /// Connects to the first of the server's addresses that takes the connection.
    pub(super) async fn open(
        server: &NameServer,
        key: &'a TsigKey,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self, PublishError> {
        let name = server.to_string();
        let until = Instant::now() + timeout;
        let connecting = async {
            let addresses = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
            let addresses = addresses.map_err(|source| PublishError::NoAddress { server: name.clone(), source })?;
            let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = error,
                }
            }
            Err(PublishError::Connection { server: name.clone(), source: failure })
        };
        let stream = match timeout_at(until, connecting).await {
            Ok(stream) => stream?,
            Err(_) => return Err(PublishError::Timeout { server: name, after: timeout }),
        };
        // Two small messages go each way: waiting to fill a segment would only cost time.
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, server: name, key, clock, timeout })
    }

    /// The server, for messages.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Signs a message, sends it and gives the answer, verified.
    pub(super) async fn ask(&mut self, mut message: Message) -> Result<Message, PublishError> {
        let asked_at = u64::try_from(self.clock.now().as_second()).unwrap_or(0);
        let (id, op_code) = (message.metadata.id, message.metadata.op_code);
        let verifier =
            message.finalize(self.key.signer(), asked_at).map_err(|error| self.malformed(error.to_string()))?;
        let octets = message.to_vec().map_err(|error| self.malformed(error.to_string()))?;
        let Some(verifier) = verifier else { return Err(self.malformed("it could not be signed".into())) };
        let answer = self.exchange(&octets).await?;
        let message = believe(&answer, verifier, asked_at).map_err(|problem| match problem {
            Ok(problem) => {
                PublishError::Credentials { server: self.server.clone(), key_name: self.key.name(), problem }
            }
            Err(detail) => self.malformed(detail),
        })?;
        let metadata = &message.metadata;
        if metadata.id != id || metadata.message_type != MessageType::Response || metadata.op_code != op_code {
            return Err(self.malformed("it answers something else".into()));
        }
        Ok(message)
    }

    async fn exchange(&mut self, octets: &[u8]) -> Result<Vec<u8>, PublishError> {
        let until = Instant::now() + self.timeout;
        let Ok(length) = u16::try_from(octets.len()) else {
            return Err(self.malformed("the question itself is too long".into()));
        };
        let stream = &mut self.stream;
        let exchange = async {
            stream.write_all(&[&length.to_be_bytes(), octets].concat()).await?;
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            io::Result::Ok(answer)
        };
        match timeout_at(until, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(PublishError::Connection { server: self.server.clone(), source }),
            Err(_) => Err(PublishError::Timeout { server: self.server.clone(), after: self.timeout }),
        }
    }

    pub(super) fn malformed(&self, detail: String) -> PublishError {
        PublishError::Malformed { server: self.server.clone(), detail }
    }
}
