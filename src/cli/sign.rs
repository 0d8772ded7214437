//! `waxseal sign`.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::output::WARN;
use super::{Exit, Installation};
use crate::clock::Clock;
use crate::config::Config;
use crate::dkim::BodyHasher;
use crate::filter::{can_sign, prepare_all, sign_all};
use crate::finding::Chain;
use crate::keystore::{CacheOptions, Directory, DomainKeys, KeyCache, UnusableKey};
use crate::message::{Headers, Message};
use crate::names::DomainName;
use crate::policy::{self, Reason};

/// Sign one message
///
/// Reads a message from standard input and writes it with its signatures to standard output. It is signed as the daemon
/// would sign it for a sender it trusts: for the domain of its author, with the active keys. Line ends become CRLF,
/// and the last line gets one where it has none.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Sign for this domain, whatever From says.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<DomainName>,
}

pub(super) fn run(args: &Args, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let Installation { config, store } = Installation::open(config)?;
    let mut octets = Vec::new();
    io::stdin().lock().read_to_end(&mut octets).context("the message cannot be read")?;
    let message = Message::parse(&octets).context("the message cannot be understood")?;

    let keys = find_keys(args, &config, store, &message.headers)?;
    for unusable in &keys.unusable {
        anstream::eprintln!("{WARN}warning:{WARN:#} no signature with {}: {}", unusable.selector, cause(unusable));
    }
    for weak in keys.keys.iter().filter(|key| key.key.is_weak()) {
        let bits = weak.key.bits();
        anstream::eprintln!("{WARN}warning:{WARN:#} {} is an RSA key of {bits} bits; make one of 2048", weak.selector);
    }
    let settings = config.domain(&keys.domain);
    let mut body = BodyHasher::new([settings.canonicalization.body]);
    body.update(&message.body);
    let hashes = body.finish();
    let body_hash = hashes.of(settings.canonicalization.body).context("the body was not hashed")?;
    let pending = prepare_all(settings, &keys, &message.headers, body_hash, Clock::System.now());
    let signatures: Vec<_> = sign_all(pending).into_iter().collect::<Result<_, _>>()?;

    // Each is inserted above the one before it.
    for signature in signatures.iter().rev() {
        write!(out, "{}:{}\r\n", signature.name(), signature.value())?;
    }
    for field in message.headers.iter() {
        out.write_all(field.raw())?;
        out.write_all(b"\r\n")?;
    }
    out.write_all(b"\r\n")?;
    out.write_all(&message.body)?;
    // As the first MTA would: verifiers disagree about a last line without an end. The body's hash holds for both.
    if !message.body.is_empty() && !message.body.ends_with(b"\r\n") {
        out.write_all(b"\r\n")?;
    }
    out.flush()?;
    Ok(Exit::Clean)
}

/// The keys the daemon would sign with, or an error that says why it would not.
fn find_keys(args: &Args, config: &Config, store: Directory, headers: &Headers) -> anyhow::Result<Arc<DomainKeys>> {
    let limits = &config.limits;
    if headers.octets() as u64 > limits.header_bytes || headers.len() > limits.header_fields.get() {
        bail!("{}: {}", Reason::HeaderTooLarge, Reason::HeaderTooLarge.remedy());
    }
    let author = match &args.domain {
        Some(domain) => domain.clone(),
        None => match policy::author_domain(headers) {
            Ok(author) => author,
            Err(reason) => bail!("{reason}: {}", reason.remedy()),
        },
    };
    let cache = KeyCache::new(store, CacheOptions::default());
    for candidate in policy::signing_candidates(&author, |parent| config.domain(parent).subdomains) {
        let keys = cache.load(&candidate, Clock::System.monotonic())?;
        match can_sign(&keys) {
            None => {}
            Some(Ok(())) => return Ok(keys),
            Some(Err(Reason::KeysUnusable)) => {
                let causes = keys.unusable.iter().map(|key| format!("{}: {}", key.selector, cause(key)));
                bail!("{}: {candidate}: {}", Reason::KeysUnusable, causes.collect::<Vec<_>>().join("; "));
            }
            Some(Err(reason)) => bail!("{reason}: {candidate}: {}", reason.remedy()),
        }
    }
    bail!("{}: {author}: {}", Reason::NoKey, Reason::NoKey.remedy())
}

fn cause(key: &UnusableKey) -> String {
    Chain(&*key.error).to_string()
}
