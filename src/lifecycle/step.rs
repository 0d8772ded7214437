//! What an event makes of a binding: the one place that says which steps are legal.

use jiff::{SignedDuration, Timestamp};

use super::event::{Event, EventName};
use super::schedule::{Caches, Schedule};
use super::sighting::{Resolvers, Seen, Sighting};
use super::waits::{TOLERATED, Witnessed, seconds};
use crate::manifest::{
    Active, Binding, Compromised, End, EnteredBy, Held, HeldReason, PrivateKeyPlace, Published, Ready, Retiring,
    Revoked, State, StateName, Tombstone, Withdrawn,
};

/// Holds do not clear sooner: a publisher and the servers may see a conflict at different times.
const HELD_FOR: SignedDuration = SignedDuration::from_mins(10);

/// What a step goes by, beside the event.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// What time it is.
    pub now: &'a Witnessed,
    /// How long each state lasts.
    pub schedule: &'a Schedule,
    /// When the key was last used to sign, as far as it is known.
    pub last_used: Option<Timestamp>,
    /// Whether daemons said that they have ceased to use the key.
    pub daemons: Daemons,
}

/// What daemons said of a key that is to sign no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Daemons {
    /// All have ceased to use it.
    Ceased,
    /// Not all said so.
    NotHeard,
}

/// What became of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is now this.
    Changed(Box<Binding>),
    /// The event changes nothing.
    Unchanged,
    /// It has run its course.
    Forgotten(Tombstone),
}

/// Why an event cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Never in this state.
    #[error("{event} cannot happen to a key that is {state}")]
    NotLegal {
        /// The state.
        state: StateName,
        /// The event.
        event: EventName,
    },
    /// Not yet.
    #[error("{event} must wait for another {seconds} s")]
    TooEarly {
        /// The event.
        event: EventName,
        /// How much longer, in witnessed seconds.
        seconds: u64,
    },
    /// The last look at all servers is too old.
    #[error("the record was not seen on every server lately")]
    NotSeenLately,
    /// Others may have the key.
    #[error("the key is known to be compromised")]
    Compromised,
    /// There is nothing to sign with.
    #[error("the private key is not here")]
    NoPrivateKey,
    /// Its record is being revoked or deleted.
    #[error("the record is being withdrawn")]
    BeingWithdrawn,
}

