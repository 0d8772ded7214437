//! One MTA's connection: octets to events, events to the filter, the filter's answers back.
//!
//! Nothing is awaited but the socket and the two answers at the end of header and of message. Octets are read into a
//! buffer of the thread; what is left of it when an answer must be waited for is copied, and only then.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::sync::watch;
use tokio::time::timeout;

use super::stream::Stream;
use crate::config::{Listener, Timeouts};
use crate::filter::{AfterHeader, Answer, Filter, Judged, Signing, Transaction};
use crate::keystore::KeyStore;
use crate::message::Spacing;
use crate::milter::{Client, Event, ProtocolError, Reply, ReplyError, Session, ValueSpacing};
use crate::names::QueueId;
use crate::observe::traffic::Breakage;
use crate::policy::{Action, Peer, Reason, Submission};

/// The most that is read at once: two of the largest body chunks.
const READ: usize = 128 * 1024;

/// The longest host name (RFC 1035 §2.3.4), its final dot included.
const HOST: usize = 255;

/// A connection's output buffer is given back beyond this.
const KEEP: usize = 512;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Signing.
    Running,
    /// Finishing messages in progress.
    Draining,
    /// Ending at once.
    Ending,
}

/// One connection.
pub(super) struct Connection<S> {
    stream: Stream,
    session: Session,
    stage: Stage,
    peer: Peer,
    /// The client's name, or what the MTA has in its place.
    host: Box<[u8]>,
    /// Octets to be sent.
    out: Vec<u8>,
    /// Octets read that wait for an answer.
    rest: Vec<u8>,
    filter: Arc<Filter<S>>,
    listener: Arc<Listener>,
}

/// How far the message is.
enum Stage {
    Idle,
    Header(Box<Transaction>),
    Body(Box<Signing>),
}

/// What to do after octets were taken.
enum Next {
    Read,
    EndOfHeader(Box<Judged>),
    Ignored(Box<Answer>),
    EndOfMessage(Box<Signing>),
    Close,
}

