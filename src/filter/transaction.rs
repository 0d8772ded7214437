//! A message in progress, and what is shared by all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tracing::Level;

use super::key_lookup::{Found, KeyLookup};
use super::prepare::{can_sign, prepare_all};
use super::signing_pool::{Overloaded, Signatures, SigningPool, sign_all};
use crate::clock::Clock;
use crate::config::{Config, Listener};
use crate::dkim::{Algorithm, BodyHasher, SignatureField};
use crate::evidence::Recorder;
use crate::keystore::{ActiveKey, DomainKeys, KeyStore};
use crate::message::{Headers, Spacing};
use crate::names::{DomainName, QueueId};
use crate::observe::line::{Line, Value};
use crate::observe::log::Logger;
use crate::observe::tally::Tally;
use crate::policy::{self, Decision, OnRelayed, Origin, Reason};

/// The longest signature, without what its key makes, in octets: half of what one reply to the MTA can hold, and all
/// that Sendmail takes of a header.
const LONGEST_SIGNATURE: usize = 32 << 10;

/// What all messages share.
#[derive(Debug)]
pub struct Filter<S> {
    /// The running configuration; a reload swaps it.
    pub config: ArcSwap<Config>,
    /// The keys.
    pub keys: KeyLookup<S>,
    /// The threads that make RSA signatures.
    pub pool: SigningPool,
    /// When each key last signed.
    pub evidence: Arc<Recorder>,
    /// Decisions so far.
    pub tally: Tally,
    /// Where each message's line goes.
    pub logger: Logger,
    /// The time.
    pub clock: Clock,
}

/// One message, from MAIL to its decision.
#[derive(Debug)]
pub struct Transaction {
    config: Arc<Config>,
    origin: Origin,
    headers: Headers,
    header_is_too_large: bool,
    /// Whether a header too large to be kept had a Received field that means relayed.
    was_relayed: bool,
    author: Option<DomainName>,
    /// How long the MTA has waited for our answers to this message.
    waited: Duration,
}

/// A message that is to be signed, its header complete.
pub struct Signing {
    message: Box<Transaction>,
    keys: Arc<DomainKeys>,
    body: BodyHasher,
}

/// What follows the header.
pub enum AfterHeader {
    /// The message's answer; its body need not travel.
    Answered(Answer),
    /// The body.
    Body(Box<Signing>),
}

/// The end of a message.
#[derive(Debug)]
pub struct Answer {
    message: Box<Transaction>,
    body_octets: u64,
    /// What was decided.
    pub decision: Decision,
    /// The fields to insert at the top, in this order: the last then stands topmost.
    pub signatures: Vec<SignatureField>,
    /// For which domain.
    domain: Option<DomainName>,
    /// With which keys, in the same order.
    keys: Vec<ActiveKey>,
}

impl<S: KeyStore + 'static> Filter<S> {
    /// Begins a message of that origin with the configuration of this moment.
    pub fn begin(&self, origin: Origin) -> Box<Transaction> {
        Box::new(Transaction {
            config: self.config.load_full(),
            origin,
            headers: Headers::new(),
            header_is_too_large: false,
            was_relayed: false,
            author: None,
            waited: Duration::ZERO,
        })
    }

    /// Decides at the end of the header of a message that came through `listener`.
    pub async fn end_of_header(&self, mut message: Box<Transaction>, listener: &Listener) -> AfterHeader {
        let began = self.clock.monotonic();
        let on_relayed = listener.on_relayed(&message.config.trust);
        let keys = self.find_keys(&mut message, on_relayed).await;
        message.waited += self.since(began);
        match keys {
            Ok(keys) => {
                let body = BodyHasher::new([message.config.domain(&keys.domain).canonicalization.body]);
                AfterHeader::Body(Box::new(Signing { message, keys, body }))
            }
            Err(reason) => AfterHeader::Answered(message.unsigned(reason, 0)),
        }
    }

    /// Signs at the end of the message.
    pub async fn end_of_message(&self, signing: Box<Signing>) -> Answer {
        let began = self.clock.monotonic();
        let mut answer = self.sign(*signing).await;
        answer.message.waited += self.since(began);
        answer
    }

    /// Counts the message and writes its line.
    pub fn record(&self, answer: &Answer, queue_id: Option<&QueueId>) {
        self.tally.count(answer.decision);
        if self.logger.wants(Level::INFO) {
            self.logger.line(answer.line(queue_id, &self.clock));
        }
    }

    /// The keys to sign with, or why there are none.
    async fn find_keys(&self, message: &mut Transaction, on_relayed: OnRelayed) -> Result<Arc<DomainKeys>, Reason> {
        let author = message.author(on_relayed)?;
        message.author = Some(author.clone());
        let config = &message.config;
        let candidates = policy::signing_candidates(&author, |parent| config.domain(parent).subdomains);
        for candidate in candidates {
            let confirm_within = config.keys.revalidate_wait;
            let keys = match self.keys.find(&candidate, confirm_within, config.limits.queue_deadline).await {
                Found::Confirmed(keys) => keys,
                Found::Unconfirmed(keys) => {
                    self.tally.count_stale_keys();
                    keys
                }
                Found::Unavailable => return Err(Reason::StoreUnavailable),
            };
            if let Some(verdict) = can_sign(&keys) {
                return verdict.map(|()| keys);
            }
        }
        Err(Reason::NoKey)
    }

    async fn sign(&self, signing: Signing) -> Answer {
        let Signing { message, keys: domain_keys, body } = signing;
        let body_octets = body.octets();
        let settings = message.config.domain(&domain_keys.domain);
        let hashes = body.finish();
        let Some(body_hash) = hashes.of(settings.canonicalization.body) else {
            return message.unsigned(Reason::SigningFailed, body_octets);
        };
        let pending = prepare_all(settings, &domain_keys, &message.headers, body_hash, self.clock.now());
        // h= names each instance: it grows with the header. A signature that no reply holds would cost the connection.
        if pending.iter().any(|(prepared, _)| prepared.field_octets() > LONGEST_SIGNATURE) {
            return message.unsigned(Reason::HeaderTooLarge, body_octets);
        }
        let signed: Signatures = if domain_keys.keys.iter().all(|key| key.algorithm == Algorithm::Ed25519Sha256) {
            sign_all(pending)
        } else {
            match self.pool.sign(pending, message.config.limits.queue_deadline).await {
                Ok(signed) => signed,
                Err(Overloaded) => return message.unsigned(Reason::Overload, body_octets),
            }
        };

        let mut answer = message.unsigned(Reason::SigningFailed, body_octets);
        let mut is_complete = domain_keys.unusable.is_empty();
        let now = self.clock.now();
        for (key, signature) in domain_keys.keys.iter().zip(signed) {
            match signature {
                Ok(signature) => {
                    self.evidence.used(key.key.id(), now);
                    answer.signatures.push(signature);
                    answer.keys.push(key.clone());
                }
                Err(error) => {
                    is_complete = false;
                    tracing::error!(
                        domain = %domain_keys.domain,
                        selector = %key.selector,
                        error = &error as &dyn std::error::Error,
                        "a key could not sign"
                    );
                }
            }
        }
        if !answer.signatures.is_empty() {
            answer.domain = Some(domain_keys.domain.clone());
            answer.decision = answer.message.decide(if is_complete { Reason::Signed } else { Reason::SignedInPart });
        }
        answer
    }

    fn since(&self, began: Instant) -> Duration {
        self.clock.monotonic().saturating_duration_since(began)
    }
}