/// What an event makes of a binding. Total: every event has an answer in every state.
///
/// # Errors
/// [`Refused`], and then nothing must be changed.
pub fn step(binding: &Binding, event: &Event, given: &Circumstances<'_>) -> Result<Step, Refused> {
    let not_legal = || Refused::NotLegal { state: binding.state.name(), event: event.name() };
    match event {
        Event::PublishAcknowledged => match &binding.state {
            State::Generated(_) => Ok(enter(binding, given, published(binding, given, EnteredBy::Waits, true))),
            State::Published(state) => {
                let state = Published { acknowledged: Some(given.at()), ..state.clone() };
                Ok(with_state(binding, State::Published(state)))
            }
            State::Ready(_) | State::Active(_) => Ok(Step::Unchanged),
            State::Retiring(state) if state.withdrawal_begun.is_none() => Ok(Step::Unchanged),
            _ => Err(not_legal()),
        },
        Event::SaidPublished => match &binding.state {
            State::Generated(_) => Ok(enter(binding, given, published(binding, given, EnteredBy::Operator, false))),
            State::Published(_) => Ok(Step::Unchanged),
            _ => Err(not_legal()),
        },
        Event::Contradicted { reason, evidence } => match &binding.state {
            State::Withdrawn(_) => Err(not_legal()),
            _ => Ok(changed(binding, hold(binding, given, *reason, evidence))),
        },
        Event::Looked(sighting) => Ok(looked(binding, sighting, given)),
        Event::Activated { by, previous } => may_sign(binding, *by, given).map(|()| {
            let state = Active {
                since: given.at(),
                by: *by,
                previous: previous.clone(),
                largest_ttl: binding.state.largest_ttl(),
            };
            enter(binding, given, State::Active(state))
        }),
        Event::Retired { by, successor } => {
            let signed = match binding.state.name() {
                StateName::Active => true,
                StateName::Generated | StateName::Published | StateName::Ready => false,
                _ => return Err(not_legal()),
            };
            let wait = if signed { retirement(binding, given, 0) } else { 0 };
            let state = Retiring {
                since: given.at(),
                by: *by,
                successor: successor.clone(),
                not_withdrawn_before: later(given.at(), wait),
                last_used: given.last_used_whole(),
                largest_ttl: binding.state.largest_ttl(),
                withdrawal_begun: None,
                acknowledged: None,
            };
            Ok(enter(binding, given, State::Retiring(state)))
        }
        Event::WithdrawalBegun => {
            let State::Retiring(state) = &binding.state else { return Err(not_legal()) };
            if state.withdrawal_begun.is_some() {
                return Ok(Step::Unchanged);
            }
            match remaining(binding, given) {
                0 => {
                    let state = Retiring { withdrawal_begun: Some(given.at()), ..state.clone() };
                    Ok(with_state(binding, State::Retiring(state)))
                }
                seconds => Err(Refused::TooEarly { event: event.name(), seconds }),
            }
        }
        Event::RevocationAcknowledged | Event::DeletionAcknowledged => match &binding.state {
            State::Retiring(state) if state.withdrawal_begun.is_some() => {
                let state = Retiring { acknowledged: Some(given.at()), ..state.clone() };
                Ok(with_state(binding, State::Retiring(state)))
            }
            State::Revoked(state) => {
                let acknowledged = Some(given.at());
                Ok(with_state(binding, State::Revoked(Revoked { acknowledged, ..state.clone() })))
            }
            State::Withdrawn(_) if *event == Event::DeletionAcknowledged => Ok(Step::Unchanged),
            _ => Err(not_legal()),
        },
        Event::Forgotten => match (&binding.state, remaining(binding, given)) {
            (State::Withdrawn(_), 0) => Ok(Step::Forgotten(Tombstone {
                selector: binding.selector.clone(),
                key_id: binding.key_id(),
                removed: given.at(),
                end: Some(End::Forgotten),
            })),
            (State::Withdrawn(_), seconds) => Err(Refused::TooEarly { event: event.name(), seconds }),
            _ => Err(not_legal()),
        },
        Event::Compromised { meanwhile } => {
            let since = binding.compromised.as_ref().map_or(given.at(), |known| known.since);
            let compromised = Some(Compromised { since, meanwhile: *meanwhile });
            Ok(changed(binding, Binding { compromised, ..binding.clone() }))
        }
    }
}

/// How many more witnessed seconds a binding's present state must last, whatever else is waited for.
///
/// - Retiring: `not_withdrawn_before` and newer evidence of use. A key that others may have: until daemons have ceased
///   to use it, or had their time to.
/// - Revoked and Withdrawn: as they were entered.
/// - Published: until it has settled; unknown before there were rounds enough, then as if they were over now.
pub fn remaining(binding: &Binding, given: &Circumstances<'_>) -> u64 {
    let waited = given.now.waited(binding.witness.as_ref());
    let needed = match &binding.state {
        State::Retiring(state) => match (has_signed(state), &binding.compromised, given.daemons) {
            (false, _, _) | (true, Some(_), Daemons::Ceased) => 0,
            (true, Some(_), Daemons::NotHeard) => seconds(given.schedule.acknowledge_within),
            (true, None, _) => mail_under_way(binding, state, waited, given),
        },
        State::Revoked(state) => span(state.since, state.not_withdrawn_before),
        State::Withdrawn(state) => span(state.since, state.forgotten_after),
        State::Published(state) => {
            let caches = match given.schedule.caches {
                Caches::Expire => u64::from(state.largest_ttl.unwrap_or(0)),
                Caches::Ignored => 0,
            };
            state.confirmed_after.unwrap_or(waited).saturating_add(caches.max(seconds(given.schedule.settle)))
        }
        State::Generated(_) | State::Ready(_) | State::Active(_) => 0,
    };
    needed.saturating_sub(waited)
}

