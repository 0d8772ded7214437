//! The control socket: answers what is asked of the daemon. Nothing that is asked changes anything.
//!
//! ```text
//! accept ─▶ a place, of few ─▶ line ─▶ answer ─▶ line ─▶ … until whoever asks is done, or takes too long
//! ```
//!
//! Signing does not depend on it: where the socket cannot be made, the log says so, and that is all.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::listen::{self, ListenError, Listening};
use super::stream::Stream;
use crate::config::{Control, ControlSocket, ListenAddress, Listener, Permissions};
use crate::control::{
    Answer, Ask, Explanation, LONGEST_REQUEST, Question, RecentMessages, Refusal, Request, Response, VERSION, VersionOf,
};
use crate::filter::{Filter, add_keys};
use crate::finding::Chain;
use crate::keystore::KeyStore;
use crate::names::QueueId;
use crate::observe::recorder::Recorder;

/// Connections at once; more wait.
const PLACES: usize = 8;

/// For the next line of whoever asks, for an answer, and for its being taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an explanation waits for the store to tell of keys that do not sign.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// So many of the last messages are logged when that is asked for.
const LOGGED: usize = 20;

/// At most so many of the last messages are told at once.
const MOST_RECENT: usize = 1000;

/// Opens the socket and answers, until the daemon ends.
pub(super) fn start<S: KeyStore + 'static>(control: &Control, filter: &Arc<Filter<S>>) {
    let ControlSocket::At(path) = &control.socket else { return };
    let listener = Listener {
        name: Some("control".to_owned()),
        permissions: Permissions { mode: 0o660, owner: None, group: control.group },
        ..Listener::at(ListenAddress::Unix(path.clone()))
    };
    match listen::open_unix(path, &listener) {
        Ok(socket) => {
            tracing::debug!(path = %path.display(), "the control socket is open");
            tokio::spawn(accept(socket, Arc::clone(filter)));
        }
        Err(error) => not_open(path, &error),
    }
}

/// Logs the last messages and the slowest: for SIGUSR1, where nobody can ask at the socket.
pub(super) fn log_recorder(recorder: &Recorder) {
    let RecentMessages { remembered, capacity, last, slowest, slowest_by_us, .. } = recorder.told(LOGGED);
    tracing::info!(remembered, capacity, "what the recorder remembers follows");
    for (why, messages) in [("last", last), ("slowest", slowest), ("slowest_by_us", slowest_by_us)] {
        for message in messages {
            let spent = message.spent;
            tracing::info!(
                why,
                queue_id = message.queue_id.as_deref().unwrap_or_default(),
                at = message.time.map(|time| format!("{time:.3}")).unwrap_or_default(),
                decision = message.decision,
                reason = message.reason,
                from = message.from.as_deref().unwrap_or_default(),
                total_us = spent.total,
                reading_us = spent.reading,
                keys_us = spent.keys,
                signing_us = spent.signing,
                other_us = spent.other,
                slow_because = spent.slow_because(),
                "remembered"
            );
        }
    }
}

fn not_open(path: &Path, error: &ListenError) {
    let remedy = "set socket in [control] to a path in a directory of the daemon's user, or to \"off\"";
    let error = error as &dyn std::error::Error;
    tracing::warn!(path = %path.display(), error, remedy, "the daemon cannot be asked: the control socket cannot be opened");
}

async fn accept<S: KeyStore + 'static>(socket: Listening, filter: Arc<Filter<S>>) {
    let places = Arc::new(Semaphore::new(PLACES));
    // Threads that wait for a store that hangs must not take the places of those who ask for other things.
    let store_places = Arc::new(Semaphore::new(PLACES));
    loop {
        // Never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match socket.acceptor.accept().await {
            Ok((Stream::Unix(stream), _)) => {
                let asked = Asked { filter: Arc::clone(&filter), store_places: Arc::clone(&store_places) };
                tokio::spawn(async move {
                    // Whoever asks may go at any time.
                    let _ = asked.converse(stream).await;
                    drop(place);
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the control socket takes no connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a connection needs to answer.
struct Asked<S> {
    filter: Arc<Filter<S>>,
    store_places: Arc<Semaphore>,
}

impl<S: KeyStore + 'static> Asked<S> {
    async fn converse(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut bounded = (&mut reader).take(LONGEST_REQUEST as u64);
            timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await??;
            let is_whole = line.ends_with(b"\n");
            if !is_whole && line.len() < LONGEST_REQUEST {
                return Ok(());
            }
            let answer = if is_whole { self.answer(&line).await } else { too_long() };
            let mut answer = serde_json::to_vec(&Response::from(answer))?;
            answer.push(b'\n');
            timeout(PATIENCE, writer.write_all(&answer)).await??;
            if !is_whole {
                return Ok(());
            }
        }
    }

    async fn answer(&self, line: &[u8]) -> Answer {
        match serde_json::from_slice::<VersionOf>(line) {
            Ok(VersionOf { version: VERSION }) => {}
            Ok(VersionOf { version }) => {
                let text = format!("this daemon speaks version {VERSION} of the control protocol, not {version}");
                return refused(Refusal::Version, text);
            }
            Err(error) => return refused(Refusal::Unknown, format!("no request in a line of JSON: {error}")),
        }
        match serde_json::from_slice(line) {
            Ok(Request { ask: Ask::Explain { question }, .. }) => self.explain(&question).await,
            Ok(Request { ask: Ask::Message { queue_id }, .. }) => {
                let messages =
                    QueueId::from_octets(queue_id.as_bytes()).map(|id| self.filter.recorder.of_queue_id(&id));
                Answer::Messages { messages: messages.unwrap_or_default(), recorder: self.filter.recorder.extent() }
            }
            Ok(Request { ask: Ask::Recorder { last }, .. }) => {
                Answer::Recorder { recorder: self.filter.recorder.told(last.min(MOST_RECENT)) }
            }
            Err(error) => refused(Refusal::Unknown, format!("this daemon does not know the request: {error}")),
        }
    }

    async fn explain(&self, question: &Question) -> Answer {
        match self.filter.explain(question).await {
            Ok(explanation) => {
                let explanation = Box::new(self.with_keys(explanation).await);
                Answer::Explained { explanation }
            }
            Err(error) => refused(Refusal::Unfit, Chain(&error).to_string()),
        }
    }

    /// Adds keys that do not sign, which only the store knows, if it answers in time. On a thread of its own, for it may hang.
    async fn with_keys(&self, explanation: Explanation) -> Explanation {
        let without = explanation.clone();
        let Ok(place) = Arc::clone(&self.store_places).try_acquire_owned() else { return without };
        let (done, told) = oneshot::channel();
        let filter = Arc::clone(&self.filter);
        let work = move || {
            let _place: OwnedSemaphorePermit = place;
            let mut explanation = explanation;
            add_keys(&mut explanation, filter.keys.cache(), filter.clock.monotonic());
            // Whoever asked may have stopped waiting.
            let _ = done.send(explanation);
        };
        if thread::Builder::new().name("explain".into()).spawn(work).is_err() {
            return without;
        }
        match timeout(STORE_PATIENCE, told).await {
            Ok(Ok(explanation)) => explanation,
            _ => without,
        }
    }
}

fn refused(refusal: Refusal, text: String) -> Answer {
    Answer::Refused { refusal, text }
}

fn too_long() -> Answer {
    refused(Refusal::TooLong, format!("a request has at most {LONGEST_REQUEST} octets"))
}
