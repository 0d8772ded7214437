//! From arguments to the last message.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;

use super::connection::{Connection, Phase};
use super::http::{self, Heartbeat};
use super::listen::{self, ListenError, Listening};
use super::map_watch::{LOOK_AT_MAPS_EVERY, MapWatch, report};
use super::{control, evidence, limits, notify};
use crate::clock::Clock;
use crate::config::{Config, Keys, ListenAddress, Listener, Listeners, LogFormat, LogLevel, LogTarget};
use crate::files::configuration::{self, ConfigError};
use crate::files::maps::{self, Stamps};
use crate::filter::{Filter, KeyLookup, Running, SigningPool};
use crate::keystore::{CacheOptions, Directory, KeyCache, KeyStore, StoreError};
use crate::milter::Session;
use crate::observe::journald::Journal;
use crate::observe::log::{self, Form, Target};
use crate::observe::recorder::Recorder;
use crate::observe::tally::{Reload, Tally};
use crate::policy::{Action, Warning};

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// The configuration file.
    pub config: PathBuf,
    /// Sockets that take the place of the configuration's listeners, if any.
    pub listen: Vec<ListenAddress>,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] configuration::ConfigError),
    /// The key store cannot be used.
    #[error("the key store cannot be opened")]
    Store(#[from] StoreError),
    /// A socket cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// journald was asked for and does not answer.
    #[error("log.target is \"journald\", and journald does not answer; use \"stderr\" or \"auto\"")]
    Journal(#[source] io::Error),
    /// The system has no thread, descriptor or signal for us.
    #[error("the system refuses what the daemon needs")]
    System(#[from] io::Error),
}

impl StartError {
    /// Whether the command line or the configuration has to be changed.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Listen(error) => error.is_configuration(),
            _ => false,
        }
    }
}

/// Runs until SIGTERM or SIGINT.
pub fn run(arguments: Arguments) -> Result<(), StartError> {
    let (mut config, warnings) = configuration::read(&arguments.config)?;
    if !arguments.listen.is_empty() {
        let listeners = arguments.listen.iter().cloned().map(Listener::at);
        config.listeners = Listeners::Named(listeners.collect());
    }

    let compiled = maps::compile(&config);
    let (policy, map_warnings) = compiled.policy.map_err(ConfigError::Invalid)?;
    let target = log_target(&config)?;
    let (logger, _log) = log::start(target, level(config.log.level), config.log.queue.get())?;
    // Fails only where a subscriber is set already: in a test that runs the daemon in its own process.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(logger.clone()));
    report(&warnings);
    report(&map_warnings);

    let clock = Clock::System;
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let store = Directory::open(&config.keys.store)?;
    let cache = KeyCache::new(store, cache_options(&config.keys));
    let filter = Filter {
        keys: KeyLookup::start(cache, config.keys.threads.get(), clock)?,
        pool: SigningPool::start(config.limits.signing_threads.or(cores).get(), config.limits.signing_queue.get())?,
        evidence: Arc::default(),
        tally: Tally::default(),
        recorder: Recorder::new(config.recorder.messages.get(), config.recorder.memory),
        logger,
        clock,
        running: ArcSwap::from_pointee(Running::new(Arc::new(config), policy)),
    };
    let filter = Arc::new(filter);
    // Ends after the runtime, and so after the last signature.
    let config = Arc::clone(&filter.running.load().config);
    let _evidence = evidence::start(&filter, &config.daemon)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(config.limits.runtime_threads.or(quarter(cores)).get())
        .thread_name("milter")
        .enable_all()
        .build()?;
    runtime.block_on(Daemon { filter, arguments, maps: compiled.stamps }.run())
}

/// A quarter, at least one.
fn quarter(cores: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::new(cores.get() / 4).unwrap_or(NonZeroUsize::MIN)
}

struct Daemon<S> {
    filter: Arc<Filter<S>>,
    arguments: Arguments,
    /// The maps that the policy was made of.
    maps: Stamps,
}

