//! The load itself: threads that play Postfix.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use socket2::Socket;

use super::sample::{Sample, set_author};
use super::statistics::Latencies;
use super::target::Target;
use crate::clock::Clock;
use crate::milter::mta::{Answer, AnswerError, Delivery, Envelope, Expect, Message, Mta, Outcome, Step};
use crate::milter::{Client, Offer};

/// A connection's thread needs little.
const STACK: usize = 256 << 10;

/// How often the progress is told.
const PROGRESS: Duration = Duration::from_millis(100);

/// A thread gives up after this many connections in a row that failed: nobody is there.
const MAX_FAILURES: u32 = 3;

/// What to do.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) target: Target,
    pub(super) sample: Sample,
    pub(super) senders: Vec<String>,
    pub(super) origin: Origin,
    pub(super) daemon_name: String,
    pub(super) messages: u64,
    pub(super) connections: u32,
    pub(super) per_connection: u64,
    /// Messages begun per second; as fast as answers come, if none.
    pub(super) rate: Option<f64>,
    pub(super) pace: Pace,
    /// The longest wait for an answer.
    pub(super) timeout: Duration,
    /// Octets in one write.
    pub(super) write_size: usize,
}

/// Who submits.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Somebody on this machine.
    Loopback,
    /// Somebody elsewhere who has logged in.
    Login(String),
    /// Somebody elsewhere.
    Stranger,
}

/// Whether messages wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// They do not.
    Through,
    /// None ends before all have arrived.
    HoldAtEnd,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Tally {
    /// Answered, with a signature.
    pub(super) signed: u64,
    /// Accepted as they are.
    pub(super) unsigned: u64,
    pub(super) deferred: u64,
    pub(super) refused: u64,
    pub(super) discarded: u64,
    /// Begun and never answered.
    pub(super) lost: u64,
    /// From the end of the message to the final reply.
    pub(super) end_of_message: Latencies,
    /// From MAIL, or from when it was due, to the final reply.
    pub(super) whole_message: Latencies,
    /// The same of messages that were signed.
    pub(super) signed_message: Latencies,
    /// The same of messages that were deferred.
    pub(super) deferred_message: Latencies,
    /// How much later than they were due we began messages.
    pub(super) late: Latencies,
    /// The first thing that went wrong.
    pub(super) first_problem: Option<String>,
    /// What the first message that was deferred or refused was told.
    pub(super) first_reply: Option<String>,
}

/// A load that has run.
#[derive(Debug)]
pub(super) struct LoadResult {
    pub(super) tally: Tally,
    pub(super) elapsed: Duration,
    /// From the beginning to the last message's.
    pub(super) offered_within: Duration,
}

/// What all threads share.
struct Shared<'a> {
    load: &'a Load,
    clock: Clock,
    start: Instant,
    /// The next message's number.
    next: AtomicU64,
    finished: AtomicU64,
    gate: Gate,
}

/// Lets nobody through before all are there, or have given up.
struct Gate {
    missing: Mutex<u32>,
    complete: Condvar,
    timeout: Duration,
}

/// One connection to the milter.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) mta: Mta,
    pub(super) out: Vec<u8>,
    input: Vec<u8>,
    write_size: usize,
    delivered: u64,
}

/// Why a message or a connection was lost.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the milter closed the connection")]
    Closed,
    #[error("the milter broke the protocol")]
    Protocol(#[from] AnswerError),
    #[error("the milter refused the connection")]
    Refused,
}

/// Runs the load; tells `progress` how many messages are done.
pub(super) fn run(load: &Load, clock: Clock, progress: &dyn Fn(u64)) -> anyhow::Result<LoadResult> {
    let shared = Shared {
        load,
        clock,
        start: clock.monotonic(),
        next: AtomicU64::new(0),
        finished: AtomicU64::new(0),
        gate: Gate { missing: Mutex::new(load.connections), complete: Condvar::new(), timeout: load.timeout },
    };
    // A milter that is not there is told at once and plainly.
    Connection::open(load)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("there is no milter at {}", load.target))?
        .quit();

    let running = AtomicU32::new(load.connections);
    let mut all = Work { tally: Tally::empty(), last_answer: None, last_begun: shared.start };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let mut threads = Vec::new();
        for _ in 0..load.connections {
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || {
                let tally = shared.work();
                running.fetch_sub(1, Ordering::Relaxed);
                tally
            });
            threads.push(thread.context("cannot start a thread for each connection")?);
        }
        while running.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(PROGRESS.min(Duration::from_millis(20)));
            progress(shared.finished.load(Ordering::Relaxed));
        }
        for thread in threads {
            match thread.join() {
                Ok(one) => all.add(one),
                Err(_) => anyhow::bail!("a thread of the load tool panicked"),
            }
        }
        Ok(())
    })?;
    let elapsed = all.last_answer.unwrap_or_else(|| clock.monotonic()).duration_since(shared.start);
    Ok(LoadResult { tally: all.tally, elapsed, offered_within: all.last_begun.duration_since(shared.start) })
}