impl Transaction {
    /// Takes a header field, as long as the header is within its limits; of a larger one nothing more is kept.
    pub fn header(&mut self, name: &[u8], value: &[u8], spacing: Spacing) {
        let limits = &self.config.limits;
        if self.header_is_too_large {
            return;
        }
        let octets = self.headers.octets() + name.len() + value.len();
        if octets as u64 > limits.header_bytes || self.headers.len() >= limits.header_fields.get() {
            self.header_is_too_large = true;
            // Received fields stand at the top.
            self.was_relayed = policy::is_relayed(&self.headers);
            self.headers = Headers::new();
        } else {
            self.headers.push(name, value, spacing);
        }
    }

    /// The author's domain, if this message is ours to sign.
    fn author(&self, on_relayed: OnRelayed) -> Result<DomainName, Reason> {
        if self.origin == Origin::Untrusted {
            return Err(Reason::NotTrusted);
        }
        let is_relayed = self.was_relayed || policy::is_relayed(&self.headers);
        if self.origin == Origin::ThisMachine && on_relayed == OnRelayed::Pass && is_relayed {
            return Err(Reason::Relayed);
        }
        if self.header_is_too_large {
            return Err(Reason::HeaderTooLarge);
        }
        policy::author_domain(&self.headers)
    }

    fn decide(&self, reason: Reason) -> Decision {
        Decision::of(reason, self.config.signing.on_failure, self.config.signing.on_unsignable)
    }

    fn unsigned(self: Box<Self>, reason: Reason, body_octets: u64) -> Answer {
        let decision = self.decide(reason);
        Answer { message: self, body_octets, decision, domain: None, signatures: Vec::new(), keys: Vec::new() }
    }
}

impl Signing {
    /// Takes a piece of the body.
    pub fn body(&mut self, piece: &[u8]) {
        self.body.update(piece);
    }
}

impl Answer {
    fn line(&self, queue_id: Option<&QueueId>, clock: &Clock) -> Line {
        let message = &self.message;
        let mut fields = Vec::with_capacity(10);
        if let Some(queue_id) = queue_id {
            fields.push(("queue_id", Value::Text(queue_id.as_str().to_owned())));
        }
        fields.push(("decision", Value::Name(self.decision.action.as_str())));
        fields.push(("reason", Value::Name(self.decision.reason.code())));
        fields.push(("origin", Value::Name(message.origin.as_str())));
        if let Some(author) = &message.author {
            fields.push(("from", Value::Text(author.to_string())));
        }
        if let Some(domain) = &self.domain {
            let list = |name: fn(&ActiveKey) -> &str| self.keys.iter().rev().map(name).collect::<Vec<_>>().join(",");
            fields.push(("d", Value::Text(domain.to_string())));
            fields.push(("s", Value::Text(list(|key| key.selector.as_str()))));
            fields.push(("a", Value::Text(list(|key| key.algorithm.a_tag()))));
        }
        fields.push(("bytes", Value::Number(message.headers.octets() as u64 + self.body_octets)));
        fields.push(("us", Value::Number(message.waited.as_micros() as u64)));
        Line { at: clock.now(), level: Level::INFO, message: "message".into(), fields }
    }
}
