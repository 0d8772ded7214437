//! `waxseal bench milter`: plays Postfix to a milter, and measures.
//!
//! Each connection is a plain thread that writes what Postfix writes, in pieces as large as Postfix's stream buffer, and
//! waits where Postfix waits. So a slow filter slows the load (closed loop), unless a rate is given.

mod load;
mod process;
mod report;
mod sample;
mod standing;
mod statistics;
mod target;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::Format;
use super::{Exit, UsageError};
use crate::clock::Clock;
use load::{Load, Origin};
use process::Watch;
use report::{IdleCost, Report};
use sample::Sample;
use standing::{IdleConnections, StalledConnections};
use target::Target;

/// The most connections that are opened with a thread each.
const MAX_CONNECTIONS: u32 = 4096;

/// Measure what a milter can do
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub subject: Subject,
}

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Subject {
    /// Send messages to a milter as Postfix does, and report throughput, latency and the milter's CPU and memory
    ///
    /// Exits with 0 if every message was answered, 1 if one was lost or there is no milter.
    Milter(MilterArgs),
}

/// How a milter is put under load.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MilterArgs {
    /// The milter's socket: unix:/path, inet:port@host or inet6:port@host.
    #[arg(long, value_name = "SOCKET")]
    pub connect: String,

    /// Messages in all.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub messages: u64,

    /// Connections at the same time, each with one message at a time.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS)))]
    pub connections: u32,

    /// Messages on one connection before it is closed and another opened.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub per_connection: u64,

    /// Size of the body, in octets. Default: 2048, or the whole file given as the body.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(..=1 << 30))]
    pub size: Option<u64>,

    /// The body: `text` (lines of words), `html` (much white space) or a file.
    #[arg(long, value_name = "text|html|FILE", default_value = "text")]
    pub body: String,

    /// Author and envelope sender. May be given several times: messages take them in turn.
    #[arg(long, value_name = "ADDRESS", default_value = "bench@example.com", conflicts_with = "from_file")]
    pub from: Vec<String>,

    /// A file of authors, one address a line, which messages take in turn.
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,

    /// Submit as this login from 192.0.2.1 instead of from loopback.
    #[arg(long, value_name = "LOGIN", conflicts_with = "not_ours")]
    pub auth: Option<String>,

    /// Come from 192.0.2.1 without a login: mail that is not ours to sign.
    #[arg(long)]
    pub not_ours: bool,

    /// The macro {daemon_name}.
    #[arg(long, value_name = "NAME", default_value = "mail.example.com")]
    pub daemon_name: String,

    /// Messages begun per second, whether or not earlier ones are answered; latency counts from when each was due.
    #[arg(long, value_name = "PER_SECOND", value_parser = positive_rate)]
    pub rate: Option<f64>,

    /// With a rate: for how long messages are begun, in seconds, in place of their number.
    #[arg(long, value_name = "SECONDS", requires = "rate", conflicts_with = "messages", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub duration: Option<u64>,

    /// Begin every message at once and end none before all have arrived whole: one message on each connection.
    #[arg(long, conflicts_with_all = ["rate", "messages", "per_connection"])]
    pub hold: bool,

    /// Open this many connections first that do nothing, and report the memory of each (with --pid).
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub idle: u32,

    /// Open this many connections first that begin a message and stop somewhere in the middle of it, each at another octet.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub stall: u32,

    /// The milter's process, whose CPU time and memory to report.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// How long to wait for any answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,

    /// Octets in one write; 4096 is Postfix's stream buffer.
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub write_size: u32,

    /// Put a milter on another machine under load.
    #[arg(long)]
    pub allow_remote: bool,

    /// How to print the result.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Runs the load and prints the result. The exit code is 1 if any message was lost.
///
/// # Errors
/// If the load cannot begin: the socket, a file or the process is not there.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match &args.subject {
        Subject::Milter(args) => run_milter(args, out),
    }
}

