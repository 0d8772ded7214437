//! `waxseal explain`.

mod recent;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde::Serialize;

pub(super) use recent::time;

use super::asking::{AskError, ask};
use super::installation::ConfigUnusable;
use super::output::Format;
use super::{Exit, Installation, Undetermined, UsageError};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{Answer, Ask, Client, Explanation, Octets, Question};
use crate::files::configuration::{self, ConfigError};
use crate::files::maps;
use crate::filter::{Running, body_warnings, explain};
use crate::keystore::{CacheOptions, KeyCache};
use crate::message::Message;
use crate::policy::Peer;
use crate::report::safe;

/// Say whether a message would be signed, and why or why not
///
/// The message is what the options say of it, or one that is read from standard input or a file; of that only the header
/// is looked at, and the body for lines that will break after us. It is judged as the daemon judges, from the
/// configuration and the key store, or by the running daemon (--live). Each step is shown with the file and line that
/// decided, then the signatures it gets, or what to change. With --queue-id, says what became of a message
/// that the running daemon saw.
///
/// Without --client, --auth, --daemon and --macro the message counts as handed in by a program on this machine.
///
/// Exits with 0 if it is signed, 1 if it is not, 2 if the command line or the configuration cannot be used, 3 if the
/// daemon cannot be asked or does not remember the message.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The author: what would stand in From.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "message")]
    from: Option<String>,

    /// Read the message from this file; - is standard input, which is read anyhow without --from.
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,

    /// Another field of the header, as `Name: value`, beside --from. May be given several times.
    #[arg(long, value_name = "FIELD", requires = "from")]
    header: Vec<String>,

    /// The client logged in as this.
    #[arg(long, value_name = "LOGIN")]
    auth: Option<String>,

    /// The client's address; or local (a program on this machine), or unknown.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<Client>,

    /// The client's name, as the MTA verified it.
    #[arg(long, value_name = "NAME", default_value = "")]
    host: String,

    /// The MTA's name for the service it came through: the macro {daemon_name}.
    #[arg(long, value_name = "NAME")]
    daemon: Option<String>,

    /// A macro of the MTA. May be given several times.
    #[arg(long = "macro", value_name = "NAME=VALUE", value_parser = macro_of)]
    macros: Vec<(String, String)>,

    /// The envelope sender; empty is the null sender. The author's address where it is left out.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,

    /// A recipient of the envelope. May be given several times; without any, rules that ask for recipients are passed over.
    #[arg(long, value_name = "ADDRESS")]
    rcpt: Vec<String>,

    /// A parameter of MAIL, such as BODY=8BITMIME. May be given several times.
    #[arg(long, value_name = "PARAMETER")]
    parameter: Vec<String>,

    /// The `[[listener]]` it comes through, by its name or socket.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,

    /// Ask the running daemon over its control socket: by what it has read, with the keys it has at hand.
    #[arg(long)]
    live: bool,

    /// Say what became of the message with this queue id, from the running daemon's memory.
    #[arg(
        long,
        value_name = "ID",
        conflicts_with_all = [
            "from", "message", "header", "auth", "client", "host", "daemon", "macros", "sender", "rcpt", "parameter",
            "listener",
        ]
    )]
    queue_id: Option<String>,

    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// An explanation, and where it is from.
#[derive(Debug, Serialize)]
struct Explained<'e> {
    /// `configuration` or `daemon`.
    source: &'static str,
    #[serde(flatten)]
    explanation: &'e Explanation,
}

/// What is asked about, and what is known beside.
struct Asked {
    question: Question,
    body: Vec<u8>,
    /// Nobody said where it comes from.
    is_origin_assumed: bool,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    if let Some(queue_id) = &args.queue_id {
        return recent::run(queue_id, &read(config)?, args.format, out);
    }
    let asked = asked(args).map_err(UsageError)?;
    let mut explanation = if args.live { of_daemon(&asked, &read(config)?)? } else { offline(&asked, config)? };
    if explanation.is_signed() {
        for warning in body_warnings(&asked.question, &asked.body) {
            if !explanation.warnings.contains(&warning) {
                explanation.warnings.push(warning);
            }
        }
    }
    match args.format {
        Format::Json => {
            let source = if args.live { "daemon" } else { "configuration" };
            safe::write_json(out, &Explained { source, explanation: &explanation })?;
            writeln!(out)?;
        }
        Format::Text => text::write(&explanation, &asked, out)?,
    }
    Ok(if explanation.is_signed() { Exit::Clean } else { Exit::Findings })
}