/// The binding with its wait counted on until now, so that a reboot does not cost it, and with what evidence says.
pub(super) fn counted(binding: &Binding, given: &Circumstances<'_>) -> Binding {
    let mut next = Binding { witness: Some(given.now.count(binding.witness.as_ref())), ..binding.clone() };
    if let State::Ready(state) = &mut next.state
        && given.now.trouble(binding.witness.as_ref()).is_some()
    {
        // How long ago that was can no longer be told.
        state.last_seen = None;
    }
    if let State::Active(state) = &mut next.state
        && is_ahead(state, given.now)
    {
        // Its turn would end when that time has come.
        state.since = given.at();
    }
    if let State::Retiring(state) = &mut next.state
        && has_signed(state)
    {
        let wait = mail_under_way(binding, state, given.now.waited(binding.witness.as_ref()), given);
        state.not_withdrawn_before = later(state.since, wait);
        state.last_used = given.last_used_whole().or(state.last_used);
    }
    next
}

/// Whether a key began to sign in the future, by a clock that was set back since.
pub(super) fn is_ahead(state: &Active, now: &Witnessed) -> bool {
    state.since.duration_since(now.wall) > TOLERATED
}

/// Whether a retiring key ever signed: one that did has something to wait for.
pub(super) fn has_signed(state: &Retiring) -> bool {
    state.not_withdrawn_before > state.since
}

/// How long mail signed with a retiring key may be under way, in seconds since it retired: what was known, or more if it
/// was used later. Evidence that has changed tells of a use between then and now, whatever the clock of whoever wrote it
/// down said.
fn mail_under_way(binding: &Binding, state: &Retiring, waited: u64, given: &Circumstances<'_>) -> u64 {
    // What was taken in is in `not_withdrawn_before`. Once more it would lengthen the wait for ever, were it in the future.
    let news = given.last_used_whole().filter(|used| state.last_used != Some(*used));
    let used_after = news.map_or(0, |used| match state.last_used {
        Some(_) if used <= state.since && !was_written_late(used, state, waited, given) => waited,
        _ => span(state.since, used).min(waited),
    });
    let known = span(state.since, state.not_withdrawn_before);
    if used_after > 0 { known.max(retirement(binding, given, used_after)) } else { known }
}

/// Whether a use from just before a key retired was written down only after that: daemons write each minute. Not if the clock
/// was set back since, for then nobody can say when it was.
fn was_written_late(used: Timestamp, state: &Retiring, waited: u64, given: &Circumstances<'_>) -> bool {
    let is_of_one_clock = later(state.since, waited).duration_since(given.now.wall) <= TOLERATED;
    is_of_one_clock && state.since.duration_since(used) <= TOLERATED
}

impl Circumstances<'_> {
    /// The wall clock, in whole seconds as manifests have it.
    fn at(&self) -> Timestamp {
        Timestamp::from_second(self.now.wall.as_second()).unwrap_or(self.now.wall)
    }

    /// What evidence says, likewise.
    fn last_used_whole(&self) -> Option<Timestamp> {
        self.last_used.and_then(|used| Timestamp::from_second(used.as_second()).ok())
    }
}

/// Whether a binding may begin to sign. The waits end in Ready; an operator may go past them, and may bring back what
/// still stands in DNS.
fn may_sign(binding: &Binding, by: EnteredBy, given: &Circumstances<'_>) -> Result<(), Refused> {
    match (&binding.state, by) {
        (State::Ready(state), EnteredBy::Waits) => {
            let lately = seconds(given.schedule.reseen_within).cast_signed();
            let age = state.last_seen.map(|seen| given.now.wall.duration_since(seen).as_secs().saturating_abs());
            if age.is_none_or(|age| age > lately) || binding.held.is_some() {
                return Err(Refused::NotSeenLately);
            }
        }
        (State::Retiring(state), EnteredBy::Operator) if state.withdrawal_begun.is_some() => {
            return Err(Refused::BeingWithdrawn);
        }
        (from, EnteredBy::Operator) if from.name().operator_may_activate() => {}
        _ => return Err(Refused::NotLegal { state: binding.state.name(), event: EventName::Activated }),
    }
    if binding.compromised.is_some() {
        Err(Refused::Compromised)
    } else if binding.private_key == PrivateKeyPlace::None {
        Err(Refused::NoPrivateKey)
    } else {
        Ok(())
    }
}

