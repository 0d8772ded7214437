//! What would become of a message, and why: a [`Transaction`] that is asked instead of sent, with every step noted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::prepare::{found, keys_of};
use super::running::Running;
use super::transaction::{Filter, Judged, Transaction};
use crate::config::{ListenAddress, Listener, Listeners};
use crate::control::{
    ExplainedDomain, ExplainedKey, ExplainedRule, ExplainedSignature, ExplainedStep, ExplainedWarning, Explanation,
    Question,
};
use crate::dkim::{BodyHasher, HeaderSelection};
use crate::finding::Chain;
use crate::keystore::{ActiveKey, Cached, DomainKeys, KeyCache, KeyStore, UnusableKey};
use crate::manifest::DomainManifest;
use crate::message::{Message, MessageError, Spacing};
use crate::names::DomainName;
use crate::policy::{
    self, Announced, FragileBody, MacroValues, Mta, Plan, PlannedSignature, Reason, Recorded, Step, Submission, Trace,
    Warning, Warnings,
};

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// The header cannot be read.
    #[error("the message cannot be understood")]
    Message(#[from] MessageError),
    /// No such listener.
    #[error("there is no listener {name:?}; those there are: {}", .known.join(", "))]
    Listener {
        /// The name asked for.
        name: String,
        /// What listeners are called.
        known: Vec<String>,
    },
}

/// A message that was judged, with its steps so far.
struct Judging {
    judged: Judged,
    trace: Recorded,
}

/// Says what becomes of a message, with keys from this cache. Waits for the store.
pub fn explain<S: KeyStore>(
    running: Arc<Running>,
    question: &Question,
    cache: &KeyCache<S>,
    now: (Timestamp, Instant),
) -> Result<Explanation, QuestionError> {
    let Judging { judged: Judged { message, outcome }, mut trace } = judge(running, question, now.1)?;
    let plan = outcome.and_then(|search| {
        let config = &message.running.config;
        let mut hunt = search.begin();
        while let Some(domain) = hunt.next_domain().cloned() {
            // The cause stands beside the domain's keys.
            let keys = cache.load(&domain, now.1).map_or(policy::Found::Unavailable, found);
            hunt.answer(keys, |parent| config.domain(parent).subdomains, &mut trace);
        }
        hunt.finish(&mut trace)
    });
    let mut explanation = explanation(*message, plan, trace, now.0);
    add_keys(&mut explanation, cache, now.1);
    Ok(explanation)
}

impl<S: KeyStore + 'static> Filter<S> {
    /// Says what becomes of a message now, without the keys of its domains: [`add_keys`] has to wait for the store.
    pub async fn explain(&self, question: &Question) -> Result<Explanation, QuestionError> {
        let Judging { judged: Judged { message, outcome }, mut trace } =
            judge(self.running.load_full(), question, self.clock.monotonic())?;
        let plan = match outcome {
            Ok(search) => self.find_keys(&message.running.config, search, &mut trace).await,
            Err(reason) => Err(reason),
        };
        Ok(explanation(*message, plan, trace, self.clock.now()))
    }
}

/// Adds what the store has of each domain that was looked for. Waits for the store.
pub fn add_keys<S: KeyStore>(explanation: &mut Explanation, cache: &KeyCache<S>, now: Instant) {
    for said in &mut explanation.domains {
        let Ok(domain) = DomainName::parse(&said.domain) else { continue };
        let unusable = match cache.peek(&domain, now) {
            Cached::Fresh(keys) | Cached::Stale(keys) => keys.unusable.clone(),
            Cached::Unknown => Vec::new(),
        };
        match cache.store().manifest(&domain) {
            Ok(Some(manifest)) => {
                said.status = named(&manifest.status());
                said.keys = keys_in(&manifest, &unusable);
            }
            Ok(None) => {}
            Err(error) => said.problem = Some(Chain(&error).to_string()),
        }
    }
}

/// What of a body will break after us.
pub fn body_warnings(question: &Question, body: &[u8]) -> Vec<ExplainedWarning> {
    let mut fragile = FragileBody::new(Mta::of(question.macros.get("v").map(String::as_bytes)));
    fragile.update(body);
    explained_warnings(fragile.finish(announced(question))).collect()
}

fn announced(question: &Question) -> Announced {
    Announced::of(question.parameters.iter().map(String::as_bytes))
}

fn judge(running: Arc<Running>, question: &Question, now: Instant) -> Result<Judging, QuestionError> {
    let listener = listener(&running, question.listener.as_deref())?;
    let mut message = Transaction::new(running, question.sender.as_bytes(), announced(question), now);
    for recipient in question.recipients.iter().flatten() {
        message.recipient(recipient.as_bytes());
    }
    for field in Message::parse(&question.header.0)?.headers.iter() {
        message.header(field.name(), field.value(), Spacing::AsReceived);
    }
    let macros: BTreeMap<String, Vec<u8>> =
        question.macros.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let submission =
        Submission { peer: question.client.0, host: question.host.as_bytes(), macros: &macros as &dyn MacroValues };
    let mut trace = Recorded::default();
    let judged = message.judge_traced(&submission, &listener, &mut trace);
    Ok(Judging { judged, trace })
}

/// The listener of that name or socket; one that says nothing of its own where none is named.
fn listener(running: &Running, name: Option<&str>) -> Result<Listener, QuestionError> {
    let Some(name) = name else { return Ok(Listener::at(ListenAddress::Systemd(None))) };
    let all = match &running.config.listeners {
        Listeners::Named(named) => named.as_slice(),
        Listeners::PassedOr(fallback) => std::slice::from_ref(fallback),
    };
    all.iter().find(|listener| listener.label() == name || listener.address.to_string() == name).cloned().ok_or_else(
        || QuestionError::Listener {
            name: name.to_owned(),
            known: all.iter().map(|listener| listener.label().into_owned()).collect(),
        },
    )
}

