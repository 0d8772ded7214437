//! A message in progress, and what is shared by all of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tracing::Level;

use super::admission::{Admission, ClientId, Held};
use super::answer::Answer;
use super::beside::{Beside, Others, Part, SIGNATURE_FIELD, SignAgain, resolve};
use super::key_lookup::{Found, KeyLookup};
use super::prepare::{found, keys_of, prepare_all, settings};
use super::running::Running;
use super::signing_pool::{Made, Overloaded, Pending, SigningPool};
use crate::admission::Busy;
use crate::clock::Clock;
use crate::config::{Config, DomainSettings, Listener};
use crate::dkim::{Algorithm, BodyHasher, BodyHashes};
use crate::evidence::Recorder;
use crate::keystore::{ActiveKey, DomainKeys, KeyStore};
use crate::message::{Headers, Spacing};
use crate::milter::HeaderChanges;
use crate::names::{DomainName, QueueId};
use crate::observe::line::{Line, Value};
use crate::observe::log::Logger;
use crate::observe::recorder;
use crate::observe::tally::Tally;
use crate::observe::traffic::Present;
use crate::policy::{
    self, Action, Announced, Author, Decider, Decision, Facts, FragileBody, Header, Mta, Origin, Peer, Plan, Reason,
    Recipients, Search, SigningMode, Submission, Trace, Untraced, Warning, Warnings,
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
    /// What is in progress, and whether there is room for more.
    pub admission: Arc<Admission>,
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
    header: Kept,
    /// What it holds of what is bounded.
    held: Held,
    /// Who submits it, as far as room is shared out; none before that is asked.
    client: Option<ClientId>,
    /// What there was no room or time for, where that is why the message is deferred.
    pub(super) busy: Option<Busy>,
    /// Whether a header too large to be kept had a Received field that means relayed.
    was_relayed: bool,
    pub(super) mta: Mta,
    pub(super) origin: Origin,
    pub(super) author: Option<Author>,
    pub(super) rule: Option<Decider>,
    pub(super) part: Part,
    /// Who logged in, where that is why the message is not signed.
    pub(super) login: Option<String>,
    pub(super) warnings: Warnings,
    /// The MTA's client.
    pub(super) peer: Peer,
    /// When it began.
    pub(super) began: Instant,
    /// How long the MTA has waited for our answers to this message.
    pub(super) waited: Duration,
    /// How much of that was for keys.
    pub(super) finding_keys: Duration,
    /// How much of that was for a signing thread to be free.
    pub(super) waiting: Duration,
    /// How much of that was for signatures to be made.
    pub(super) signing: Duration,
    /// Counts it as being in progress.
    present: Option<Present>,
}

/// Whether the header is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Whole,
    /// It is over the limits of one header.
    TooLarge,
    /// There was no room for it beside those of other messages.
    NoRoom,
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
    others: Others,
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