/// What a look at all servers makes of a binding.
fn looked(binding: &Binding, sighting: &Sighting, given: &Circumstances<'_>) -> Step {
    let held = hold_or_clear(binding, sighting, given);
    match seen_by(&held, sighting, given) {
        Step::Unchanged => changed(binding, held),
        Step::Changed(after) => changed(binding, *after),
        forgotten @ Step::Forgotten(_) => forgotten,
    }
}

fn seen_by(binding: &Binding, sighting: &Sighting, given: &Circumstances<'_>) -> Step {
    let ttl = |known: Option<u32>| known.unwrap_or(0).max(sighting.largest_ttl);
    // What is left of it when a compromised key is withdrawn. It is waited for before its selector can be free again.
    let mail = |state: &Retiring| {
        let waited = given.now.waited(binding.witness.as_ref());
        if has_signed(state) { mail_under_way(binding, state, waited, given).saturating_sub(waited) } else { 0 }
    };
    let result = match (&binding.state, &sighting.seen) {
        (State::Generated(_), Seen::Everywhere) => {
            return enter(binding, given, published(binding, given, EnteredBy::Waits, false));
        }
        (State::Published(state), Seen::Everywhere) => return seen_published(binding, state, sighting, given),
        // Silence says neither that it is there nor that it is not.
        (State::Published(_), Seen::Unknown { .. }) => return Step::Unchanged,
        (State::Published(state), _) => State::Published(Published {
            rounds_seen: 0,
            first_seen: None,
            first_seen_after: None,
            confirmed_after: None,
            largest_ttl: larger(state.largest_ttl, sighting.largest_ttl.max(sighting.negative_ttl)),
            ..state.clone()
        }),
        (State::Ready(state), Seen::Everywhere) => State::Ready(Ready {
            last_seen: Some(whole(&sighting.at)),
            largest_ttl: state.largest_ttl.max(sighting.largest_ttl),
            ..state.clone()
        }),
        // Resolvers may have learned that it is absent, or something else: all over again.
        (State::Ready(_), Seen::Nowhere | Seen::Partly | Seen::Revoked | Seen::Foreign { .. }) => {
            let State::Published(state) = published(binding, given, EnteredBy::Waits, false) else {
                return Step::Unchanged;
            };
            let largest_ttl = Some(ttl(binding.state.largest_ttl()).max(sighting.negative_ttl));
            return enter(binding, given, State::Published(Published { largest_ttl, ..state }));
        }
        (State::Active(state), Seen::Everywhere) => {
            State::Active(Active { largest_ttl: larger(state.largest_ttl, sighting.largest_ttl), ..state.clone() })
        }
        (State::Retiring(state), seen) if state.withdrawal_begun.is_some() => match seen {
            // What was seen before the withdrawal began says nothing of it.
            _ if state.withdrawal_begun.is_some_and(|begun| is_before(sighting, begun, given)) => {
                return Step::Unchanged;
            }
            Seen::Revoked => {
                let state = Revoked {
                    since: given.at(),
                    by: EnteredBy::Waits,
                    not_withdrawn_before: later(given.at(), seconds(given.schedule.revoked_for).max(mail(state))),
                    largest_ttl: Some(ttl(state.largest_ttl)),
                    acknowledged: None,
                };
                return enter(&destroyed(binding), given, State::Revoked(state));
            }
            Seen::Nowhere => {
                let state = withdrawn(binding, sighting, mail(state), given);
                return enter(&destroyed(binding), given, state);
            }
            _ => State::Retiring(state.clone()),
        },
        (State::Retiring(state), Seen::Everywhere) => retiring_seen(binding, state, sighting),
        (State::Revoked(state), Seen::Nowhere) if !is_before(sighting, state.since, given) => {
            let mail = if binding.compromised.is_some() { remaining(binding, given) } else { 0 };
            return enter(binding, given, withdrawn(binding, sighting, mail, given));
        }
        (State::Revoked(state), _) => {
            State::Revoked(Revoked { largest_ttl: larger(state.largest_ttl, sighting.largest_ttl), ..state.clone() })
        }
        (state, _) => state.clone(),
    };
    with_state(binding, result)
}