/// A thread's tally, and when it was done.
struct Work {
    tally: Tally,
    last_answer: Option<Instant>,
    last_begun: Instant,
}

impl Shared<'_> {
    /// One connection's share of the load.
    fn work(&self) -> Work {
        let mut work = Work { tally: Tally::empty(), last_answer: None, last_begun: self.start };
        let mut message = self.load.sample.message();
        let mut connection = None;
        let mut failures = 0;
        let mut at_gate = false;
        while failures < MAX_FAILURES {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.messages {
                break;
            }
            let begun = self.wait_until_due(number);
            work.last_begun = self.clock.monotonic();
            work.tally.late.record(work.last_begun.saturating_duration_since(begun));
            set_author(&mut message, &self.load.senders[(number % self.load.senders.len() as u64) as usize]);
            match self.play(&mut connection, &message, number, begun, &mut at_gate, &mut work.tally) {
                Ok(()) => failures = 0,
                Err(problem) => {
                    failures += 1;
                    connection = None;
                    work.tally.lost += 1;
                    work.tally.first_problem.get_or_insert_with(|| describe(&problem));
                }
            }
            work.last_answer = Some(self.clock.monotonic());
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(connection) = connection {
            connection.quit();
        }
        if !at_gate {
            self.gate.arrive();
        }
        work
    }

    /// With a rate, message n is due n / rate after the beginning, however long others take.
    fn wait_until_due(&self, number: u64) -> Instant {
        let now = self.clock.monotonic();
        let Some(rate) = self.load.rate else { return now };
        let due = self.start + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(now));
        due
    }

    /// One message, on the connection there is or a new one.
    fn play(
        &self,
        slot: &mut Option<Connection>,
        message: &Message,
        number: u64,
        begun: Instant,
        at_gate: &mut bool,
        tally: &mut Tally,
    ) -> Result<(), LoadError> {
        if slot.as_ref().is_some_and(|connection| connection.delivered >= self.load.per_connection)
            && let Some(full) = slot.take()
        {
            full.quit();
        }
        let connection = match slot {
            Some(connection) => connection,
            None => slot.insert(Connection::open(self.load)?),
        };
        let sender = &self.load.senders[(number % self.load.senders.len() as u64) as usize];
        let envelope = connection.envelope(sender, number);
        let mut delivery = Delivery::new();
        let mut signatures = 0;
        let mut ended = None;
        loop {
            match delivery.step(&mut connection.mta, &envelope, message, &mut connection.out) {
                Step::Flush => connection.flush(connection.out.len())?,
                Step::Await => {
                    if delivery.is_at_end_of_message() {
                        if self.load.pace == Pace::HoldAtEnd {
                            // All but the last frame, which is a length and a command.
                            connection.flush(connection.out.len() - 5)?;
                            *at_gate = true;
                            self.gate.pass();
                        }
                        ended = Some(self.clock.monotonic());
                    }
                    connection.flush(connection.out.len())?;
                    connection.answers(&mut delivery, &mut signatures)?;
                }
                Step::Finished(outcome) => {
                    let now = self.clock.monotonic();
                    if let Some(ended) = ended {
                        tally.end_of_message.record(now.duration_since(ended));
                    }
                    tally.count(outcome, signatures, now.saturating_duration_since(begun));
                    connection.delivered += 1;
                    // Postfix says so after every message; it goes with the next write.
                    connection.mta.abort(&mut connection.out);
                    return Ok(());
                }
            }
        }
    }
}

impl Connection {
    /// Connects, negotiates and announces an SMTP client.
    pub(super) fn open(load: &Load) -> Result<Self, LoadError> {
        let mut connection = Self {
            socket: load.target.connect(load.timeout)?,
            mta: Mta::new(Offer::POSTFIX),
            out: Vec::new(),
            input: Vec::new(),
            write_size: load.write_size,
            delivered: 0,
        };
        connection.mta.negotiate(&mut connection.out);
        connection.flush(connection.out.len())?;
        loop {
            if let Some(consumed) = connection.mta.negotiated(&connection.input)? {
                connection.input.drain(..consumed);
                break;
            }
            connection.read()?;
        }
        connection.introduce(load)?;
        Ok(connection)
    }

    /// Who sends message `number` to whom.
    pub(super) fn envelope(&mut self, sender: &str, number: u64) -> Envelope {
        self.mta.set_macro("{mail_addr}", sender.as_bytes());
        Envelope {
            sender: format!("<{sender}>").into_bytes(),
            recipients: vec![b"<someone@example.net>".into()],
            queue_id: format!("4XYZ{number:08X}").into_bytes(),
        }
    }

