//! One question to one address, until there is an answer or no hope of one.
//!
//! ```text
//! UDP ─silence─▶ UDP again ─silence─▶ TCP ─silence─▶ a pause, UDP once more ─▶ Timeout
//!  │ TC                                 ▲
//!  ├────────────────────────────────────┤
//!  └ unreachable, or an answer to something else
//! ```
//!
//! Each datagram has a socket of its own, connected to the server: the kernel checks where an answer comes from, its port
//! is random, and an ICMP error reaches the question that caused it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::Settings;
use super::gate::{Gate, Gates};
use super::wire::{Question, Reply};
use crate::clock::Clock;
use crate::observation::{Silence, Truncation};

/// More than any server sends to a question that asks for 1232 octets.
const DATAGRAM: usize = 4096;

/// Sockets that are open at once, to all addresses: half of what a process may have by default.
const MOST_SOCKETS: usize = 512;

/// Asks addresses.
pub(super) struct Transport {
    gates: Gates,
    sockets: Semaphore,
    timeout: Duration,
    attempts: u32,
    clock: Clock,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// No route to the address family.
    NoRoute,
    Silent(Silence),
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { timeout, attempts, clock, .. } = settings;
        let (gates, sockets) = (Gates::new(settings), Semaphore::new(MOST_SOCKETS));
        Self { gates, sockets, timeout: *timeout, attempts: attempts.get(), clock: *clock }
    }

    /// Asks until there is an answer or no hope of one. Takes at most the number of attempts and two more timeouts and a
    /// half, beside the wait for its turn.
    pub(super) async fn ask(&self, server: SocketAddr, question: &Question) -> Result<Reply, Failure> {
        let reply = self.ask_once(server, question).await?;
        let code = reply.message.metadata.response_code;
        if matches!(code, ResponseCode::FormErr | ResponseCode::NotImp) && reply.message.edns.is_none() {
            return self.ask_once(server, &question.without_edns()).await;
        }
        Ok(reply)
    }

    async fn ask_once(&self, server: SocketAddr, question: &Question) -> Result<Reply, Failure> {
        let gate = self.gates.of(server);
        let Ok(_slot) = gate.slots.acquire().await else { return Err(Failure::Silent(Silence::Timeout)) };
        if gate.is_left_alone(self.clock.monotonic()) {
            return Err(Failure::Silent(Silence::Timeout));
        }
        let outcome = self.by_every_way(&gate, server, question).await;
        match &outcome {
            Ok(_) => gate.answered(),
            Err(Failure::Silent(Silence::Timeout)) => gate.gave_up(self.clock.monotonic()),
            Err(_) => {}
        }
        outcome
    }

    async fn by_every_way(&self, gate: &Arc<Gate>, server: SocketAddr, question: &Question) -> Result<Reply, Failure> {
        let mut silence = Silence::Timeout;
        for _ in 0..self.attempts {
            match self.over_udp(gate, server, question).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::NoRoute) => return Err(Failure::NoRoute),
                Err(Failure::Silent(Silence::Timeout)) => gate.was_silent(),
                Err(Failure::Silent(other)) => {
                    silence = other;
                    break;
                }
            }
        }
        gate.turn().await;
        let begun = self.clock.monotonic();
        match self.over_tcp(server, question).await {
            Ok(message) => return Ok(self.reply(message, Truncation::None, begun)),
            // What UDP brought says more than a connection that fails.
            Err(malformed @ Silence::Malformed { .. }) if silence == Silence::Timeout => silence = malformed,
            Err(_) => gate.was_silent(),
        }
        if silence == Silence::Timeout {
            tokio::time::sleep(self.timeout / 2).await;
            return self.over_udp(gate, server, question).await;
        }
        Err(Failure::Silent(silence))
    }

    /// One datagram, and TCP if its answer is cut off.
    async fn over_udp(&self, gate: &Arc<Gate>, server: SocketAddr, question: &Question) -> Result<Reply, Failure> {
        gate.turn().await;
        let begun = self.clock.monotonic();
        let message = self.datagram(server, question).await?;
        if !message.metadata.truncation {
            return Ok(self.reply(message, Truncation::None, begun));
        }
        gate.turn().await;
        Ok(match self.over_tcp(server, question).await {
            Ok(whole) => self.reply(whole, Truncation::CompletedOverTcp, begun),
            Err(silence) => self.reply(message, Truncation::TcpFailed { detail: silence.to_string() }, begun),
        })
    }

    fn reply(&self, message: Message, truncation: Truncation, begun: std::time::Instant) -> Reply {
        Reply { message, truncation, took: self.clock.monotonic().saturating_duration_since(begun) }
    }

    async fn datagram(&self, server: SocketAddr, question: &Question) -> Result<Message, Failure> {
        let (id, octets) = encode(question).map_err(Failure::Silent)?;
        let Ok(_socket) = self.sockets.acquire().await else { return Err(Failure::Silent(Silence::Timeout)) };
        let until = Instant::now() + self.timeout;
        let here = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(here).await.map_err(|error| no_route_or(&error))?;
        socket.connect(server).await.map_err(|error| no_route_or(&error))?;
        socket.send(&octets).await.map_err(|error| Failure::Silent(unreachable(&error)))?;
        let mut buffer = vec![0; DATAGRAM];
        let mut silence = Silence::Timeout;
        loop {
            // Whatever answers something else may be forged: the true answer may still come.
            match timeout_at(until, socket.recv(&mut buffer)).await {
                Err(_) => return Err(Failure::Silent(silence)),
                Ok(Err(error)) => return Err(Failure::Silent(unreachable(&error))),
                Ok(Ok(length)) => match question.decode(id, &buffer[..length]) {
                    Ok(message) => return Ok(message),
                    Err(detail) => silence = Silence::Malformed { detail },
                },
            }
        }
    }

    async fn over_tcp(&self, server: SocketAddr, question: &Question) -> Result<Message, Silence> {
        let (id, octets) = encode(question)?;
        let length = u16::try_from(octets.len()).map_err(|_| too_long())?;
        let Ok(_socket) = self.sockets.acquire().await else { return Err(Silence::Timeout) };
        let exchange = async {
            let mut stream = TcpStream::connect(server).await?;
            stream.write_all(&[&length.to_be_bytes(), octets.as_slice()].concat()).await?;
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            io::Result::Ok(answer)
        };
        match timeout_at(Instant::now() + self.timeout, exchange).await {
            Err(_) => Err(Silence::Timeout),
            Ok(Err(error)) => Err(unreachable(&error)),
            Ok(Ok(answer)) => question.decode(id, &answer).map_err(|detail| Silence::Malformed { detail }),
        }
    }
}

fn encode(question: &Question) -> Result<(u16, Vec<u8>), Silence> {
    question.encode().ok_or_else(too_long)
}

fn too_long() -> Silence {
    Silence::Malformed { detail: "the question itself is too long".into() }
}

/// Without a route of its own for the family, the system refuses before anything is sent.
fn no_route_or(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported => {
            Failure::NoRoute
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => Failure::NoRoute,
        _ => Failure::Silent(unreachable(error)),
    }
}

fn unreachable(error: &io::Error) -> Silence {
    let detail = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "the connection was closed".to_owned(),
        _ => error.to_string(),
    };
    Silence::Unreachable { detail }
}
