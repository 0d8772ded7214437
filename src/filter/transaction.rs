//! A message in progress, and what is shared by all of them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tracing::Level;

use super::key_lookup::{Found, KeyLookup};
use super::prepare::{found, keys_of, prepare_all, settings};
use super::running::Running;
use super::signing_pool::{Overloaded, Pending, Signatures, SigningPool};
use crate::clock::Clock;
use crate::config::{Config, DomainSettings, Listener};
use crate::control::Spent;
use crate::dkim::{Algorithm, BodyHasher, BodyHashes, SignatureField};
use crate::evidence::Recorder;
use crate::keystore::{ActiveKey, DomainKeys, KeyStore};
use crate::message::{Headers, Spacing};
use crate::names::{DomainName, QueueId};
use crate::observe::line::{Line, Value};
use crate::observe::log::Logger;
use crate::observe::recorder::{self, Recorded};
use crate::observe::tally::Tally;
use crate::observe::traffic::Present;
use crate::policy::{
    self, Announced, Author, Decider, Decision, Facts, FragileBody, Header, Mta, Origin, Peer, Plan, Reason,
    Recipients, Search, Submission, Trace, Untraced, Warning, Warnings,
};

/// The longest signature, without what its key makes, in octets: half of what one reply to the MTA can hold, and all
/// that Sendmail takes of a header.
const LONGEST_SIGNATURE: usize = 32 << 10;

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
    /// The last messages and the slowest.
    pub recorder: recorder::Recorder,
    /// Where each message's line goes.
    pub logger: Logger,
    /// The time.
    pub clock: Clock,
}

/// One message, from MAIL to its decision.
#[derive(Debug)]
pub struct Transaction {
    pub(super) running: Arc<Running>,
    /// The envelope sender, as the MTA gives it.
    sender: Box<[u8]>,
    pub(super) announced: Announced,
    recipients: Recipients,
    pub(super) headers: Headers,
    header_is_too_large: bool,
    /// Whether a header too large to be kept had a Received field that means relayed.
    was_relayed: bool,
    pub(super) mta: Mta,
    pub(super) origin: Origin,
    pub(super) author: Option<Author>,
    pub(super) rule: Option<Decider>,
    /// Who logged in, where that is why the message is not signed.
    login: Option<String>,
    pub(super) warnings: Warnings,
    /// The MTA's client.
    client: Peer,
    /// When it began.
    began: Instant,
    /// How long the MTA has waited for our answers to this message.
    waited: Duration,
    /// How much of that was for keys.
    finding_keys: Duration,
    /// How much of that was for signatures, the queue to the signing threads included.
    signing: Duration,
    /// Counts it as being in progress, if it is a message of an MTA.
    present: Option<Present>,
}

/// A message whose header was judged: whose keys to look for, or why not.
pub struct Judged {
    pub(super) message: Box<Transaction>,
    pub(super) outcome: Result<Search, Reason>,
}

/// A message that is to be signed, its header complete.
pub struct Signing {
    message: Box<Transaction>,
    plan: Plan<Arc<DomainKeys>>,
    body: BodyHasher,
    fragile: FragileBody,
}

/// The signatures of a message that lack only their keys' work, in the order in which they are inserted.
pub(super) struct Preparation {
    pending: Vec<Pending>,
    /// For which domain and with which key, in the same order.
    keys: Vec<(DomainName, ActiveKey)>,
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
    /// For which domain and with which key, in the same order.
    keys: Vec<(DomainName, ActiveKey)>,
}

