//! `waxseal sign`.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::installation::ConfigUnusable;
use super::output::WARN;
use super::{Exit, Installation};
use crate::clock::Clock;
use crate::config::Config;
use crate::dkim::BodyHasher;
use crate::files::configuration::ConfigError;
use crate::files::maps;
use crate::filter::{found, keys_of, prepare_all, settings, sign_all};
use crate::finding::Chain;
use crate::keystore::{CacheOptions, Directory, DomainKeys, KeyCache, Presence, UnusableKey};
use crate::message::{Headers, Message};
use crate::names::DomainName;
use crate::policy::{Author, Decider, Plan, Policy, Reason, Recipients, Search, Untraced};

/// Sign one message
///
/// Reads a message from standard input and writes it with its signatures to standard output. It is signed as the daemon
/// would sign it for a sender it trusts: by the rules of the configuration, or else for the domain of its author, with the
/// active keys. Rules that ask for recipients are passed over. Line ends become CRLF, and the last line gets one where it
/// has none.
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

    let Signers { policy, decided, plan } = find_signers(args, &config, store, &message.headers)?;
    let decided = decided.as_ref().map(|(decider, author)| (*decider, author));
    let settings_of = |domain: &DomainName| settings(&config, &policy, decided, domain);
    let forms = plan.signatures.iter().map(|planned| settings_of(&planned.domain).canonicalization.body);
    let mut body = BodyHasher::new(forms);
    body.update(&message.body);
    let hashes = body.finish();
    let mut pending = Vec::new();
    // As the daemon inserts them: the first of the plan last.
    for planned in plan.signatures.iter().rev() {
        warn(&planned.keys);
        let settings = settings_of(&planned.domain);
        let body_hash = hashes.of(settings.canonicalization.body).context("the body was not hashed")?;
        let (keys, now) = (keys_of(planned), Clock::System.now());
        pending.extend(prepare_all(&settings, &planned.domain, keys, &message.headers, body_hash, now));
    }
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

fn warn(keys: &DomainKeys) {
    for unusable in &keys.unusable {
        anstream::eprintln!("{WARN}warning:{WARN:#} no signature with {}: {}", unusable.selector, cause(unusable));
    }
    for weak in keys.keys.iter().filter(|key| key.key.is_weak()) {
        let bits = weak.key.bits();
        anstream::eprintln!("{WARN}warning:{WARN:#} {} is an RSA key of {bits} bits; make one of 2048", weak.selector);
    }
}

/// Who signs, and by which rule.
struct Signers {
    policy: Policy,
    decided: Option<(Decider, Author)>,
    plan: Plan<Arc<DomainKeys>>,
}

/// Whom the daemon would have sign, or an error that says why nobody.
fn find_signers(args: &Args, config: &Config, store: Directory, headers: &Headers) -> anyhow::Result<Signers> {
    let limits = &config.limits;
    if headers.octets() as u64 > limits.header_bytes || headers.len() > limits.header_fields.get() {
        bail!("{}: {}", Reason::HeaderTooLarge, Reason::HeaderTooLarge.remedy());
    }
    let (policy, _) = maps::compile(config).policy.map_err(ConfigError::Invalid).map_err(ConfigUnusable)?;
    let (search, decided, author) = match &args.domain {
        Some(domain) => (Search::of_domain(domain.clone()), None, domain.clone()),
        None => {
            let judgement = policy.judge_trusted(headers, &Recipients::default(), &mut Untraced);
            let rule = judgement.rule.map(|rule| format!("{}: ", policy.label(rule))).unwrap_or_default();
            let search = match judgement.outcome {
                Ok(search) => search,
                Err(reason) => bail!("{reason}: {rule}{}", reason.remedy()),
            };
            let author = judgement.author.context("no author was made out")?;
            let domain = author.domain.clone();
            (search, judgement.rule.map(|rule| (rule, author)), domain)
        }
    };
    let cache = KeyCache::new(store, CacheOptions::default());
    let mut hunt = search.begin();
    let mut blame = author;
    let mut causes = Vec::new();
    while let Some(domain) = hunt.next_domain().cloned() {
        let keys = cache.load(&domain, Clock::System.monotonic())?;
        if keys.presence != Presence::NoSuchDomain {
            causes = keys.unusable.iter().map(|key| format!("{}: {}", key.selector, cause(key))).collect();
            blame = domain;
        }
        hunt.answer(found(keys), |parent| config.domain(parent).subdomains, &mut Untraced);
    }
    match hunt.finish(&mut Untraced) {
        Ok(plan) => Ok(Signers { policy, decided, plan }),
        Err(reason @ Reason::KeysUnusable) => bail!("{reason}: {blame}: {}", causes.join("; ")),
        Err(reason) => bail!("{reason}: {blame}: {}", reason.remedy().replace("DOMAIN", blame.as_str())),
    }
}

fn cause(key: &UnusableKey) -> String {
    Chain(&*key.error).to_string()
}