/// Why a connection ended otherwise than by the MTA's word.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("a reply could not be given")]
    Reply(#[from] ReplyError),
    #[error("the client did not negotiate within {} s; is it an MTA?", .0.as_secs_f32())]
    NegotiationTimeout(Duration),
    #[error("the MTA sent nothing more of a frame it had begun within {} s", .0.as_secs_f32())]
    FrameTimeout(Duration),
    #[error("the MTA was silent for {} s", .0.as_secs_f32())]
    CommandTimeout(Duration),
    #[error("the MTA took no reply within {} s", .0.as_secs_f32())]
    WriteTimeout(Duration),
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

impl Broken {
    fn breakage(&self) -> Breakage {
        match self {
            Self::Protocol(_) | Self::Reply(_) => Breakage::Protocol,
            Self::NegotiationTimeout(_) => Breakage::NegotiationTimeout,
            Self::FrameTimeout(_) => Breakage::FrameTimeout,
            Self::CommandTimeout(_) => Breakage::CommandTimeout,
            Self::WriteTimeout(_) => Breakage::WriteTimeout,
            Self::Io(_) => Breakage::Lost,
        }
    }
}

impl<S: KeyStore + 'static> Connection<S> {
    pub(super) fn new(stream: Stream, session: Session, filter: Arc<Filter<S>>, listener: Arc<Listener>) -> Self {
        let (out, rest) = (Vec::new(), Vec::new());
        let (peer, host) = (Peer::Unknown, Box::default());
        Self { stream, session, stage: Stage::Idle, peer, host, out, rest, filter, listener }
    }

    /// Serves the connection to its end. A protocol error ends it with one line in the log.
    pub(super) async fn serve(mut self, from: Option<SocketAddr>, phase: watch::Receiver<Phase>) {
        let open = self.filter.tally.traffic.connection();
        let ended = self.converse(phase).await;
        drop(open);
        let Err(broken) = ended else { return };
        self.filter.tally.traffic.count_broken(broken.breakage());
        let listener = self.listener.label();
        let from = from.map(|from| from.to_string());
        let from = from.as_deref().unwrap_or("unix");
        let error = &broken as &dyn std::error::Error;
        match broken {
            // An MTA that goes away is its own business.
            Broken::Io(_) => tracing::debug!(%listener, from, error, "connection lost"),
            _ => tracing::warn!(%listener, from, error, "connection closed"),
        }
    }

    async fn converse(&mut self, mut phase: watch::Receiver<Phase>) -> Result<(), Broken> {
        loop {
            let mut next = self.wait(&mut phase).await?;
            loop {
                let answer = match next {
                    Next::Read => break,
                    Next::Close => return self.flush().await,
                    Next::Ignored(answer) => Some(*answer),
                    Next::EndOfHeader(judged) => {
                        // Boxed: the future of a message in progress must not be part of every idle connection's.
                        match Box::pin(self.filter.end_of_header(*judged)).await {
                            AfterHeader::Answered(answer) => Some(answer),
                            AfterHeader::Body(signing) => {
                                self.stage = Stage::Body(signing);
                                None
                            }
                        }
                    }
                    Next::EndOfMessage(signing) => Some(Box::pin(self.filter.end_of_message(signing)).await),
                };
                match answer {
                    Some(answer) => self.answer(&answer)?,
                    None => self.session.reply(Reply::Continue, &mut self.out)?,
                }
                let rest = std::mem::take(&mut self.rest);
                next = self.take(&rest)?;
            }
            self.flush().await?;
        }
    }

    /// Reads and takes what the socket has; pending until it has something. The thread's buffer is free again before
    /// anything else can run on the thread.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Next, Broken>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(self.stream.poll_read(context, &mut buffer))?;
            Poll::Ready(match buffer.filled() {
                [] => Ok(Next::Close),
                octets => {
                    self.filter.tally.traffic.count_received(octets.len());
                    self.take(octets)
                }
            })
        })
    }

    /// Takes octets until an answer must be waited for.
    fn take(&mut self, mut input: &[u8]) -> Result<Next, Broken> {
        // Also with nothing left to take: the end of a body's frame, which some MTAs want answered, shows only then.
        loop {
            let spacing = match self.session.value_spacing() {
                ValueSpacing::AsReceived => Spacing::AsReceived,
                ValueSpacing::OneSpaceRemoved => Spacing::OneSpaceRemoved,
            };
            let received = self.session.receive(input, &mut self.out)?;
            let rest = &input[received.consumed..];
            let stage = std::mem::replace(&mut self.stage, Stage::Idle);
            let next = match (received.event, stage) {
                (None, stage) => {
                    self.stage = stage;
                    return Ok(Next::Read);
                }
                (Some(Event::Header { name, value }), Stage::Header(mut message)) => {
                    message.header(name, value, spacing);
                    self.stage = Stage::Header(message);
                    None
                }
                (Some(Event::Body(piece)), Stage::Body(mut signing)) => {
                    signing.body(piece);
                    self.stage = Stage::Body(signing);
                    None
                }
                (Some(Event::EndOfHeader), Stage::Header(message)) => {
                    let submission = Submission { peer: self.peer, host: &self.host, macros: received.macros };
                    Some(Next::EndOfHeader(Box::new(message.judge(&submission, &self.listener))))
                }
                (Some(Event::Recipient { recipient, .. }), Stage::Header(mut message)) => {
                    message.recipient(recipient);
                    self.stage = Stage::Header(message);
                    None
                }
                (Some(Event::EndOfMessage), Stage::Body(signing)) => Some(Next::EndOfMessage(signing)),
                (Some(Event::Connect { host, client }), _) => {
                    self.peer = peer(host, &client);
                    self.host = host.get(..HOST.min(host.len())).unwrap_or_default().into();
                    None
                }
                (Some(Event::Mail { sender, parameters }), _) => {
                    let submission = Submission { peer: self.peer, host: &self.host, macros: received.macros };
                    match self.filter.begin(sender, parameters).answer_if_ignored(&submission) {
                        Ok(answer) => Some(Next::Ignored(Box::new(answer))),
                        Err(message) => {
                            self.stage = Stage::Header(message);
                            self.session.reply(Reply::Continue, &mut self.out)?;
                            None
                        }
                    }
                }
                (Some(Event::QuitNewConnection), _) => {
                    (self.peer, self.host) = (Peer::Unknown, Box::default());
                    None
                }
                (Some(Event::Abort | Event::Helo { .. }), _) => None,
                (Some(Event::Quit), _) => Some(Next::Close),
                (Some(_), stage) => {
                    self.stage = stage;
                    None
                }
            };
            if let Some(next) = next {
                self.rest.extend_from_slice(rest);
                return Ok(next);
            }
            input = rest;
        }
    }

    /// Answers a message.
    fn answer(&mut self, answer: &Answer) -> Result<(), Broken> {
        // Known late, and forgotten with the final reply.
        let queue_id = self.session.macro_value("i").and_then(QueueId::from_octets);
        for signature in &answer.signatures {
            let insert = Reply::InsertHeader { index: 0, name: signature.name(), value: signature.value().as_bytes() };
            self.session.reply(insert, &mut self.out)?;
        }
        self.session.reply(reply_for(answer), &mut self.out)?;
        self.filter.record(answer, queue_id.as_ref());
        Ok(())
    }

    /// Sends all that is to be sent.
    async fn flush(&mut self) -> Result<(), Broken> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.stream.try_write(&self.out[sent..]) {
                Ok(octets) => sent += octets,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let limit = self.timeouts().write;
                    timeout(limit, self.stream.writable()).await.map_err(|_| Broken::WriteTimeout(limit))??;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.filter.tally.traffic.count_sent(sent);
        self.out.clear();
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// Waits for octets and takes them, or until it is time to go.
    async fn wait(&mut self, phase: &mut watch::Receiver<Phase>) -> Result<Next, Broken> {
        let leave_at = if self.session.is_idle() { Phase::Draining } else { Phase::Ending };
        if *phase.borrow() >= leave_at {
            return Ok(Next::Close);
        }
        let timeouts = self.timeouts();
        let (limit, broken): (_, fn(Duration) -> Broken) = if self.session.agreement().is_none() {
            // MTAs negotiate as soon as they connect; who does not is none, or is gone.
            (timeouts.frame, Broken::NegotiationTimeout)
        } else if self.session.is_within_frame() {
            (timeouts.frame, Broken::FrameTimeout)
        } else {
            (timeouts.command, Broken::CommandTimeout)
        };
        let next = async {
            tokio::select! {
                biased;
                next = poll_fn(|context| self.poll_read(context)) => next,
                // The sender is gone only when the daemon is.
                _ = phase.wait_for(|phase| *phase >= leave_at) => Ok(Next::Close),
            }
        };
        timeout(limit, next).await.map_err(|_| broken(limit))?
    }

    fn timeouts(&self) -> Timeouts {
        self.filter.running.load().config.timeouts.clone()
    }
}