fn explanation(
    mut message: Transaction,
    plan: Result<Plan<Arc<DomainKeys>>, Reason>,
    mut trace: Recorded,
    now: Timestamp,
) -> Explanation {
    let domains = domains_of(&trace);
    let (reason, signatures) = match plan {
        Ok(plan) => {
            message.warn_of_header(&plan);
            let forms = plan.signatures.iter().map(|planned| message.settings(&planned.domain).canonicalization.body);
            match message.prepare(&plan, &BodyHasher::new(forms).finish(), now) {
                Ok(_) => (plan.reason, signatures(&message, &plan)),
                Err(reason) => {
                    trace.note(|| Step::Decided { reason });
                    (reason, Vec::new())
                }
            }
        }
        Err(reason) => (reason, Vec::new()),
    };
    let policy = &message.running.policy;
    let rule = message.rule.map(|decider| {
        let at = policy.line(decider);
        ExplainedRule { name: policy.label(decider), file: at.path.display().to_string(), line: at.line }
    });
    let author = message.author.as_ref();
    Explanation {
        decision: message.decide(reason).action.as_str().to_owned(),
        reason: reason.code().to_owned(),
        means: reason.meaning().to_owned(),
        remedy: match author {
            Some(author) => reason.remedy().replace("DOMAIN", author.domain.as_str()),
            None => reason.remedy().to_owned(),
        },
        origin: message.origin.as_str().to_owned(),
        author: author.map(|author| author.address()),
        rule,
        steps: trace.steps.iter().map(explained).collect(),
        domains,
        signatures,
        warnings: explained_warnings(message.warnings).collect(),
    }
}

fn explained(step: &Step) -> ExplainedStep {
    let facts = match serde_json::to_value(step) {
        Ok(serde_json::Value::Object(facts)) => facts,
        _ => serde_json::Map::new(),
    };
    ExplainedStep { text: step.to_string(), facts }
}

fn explained_warnings(warnings: Warnings) -> impl Iterator<Item = ExplainedWarning> {
    let explained =
        |warning: Warning| ExplainedWarning { warning: warning.code().to_owned(), remedy: warning.remedy().to_owned() };
    warnings.iter().map(explained)
}

/// The stable name of one of a few values.
fn named(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Some(name),
        _ => None,
    }
}

/// The domains that were looked for, each once.
fn domains_of(trace: &Recorded) -> Vec<ExplainedDomain> {
    let mut domains: Vec<ExplainedDomain> = Vec::new();
    for step in &trace.steps {
        if let Step::Keys { domain, .. } = step
            && domains.iter().all(|known| known.domain != *domain)
        {
            domains.push(ExplainedDomain { domain: domain.clone(), ..ExplainedDomain::default() });
        }
    }
    domains
}

fn keys_in(manifest: &DomainManifest, unusable: &[UnusableKey]) -> Vec<ExplainedKey> {
    let signing: Vec<_> = manifest.signing().map(|binding| &binding.selector).collect();
    let problem =
        |selector| unusable.iter().find(|key| key.selector == selector).map(|key| Chain(&*key.error).to_string());
    let bindings = manifest.bindings().iter();
    bindings
        .map(|binding| ExplainedKey {
            selector: binding.selector.as_str().to_owned(),
            algorithm: binding.algorithm().a_tag().to_owned(),
            state: binding.state.name().as_str().to_owned(),
            since: Some(binding.state.since()),
            signs: signing.contains(&&binding.selector),
            problem: problem(binding.selector.clone()),
        })
        .collect()
}

/// The signatures of a plan, the topmost first.
fn signatures(message: &Transaction, plan: &Plan<Arc<DomainKeys>>) -> Vec<ExplainedSignature> {
    plan.signatures.iter().flat_map(|planned| signatures_of(message, planned)).collect()
}

fn signatures_of(message: &Transaction, planned: &PlannedSignature<Arc<DomainKeys>>) -> Vec<ExplainedSignature> {
    let settings = message.settings(&planned.domain);
    let headers: Vec<String> = settings.headers.select(&message.headers).names().map(str::to_owned).collect();
    let role = named(&planned.role).unwrap_or_default();
    let one = |key: &ActiveKey| ExplainedSignature {
        domain: planned.domain.to_string(),
        selector: key.selector.as_str().to_owned(),
        algorithm: key.algorithm.a_tag().to_owned(),
        bits: key.key.bits(),
        identity: settings.identity.as_ref().map(|auid| auid.as_str().to_owned()),
        canonicalization: settings.canonicalization.as_str().to_owned(),
        expires_after: settings.expire_after.map(|after| after.as_secs()),
        headers_if_present: if_present(&settings.headers, &headers),
        headers: headers.clone(),
        role: role.clone(),
    };
    // As they are inserted: the last stands topmost.
    let mut signatures: Vec<ExplainedSignature> = keys_of(planned).map(one).collect();
    signatures.reverse();
    signatures
}

/// What of the lists the message does not have.
fn if_present(lists: &HeaderSelection, signed: &[String]) -> Vec<String> {
    let is_among = |name: &str, names: &[String]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    let listed = lists.oversigned.iter().chain(&lists.as_present);
    listed.filter(|name| !is_among(name, signed) && !is_among(name, &lists.left_out)).cloned().collect()
}
