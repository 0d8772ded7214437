//! A message in progress, and what is shared by all of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tracing::Level;

use super::beside::{Beside, Others, Part, SIGNATURE_FIELD, SignAgain, resolve};
use super::key_lookup::{Found, KeyLookup};
use super::prepare::{SignedBy, found, keys_of, prepare_all, settings};
use super::running::Running;
use super::signing_pool::{Overloaded, Signatures, SigningPool, sign_all};
use crate::clock::Clock;
use crate::config::{DomainSettings, Listener};
use crate::dkim::{Algorithm, BodyHasher, SignatureField};
use crate::evidence::Recorder;
use crate::keystore::{ActiveKey, DomainKeys, KeyStore};
use crate::message::{Headers, Spacing};
use crate::milter::HeaderChanges;
use crate::names::{DomainName, QueueId};
use crate::observe::line::{Line, Value};
use crate::observe::log::Logger;
use crate::observe::tally::Tally;
use crate::policy::{
    self, Action, Announced, Author, Decider, Decision, Facts, FragileBody, Header, Mta, Origin, Peer, Plan, Reason,
    Recipients, Search, SigningMode, Submission, Untraced, Warning, Warnings,
};

/// The longest signature, without what its key makes, in octets: half of what one reply to the MTA can hold, and all
/// that Sendmail takes of a header.
const LONGEST_SIGNATURE: usize = 32 << 10;

/// For so many domains of another signer it is asked whether they have keys here.
const FOREIGN_DOMAINS: usize = 3;

/// So much of a login is logged, in octets.
const LONGEST_LOGIN: usize = 128;

/// What all messages share.
#[derive(Debug)]
pub struct Filter<S> {
    /// The running configuration and policy; a reload swaps them, and so does a changed map.
    pub running: ArcSwap<Running>,
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
    running: Arc<Running>,
    /// The envelope sender, as the MTA gives it.
    sender: Box<[u8]>,
    announced: Announced,
    recipients: Recipients,
    headers: Headers,
    header_is_too_large: bool,
    /// Whether a header too large to be kept had a Received field that means relayed.
    was_relayed: bool,
    mta: Mta,
    origin: Origin,
    author: Option<Author>,
    rule: Option<Decider>,
    part: Part,
    /// Who logged in, where that is why the message is not signed.
    login: Option<String>,
    warnings: Warnings,
    /// How long the MTA has waited for our answers to this message.
    waited: Duration,
}

/// A message whose header was judged: whose keys to look for, or why not.
pub struct Judged {
    message: Box<Transaction>,
    outcome: Result<Search, Reason>,
}

/// A message that is to be signed, its header complete.
pub struct Signing {
    message: Box<Transaction>,
    plan: Plan<Arc<DomainKeys>>,
    body: BodyHasher,
    others: Others,
    fragile: FragileBody,
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
    /// What would have been decided, if we did not stand in the shadow of another signer.
    would: Option<Decision>,
    /// The DKIM-Signature fields to delete before anything is inserted, in this order: each counted from 1 at the top.
    pub removed: Vec<u32>,
    /// How another signer and we differ, if both were held against each other.
    beside: Option<Beside>,
    /// The fields to insert at the top, in this order: the last then stands topmost.
    pub signatures: Vec<SignatureField>,
    /// For which domain and with which key, in the same order.
    keys: Vec<SignedBy>,
}

