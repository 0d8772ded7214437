//! Every state and every event, held against the table of docs/lifecycle.md.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::world::{DAY, Has, at, bound, domain, key, later, observed, ours, revoked};
use crate::dkim::Algorithm;
use crate::lifecycle::{Circumstances, Daemons, Event, Refused, Schedule, Sighting, Silences, Step, Witnessed, step};
use crate::manifest::{
    Active, Binding, EnteredBy, Generated, HeldReason, Meanwhile, Published, Ready, Retiring, Revoked, State,
    StateName, Withdrawn,
};

const STATES: [StateName; 7] = [
    StateName::Generated,
    StateName::Published,
    StateName::Ready,
    StateName::Active,
    StateName::Retiring,
    StateName::Revoked,
    StateName::Withdrawn,
];

/// A binding of a state whose waits have passed.
fn binding(name: StateName, now: &Witnessed) -> Binding {
    let mut binding = bound(&domain(), "s", key(Algorithm::Ed25519Sha256, 1), &at(0)).bindings()[0].clone();
    let (since, by) = (at(0).wall, EnteredBy::Waits);
    let after = |seconds: i64| later(&at(0), seconds).wall;
    binding.state = match name {
        StateName::Generated => State::Generated(Generated { since, by, largest_ttl: None }),
        StateName::Published => State::Published(Published {
            since,
            by,
            acknowledged: Some(since),
            rounds_seen: 3,
            first_seen: Some(since),
            first_seen_after: Some(0),
            confirmed_after: Some(300),
            largest_ttl: Some(3600),
        }),
        StateName::Ready => {
            State::Ready(Ready { since, by, settled: since, largest_ttl: 3600, last_seen: Some(now.wall) })
        }
        StateName::Active => State::Active(Active { since, by, previous: None, largest_ttl: Some(3600) }),
        StateName::Retiring => State::Retiring(Retiring {
            since,
            by,
            successor: None,
            not_withdrawn_before: after(15 * DAY),
            last_used: None,
            largest_ttl: Some(3600),
            withdrawal_begun: Some(after(16 * DAY)),
            acknowledged: None,
        }),
        StateName::Revoked => State::Revoked(Revoked {
            since,
            by,
            not_withdrawn_before: after(30 * DAY),
            largest_ttl: Some(3600),
            acknowledged: None,
        }),
        StateName::Withdrawn => State::Withdrawn(Withdrawn { since, by, forgotten_after: after(3600) }),
    };
    binding.witness = Some(at(0).begin());
    binding
}

fn events(binding: &Binding, now: &Witnessed) -> Vec<Event> {
    let foreign = Has::Record("v=DKIM1; p=".into());
    let looks = [
        vec![ours(binding), ours(binding)],
        vec![Has::Nothing, Has::Nothing],
        vec![revoked(binding), revoked(binding)],
        vec![ours(binding), Has::Nothing],
        vec![Has::Record("v=spf1 -all".into()), foreign],
        vec![ours(binding), Has::Silence],
    ];
    let looked = |servers: &Vec<Has>| {
        let look = observed(servers, now);
        Event::Looked(Box::new(Sighting::of(binding, &look, &Silences::default(), &Schedule::default())))
    };
    let mut events = vec![
        Event::PublishAcknowledged,
        Event::SaidPublished,
        Event::Contradicted { reason: HeldReason::Conflict, evidence: "x".into() },
        Event::Activated { by: EnteredBy::Waits, previous: None },
        Event::Retired { by: EnteredBy::Waits, successor: None },
        Event::WithdrawalBegun,
        Event::RevocationAcknowledged,
        Event::DeletionAcknowledged,
        Event::Forgotten,
        Event::Compromised { meanwhile: Meanwhile::Stop },
    ];
    events.extend(looks.iter().map(looked));
    events
}

fn given<'a>(now: &'a Witnessed, schedule: &'a Schedule) -> Circumstances<'a> {
    Circumstances { now, schedule, last_used: None, daemons: Daemons::NotHeard }
}

/// The rows of the table by event, the cells by state.
fn documented() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../../docs/lifecycle.md");
    let table = text.split("| event | Generated |").nth(1).unwrap();
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    table
        .lines()
        .skip(2)
        .take_while(|row| row.starts_with('|'))
        .map(cells)
        .map(|mut row| (row.remove(0), row))
        .collect()
}

#[test]
fn every_event_does_in_every_state_what_the_documented_table_says() {
    let now = at(40 * DAY);
    let schedule = Schedule::default();
    let mut actual: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for state in STATES {
        let binding = binding(state, &now);
        for event in events(&binding, &now) {
            let cell = match step(&binding, &event, &given(&now, &schedule)) {
                Err(Refused::NotLegal { state: said, event: named }) => {
                    assert_eq!((said, named), (state, event.name()));
                    "-".to_owned()
                }
                Err(refused) => panic!("{state} {}: {refused}", event.name()),
                Ok(Step::Forgotten(_)) => "tombstone".to_owned(),
                Ok(Step::Unchanged) => "=".to_owned(),
                Ok(Step::Changed(after)) if after.state.name() == state => "=".to_owned(),
                Ok(Step::Changed(after)) => format!("{:?}", after.state.name()),
            };
            actual.entry(event.name().to_string()).or_default().push(cell);
        }
    }
    assert_eq!(actual, documented());
}

