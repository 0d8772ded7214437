//! The listener: a thread of its own, with bounds on all that strangers may do.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::gate::Way;
use super::routes;
use super::site::{Heartbeat, Site};
use crate::config::{Http, Listener};
use crate::daemon::connection::Phase;
use crate::daemon::listen::{self, ListenError, Listening};
use crate::daemon::stream::Stream;
use crate::files::token::{Token, TokenError};
use crate::filter::Filter;
use crate::finding::Chain;
use crate::keystore::KeyStore;
use crate::observe::history::SAMPLE_EVERY;
use crate::observe::rotation_summary::RotationSummary;

/// How long to wait before the socket is tried again: the daemon that we take over from may still have it.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How long a request's header may take.
const HEADER: Duration = Duration::from_secs(5);

/// How long one request may take, its answer taken by who asked. A connection has one.
const REQUEST: Duration = Duration::from_secs(15);

/// Octets of a request's line and header together.
const HEADER_OCTETS: usize = 16 << 10;

/// Fields of a request's header.
const HEADER_FIELDS: usize = 64;

/// Threads that may wait for a disk.
const BLOCKING: usize = 4;

/// How long a file system may take to answer.
const FILE_SYSTEM: Duration = Duration::from_secs(2);

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Starts to serve, if the configuration says where, until `phase` is gone. What stands in the way is logged and tried again:
/// mail is signed all the same.
pub(in crate::daemon) fn start<S: KeyStore + 'static>(
    filter: &Arc<Filter<S>>,
    phase: watch::Receiver<Phase>,
    heartbeat: Arc<Heartbeat>,
) -> io::Result<()> {
    let settings = filter.running.load().config.http.clone();
    let Some(listener) = settings.listener.clone() else { return Ok(()) };
    let site = Arc::new(Site::new(Arc::clone(filter), phase, heartbeat));
    let runtime = Builder::new_current_thread().max_blocking_threads(BLOCKING).enable_all().build()?;
    thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(run(&site, &settings, &listener));
        // A disk that hangs must not hold up the end.
        runtime.shutdown_background();
    })?;
    Ok(())
}

async fn run<S: KeyStore + 'static>(site: &Arc<Site<S>>, settings: &Http, listener: &Listener) {
    let mut phase = site.phase.clone();
    tokio::select! {
        () = serve(site, settings, listener) => {}
        () = observe(site) => {}
        // The sender is gone when the daemon ends.
        () = async { while phase.changed().await.is_ok() {} } => {}
    }
}

/// Keeps the last hour, and looks what rotation did.
async fn observe<S: KeyStore + 'static>(site: &Arc<Site<S>>) {
    let mut ticks = interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        site.sample();
        let directory = site.rotation_directory();
        let read = spawn_blocking(move || RotationSummary::read(&directory));
        // A file system that hangs leaves what was known.
        if let Ok(Ok(summary)) = timeout(FILE_SYSTEM, read).await {
            site.rotated(summary.map_err(|error| Chain(&error).to_string()));
        }
    }
}

async fn serve<S: KeyStore + 'static>(site: &Arc<Site<S>>, settings: &Http, listener: &Listener) {
    let (socket, token) = open(settings, listener).await;
    let token = token.map(Arc::new);
    loop {
        // Who has no place waits, and behind it others in the kernel's queue.
        let Ok(place) = Arc::clone(&site.places).acquire_owned().await else { return };
        let (stream, from) = match socket.acceptor.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "a connection for the status page could not be accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if from.is_some_and(|from| !listener.admits(from.ip())) {
            continue;
        }
        let (site, token) = (Arc::clone(site), token.clone());
        tokio::spawn(async move {
            match stream {
                Stream::Unix(stream) => converse(TokioIo::new(stream), site, token, Way::Unix).await,
                Stream::Tcp(stream) => converse(TokioIo::new(stream), site, token, Way::Tcp).await,
            }
            drop(place);
        });
    }
}

/// Opens the socket, however often that has to be tried.
async fn open(settings: &Http, listener: &Listener) -> (Listening, Option<Token>) {
    let mut is_told = false;
    loop {
        let token = settings.token_file.as_deref().map(Token::read).transpose();
        let opened: Result<_, HttpError> =
            token.map_err(HttpError::from).and_then(|token| Ok((listen::open_one(listener)?, token)));
        match opened {
            Ok(opened) => {
                tracing::info!(listener = %listener.address, "metrics and status page");
                return opened;
            }
            Err(error) if !is_told => tracing::error!(
                error = &error as &dyn Error,
                remedy = "see [http] of the configuration",
                "metrics and status page are not there; mail is signed, and it is tried again every five seconds"
            ),
            Err(_) => {}
        }
        is_told = true;
        sleep(TRY_AGAIN).await;
    }
}

/// One request and its answer. What goes wrong is the client's own business.
async fn converse<S, I>(stream: TokioIo<I>, site: Arc<Site<S>>, token: Option<Arc<Token>>, way: Way)
where
    S: KeyStore + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request| {
        let (site, token) = (Arc::clone(&site), token.clone());
        async move { Ok::<_, Infallible>(routes::answer(&site, token.as_deref(), way, &request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER).keep_alive(false);
    server.max_buf_size(HEADER_OCTETS).max_headers(HEADER_FIELDS);
    let _ = timeout(REQUEST, server.serve_connection(stream, answer)).await;
}