impl<S: KeyStore + 'static> Daemon<S> {
    async fn run(self) -> Result<(), StartError> {
        let config = Arc::clone(&self.filter.running.load().config);
        // Signals first: one that comes while we start must not kill us.
        let mut hangup = signal(SignalKind::hangup())?;
        let mut dump = signal(SignalKind::user_defined1())?;
        let mut stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let reload = self.start_reloader()?;
        let listening = listen::open(&config.listeners)?;
        let connections = limits::connections_allowed(config.limits.connections.get());

        let (phase, phases) = watch::channel(Phase::Running);
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let places = Arc::new(Semaphore::new(connections));
        let sockets = listening.len();
        self.filter.tally.traffic.allow_connections(connections);
        self.start_http(&phases)?;
        for socket in listening {
            tracing::info!(listener = %socket.listener.label(), "listening");
            tokio::spawn(accept(socket, Arc::clone(&self.filter), Arc::clone(&places), phases.clone(), alive.clone()));
        }
        drop(alive);
        control::start(&config.control, &self.filter);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
        notify::ready(&notify::status_since(&self.filter.clock, sockets));

        let [terminate, interrupt] = &mut stop;
        loop {
            tokio::select! {
                // Full only while an order waits that will see this change too.
                _ = hangup.recv() => {
                    let _ = reload.try_send(());
                }
                _ = dump.recv() => control::log_recorder(&self.filter.recorder),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        self.drain(&phase, &mut ended).await;
        Ok(())
    }

    /// Metrics and the status page, with what shows them that the loop comes round.
    fn start_http(&self, phases: &watch::Receiver<Phase>) -> io::Result<()> {
        let clock = self.filter.clock;
        let heartbeat = Arc::new(Heartbeat::new(clock.monotonic()));
        http::start(&self.filter, phases.clone(), Arc::clone(&heartbeat))?;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                heartbeat.beat(clock.monotonic());
            }
        });
        Ok(())
    }

    /// A thread that reads the configuration again when it is told to, and the maps when they change; bad ones change
    /// nothing. Being told while it reads makes it read once more: nobody waits for it.
    fn start_reloader(&self) -> io::Result<Sender<()>> {
        let (order, orders) = bounded(1);
        let filter = Arc::clone(&self.filter);
        let arguments = self.arguments.clone();
        // Of what needs a restart, this is what runs, whatever was read since.
        let started = Arc::clone(&self.filter.running.load().config);
        let mut maps = MapWatch::new(self.maps.clone());
        thread::Builder::new().name("reload".into()).spawn(move || {
            loop {
                match orders.recv_timeout(LOOK_AT_MAPS_EVERY) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Timeout) => {
                        maps.look(&filter);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                notify::reloading();
                let reloaded = replace_config(&filter, &arguments, &started, &mut maps);
                filter.tally.count_reload(reloaded);
                let now = filter.clock.now();
                notify::ready(&match reloaded {
                    Reload::Done => format!("reloaded at {now:.0}"),
                    Reload::Refused => format!("not reloaded at {now:.0}, the old configuration stays; see the log"),
                });
            }
        })?;
        Ok(order)
    }

    /// Lets messages in progress finish, within `timeouts.drain`.
    async fn drain(&self, phase: &watch::Sender<Phase>, ended: &mut mpsc::Receiver<()>) {
        let limit = self.filter.running.load().config.timeouts.drain;
        notify::stopping("finishing messages in progress");
        tracing::info!(limit_s = limit.as_secs(), "stopping: finishing messages in progress");
        phase.send_replace(Phase::Draining);
        // Nothing is ever sent: the channel ends with the last connection.
        let all_ended = tokio::time::timeout(limit, ended.recv()).await.is_ok();
        if !all_ended {
            phase.send_replace(Phase::Ending);
            let _ = tokio::time::timeout(Duration::from_secs(1), ended.recv()).await;
            tracing::warn!(
                "messages were still in progress at the drain limit; their MTAs do as told for a filter that fails"
            );
        }
        let tally = &self.filter.tally;
        for warning in Warning::ALL.into_iter().filter(|warning| tally.of_warning(*warning) > 0) {
            let (messages, remedy) = (tally.of_warning(warning), warning.remedy());
            tracing::info!(%warning, messages, remedy, "messages were signed with this warning");
        }
        let cache = self.filter.keys.cache().statistics();
        tracing::info!(
            signed = tally.of_action(Action::Sign),
            passed = tally.of_action(Action::Pass),
            deferred = tally.of_action(Action::Defer),
            refused = tally.of_action(Action::Refuse),
            key_lookups = cache.hits + cache.stale + cache.misses,
            key_lookups_from_memory = cache.hits + cache.stale,
            keys_parsed = cache.keys_parsed,
            "stopped"
        );
    }
}