    /// CONNECT and HELO.
    fn introduce(&mut self, load: &Load) -> Result<(), LoadError> {
        self.mta.set_macro("j", b"mail.example.com");
        self.mta.set_macro("{daemon_name}", load.daemon_name.as_bytes());
        self.mta.set_macro("v", b"Postfix 3.7.11");
        let (host, address): (&[u8], [u8; 4]) = match &load.origin {
            Origin::Loopback => (b"localhost", [127, 0, 0, 1]),
            Origin::Login(_) | Origin::Stranger => (b"[192.0.2.1]", [192, 0, 2, 1]),
        };
        if let Origin::Login(login) = &load.origin {
            self.mta.set_macro("{auth_type}", b"PLAIN");
            self.mta.set_macro("{auth_authen}", login.as_bytes());
        }
        let client = Client::Inet { address: address.into(), port: 40_000 };
        let expect = self.mta.connect(host, client, &mut self.out);
        self.go_on(expect)?;
        let expect = self.mta.helo(b"client.example.com", &mut self.out);
        self.go_on(expect)
    }

    /// Waits for a go-ahead if one is due.
    fn go_on(&mut self, expect: Expect) -> Result<(), LoadError> {
        if expect == Expect::Nothing {
            return Ok(());
        }
        self.flush(self.out.len())?;
        loop {
            if let Some((consumed, answer)) = Answer::parse(&self.input)? {
                let goes_on = matches!(answer, Answer::Continue);
                self.input.drain(..consumed);
                return if goes_on { Ok(()) } else { Err(LoadError::Refused) };
            }
            self.read()?;
        }
    }

    /// Reads answers up to a final one; counts signatures.
    pub(super) fn answers(&mut self, delivery: &mut Delivery, signatures: &mut u32) -> Result<(), LoadError> {
        loop {
            let mut taken = 0;
            let mut is_final = false;
            while let Some((consumed, answer)) = Answer::parse(&self.input[taken..])? {
                delivery.answered(&answer)?;
                if let Answer::InsertHeader { name, .. } | Answer::AddHeader { name, .. } = answer {
                    *signatures += u32::from(name.eq_ignore_ascii_case(b"DKIM-Signature"));
                }
                taken += consumed;
                is_final = answer.is_final();
                if is_final {
                    break;
                }
            }
            self.input.drain(..taken);
            if is_final {
                return Ok(());
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), LoadError> {
        let mut scratch = [0; 4096];
        match (&self.socket).read(&mut scratch) {
            Ok(0) => Err(LoadError::Closed),
            Ok(read) => {
                self.input.extend_from_slice(&scratch[..read]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends the first `length` octets of what was written.
    pub(super) fn flush(&mut self, length: usize) -> Result<(), LoadError> {
        for piece in self.out[..length].chunks(self.write_size) {
            (&self.socket).write_all(piece)?;
        }
        self.out.drain(..length);
        Ok(())
    }

    /// Takes leave. The milter may be gone already.
    fn quit(mut self) {
        self.mta.abort(&mut self.out);
        self.mta.quit(&mut self.out);
        let _ = self.flush(self.out.len());
    }
}

impl Gate {
    /// One more is there.
    fn arrive(&self) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.complete.notify_all();
        }
    }

    /// Waits for the others, but not for ever.
    fn pass(&self) {
        self.arrive();
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.complete.wait_timeout_while(missing, self.timeout, |missing| *missing > 0);
    }
}

impl Tally {
    fn empty() -> Self {
        Self {
            signed: 0,
            unsigned: 0,
            deferred: 0,
            refused: 0,
            discarded: 0,
            lost: 0,
            end_of_message: Latencies::new(),
            whole_message: Latencies::new(),
            signed_message: Latencies::new(),
            deferred_message: Latencies::new(),
            late: Latencies::new(),
            first_problem: None,
            first_reply: None,
        }
    }

    fn count(&mut self, outcome: Outcome, signatures: u32, took: Duration) {
        self.whole_message.record(took);
        match outcome {
            Outcome::Accepted if signatures > 0 => {
                self.signed += 1;
                self.signed_message.record(took);
            }
            Outcome::Accepted => self.unsigned += 1,
            Outcome::Discarded => self.discarded += 1,
            Outcome::Deferred(text) => {
                self.deferred += 1;
                self.deferred_message.record(took);
                self.first_reply.get_or_insert_with(|| String::from_utf8_lossy(&text).into_owned());
            }
            Outcome::Refused(text) => {
                self.refused += 1;
                self.first_reply.get_or_insert_with(|| String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
}

impl Work {
    fn add(&mut self, other: Self) {
        let (all, one) = (&mut self.tally, other.tally);
        all.signed += one.signed;
        all.unsigned += one.unsigned;
        all.deferred += one.deferred;
        all.refused += one.refused;
        all.discarded += one.discarded;
        all.lost += one.lost;
        all.end_of_message.add(&one.end_of_message);
        all.whole_message.add(&one.whole_message);
        all.signed_message.add(&one.signed_message);
        all.deferred_message.add(&one.deferred_message);
        all.late.add(&one.late);
        all.first_problem = all.first_problem.take().or(one.first_problem);
        all.first_reply = all.first_reply.take().or(one.first_reply);
        self.last_answer = self.last_answer.max(other.last_answer);
        self.last_begun = self.last_begun.max(other.last_begun);
    }
}

/// The error and its causes.
fn describe(error: &LoadError) -> String {
    use std::error::Error;
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