fn run_milter(args: &MilterArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let target = Target::parse(&args.connect).map_err(UsageError)?;
    if !args.allow_remote {
        target.require_loopback().map_err(UsageError)?;
    }
    let clock = Clock::System;
    let load = Load {
        target,
        sample: Sample::new(&args.body, args.size).map_err(UsageError)?,
        senders: senders(args).map_err(UsageError)?,
        origin: origin(args),
        daemon_name: args.daemon_name.clone(),
        messages: messages(args),
        connections: args.connections,
        per_connection: if args.hold { 1 } else { args.per_connection },
        rate: args.rate,
        pace: if args.hold { load::Pace::HoldAtEnd } else { load::Pace::Through },
        timeout: Duration::from_secs(args.timeout),
        write_size: args.write_size as usize,
    };
    raise_descriptor_limit(u64::from(args.connections) + u64::from(args.idle) + u64::from(args.stall) + 64)?;

    let idle = if args.idle > 0 { Some(open_idle(args, &load)?) } else { None };
    let stalled = if args.stall > 0 { Some(open_stalled(args, &load)?) } else { None };
    let watch = args.pid.map(Watch::begin).transpose()?;
    let progress = progress_bar(load.messages, "messages");
    let result = load::run(&load, clock, &|done| progress.set_position(done))?;
    progress.finish_and_clear();
    let usage = watch.map(Watch::end).transpose()?;
    drop(stalled);
    let idle_cost = idle.map(|(_open, cost)| cost);
    let report = Report::new(&load, &result, usage, idle_cost);
    match args.format {
        Format::Text => report.write_text(out)?,
        Format::Json => report.write_json(out)?,
    }
    Ok(if report.lost > 0 { Exit::Findings } else { Exit::Clean })
}

/// Opens connections that stay idle, and weighs them.
fn open_idle(args: &MilterArgs, load: &Load) -> anyhow::Result<(IdleConnections, IdleCost)> {
    let before = args.pid.map(process::resident).transpose()?;
    let progress = progress_bar(u64::from(args.idle), "idle connections");
    let open = IdleConnections::open(load, args.idle, &|done| progress.set_position(done))?;
    progress.finish_and_clear();
    // The last of them are still being accepted.
    std::thread::sleep(Duration::from_millis(500));
    let after = args.pid.map(process::resident).transpose()?;
    let each = before.zip(after).map(|(before, after)| after.saturating_sub(before) / u64::from(args.idle));
    Ok((open, IdleCost { connections: args.idle, octets_each: each }))
}

fn open_stalled(args: &MilterArgs, load: &Load) -> anyhow::Result<StalledConnections> {
    let progress = progress_bar(u64::from(args.stall), "stalled connections");
    let open = StalledConnections::open(load, args.stall, &|done| progress.set_position(done))?;
    progress.finish_and_clear();
    // The last of them do not look stalled yet.
    std::thread::sleep(Duration::from_millis(500));
    Ok(open)
}

fn messages(args: &MilterArgs) -> u64 {
    match (args.rate, args.duration) {
        _ if args.hold => u64::from(args.connections),
        (Some(rate), Some(seconds)) => ((rate * seconds as f64) as u64).max(1),
        _ => args.messages,
    }
}

fn senders(args: &MilterArgs) -> anyhow::Result<Vec<String>> {
    let senders = match &args.from_file {
        None => args.from.clone(),
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the addresses in {}", path.display()))?
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    anyhow::ensure!(!senders.is_empty(), "there is no address to send from");
    for sender in &senders {
        let is_address = sender.contains('@') && !sender.contains(['\r', '\n', '\0', '<', '>']);
        anyhow::ensure!(is_address, "{sender:?} is no address; write user@example.com");
    }
    Ok(senders)
}

fn origin(args: &MilterArgs) -> Origin {
    match &args.auth {
        Some(login) => Origin::Login(login.clone()),
        None if args.not_ours => Origin::Stranger,
        None => Origin::Loopback,
    }
}

fn positive_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e7 => Ok(rate),
        _ => Err("give a number above 0, such as 500".into()),
    }
}

/// Many connections need many descriptors.
fn raise_descriptor_limit(needed: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    setrlimit(Resource::Nofile, Rlimit { current: Some(maximum), maximum: limit.maximum })?;
    anyhow::ensure!(maximum >= needed, "{needed} descriptors are needed and only {maximum} allowed; see ulimit -n");
    Ok(())
}

/// On standard error, and only if that is a terminal.
fn progress_bar(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

#[cfg(test)]
mod tests;
