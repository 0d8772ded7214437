//! Fixed slots: through the CNAME, which is to be over before which is used again, and when.

use jiff::SignedDuration;

use super::world::{DAY, Has, at, bound, domain, key, later, observed, ours, revoked, selector};
use crate::dkim::Algorithm;
use crate::lifecycle::{
    Action, Automation, Change, Event, Evidence, Hand, Observations, Observed, Schedule, Seen, Sighting, Silences,
    Violation, WaitReason, Witnessed, apply, bind_slot, plan, violations,
};
use crate::manifest::{BindError, Choice, DomainManifest, End, RetirementWaits, Slot, Slots, State};
use crate::names::DomainName;
use crate::observation::{Cname, Outcome};

const RSA: Algorithm = Algorithm::RsaSha256;

fn target(name: &str) -> String {
    format!("{name}.example.com._dkim.example.net")
}

fn slots() -> Slots {
    let slot = |name: &str| Slot { selector: selector(name), target: DomainName::parse(&target(name)).unwrap() };
    Slots::new(["s1", "s2", "s3"].map(slot).into(), vec![])
}

fn schedule() -> Schedule {
    Schedule { slots: Some(slots()), ..Schedule::default() }
}

fn in_slot(manifest: &DomainManifest, number: u16, now: &Witnessed) -> DomainManifest {
    let slots = slots();
    let slot = manifest.free_slot(&slots, RSA, now.wall).unwrap();
    bind_slot(manifest, slot, key(RSA, number), 3600, now).unwrap()
}

/// What the customer's server and ours say: the CNAME leads to `leads_to` or is missing; then what stands at the target.
fn through(leads_to: Option<&str>, at_target: &Has, now: &Witnessed) -> Observed {
    let mut seen = observed(&[Has::Nothing, Has::Nothing], now);
    seen.observation.hops[0].name = "s1._domainkey.example.com".into();
    for answer in &mut seen.observation.hops[0].answers {
        if let (Outcome::Answered(response), Some(name)) = (&mut answer.outcome, leads_to) {
            response.cname = Some(Cname { target: name.into(), ttl: 7200 });
        }
    }
    if let Some(astray) = leads_to.filter(|name| *name != target("s1")) {
        let mut hop = observed(&[Has::Nothing, Has::Nothing], now).observation.hops.remove(0);
        hop.name = astray.into();
        seen.observation.hops.push(hop);
    }
    let mut hop = observed(&[at_target.clone(), at_target.clone()], now).observation.hops.remove(0);
    hop.name = target("s1");
    seen.observation.hops.push(hop);
    seen
}

#[test]
fn a_record_counts_only_through_the_right_cname_and_the_customer_is_told_which() {
    let manifest = in_slot(&domain(), 1, &at(0));
    let binding = &manifest.bindings()[0];
    let (ours, revoked) = (ours(binding), revoked(binding));
    let see = |leads_to: Option<&str>, has: &Has| {
        Sighting::of(binding, &through(leads_to, has, &at(0)), &Silences::default(), &schedule())
    };
    let right = target("s1");
    let through_it = see(Some(&right), &ours);
    assert_eq!((&through_it.seen, &through_it.alias_fault), (&Seen::Everywhere, &None));
    assert_eq!(through_it.largest_ttl, 7200, "the CNAME's TTL counts");

    let missing = see(None, &ours);
    assert_eq!(missing.seen, Seen::Partly);
    let line = format!("s1._domainkey.example.com. CNAME {right}.");
    assert!(missing.describe().contains("has no CNAME") && missing.describe().contains(&line), "{missing:?}");
    let astray = see(Some("s1.elsewhere.example"), &ours);
    assert_eq!((astray.seen, astray.largest_ttl), (Seen::Partly, 7200));
    assert!(astray.alias_fault.is_some_and(|fault| fault.contains("s1.elsewhere.example") && fault.contains(&line)));
    // What is to be withdrawn is looked at where it stands, wherever the CNAME leads.
    for leads_to in [None, Some("s1.elsewhere.example"), Some(right.as_str())] {
        assert_eq!(see(leads_to, &revoked).seen, Seen::Revoked, "{leads_to:?}");
        assert_eq!(see(leads_to, &Has::Nothing).seen, Seen::Nowhere, "{leads_to:?}");
        assert!(matches!(see(leads_to, &Has::Record("v=spf1".into())).seen, Seen::Foreign { .. }), "{leads_to:?}");
        assert!(matches!(see(leads_to, &Has::Silence).seen, Seen::Unknown { .. }), "{leads_to:?}");
    }
}