#[test]
fn guards_that_are_not_met_refuse_or_stay() {
    let schedule = Schedule::default();
    let early = |state: StateName, event: Event, now: &Witnessed| {
        let mut binding = binding(state, &at(0));
        if let State::Retiring(state) = &mut binding.state {
            state.withdrawal_begun = None;
        }
        step(&binding, &event, &given(now, &schedule))
    };
    let refused = |seconds| matches!(seconds, Err(Refused::TooEarly { .. }));
    assert!(refused(early(StateName::Retiring, Event::WithdrawalBegun, &at(15 * DAY - 1))));
    assert!(matches!(early(StateName::Retiring, Event::WithdrawalBegun, &at(15 * DAY)), Ok(Step::Changed(_))));
    assert!(refused(early(StateName::Withdrawn, Event::Forgotten, &at(3599))));
    let activated = || Event::Activated { by: EnteredBy::Waits, previous: None };
    assert_eq!(early(StateName::Ready, activated(), &at(3601)), Err(Refused::NotSeenLately));
    let now = at(300 + DAY - 1);
    let mut published = binding(StateName::Published, &now);
    let look = |servers: &[Has], now: &Witnessed| {
        let seen = observed(servers, now);
        Event::Looked(Box::new(Sighting::of(&published, &seen, &Silences::default(), &schedule)))
    };
    let everywhere = [ours(&published), ours(&published)];
    assert_eq!(step(&published, &look(&everywhere, &now), &given(&now, &schedule)), Ok(Step::Unchanged));
    let later = at(300 + DAY);
    let Ok(Step::Changed(after)) = step(&published, &look(&everywhere, &later), &given(&later, &schedule)) else {
        panic!()
    };
    assert_eq!(after.state.name(), StateName::Ready);
    // A negative TTL of two days waits two days.
    let State::Published(state) = &mut published.state else { panic!() };
    state.largest_ttl = Some(2 * 86400);
    let look = observed(&everywhere, &later);
    let event = Event::Looked(Box::new(Sighting::of(&published, &look, &Silences::default(), &schedule)));
    assert_eq!(step(&published, &event, &given(&later, &schedule)), Ok(Step::Unchanged));
}

#[test]
fn evidence_of_use_lengthens_the_wait_and_never_shortens_it() {
    let schedule = Schedule::default();
    let mut binding = binding(StateName::Retiring, &at(0));
    let State::Retiring(state) = &mut binding.state else { panic!() };
    state.withdrawal_begun = None;
    let now = at(15 * DAY);
    let with = |last_used: Option<Timestamp>| {
        let given = Circumstances { last_used, ..given(&now, &schedule) };
        crate::lifecycle::remaining(&binding, &given)
    };
    assert_eq!(with(None), 0);
    assert_eq!(with(Some(at(-100).wall)), 0);
    assert_eq!(with(Some(at(5 * DAY).wall)), (5 + 14 - 15) * 86400 + 3600);
    // A clock in the future cannot make it longer than if the key were used now.
    assert_eq!(with(Some(at(900 * DAY).wall)), 14 * 86400 + 3600);
    // Nor for ever, once it was taken in.
    let given = Circumstances { last_used: Some(at(900 * DAY).wall), ..given(&now, &schedule) };
    let counted = crate::lifecycle::step::counted(&binding, &given);
    let later = at(30 * DAY);
    assert_eq!(crate::lifecycle::remaining(&counted, &Circumstances { now: &later, ..given }), 0);
}

#[test]
fn evidence_that_changes_tells_of_a_use_whatever_its_clock_said() {
    let schedule = Schedule::default();
    let mut retiring = binding(StateName::Retiring, &at(0));
    let State::Retiring(state) = &mut retiring.state else { panic!() };
    (state.withdrawal_begun, state.last_used) = (None, Some(at(-900).wall));
    let with = |last_used: i64, now: &Witnessed| {
        let given = Circumstances { last_used: Some(at(last_used).wall), ..given(now, &schedule) };
        crate::lifecycle::remaining(&retiring, &given)
    };
    let now = at(5 * DAY);
    let (unused, used_now) = (10 * 86400, 14 * 86400 + 3600);
    assert_eq!(with(-900, &now), unused, "nothing new");
    assert_eq!(with(-30, &now), unused, "written down late");
    assert_eq!(with(-600, &now), used_now, "later than anything is written down");
    let set_back = Witnessed { wall: at(4 * DAY).wall, ..now };
    assert_eq!(with(-30, &set_back), used_now, "it retired while the clock was ahead");
}