impl<S: KeyStore + 'static> Filter<S> {
    /// Begins a message with the configuration and the policy of this moment.
    pub fn begin<'p>(&self, sender: &[u8], parameters: impl IntoIterator<Item = &'p [u8]>) -> Box<Transaction> {
        let running = self.running.load_full();
        let part = match running.config.signing.mode {
            SigningMode::Sign => Part::Signer,
            SigningMode::Shadow => Part::Shadow,
        };
        Box::new(Transaction {
            running,
            part,
            sender: sender.into(),
            announced: Announced::of(parameters),
            recipients: Recipients::default(),
            headers: Headers::new(),
            header_is_too_large: false,
            was_relayed: false,
            mta: Mta::Unknown,
            origin: Origin::Untrusted,
            author: None,
            rule: None,
            login: None,
            warnings: Warnings::default(),
            waited: Duration::ZERO,
        })
    }

    /// Decides at the end of the header of a message that was judged.
    pub async fn end_of_header(&self, judged: Judged) -> AfterHeader {
        let began = self.clock.monotonic();
        let Judged { mut message, outcome } = judged;
        let plan = match outcome {
            Ok(search) => self.find_keys(&message, search).await,
            Err(reason) => Err(reason),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(reason) => {
                let mut answer = message.unsigned(reason, 0);
                answer.beside = self.signed_by_others_alone(&answer).await;
                answer.message.waited += self.since(began);
                return AfterHeader::Answered(answer);
            }
        };
        let body_forms = plan.signatures.iter().map(|planned| message.settings(&planned.domain).canonicalization.body);
        let others = message.others(&plan);
        let body = BodyHasher::new(body_forms.chain(others.body_forms()));
        message.warn_of_header(&plan);
        let fragile = FragileBody::new(message.mta);
        message.waited += self.since(began);
        AfterHeader::Body(Box::new(Signing { message, plan, body, others, fragile }))
    }

    /// Signs at the end of the message. `changes` is what the MTA lets us do to its header.
    pub async fn end_of_message(&self, signing: Box<Signing>, changes: HeaderChanges) -> Answer {
        let began = self.clock.monotonic();
        let mut answer = self.sign(*signing, changes).await;
        answer.message.waited += self.since(began);
        answer
    }

    /// Whether the client is one whose mail is not looked at: the MTA need show us nothing of it.
    pub fn ignores(&self, client: &Submission<'_>) -> bool {
        self.running.load().policy.ignores(client).is_some()
    }

    /// Counts the connection of such a client and writes its line.
    pub fn record_ignored(&self, peer: Peer) {
        self.tally.count_ignored_connection();
        if self.logger.wants(Level::INFO) {
            let mut fields = vec![
                ("decision", Value::Name(Action::Pass.as_str())),
                ("reason", Value::Name(Reason::IgnoredPeer.code())),
            ];
            if let Peer::Address(address) = peer {
                fields.push(("client", Value::Text(address.to_string())));
            }
            self.logger.line(Line { at: self.clock.now(), level: Level::INFO, message: "connection".into(), fields });
        }
    }

    /// Counts the message and writes its line.
    pub fn record(&self, answer: &Answer, queue_id: Option<&QueueId>) {
        self.tally.count(answer.decision);
        self.tally.count_warnings(answer.message.warnings);
        self.tally.count_replaced(answer.removed.len());
        if let Some(beside) = &answer.beside {
            self.tally.count_comparison(&beside.kinds());
        }
        if self.logger.wants(Level::INFO) {
            self.logger.line(answer.line(queue_id, &self.clock));
        }
    }

    /// The keys to sign with, or why there are none.
    async fn find_keys(&self, message: &Transaction, search: Search) -> Result<Plan<Arc<DomainKeys>>, Reason> {
        let config = &message.running.config;
        let mut hunt = search.begin();
        while let Some(domain) = hunt.next_domain().cloned() {
            let confirm_within = config.keys.revalidate_wait;
            let keys = match self.keys.find(&domain, confirm_within, config.limits.queue_deadline).await {
                Found::Confirmed(keys) => found(keys),
                Found::Unconfirmed(keys) => {
                    self.tally.count_stale_keys();
                    found(keys)
                }
                Found::Unavailable => policy::Found::Unavailable,
            };
            hunt.answer(keys, |parent| config.domain(parent).subdomains, &mut Untraced);
        }
        hunt.finish(&mut Untraced)
    }

    async fn sign(&self, signing: Signing, changes: HeaderChanges) -> Answer {
        let Signing { mut message, plan, body, others, fragile } = signing;
        let body_octets = body.octets();
        for warning in fragile.finish(message.announced).iter() {
            message.warnings.add(warning);
        }
        let hashes = body.finish();
        let now = self.clock.now();
        let (mut pending, mut keys): (Vec<_>, Vec<SignedBy>) = (Vec::new(), Vec::new());
        // The first of the plan is to stand topmost.
        for planned in plan.signatures.iter().rev() {
            let settings = message.settings(&planned.domain);
            let Some(body_hash) = hashes.of(settings.canonicalization.body) else {
                return message.unsigned(Reason::SigningFailed, body_octets);
            };
            let own = keys_of(planned);
            pending.extend(prepare_all(&settings, &planned.domain, own, &message.headers, body_hash, now));
            keys.extend(keys_of(planned).map(|key| (planned.domain.clone(), key.clone())));
        }
        // h= names each instance: it grows with the header. A signature that no reply holds would cost the connection.
        if pending.iter().any(|(prepared, _)| prepared.field_octets() > LONGEST_SIGNATURE) {
            return message.unsigned(Reason::HeaderTooLarge, body_octets);
        }
        let seen = others.judge(&hashes, &message.headers, &keys);
        let signed: Signatures = if keys.iter().all(|(_, key)| key.algorithm == Algorithm::Ed25519Sha256) {
            sign_all(pending)
        } else {
            match self.pool.sign(pending, message.running.config.limits.queue_deadline).await {
                Ok(signed) => signed,
                Err(Overloaded) => return message.unsigned(Reason::Overload, body_octets),
            }
        };

        let mut answer = message.unsigned(Reason::SigningFailed, body_octets);
        let mut reason = plan.reason;
        let now = self.clock.now();
        for ((domain, key), signature) in keys.into_iter().zip(signed) {
            match signature {
                Ok(signature) => {
                    self.evidence.used(key.key.id(), now);
                    answer.signatures.push(signature);
                    answer.keys.push((domain, key));
                }
                Err(error) => {
                    reason = Reason::SignedInPart;
                    tracing::error!(
                        %domain,
                        selector = %key.selector,
                        error = &error as &dyn std::error::Error,
                        "a key could not sign"
                    );
                }
            }
        }
        if !answer.signatures.is_empty() {
            if answer.message.part != Part::Signer {
                answer.beside = Some(Beside::compare(&answer.signatures, &seen));
            }
            let again = if answer.message.running.config.signing.sign_again { SignAgain::Yes } else { SignAgain::No };
            let proven = answer.message.running.proven.with(&answer.keys, &seen);
            let resolution = resolve(answer.message.part, &answer.keys, &proven, &seen, changes, again);
            let is_inserted = resolution.inserted.contains(&true);
            if answer.message.part != Part::Shadow && !is_inserted {
                reason = Reason::SignedBefore;
            }
            answer.removed = resolution.removed;
            let mut inserted = resolution.inserted.iter();
            answer.signatures.retain(|_| inserted.next().is_some_and(|is| *is));
            if is_inserted {
                let mut inserted = resolution.inserted.iter();
                answer.keys.retain(|_| inserted.next().is_some_and(|is| *is));
            }
            answer.decide(reason);
        }
        answer
    }

    /// What the signer before us signed of what we do not: for the author's domain or one above it, or, where the author was
    /// not asked for, for a domain that has keys here.
    async fn signed_by_others_alone(&self, answer: &Answer) -> Option<Beside> {
        let message = &answer.message;
        let is_of_interest = message.part != Part::Signer
            && answer.decision.action == Action::Pass
            && answer.decision.reason != Reason::IgnoredPeer;
        if !is_of_interest || message.headers.named(SIGNATURE_FIELD).next().is_none() {
            return None;
        }
        let others = Others::of(&message.headers);
        let wait = message.running.config.keys.revalidate_wait;
        let mut domains = Vec::new();
        for domain in others.fresh_domains().into_iter().take(FOREIGN_DOMAINS) {
            let is_meant = match &message.author {
                Some(author) => author.domain.is_within(&domain),
                None => match self.keys.find(&domain, wait, wait).await {
                    Found::Confirmed(keys) | Found::Unconfirmed(keys) => !keys.keys.is_empty(),
                    Found::Unavailable => false,
                },
            };
            if is_meant {
                domains.push(domain);
            }
        }
        Beside::unsigned(others, &domains)
    }

    fn since(&self, began: Instant) -> Duration {
        self.clock.monotonic().saturating_duration_since(began)
    }
}