/// Whether a look was taken before a point in time that was written down. What was written down in the future was so by a
/// clock that was set back since: no look would ever be later.
fn is_before(sighting: &Sighting, mark: Timestamp, given: &Circumstances<'_>) -> bool {
    whole(&sighting.at) < mark && mark <= given.at()
}

/// A round that found the record everywhere: counts it if it is far enough from those before, and enters Ready when all
/// waits have passed and resolvers agree.
fn seen_published(binding: &Binding, state: &Published, sighting: &Sighting, given: &Circumstances<'_>) -> Step {
    let schedule = given.schedule;
    let mut state = state.clone();
    state.largest_ttl = larger(state.largest_ttl, sighting.largest_ttl.max(sighting.negative_ttl));
    let waited = given.now.waited(binding.witness.as_ref());
    // Answers came between the beginning of the look and now. What begins with this round begins now, and it is as far
    // from the first as its beginning was: so a slow look never makes a wait shorter.
    let seen_after = waited.saturating_sub(given.now.since(&sighting.at).seconds);
    let first = state.first_seen_after.unwrap_or(waited);
    let apart = seconds(schedule.rounds_over).div_ceil(u64::from(schedule.rounds.saturating_sub(1).max(1)));
    let due = first.saturating_add(apart.saturating_mul(u64::from(state.rounds_seen)));
    if state.rounds_seen == 0 || (state.rounds_seen < schedule.rounds && seen_after >= due) {
        // The next is due that much after this one, however late this is: no look counts twice.
        state.first_seen_after = Some(waited.saturating_sub(apart.saturating_mul(u64::from(state.rounds_seen))));
        state.rounds_seen += 1;
        state.first_seen = state.first_seen.or(Some(whole(&sighting.at)));
    }
    if state.rounds_seen < schedule.rounds {
        // They were enough in an emergency, which is over.
        state.confirmed_after = None;
    } else if state.confirmed_after.is_none() {
        state.confirmed_after = Some(waited);
    }
    let confirmed = state.confirmed_after.is_some();
    let next = Binding { state: State::Published(state), ..binding.clone() };
    if !confirmed || sighting.resolvers != Resolvers::Agree || remaining(&next, given) > 0 || next.held.is_some() {
        return changed(binding, next);
    }
    let ready = Ready {
        since: given.at(),
        by: EnteredBy::Waits,
        settled: given.at(),
        largest_ttl: next.state.largest_ttl().unwrap_or(0),
        last_seen: Some(whole(&sighting.at)),
    };
    enter(&next, given, State::Ready(ready))
}

/// A retiring key's record as it should be. A TTL that grew makes the wait longer.
fn retiring_seen(binding: &Binding, state: &Retiring, sighting: &Sighting) -> State {
    let largest_ttl = larger(state.largest_ttl, sighting.largest_ttl);
    let before = cached_for(binding.record_ttl, state.largest_ttl);
    let grown = cached_for(binding.record_ttl, largest_ttl).saturating_sub(before);
    let wait = span(state.since, state.not_withdrawn_before).saturating_add(grown);
    let not_withdrawn_before = if has_signed(state) { later(state.since, wait) } else { state.not_withdrawn_before };
    State::Retiring(Retiring { largest_ttl, not_withdrawn_before, ..state.clone() })
}