#[test]
fn rounds_count_only_if_they_are_apart_and_a_miss_begins_anew() {
    let schedule = Schedule::default();
    let mut published = binding(StateName::Generated, &at(0));
    let mut look = |seconds: i64, all: bool| {
        let now = at(seconds);
        let second = if all { ours(&published) } else { Has::Nothing };
        let seen = observed(&[ours(&published), second], &now);
        let event = Event::Looked(Box::new(Sighting::of(&published, &seen, &Silences::default(), &schedule)));
        if let Ok(Step::Changed(after)) = step(&published, &event, &given(&now, &schedule)) {
            published = *after;
        }
        match &published.state {
            State::Published(state) => (state.rounds_seen, state.confirmed_after.is_some()),
            _ => (0, false),
        }
    };
    assert_eq!(look(0, true), (0, false), "it only becomes Published");
    assert_eq!(look(10, true), (1, false));
    assert_eq!(look(11, true), (1, false));
    assert_eq!(look(160, true), (2, false));
    assert_eq!(look(300, true), (2, false));
    assert_eq!(look(301, false), (0, false));
    assert_eq!(look(400, true), (1, false));
    assert_eq!(look(550, true), (2, false));
    assert_eq!(look(700, true), (3, true));
}

#[test]
fn a_slow_look_never_makes_a_wait_shorter() {
    let schedule = Schedule::default();
    let mut published = binding(StateName::Generated, &at(0));
    let mut look = |began: i64, ended: i64| {
        let (began, ended) = (at(began), at(ended));
        let seen = observed(&[ours(&published)], &began);
        let event = Event::Looked(Box::new(Sighting::of(&published, &seen, &Silences::default(), &schedule)));
        if let Ok(Step::Changed(after)) = step(&published, &event, &given(&ended, &schedule)) {
            published = *after;
        }
        match &published.state {
            State::Published(state) => (state.rounds_seen, state.confirmed_after),
            _ => (0, None),
        }
    };
    look(0, 0);
    assert_eq!(look(0, 50), (1, None));
    assert_eq!(look(190, 210), (1, None), "its answers may have come 140 s after those of the first");
    assert_eq!(look(200, 220), (2, None));
    assert_eq!(look(369, 380), (2, None));
    assert_eq!(look(370, 400), (3, Some(400)), "settling begins when the last answer was there");
}

#[test]
fn what_a_clock_ahead_wrote_down_does_not_keep_a_withdrawal_from_being_seen() {
    let (schedule, now) = (Schedule::default(), at(15 * DAY));
    let seen_after = |begun: i64| {
        let mut binding = binding(StateName::Retiring, &at(0));
        let State::Retiring(state) = &mut binding.state else { panic!() };
        state.withdrawal_begun = Some(at(begun).wall);
        let look = observed(&[Has::Nothing], &at(15 * DAY - 20));
        let event = Event::Looked(Box::new(Sighting::of(&binding, &look, &Silences::default(), &schedule)));
        match step(&binding, &event, &given(&now, &schedule)).unwrap() {
            Step::Changed(after) => after.state.name(),
            _ => binding.state.name(),
        }
    };
    assert_eq!(seen_after(15 * DAY - 10), StateName::Retiring, "the look is older than the withdrawal");
    assert_eq!(seen_after(15 * DAY - 30), StateName::Withdrawn);
    assert_eq!(seen_after(400 * DAY), StateName::Withdrawn, "no look could ever be younger");
}

#[test]
fn a_late_look_counts_as_one_round() {
    let schedule = Schedule::default();
    let mut published = binding(StateName::Generated, &at(0));
    let mut look = |second: i64| {
        let now = at(second);
        let seen = observed(&[ours(&published)], &now);
        let event = Event::Looked(Box::new(Sighting::of(&published, &seen, &Silences::default(), &schedule)));
        if let Ok(Step::Changed(after)) = step(&published, &event, &given(&now, &schedule)) {
            published = *after;
        }
        match &published.state {
            State::Published(state) => state.rounds_seen,
            _ => 0,
        }
    };
    look(0);
    assert_eq!(look(0), 1);
    assert_eq!(look(3600), 2);
    assert_eq!(look(3600), 2, "the same look, taken in again");
    assert_eq!(look(3749), 2);
    assert_eq!(look(3750), 3);
}

#[test]
fn rounds_that_were_enough_in_an_emergency_are_not_after_it() {
    let (schedule, urgent) = (Schedule::default(), Schedule::default().shortened());
    let mut published = binding(StateName::Generated, &at(0));
    let mut look = |second: i64, schedule: &Schedule| {
        let now = at(second);
        let mut seen = observed(&[ours(&published)], &now);
        seen.observation.recursive.answer = crate::observation::RecursiveAnswer::NotAsked;
        let event = Event::Looked(Box::new(Sighting::of(&published, &seen, &Silences::default(), schedule)));
        if let Ok(Step::Changed(after)) = step(&published, &event, &given(&now, schedule)) {
            published = *after;
        }
        match &published.state {
            State::Published(state) => (state.rounds_seen, state.confirmed_after),
            _ => (0, None),
        }
    };
    look(0, &urgent);
    assert_eq!(look(0, &urgent), (1, None));
    assert_eq!(look(30, &urgent), (2, Some(30)));
    assert_eq!(look(100, &schedule), (2, None));
    assert_eq!(look(300, &schedule), (3, Some(300)));
}