impl Transaction {
    /// Takes a recipient, if anybody asks for them.
    pub fn recipient(&mut self, recipient: &[u8]) {
        self.running.policy.recipient(recipient, &mut self.recipients);
    }

    /// Takes a header field, as long as the header is within its limits; of a larger one nothing more is kept.
    pub fn header(&mut self, name: &[u8], value: &[u8], spacing: Spacing) {
        let limits = &self.running.config.limits;
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

    /// The answer to a message from a client whose mail is not looked at, if this is one. It can be had at MAIL.
    pub fn answer_if_ignored(self: Box<Self>, submission: &Submission<'_>) -> Result<Answer, Box<Self>> {
        if self.running.policy.ignores(submission).is_some() {
            return Ok(self.unsigned(Reason::IgnoredPeer, 0));
        }
        Err(self)
    }

    /// Judges the message at the end of its header. It came through `listener`.
    pub fn judge(mut self: Box<Self>, submission: &Submission<'_>, listener: &Listener) -> Judged {
        let facts = Facts {
            submission: *submission,
            on_relayed: listener.on_relayed(),
            sender: &self.sender,
            recipients: &self.recipients,
            header: if self.header_is_too_large {
                Header::TooLarge { is_relayed: self.was_relayed }
            } else {
                Header::Whole(&self.headers)
            },
        };
        let judgement = self.running.policy.judge(&facts, &mut Untraced);
        (self.origin, self.author, self.rule) = (judgement.origin, judgement.author, judgement.rule);
        self.mta = Mta::of(submission.macros.value("v"));
        self.warnings.add_if(|| judgement.lacks_recipients, Warning::RecipientsUnknown);
        let is_taken =
            |author: &Author| self.running.policy.cutover().is_some_and(|cutover| cutover.takes(&author.domain));
        if self.part == Part::Shadow && self.author.as_ref().is_some_and(is_taken) {
            self.part = Part::Successor;
        }
        if matches!(judgement.outcome, Err(Reason::LoginNotBound)) {
            let shown = |login: &[u8]| String::from_utf8_lossy(&login[..login.len().min(LONGEST_LOGIN)]).into_owned();
            self.login = submission.login().map(shown);
        }
        Judged { message: self, outcome: judgement.outcome }
    }

    fn settings(&self, domain: &DomainName) -> Cow<'_, DomainSettings> {
        settings(&self.running.config, &self.running.policy, self.rule.zip(self.author.as_ref()), domain)
    }