#[test]
fn a_target_that_nobody_looked_at_is_not_absent() {
    let manifest = in_slot(&domain(), 1, &at(0));
    let mut seen = through(None, &Has::Nothing, &at(0));
    seen.observation.hops.truncate(1);
    let sighting = Sighting::of(&manifest.bindings()[0], &seen, &Silences::default(), &schedule());
    assert!(matches!(sighting.seen, Seen::Unknown { .. }), "{sighting:?}");
}

/// A key in the slot s1 that signed, was compromised, and whose withdrawal began a minute later.
fn compromised() -> DomainManifest {
    let manifest = in_slot(&domain(), 1, &at(0));
    let signing = manifest.activate(Choice::Newest, RetirementWaits::default(), at(1).wall).unwrap().manifest;
    let step = |manifest: &DomainManifest, event, second| {
        let change = Change::Step { selector: selector("s1"), event };
        apply(manifest, &change, &Evidence::default(), &at(second), &schedule()).unwrap()
    };
    let said = step(&signing, Event::Compromised { meanwhile: crate::manifest::Meanwhile::Stop }, 100);
    let by = crate::manifest::EnteredBy::Waits;
    let retired = step(&said, Event::Retired { by, successor: None }, 100);
    step(&retired, Event::WithdrawalBegun, 200)
}

#[test]
fn a_compromised_key_takes_its_slot_until_its_mail_has_arrived_however_soon_its_record_goes() {
    let look = |manifest: &DomainManifest, has: &Has, second, schedule: &Schedule| {
        let binding = &manifest.bindings()[0];
        let right = target("s1");
        let seen = through(Some(&right), has, &at(second));
        let sighting = Sighting::of(binding, &seen, &Silences::default(), schedule);
        let change = Change::Step { selector: selector("s1"), event: Event::Looked(Box::new(sighting)) };
        apply(manifest, &change, &Evidence::default(), &at(second), schedule).unwrap()
    };
    let schedule = Schedule { revoked_for: SignedDuration::from_secs(60), ..schedule() };
    let begun = compromised();
    let revoked = revoked(&begun.bindings()[0]);
    // An hour of staleness, two weeks of mail and an hour of TTL after it ceased to sign, whatever was seen.
    let mail_until = 100 + 3600 + 14 * DAY + 3600;
    let withdrawn = |manifest: &DomainManifest| match &manifest.bindings()[0].state {
        State::Withdrawn(state) => state.forgotten_after.as_second() - at(0).wall.as_second(),
        state => panic!("{state:?}"),
    };
    assert_eq!(withdrawn(&look(&begun, &Has::Nothing, 300, &schedule)), mail_until);
    let then = look(&begun, &revoked, 300, &schedule);
    let State::Revoked(state) = &then.bindings()[0].state else { panic!("{then:?}") };
    assert_eq!(state.not_withdrawn_before.as_second() - at(0).wall.as_second(), mail_until);
    assert_eq!(withdrawn(&look(&then, &Has::Nothing, 1000, &schedule)), mail_until, "somebody deleted it at once");
    let late = 15 * DAY;
    assert_eq!(withdrawn(&look(&then, &Has::Nothing, late, &schedule)), late + 7200, "only its TTL is left");
}