/// Held while something else stands there than may; cleared when the servers say that it does no longer.
fn hold_or_clear(binding: &Binding, sighting: &Sighting, given: &Circumstances<'_>) -> Binding {
    let is_begun = matches!(&binding.state, State::Retiring(state) if state.withdrawal_begun.is_some());
    let may_be_revoked = is_begun || matches!(binding.state, State::Revoked(_) | State::Withdrawn(_));
    let reason = match binding.state {
        State::Generated(_) | State::Published(_) => HeldReason::Conflict,
        _ => HeldReason::Drift,
    };
    match (&sighting.seen, &binding.held) {
        (Seen::Foreign { evidence }, _) if binding.state.name() != StateName::Withdrawn => {
            hold(binding, given, reason, evidence)
        }
        (Seen::Revoked, _) if !may_be_revoked => hold(binding, given, reason, &sighting.describe()),
        (Seen::Unknown { .. }, _) | (_, None) => binding.clone(),
        (_, Some(held)) => {
            let age = given.now.wall.duration_since(held.since).abs();
            let held = (age < HELD_FOR).then(|| held.clone());
            Binding { held, ..binding.clone() }
        }
    }
}

fn hold(binding: &Binding, given: &Circumstances<'_>, reason: HeldReason, evidence: &str) -> Binding {
    let since = binding.held.as_ref().map_or(given.at(), |held| held.since);
    Binding { held: Some(Held { since, reason, evidence: Some(evidence.to_owned()) }), ..binding.clone() }
}

fn published(binding: &Binding, given: &Circumstances<'_>, by: EnteredBy, acknowledged: bool) -> State {
    State::Published(Published {
        since: given.at(),
        by,
        acknowledged: acknowledged.then(|| given.at()),
        rounds_seen: 0,
        first_seen: None,
        first_seen_after: None,
        confirmed_after: None,
        largest_ttl: binding.state.largest_ttl(),
    })
}

fn withdrawn(binding: &Binding, sighting: &Sighting, mail: u64, given: &Circumstances<'_>) -> State {
    let ttl = cached_for(binding.record_ttl, binding.state.largest_ttl()).max(u64::from(sighting.largest_ttl));
    let forgotten_after = later(given.at(), ttl.max(mail));
    State::Withdrawn(Withdrawn { since: given.at(), by: EnteredBy::Waits, forgotten_after })
}

fn destroyed(binding: &Binding) -> Binding {
    Binding { private_key: PrivateKeyPlace::None, ..binding.clone() }
}

/// How long a key stays published that was last used so many seconds after it retired.
fn retirement(binding: &Binding, given: &Circumstances<'_>, used_after: u64) -> u64 {
    seconds(given.schedule.max_staleness)
        .max(used_after)
        .saturating_add(given.schedule.mail_seconds())
        .saturating_add(cached_for(binding.record_ttl, binding.state.largest_ttl()))
}

/// The longest that caches hold a record, in seconds.
pub(super) fn cached_for(record_ttl: u32, largest_ttl: Option<u32>) -> u64 {
    u64::from(record_ttl.max(largest_ttl.unwrap_or(0)))
}

/// The binding in another state, whose wait begins now.
fn enter(binding: &Binding, given: &Circumstances<'_>, state: State) -> Step {
    Step::Changed(Box::new(Binding { state, witness: Some(given.now.begin()), ..binding.clone() }))
}

fn with_state(binding: &Binding, state: State) -> Step {
    changed(binding, Binding { state, ..binding.clone() })
}

fn changed(before: &Binding, after: Binding) -> Step {
    if *before == after { Step::Unchanged } else { Step::Changed(Box::new(after)) }
}

fn larger(known: Option<u32>, seen: u32) -> Option<u32> {
    Some(known.unwrap_or(0).max(seen))
}

fn later(from: Timestamp, wait: u64) -> Timestamp {
    let wait = SignedDuration::from_secs(i64::try_from(wait).unwrap_or(i64::MAX));
    from.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn whole(at: &Witnessed) -> Timestamp {
    Timestamp::from_second(at.wall.as_second()).unwrap_or(at.wall)
}

/// Seconds from one point to a later one; none if it is not later.
fn span(from: Timestamp, to: Timestamp) -> u64 {
    seconds(to.duration_since(from))
}