impl<S: KeyStore + 'static> Filter<S> {
    /// Begins a message with the configuration and the policy of this moment.
    pub fn begin<'p>(&self, sender: &[u8], parameters: impl IntoIterator<Item = &'p [u8]>) -> Box<Transaction> {
        let began = self.clock.monotonic();
        let mut message = Transaction::new(self.running.load_full(), sender, Announced::of(parameters), began);
        message.present = Some(self.tally.traffic.message());
        message
    }

    /// Decides at the end of the header of a message that was judged.
    pub async fn end_of_header(&self, judged: Judged) -> AfterHeader {
        let began = self.clock.monotonic();
        let Judged { mut message, outcome } = judged;
        let plan = match outcome {
            Ok(search) => {
                let found = self.find_keys(&message.running.config, search, &mut Untraced).await;
                message.finding_keys = self.since(began);
                found
            }
            Err(reason) => Err(reason),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(reason) => {
                message.waited += self.since(began);
                return AfterHeader::Answered(message.unsigned(reason, 0));
            }
        };
        let body_forms = plan.signatures.iter().map(|planned| message.settings(&planned.domain).canonicalization.body);
        let body = BodyHasher::new(body_forms);
        message.warn_of_header(&plan);
        let fragile = FragileBody::new(message.mta);
        message.waited += self.since(began);
        AfterHeader::Body(Box::new(Signing { message, plan, body, fragile }))
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
        self.tally.count_warnings(answer.message.warnings);
        self.tally.count_answer(answer.message.waited);
        answer.keys.iter().for_each(|(_, key)| self.tally.count_signature(key.algorithm));
        self.recorder.record(answer.recorded(queue_id, self.clock.now(), self.since(answer.message.began)));
        if self.logger.wants(Level::INFO) {
            self.logger.line(answer.line(queue_id, &self.clock));
        }
    }

    /// The keys to sign with, or why there are none.
    pub(super) async fn find_keys(
        &self,
        config: &Config,
        search: Search,
        trace: &mut impl Trace,
    ) -> Result<Plan<Arc<DomainKeys>>, Reason> {
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
            hunt.answer(keys, |parent| config.domain(parent).subdomains, trace);
        }
        hunt.finish(trace)
    }

    async fn sign(&self, signing: Signing) -> Answer {
        let Signing { mut message, plan, body, fragile } = signing;
        let body_octets = body.octets();
        for warning in fragile.finish(message.announced).iter() {
            message.warnings.add(warning);
        }
        let (pending, keys) = match message.prepare(&plan, &body.finish(), self.clock.now()) {
            Ok(Preparation { pending, keys }) => (pending, keys),
            Err(reason) => return message.unsigned(reason, body_octets),
        };
        let began = self.clock.monotonic();
        let signed: Signatures = if keys.iter().all(|(_, key)| key.algorithm == Algorithm::Ed25519Sha256) {
            self.pool.sign_here(pending)
        } else {
            match self.pool.sign(pending, message.running.config.limits.queue_deadline).await {
                Ok(signed) => signed,
                Err(Overloaded) => {
                    message.signing = self.since(began);
                    return message.unsigned(Reason::Overload, body_octets);
                }
            }
        };

        message.signing = self.since(began);
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
                    self.tally.count_signature_failure(key.algorithm);
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
            answer.decision = answer.message.decide(reason);
        }
        answer
    }

    fn since(&self, began: Instant) -> Duration {
        self.clock.monotonic().saturating_duration_since(began)
    }
}

impl Transaction {
    pub(super) fn new(running: Arc<Running>, sender: &[u8], announced: Announced, began: Instant) -> Box<Self> {
        Box::new(Self {
            running,
            sender: sender.into(),
            announced,
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
            client: Peer::Unknown,
            began,
            waited: Duration::ZERO,
            present: None,
            finding_keys: Duration::ZERO,
            signing: Duration::ZERO,
        })
    }

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
    pub fn answer_if_ignored(mut self: Box<Self>, submission: &Submission<'_>) -> Result<Answer, Box<Self>> {
        self.client = submission.peer;
        if self.running.policy.ignores(submission).is_some() {
            return Ok(self.unsigned(Reason::IgnoredPeer, 0));
        }
        Err(self)
    }

    /// Judges the message at the end of its header. It came through `listener`.
    pub fn judge(self: Box<Self>, submission: &Submission<'_>, listener: &Listener) -> Judged {
        self.judge_traced(submission, listener, &mut Untraced)
    }

    pub(super) fn judge_traced(
        mut self: Box<Self>,
        submission: &Submission<'_>,
        listener: &Listener,
        trace: &mut impl Trace,
    ) -> Judged {
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
        let judgement = self.running.policy.judge(&facts, trace);
        (self.origin, self.author, self.rule) = (judgement.origin, judgement.author, judgement.rule);
        self.mta = Mta::of(submission.macros.value("v"));
        self.warnings.add_if(|| judgement.lacks_recipients, Warning::RecipientsUnknown);
        if matches!(judgement.outcome, Err(Reason::LoginNotBound)) {
            let shown = |login: &[u8]| String::from_utf8_lossy(&login[..login.len().min(LONGEST_LOGIN)]).into_owned();
            self.login = submission.login().map(shown);
        }
        Judged { message: self, outcome: judgement.outcome }
    }