#[test]
fn a_slot_gets_another_key_when_the_last_is_forgotten_and_i5_is_kept() {
    let manifest = in_slot(&domain(), 1, &at(0));
    let taken = bind_slot(&manifest, &slots().of(RSA)[0], key(RSA, 2), 3600, &at(1));
    assert!(matches!(taken, Err(BindError::SlotTaken { .. })), "{taken:?}");

    let right = target("s1");
    let mut now = at(300);
    let begun = compromised();
    let seen = through(Some(&right), &Has::Nothing, &now);
    let sighting = Sighting::of(&begun.bindings()[0], &seen, &Silences::default(), &schedule());
    let event = |event| Change::Step { selector: selector("s1"), event };
    let looked = event(Event::Looked(Box::new(sighting)));
    let withdrawn = apply(&begun, &looked, &Evidence::default(), &now, &schedule()).unwrap();
    now = later(&now, 15 * DAY);
    let forgotten = apply(&withdrawn, &event(Event::Forgotten), &Evidence::default(), &now, &schedule()).unwrap();
    assert_eq!(forgotten.tombstones()[0].end, Some(End::Forgotten));

    let again = bind_slot(&forgotten, &slots().of(RSA)[0], key(RSA, 2), 3600, &now).unwrap();
    assert_eq!(violations(&forgotten, &again, &now, Hand::Rotation), []);
    assert_eq!(again.tombstones().len(), 1, "what was before is remembered beside it");
    // The same selector for anyone else, or while the last key rests, is what I5 forbids.
    assert!(matches!(
        forgotten.bind_generated(selector("s1"), key(RSA, 2), crate::manifest::PrivateKeyPlace::Own, 1, now.wall),
        Err(BindError::SelectorUsed { .. })
    ));
    let removed = manifest.activate(Choice::Newest, RetirementWaits::default(), at(1).wall).unwrap().manifest;
    let removed = removed.remove(&[selector("s1")], at(2).wall).unwrap().manifest;
    let hasty = removed.with_bindings(again.bindings().to_vec(), removed.tombstones().to_vec()).unwrap();
    let broken = violations(&removed, &hasty, &at(3), Hand::Rotation);
    assert_eq!(broken, [Violation::AnotherKey { selector: selector("s1") }]);
}

#[test]
fn what_caches_may_have_of_a_removed_key_is_waited_for_by_the_next() {
    let mut manifest = in_slot(&domain(), 1, &at(0));
    manifest = bound(&manifest, "other", key(RSA, 9), &at(0));
    let mut bindings = manifest.bindings().to_vec();
    bindings[0].record_ttl = 5 * 86400;
    let manifest = manifest.with_bindings(bindings, vec![]).unwrap();
    let removed = manifest.remove(&[selector("s1")], at(10).wall).unwrap().manifest;
    let slots = slots();
    let again = bind_slot(&removed, &slots.of(RSA)[0], key(RSA, 2), 3600, &at(20)).unwrap();
    let change = Change::Step { selector: selector("s1"), event: Event::PublishAcknowledged };
    let published = apply(&again, &change, &Evidence::default(), &at(30), &schedule()).unwrap();
    let binding = published.binding(&selector("s1")).unwrap();
    assert_eq!(binding.state.largest_ttl(), Some(5 * 86400));
}

#[test]
fn with_no_slot_free_no_key_is_made_and_the_plan_says_until_when() {
    // s1 retires, s2 signs, s3 stands ready; then s3 signs and s2 retires as well.
    let mut manifest = domain();
    for (number, second) in [(1, 0), (2, 1000), (3, 2000)] {
        manifest = in_slot(&manifest, number, &at(second));
        manifest = manifest.activate(Choice::Newest, RetirementWaits::default(), at(second + 1).wall).unwrap().manifest;
    }
    let now = at(3000);
    let counted = apply(&manifest, &Change::Count, &Evidence::default(), &now, &schedule()).unwrap();
    let planned = |manifest: &DomainManifest, now: &Witnessed| {
        plan(manifest, &Observations::default(), &Evidence::default(), now, &schedule(), Automation::Full)
    };
    let made = planned(&counted, &now);
    assert!(!made.actions.iter().any(|action| matches!(action, Action::Generate { .. })), "{made:?}");
    let wait = made.waits.iter().find(|wait| wait.reason == WaitReason::Slot { algorithm: RSA, slots: 3 }).unwrap();
    // Mail, revocation and TTL of s1, whose wait is counted from now on.
    let expected = 3000 + 3600 + 14 * DAY + 3600 + 30 * DAY + 3600;
    assert_eq!(wait.until.unwrap().as_second() - at(0).wall.as_second(), expected);
    assert_eq!(counted.signing().next().unwrap().selector, selector("s3"), "and the key that signs signs on");

    let freed = counted.with_bindings(counted.bindings()[1..].to_vec(), vec![]).unwrap();
    assert!(planned(&freed, &now).actions.contains(&Action::Generate { algorithm: RSA }));
}

#[test]
fn caches_are_waited_for_in_an_emergency_too() {
    let shortened = schedule().shortened();
    assert_eq!((shortened.caches, shortened.settle.as_secs()), (Schedule::default().caches, 0));
    assert_ne!(Schedule::default().shortened().caches, shortened.caches);
}