    fn warn_of_header(&mut self, plan: &Plan<Arc<DomainKeys>>) {
        for warning in policy::fragile_header(&self.headers, self.mta).iter() {
            self.warnings.add(warning);
        }
        let headers = &self.headers;
        let is_signed = || plan.signatures.iter().any(|planned| policy::is_signed_by(headers, &planned.domain));
        if self.part == Part::Signer {
            self.warnings.add_if(is_signed, Warning::AlreadySigned);
        }
        self.warnings.add_if(|| plan.selectors_missed > 0, Warning::SelectorNotActive);
    }

    /// The signatures that are there already and that ours may have to do with.
    fn others(&self, plan: &Plan<Arc<DomainKeys>>) -> Others {
        if self.headers.named(SIGNATURE_FIELD).next().is_none() {
            return Others::default();
        }
        let domains: HashSet<DomainName> = plan.signatures.iter().map(|planned| planned.domain.clone()).collect();
        Others::of(&self.headers).for_part(self.part, &domains)
    }

    fn decide(&self, reason: Reason) -> Decision {
        let signing = &self.running.config.signing;
        Decision::of(reason, signing.on_failure, signing.on_unsignable)
    }

    fn unsigned(self: Box<Self>, reason: Reason, body_octets: u64) -> Answer {
        let decision = self.decide(reason);
        let mut answer = Answer {
            message: self,
            body_octets,
            decision,
            would: None,
            removed: Vec::new(),
            beside: None,
            signatures: Vec::new(),
            keys: Vec::new(),
        };
        answer.decide(reason);
        answer
    }
}