    /// Prepares the signatures of a plan with their keys, in the order in which they are inserted.
    pub(super) fn prepare(
        &self,
        plan: &Plan<Arc<DomainKeys>>,
        hashes: &BodyHashes,
        now: Timestamp,
    ) -> Result<Preparation, Reason> {
        let (mut pending, mut keys) = (Vec::new(), Vec::new());
        // The first of the plan is to stand topmost.
        for planned in plan.signatures.iter().rev() {
            let settings = self.settings(&planned.domain);
            let Some(body_hash) = hashes.of(settings.canonicalization.body) else {
                return Err(Reason::SigningFailed);
            };
            let own = keys_of(planned);
            pending.extend(prepare_all(&settings, &planned.domain, own, &self.headers, body_hash, now));
            keys.extend(keys_of(planned).map(|key| (planned.domain.clone(), key.clone())));
        }
        // h= names each instance: it grows with the header. A signature that no reply holds would cost the connection.
        if pending.iter().any(|(prepared, _)| prepared.field_octets() > LONGEST_SIGNATURE) {
            return Err(Reason::HeaderTooLarge);
        }
        Ok(Preparation { pending, keys })
    }

    pub(super) fn settings(&self, domain: &DomainName) -> Cow<'_, DomainSettings> {
        settings(&self.running.config, &self.running.policy, self.rule.zip(self.author.as_ref()), domain)
    }

    pub(super) fn warn_of_header(&mut self, plan: &Plan<Arc<DomainKeys>>) {
        for warning in policy::fragile_header(&self.headers, self.mta).iter() {
            self.warnings.add(warning);
        }
        let headers = &self.headers;
        let is_signed = || plan.signatures.iter().any(|planned| policy::is_signed_by(headers, &planned.domain));
        self.warnings.add_if(is_signed, Warning::AlreadySigned);
        self.warnings.add_if(|| plan.selectors_missed > 0, Warning::SelectorNotActive);
    }

    pub(super) fn decide(&self, reason: Reason) -> Decision {
        let signing = &self.running.config.signing;
        Decision::of(reason, signing.on_failure, signing.on_unsignable)
    }

    fn unsigned(self: Box<Self>, reason: Reason, body_octets: u64) -> Answer {
        let decision = self.decide(reason);
        Answer { message: self, body_octets, decision, signatures: Vec::new(), keys: Vec::new() }
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
    fn recorded(&self, queue_id: Option<&QueueId>, at: Timestamp, total: Duration) -> Recorded {
        let message = &self.message;
        let policy = &message.running.policy;
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let ours = message.finding_keys.saturating_add(message.signing);
        Recorded {
            at,
            queue_id: queue_id.cloned(),
            decision: self.decision,
            origin: message.origin,
            client: message.client,
            from: message.author.as_ref().map(|author| author.domain.clone()),
            login: message.login.clone(),
            rule: message.rule.map(|rule| (policy.label(rule), policy.line(rule))),
            signatures: self
                .keys
                .iter()
                .rev()
                .map(|(domain, key)| (domain.clone(), key.selector.clone(), key.algorithm))
                .collect(),
            warnings: message.warnings,
            bytes: message.headers.octets() as u64 + self.body_octets,
            spent: Spent {
                total: micros(total),
                reading: micros(total.saturating_sub(message.waited)),
                keys: micros(message.finding_keys),
                signing: micros(message.signing),
                other: micros(message.waited.saturating_sub(ours)),
            },
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
        if !message.warnings.is_empty() {
            let codes: Vec<&str> = message.warnings.iter().map(Warning::code).collect();
            fields.push(("warnings", Value::Text(codes.join(","))));
        }
        fields.push(("bytes", Value::Number(message.headers.octets() as u64 + self.body_octets)));
        fields.push(("us", Value::Number(message.waited.as_micros() as u64)));
        Line { at: clock.now(), level: Level::INFO, message: "message".into(), fields }
    }
}