impl<S: KeyStore + 'static> Filter<S> {
    /// Begins a message with the configuration and the policy of this moment.
    pub fn begin<'p>(&self, sender: &[u8], parameters: impl IntoIterator<Item = &'p [u8]>) -> Box<Transaction> {
        let began = self.clock.monotonic();
        let announced = Announced::of(parameters);
        let mut message =
            Transaction::new(self.running.load_full(), self.admission.outside(), sender, announced, began);
        message.present = Some(self.tally.traffic.message());
        message
    }

    /// The answer to a message that can be had at MAIL: its client's mail is not looked at, or it is ours and there is no room
    /// for it. Mail that is trusted only for its place may have been received before, and waits for the end of its header.
    pub fn answer_at_mail(
        &self,
        message: Box<Transaction>,
        submission: &Submission<'_>,
        listener: &Listener,
    ) -> Result<Answer, Box<Transaction>> {
        let mut message = match message.answer_if_ignored(submission) {
            Ok(answer) => return Ok(answer),
            Err(message) => message,
        };
        let trust = message.running.policy.trust();
        message.origin = Origin::of(submission, trust, &mut Untraced);
        let is_ours = match message.origin {
            Origin::Untrusted => false,
            Origin::ThisMachine => listener.sign_relayed.unwrap_or(trust.sign_relayed),
            _ => true,
        };
        if is_ours {
            message.client = Some(self.admission.client(submission));
            if let Err(reason) = self.admit(&mut message) {
                return Ok(message.unsigned(reason, 0));
            }
        }
        Err(message)
    }

    /// Takes a message of ours on, if it was not yet and there is room.
    fn admit(&self, message: &mut Transaction) -> Result<(), Reason> {
        let Some(client) = message.client.filter(|_| !message.held.is_admitted()) else { return Ok(()) };
        let limits = &message.running.config.limits;
        let (speed, now) = (self.pool.speed(), self.clock.monotonic());
        let admitted = self.admission.admit(&mut message.held, client, limits, speed, now);
        admitted.map_err(|busy| message.is_busy(busy))
    }

    /// Decides at the end of the header of a message that was judged.
    pub async fn end_of_header(&self, judged: Judged) -> AfterHeader {
        let began = self.clock.monotonic();
        let Judged { mut message, outcome } = judged;
        let plan = match outcome {
            // What has no key passes, however much there is to do.
            Ok(search) => {
                let found = self.find_keys(&message.running.config, search, &mut Untraced).await;
                message.finding_keys = self.since(began);
                match found {
                    Ok(plan) => self.admit(&mut message).map(|()| plan),
                    Err(reason) => Err(reason),
                }
            }
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
        let mut answer = self.sign(*signing, changes, began).await;
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

    async fn sign(&self, signing: Signing, changes: HeaderChanges, began: Instant) -> Answer {
        let Signing { mut message, plan, body, others, fragile } = signing;
        let body_octets = body.octets();
        for warning in fragile.finish(message.announced).iter() {
            message.warnings.add(warning);
        }
        let hashes = body.finish();
        let Preparation { pending, keys } = match message.prepare(&plan, &hashes, self.clock.now()) {
            Ok(prepared) => prepared,
            Err(reason) => return message.unsigned(reason, body_octets),
        };
        let seen = others.judge(&hashes, &message.headers, &keys);
        let began_signing = self.clock.monotonic();
        let made = if keys.iter().all(|(_, key)| key.algorithm == Algorithm::Ed25519Sha256) {
            self.pool.sign_here(pending)
        } else {
            let limits = &message.running.config.limits;
            let made = match self.admission.queue(&message.held, limits, self.pool.speed(), began) {
                Ok(()) => self.pool.sign(pending, limits.queue_deadline).await,
                Err(_) => Err(Overloaded),
            };
            match made {
                Ok(made) => made,
                Err(Overloaded) => {
                    message.waiting = self.since(began_signing);
                    self.admission.count(Busy::Deadline);
                    let reason = message.is_busy(Busy::Deadline);
                    return message.unsigned(reason, body_octets);
                }
            }
        };

        let Made { signatures: signed, took } = made;
        message.signing = took;
        message.waiting = self.since(began_signing).saturating_sub(took);
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
    pub(super) fn new(
        running: Arc<Running>,
        held: Held,
        sender: &[u8],
        announced: Announced,
        began: Instant,
    ) -> Box<Self> {
        let part = match running.config.signing.mode {
            SigningMode::Sign => Part::Signer,
            SigningMode::Shadow => Part::Shadow,
        };
        Box::new(Self {
            running,
            part,
            sender: sender.into(),
            announced,
            recipients: Recipients::default(),
            headers: Headers::new(),
            header: Kept::Whole,
            held,
            client: None,
            busy: None,
            was_relayed: false,
            mta: Mta::Unknown,
            origin: Origin::Untrusted,
            author: None,
            rule: None,
            login: None,
            warnings: Warnings::default(),
            peer: Peer::Unknown,
            began,
            waited: Duration::ZERO,
            present: None,
            finding_keys: Duration::ZERO,
            waiting: Duration::ZERO,
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
        if self.header != Kept::Whole {
            return;
        }
        let more = name.len() + value.len();
        let octets = self.headers.octets() + more;
        if octets as u64 > limits.header_bytes || self.headers.len() >= limits.header_fields.get() {
            self.header = Kept::TooLarge;
        } else if self.held.grow(more as u64, limits.header_memory).is_err() {
            self.header = Kept::NoRoom;
        } else {
            self.headers.push(name, value, spacing);
            return;
        }
        // Received fields stand at the top.
        self.was_relayed = policy::is_relayed(&self.headers);
        self.headers = Headers::new();
        self.held.forget_header();
    }

    /// Notes what there is no room or time for.
    fn is_busy(&mut self, busy: Busy) -> Reason {
        self.busy = Some(busy);
        Reason::Overload
    }

    /// The answer to a message from a client whose mail is not looked at, if this is one. It can be had at MAIL.
    fn answer_if_ignored(mut self: Box<Self>, submission: &Submission<'_>) -> Result<Answer, Box<Self>> {
        self.peer = submission.peer;
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
            header: match self.header {
                Kept::Whole => Header::Whole(&self.headers),
                Kept::TooLarge | Kept::NoRoom => Header::TooLarge { is_relayed: self.was_relayed },
            },
        };
        let judgement = self.running.policy.judge(&facts, trace);
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
        self.client = Some(self.held.client(submission));
        let outcome = match judgement.outcome {
            Err(Reason::HeaderTooLarge) if self.header == Kept::NoRoom => {
                self.held.count(Busy::HeaderMemory);
                Err(self.is_busy(Busy::HeaderMemory))
            }
            outcome => outcome,
        };
        Judged { message: self, outcome }
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

    /// What is decided for that reason, and, in the shadow of another signer, what would be without it.
    pub(super) fn decide_in_part(&self, reason: Reason) -> (Decision, Option<Decision>) {
        let decision = self.decide(reason);
        if self.part == Part::Shadow && decision.action != Action::Pass {
            return (self.decide(Reason::Shadow), Some(decision));
        }
        (decision, None)
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