pub(super) fn read(path: &Path) -> anyhow::Result<Config> {
    let (config, warnings) = configuration::read(path).map_err(ConfigUnusable)?;
    for warning in warnings {
        anstream::eprintln!("{warning}");
    }
    Ok(config)
}

fn offline(asked: &Asked, path: &Path) -> anyhow::Result<Explanation> {
    let Installation { config, store } = Installation::open(path)?;
    let (policy, _) = maps::compile(&config).policy.map_err(ConfigError::Invalid).map_err(ConfigUnusable)?;
    let cache = KeyCache::new(store, CacheOptions::default());
    let now = (Clock::System.now(), Clock::System.monotonic());
    let running = Arc::new(Running::new(Arc::new(config), policy));
    explain(running, &asked.question, &cache, now).map_err(|error| UsageError(error.into()).into())
}

fn of_daemon(asked: &Asked, config: &Config) -> anyhow::Result<Explanation> {
    let question = Box::new(asked.question.clone());
    match ask(&config.control.socket, Ask::Explain { question }).map_err(undetermined)? {
        Answer::Explained { explanation } => Ok(*explanation),
        _ => Err(undetermined(anyhow!("the daemon answered another question"))),
    }
}

/// The daemon did not answer: nobody knows, unless it is the question's fault.
pub(super) fn undetermined(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    match error.downcast_ref() {
        Some(AskError::Unfit { .. }) => UsageError(error).into(),
        _ => Undetermined(error).into(),
    }
}

fn asked(args: &Args) -> anyhow::Result<Asked> {
    let octets = octets(args)?;
    let message = Message::parse(&octets).context("the message cannot be understood")?;
    let mut header = Vec::new();
    for field in message.headers.iter() {
        header.extend_from_slice(field.raw());
        header.extend_from_slice(b"\r\n");
    }
    let mut macros: BTreeMap<String, String> = args.macros.iter().cloned().collect();
    macros.extend(args.auth.iter().map(|login| ("auth_authen".to_owned(), login.clone())));
    macros.extend(args.daemon.iter().map(|name| ("daemon_name".to_owned(), name.clone())));
    let is_origin_assumed = args.client.is_none() && macros.is_empty();
    let assumed = Client(if is_origin_assumed { Peer::Local } else { Peer::Unknown });
    let author = || {
        let from = message.headers.named("From").next()?;
        let mailboxes = crate::message::parse_mailboxes(from.value()).ok()?;
        let first = mailboxes.first()?;
        Some(format!("{}@{}", String::from_utf8_lossy(&first.local_part), String::from_utf8_lossy(&first.domain)))
    };
    let question = Question {
        client: args.client.unwrap_or(assumed),
        host: args.host.clone(),
        macros,
        sender: args.sender.clone().or_else(author).unwrap_or_default(),
        parameters: args.parameter.clone(),
        recipients: (!args.rcpt.is_empty()).then(|| args.rcpt.clone()),
        listener: args.listener.clone(),
        header: Octets(header),
    };
    Ok(Asked { question, body: message.body, is_origin_assumed })
}

/// The message, or the header that the options make.
fn octets(args: &Args) -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    match (&args.from, &args.message) {
        (Some(from), _) => {
            for field in [&format!("From: {from}")].into_iter().chain(&args.header) {
                if field.contains(['\r', '\n', '\0']) {
                    bail!("a field of the header is one line: {field:?}");
                }
                if !field
                    .split_once(':')
                    .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic()))
                {
                    bail!("{field:?} is no field of a header; write it as \"Name: value\"");
                }
                octets.extend_from_slice(field.as_bytes());
                octets.extend_from_slice(b"\r\n");
            }
        }
        (None, Some(path)) if path != Path::new("-") => {
            octets = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        }
        (None, given) => {
            let mut input = io::stdin().lock();
            if given.is_none() && input.is_terminal() {
                bail!("name an author with --from, or give a message on standard input or with --message");
            }
            input.read_to_end(&mut octets).context("the message cannot be read")?;
        }
    }
    Ok(octets)
}

/// `{name}=value`, with or without the braces.
fn macro_of(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    let bare = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    if bare.is_empty() { Err("the name is missing") } else { Ok((bare.to_owned(), value.to_owned())) }
}