async fn accept<S: KeyStore + 'static>(
    socket: Listening,
    filter: Arc<Filter<S>>,
    places: Arc<Semaphore>,
    mut phases: watch::Receiver<Phase>,
    alive: mpsc::Sender<()>,
) {
    let listener = Arc::new(socket.listener.clone());
    loop {
        let accepted = tokio::select! {
            accepted = socket.acceptor.accept() => accepted,
            _ = phases.wait_for(|phase| *phase != Phase::Running) => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(
                    listener = %listener.label(),
                    error = &error as &dyn std::error::Error,
                    "a connection could not be accepted"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Some(from) = from
            && !listener.admits(from.ip())
        {
            filter.tally.traffic.count_refused();
            tracing::warn!(
                listener = %listener.label(),
                %from,
                remedy = "add its network to this listener's allow, if it is an MTA of yours",
                "connection refused: not in the listener's allow list"
            );
            continue;
        }
        // A connection without a place waits, and behind it others in the kernel's queue: the MTA sees them as slow, not as
        // broken. Only who has a connection takes a place, lest a quiet listener keep one from a busy one.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = phases.wait_for(|phase| *phase != Phase::Running) => return,
        };
        // Never closed.
        let Ok(place) = place else { return };
        let session = Session::new(filter.running.load().session_options());
        let connection = Connection::new(stream, session, Arc::clone(&filter), Arc::clone(&listener));
        let (alive, phase) = (alive.clone(), phases.clone());
        tokio::spawn(async move {
            connection.serve(from, phase).await;
            drop((place, alive));
        });
    }
}

fn replace_config<S: KeyStore + 'static>(
    filter: &Filter<S>,
    arguments: &Arguments,
    started: &Config,
    maps: &mut MapWatch,
) -> Reload {
    let read = configuration::read(&arguments.config).and_then(|(new, mut warnings)| {
        let compiled = maps::compile(&new);
        let (policy, of_maps) = compiled.policy.map_err(ConfigError::Invalid)?;
        warnings.extend(of_maps);
        Ok((new, policy, compiled.stamps, warnings))
    });
    match read {
        Ok((mut new, policy, stamps, warnings)) => {
            if !arguments.listen.is_empty() {
                new.listeners = started.listeners.clone();
            }
            report(&warnings);
            for setting in started.needs_restart(&new) {
                tracing::warn!(setting, "this change takes hold at the next restart");
            }
            *maps = MapWatch::new(stamps);
            filter.running.store(Arc::new(Running::new(Arc::new(new), policy)));
            tracing::info!("configuration reloaded");
            Reload::Done
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "configuration not reloaded; the old one stays");
            Reload::Refused
        }
    }
}

/// An eighth of the cache is for what is known of domains, the rest for parsed keys, of which the first need less.
fn cache_options(keys: &Keys) -> CacheOptions {
    CacheOptions {
        domain_bytes: keys.cache / 8,
        key_bytes: keys.cache - keys.cache / 8,
        revalidate_after: keys.revalidate_after,
        max_staleness: keys.max_staleness,
    }
}

fn log_target(config: &Config) -> Result<Target, StartError> {
    let form = match config.log.format {
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
    };
    match config.log.target {
        LogTarget::Stderr => Ok(Target::Stderr(form)),
        LogTarget::Journald => Journal::connect().map(Target::Journald).map_err(StartError::Journal),
        LogTarget::Auto if notify::stderr_is_journal() => {
            Ok(Journal::connect().map_or(Target::Stderr(form), Target::Journald))
        }
        LogTarget::Auto => Ok(Target::Stderr(form)),
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}
