//! Messages over TCP (RFC 1035 §4.2.2, RFC 7766), to a server by name.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::PublishError;
use crate::config::NameServer;

/// A connection to a server.
pub(super) struct Stream {
    stream: TcpStream,
    server: String,
    timeout: Duration,
}

impl Stream {
    /// Connects to the first of the server's addresses that takes the connection.
    pub(super) async fn open(server: &NameServer, timeout: Duration) -> Result<Self, PublishError> {
        let name = server.to_string();
        let stream = connect(&server.host, server.port, &name, timeout).await?;
        Ok(Self { stream, server: name, timeout })
    }

    /// Sends a message and gives the next one that comes.
    pub(super) async fn exchange(&mut self, octets: &[u8]) -> Result<Vec<u8>, PublishError> {
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

    /// Whether it is open and nothing has come unasked, as far as is known here; the server may close it at any time.
    pub(super) fn is_at_rest(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    #[cfg(test)]
    pub(super) async fn wait_until_readable(&self) {
        self.stream.readable().await.unwrap();
    }

    pub(super) fn malformed(&self, detail: String) -> PublishError {
        PublishError::Malformed { server: self.server.clone(), detail }
    }
}

/// A connection to the first address of a host that takes it.
pub(super) async fn connect(host: &str, port: u16, server: &str, timeout: Duration) -> Result<TcpStream, PublishError> {
    let until = Instant::now() + timeout;
    let connecting = async {
        let addresses = tokio::net::lookup_host((host, port)).await;
        let addresses = addresses.map_err(|source| PublishError::NoAddress { server: server.into(), source })?;
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(PublishError::Connection { server: server.into(), source: failure })
    };
    let stream = match timeout_at(until, connecting).await {
        Ok(stream) => stream?,
        Err(_) => return Err(PublishError::Timeout { server: server.into(), after: timeout }),
    };
    // Small messages go to and fro: waiting to fill a segment would only cost time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