impl Signing {
    /// Takes a piece of the body.
    pub fn body(&mut self, piece: &[u8]) {
        self.body.update(piece);
        self.fragile.update(piece);
    }
}

impl Answer {
    /// Decides for that reason; in the shadow of another signer, nothing is done.
    fn decide(&mut self, reason: Reason) {
        self.decision = self.message.decide(reason);
        self.would = None;
        if self.message.part == Part::Shadow && self.decision.action != Action::Pass {
            self.would = Some(self.decision);
            self.decision = self.message.decide(Reason::Shadow);
        }
    }

    fn line(&self, queue_id: Option<&QueueId>, clock: &Clock) -> Line {
        let message = &self.message;
        let mut fields = Vec::with_capacity(12);
        if let Some(queue_id) = queue_id {
            fields.push(("queue_id", Value::Text(queue_id.as_str().to_owned())));
        }
        fields.push(("decision", Value::Name(self.decision.action.as_str())));
        fields.push(("reason", Value::Name(self.decision.reason.code())));
        if let Some(part) = message.part.name() {
            fields.push(("mode", Value::Name(part)));
        }
        if let Some(would) = self.would {
            fields.push(("would", Value::Name(would.action.as_str())));
            fields.push(("would_reason", Value::Name(would.reason.code())));
        }
        fields.push(("origin", Value::Name(message.origin.as_str())));
        if let Some(author) = &message.author {
            fields.push(("from", Value::Text(author.domain.to_string())));
        }
        if let Some(login) = &message.login {
            fields.push(("login", Value::Text(login.clone())));
        }
        if let Some(rule) = message.rule {
            fields.push(("rule", Value::Text(message.running.policy.label(rule))));
        }
        if !self.keys.is_empty() {
            let list = |name: fn(&ActiveKey) -> &str| {
                self.keys.iter().rev().map(|(_, key)| name(key)).collect::<Vec<_>>().join(",")
            };
            let mut domains: Vec<&str> = self.keys.iter().rev().map(|(domain, _)| domain.as_str()).collect();
            // One domain stands once, several as often as they sign.
            domains.dedup();
            if domains.len() > 1 {
                domains = self.keys.iter().rev().map(|(domain, _)| domain.as_str()).collect();
            }
            fields.push(("d", Value::Text(domains.join(","))));
            fields.push(("s", Value::Text(list(|key| key.selector.as_str()))));
            fields.push(("a", Value::Text(list(|key| key.algorithm.a_tag()))));
        }
        if let Some(beside) = &self.beside {
            beside.append_to(&mut fields);
        }
        if !self.removed.is_empty() {
            fields.push(("replaced", Value::Number(self.removed.len() as u64)));
        }
        if !message.warnings.is_empty() {
            let codes: Vec<&str> = message.warnings.iter().map(Warning::code).collect();
            fields.push(("warnings", Value::Text(codes.join(","))));
        }
        fields.push(("bytes", Value::Number(message.headers.octets() as u64 + self.body_octets)));
        fields.push(("us", Value::Number(message.waited.as_micros() as u64)));
        Line { at: clock.now(), level: Level::INFO, message: "message".into(), fields }
    }
}