/// Where the client is, from what CONNECT says.
fn peer(host: &[u8], client: &Client<'_>) -> Peer {
    match client {
        Client::Inet { address, .. } => Peer::Address(*address),
        Client::Local { .. } => Peer::Local,
        // `sendmail -bs` under both MTAs: no network, and the MTA says so by naming itself.
        Client::Unknown if host == b"localhost" => Peer::Local,
        Client::Unknown => Peer::Unknown,
    }
}

/// The one place that turns decisions into replies.
fn reply_for(answer: &Answer) -> Reply<'static> {
    match (answer.decision.action, answer.decision.reason) {
        (Action::Sign | Action::Pass, _) => Reply::Accept,
        (Action::Defer, Reason::Overload) => {
            Reply::Code { code: 451, enhanced: "4.3.2", text: "busy, try again later" }
        }
        (Action::Defer, _) => {
            Reply::Code { code: 451, enhanced: "4.3.0", text: "cannot sign this message now, try again later" }
        }
        (Action::Refuse, Reason::NoFrom) => refused("no From field"),
        (Action::Refuse, Reason::SeveralFrom) => refused("more than one From field"),
        (Action::Refuse, Reason::SeveralDomains) => refused("authors of several domains in From"),
        (Action::Refuse, Reason::HeaderTooLarge) => refused("header too large"),
        (Action::Refuse, _) => refused("no author in From that can be understood"),
    }
}

fn refused(text: &'static str) -> Reply<'static> {
    Reply::Code { code: 550, enhanced: "5.6.0", text }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::Path;

    use arc_swap::ArcSwap;
    use tracing::Level;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::files::maps;
    use crate::filter::{KeyLookup, Running, SigningPool};
    use crate::keystore::{Access, CacheOptions, Directory, KeyCache};
    use crate::milter::SessionOptions;
    use crate::observe::log;
    use crate::observe::tally::Tally;

    fn filter(store: &Path) -> Filter<Directory> {
        let store = Directory::create(store, Access::OneUser).unwrap();
        let (logger, _) = log::start(log::Target::Stderr(log::Form::Text), Level::ERROR, 1).unwrap();
        let config = Arc::new(Config::default_in(Path::new("/")));
        let (policy, _) = maps::compile(&config).policy.unwrap();
        Filter {
            evidence: Arc::default(),
            running: ArcSwap::from_pointee(Running::new(config, policy)),
            keys: KeyLookup::start(KeyCache::new(store, CacheOptions::default()), 1, Clock::System).unwrap(),
            pool: SigningPool::start(1, 1).unwrap(),
            tally: Tally::default(),
            recorder: Default::default(),
            logger,
            clock: Clock::System,
        }
    }

    #[tokio::test]
    async fn all_that_a_connection_holds_while_it_waits_is_small() {
        let scratch = tempfile::tempdir().unwrap();
        let filter = Arc::new(filter(&scratch.path().join("keys")));
        let address = "unix:/unused".parse().unwrap();
        let listener = Arc::new(Listener::at(address));
        let (stream, _mta) = tokio::net::UnixStream::pair().unwrap();
        let (_sender, phase) = watch::channel(Phase::Running);
        let session = Session::new(SessionOptions::default());
        let connection = Connection::new(Stream::Unix(stream), session, filter, listener);
        // What a task of tokio's holds for it, beside a header of its own.
        let octets = size_of_val(&connection.serve(None, phase));
        assert!(octets <= 2048, "{octets} octets");
    }

    #[test]
    fn only_an_unknown_client_that_the_mta_calls_localhost_is_local() {
        assert_eq!(peer(b"localhost", &Client::Unknown), Peer::Local);
        assert_eq!(peer(b"unknown", &Client::Unknown), Peer::Unknown);
        let client = Client::Inet { address: IpAddr::from([192, 0, 2, 1]), port: 25 };
        assert_eq!(peer(b"localhost", &client), Peer::Address(IpAddr::from([192, 0, 2, 1])));
    }
}
