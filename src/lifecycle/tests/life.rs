//! Plans.

use super::world::{DAY, Has, at, bound, domain, key, later, observed, ours, selector};
use crate::dkim::Algorithm;
use crate::lifecycle::change::is_hasty;
use crate::lifecycle::{
    Action, Automation, Change, Depth, Event, Evidence, Observations, Plan, Schedule, Threat, WaitReason, Witnessed,
    apply, compromise, declarable, gone, leave, plan,
};
use crate::manifest::{Choice, DomainManifest, Held, HeldReason, Meanwhile, RetirementWaits, StateName};

fn planned(manifest: &DomainManifest, now: &Witnessed, automation: Automation) -> Plan {
    let (seen, evidence) = (Observations::default(), Evidence::default());
    plan(manifest, &seen, &evidence, now, &Schedule::default(), automation)
}

/// A domain that signs with one key.
fn signing() -> DomainManifest {
    let manifest = bound(&domain(), "old", key(Algorithm::RsaSha256, 1), &at(0));
    manifest.activate(Choice::Newest, RetirementWaits::default(), at(0).wall).unwrap().manifest
}

/// And has another, which is Ready.
fn with_standby() -> DomainManifest {
    let mut manifest = bound(&signing(), "new", key(Algorithm::RsaSha256, 2), &at(1));
    let schedule = Schedule::default();
    for seconds in [0, 10, 160, 310, 310 + DAY] {
        let now = at(1 + seconds);
        let binding = manifest.binding(&selector("new")).unwrap();
        let look = observed(&[ours(binding), ours(binding)], &now);
        let mut seen = Observations::default();
        seen.seen.insert(selector("new"), look);
        for action in plan(&manifest, &seen, &Evidence::default(), &now, &schedule, Automation::ByHand).actions {
            if let Action::Change(change) = action {
                manifest = apply(&manifest, &change, &Evidence::default(), &now, &schedule).unwrap();
            }
        }
    }
    assert_eq!(manifest.binding(&selector("new")).unwrap().state.name(), StateName::Ready);
    manifest
}

#[test]
fn a_standby_key_is_made_at_once_and_takes_over_when_its_turn_comes() {
    assert_eq!(
        planned(&signing(), &at(5), Automation::Full).actions,
        [Action::Generate { algorithm: Algorithm::RsaSha256 }]
    );
    let manifest = with_standby();
    assert_eq!(planned(&manifest, &at(2 * DAY), Automation::Full).actions, []);
    let due = at(180 * DAY);
    let look = Action::Observe { selector: selector("new"), depth: Depth::Servers };
    assert_eq!(planned(&manifest, &due, Automation::Full).actions, [look]);

    let binding = manifest.binding(&selector("new")).unwrap();
    let mut seen = Observations::default();
    seen.seen.insert(selector("new"), observed(&[ours(binding), ours(binding)], &due));
    let (evidence, schedule) = (Evidence::default(), Schedule::default());
    let look = plan(&manifest, &seen, &evidence, &due, &schedule, Automation::Full).actions;
    let [Action::Change(change @ Change::Step { event: Event::Looked(_), .. })] = look.as_slice() else {
        panic!("{look:?}")
    };
    let manifest = apply(&manifest, change, &evidence, &due, &schedule).unwrap();
    let turn = plan(&manifest, &seen, &evidence, &due, &schedule, Automation::Full).actions;
    assert_eq!(turn, [Action::Change(Change::Activate { selectors: vec![selector("new")] })]);
    let Action::Change(change) = &turn[0] else { panic!() };
    let after = apply(&manifest, change, &evidence, &due, &schedule).unwrap();
    assert_eq!(after.signing().map(|binding| binding.selector.clone()).collect::<Vec<_>>(), [selector("new")]);
    assert_eq!(after.binding(&selector("old")).unwrap().state.name(), StateName::Retiring);
}

#[test]
fn whoever_only_reminds_does_nothing() {
    for now in [at(5), at(400 * DAY)] {
        let plan = planned(&with_standby(), &now, Automation::Reminders);
        assert_eq!(plan.actions, []);
        assert!(plan.waits.iter().any(|wait| wait.reason == WaitReason::Reminder));
    }
    let generated = bound(&domain(), "s", key(Algorithm::RsaSha256, 1), &at(0));
    let waits = planned(&generated, &at(1), Automation::Reminders).waits;
    assert!(waits.iter().any(|wait| wait.reason == WaitReason::PublishByHand), "{waits:?}");
}

#[test]
fn a_compromised_key_is_replaced_in_one_commit_and_revoked_once_daemons_had_their_minute() {
    let (evidence, schedule) = (Evidence::default(), Schedule::default());
    let now = at(2 * DAY);
    let emergency = compromise(&with_standby(), &selector("old"), Meanwhile::Stop, &evidence, &now, &schedule).unwrap();
    assert_eq!(emergency.successor, Some(selector("new")));
    let actions = planned(&emergency.manifest, &now, Automation::Full).actions;
    assert_eq!(actions[0], Action::AwaitDaemons { selector: selector("old") });
    assert!(actions.contains(&Action::Generate { algorithm: Algorithm::RsaSha256 }));
    let begun = Action::Change(Change::Step { selector: selector("old"), event: Event::WithdrawalBegun });
    assert_eq!(planned(&emergency.manifest, &later(&now, 60), Automation::Full).actions[0], begun);
}

#[test]
fn without_a_standby_the_operator_chooses_what_happens_meanwhile() {
    let (evidence, schedule) = (Evidence::default(), Schedule::default());
    let signed =
        |meanwhile| compromise(&signing(), &selector("old"), meanwhile, &evidence, &at(5), &schedule).unwrap().manifest;
    let signs_on = signed(Meanwhile::Sign);
    assert_eq!(signs_on.signing().count(), 1);
    let plan = planned(&signs_on, &at(5), Automation::Full);
    assert_eq!(plan.actions, [Action::Generate { algorithm: Algorithm::RsaSha256 }]);
    assert!(plan.alarms.iter().any(|alarm| alarm.threat == Threat::CompromisedSigns));
    let stopped = signed(Meanwhile::Stop);
    assert_eq!(stopped.signing().count(), 0);
    let plan = planned(&stopped, &at(5), Automation::Full);
    assert!(matches!(&plan.actions[0], Action::Change(Change::Step { event: Event::Retired { .. }, .. })));
    assert!(plan.alarms.iter().any(|alarm| alarm.threat == Threat::NothingSigns));
}

/// A domain that signs with RSA and Ed25519.
fn signing_with_both() -> DomainManifest {
    let manifest = bound(&signing(), "spare", key(Algorithm::Ed25519Sha256, 7), &at(0));
    manifest.activate(Choice::Selectors(&[selector("spare")]), RetirementWaits::default(), at(0).wall).unwrap().manifest
}

#[test]
fn a_standby_key_that_is_held_does_not_take_over() {
    let mut bindings = with_standby().bindings().to_vec();
    let held = Held { since: at(DAY).wall, reason: HeldReason::Drift, evidence: None };
    bindings[1].held = Some(held);
    let manifest = with_standby().with_bindings(bindings, Vec::new()).unwrap();
    let (evidence, schedule, now) = (Evidence::default(), Schedule::default(), at(2 * DAY));
    let emergency = compromise(&manifest, &selector("old"), Meanwhile::Sign, &evidence, &now, &schedule).unwrap();
    assert_eq!((emergency.successor, emergency.meanwhile), (None, Some(Meanwhile::Sign)));
    assert_eq!(emergency.manifest.signing().count(), 1);
}

#[test]
fn ed25519_beside_rsa_stops_at_once_and_rsa_beside_ed25519_is_replaced_with_shortened_checks() {
    let (evidence, schedule, now) = (Evidence::default(), Schedule::default(), at(DAY));
    let spare =
        compromise(&signing_with_both(), &selector("spare"), Meanwhile::Sign, &evidence, &now, &schedule).unwrap();
    assert_eq!(spare.meanwhile, None);
    assert_eq!(spare.manifest.signing().map(|one| one.selector.as_str().to_owned()).collect::<Vec<_>>(), ["old"]);
    // RSA signs: the fresh Ed25519 key has time.
    assert!(!is_hasty(&spare.manifest, Algorithm::Ed25519Sha256));

    let gate = compromise(&signing_with_both(), &selector("old"), Meanwhile::Sign, &evidence, &now, &schedule).unwrap();
    assert_eq!((gate.meanwhile, gate.manifest.signing().count()), (Some(Meanwhile::Sign), 2));
    // The next Ed25519 key has time all the same.
    assert!(is_hasty(&gate.manifest, Algorithm::RsaSha256) && !is_hasty(&gate.manifest, Algorithm::Ed25519Sha256));
}

#[test]
fn where_the_operator_publishes_keys_are_made_in_an_emergency_and_otherwise_not() {
    let (evidence, schedule, now) = (Evidence::default(), Schedule::default(), at(DAY));
    assert_eq!(planned(&signing(), &now, Automation::ByHand).actions, []);
    let emergency = compromise(&signing(), &selector("old"), Meanwhile::Sign, &evidence, &now, &schedule).unwrap();
    let made = Action::Generate { algorithm: Algorithm::RsaSha256 };
    assert_eq!(planned(&emergency.manifest, &now, Automation::ByHand).actions, [made]);
    assert_eq!(planned(&emergency.manifest, &now, Automation::Reminders).actions, []);
}

#[test]
fn keys_that_sign_are_declared_last_and_rsa_before_ed25519() {
    let manifest = bound(&signing_with_both(), "young", key(Algorithm::RsaSha256, 9), &at(50));
    let names =
        |made_until| declarable(&manifest, at(made_until).wall).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(50), ["young", "old", "spare"]);
    assert_eq!(names(49), ["old", "spare"]);
}

#[test]
fn a_leaving_domain_retires_its_keys_and_one_that_is_gone_is_left_alone() {
    let manifest = leave(&with_standby());
    let actions = planned(&manifest, &at(2 * DAY), Automation::Full).actions;
    assert_eq!(actions.len(), 2);
    assert!(actions.iter().all(|action| matches!(
        action,
        Action::Change(Change::Step { event: Event::Retired { successor: None, .. }, .. })
    )));
    assert_eq!(planned(&gone(&manifest), &at(2 * DAY), Automation::Full), Plan::default());
}

#[test]
fn a_clock_that_was_set_stops_everything_for_one_run() {
    let manifest = with_standby();
    let mut now = at(2 * DAY);
    now.wall = at(400 * DAY).wall;
    let plan = planned(&manifest, &now, Automation::Full);
    assert_eq!(plan.actions, [Action::Change(Change::Count)]);
    assert!(matches!(plan.waits[0].reason, WaitReason::Clock { .. }));
    let counted = apply(&manifest, &Change::Count, &Evidence::default(), &now, &Schedule::default()).unwrap();
    let next = planned(&counted, &later(&now, 60), Automation::Full);
    assert!(!next.waits.iter().any(|wait| matches!(wait.reason, WaitReason::Clock { .. })));
}

#[test]
fn the_record_of_a_signing_key_that_vanished_is_published_again_and_one_that_was_changed_is_not() {
    let manifest = signing();
    let seen = |servers: [Has; 2]| {
        let mut seen = Observations::default();
        seen.seen.insert(selector("old"), observed(&servers, &at(9)));
        let (evidence, schedule) = (Evidence::default(), Schedule::default());
        plan(&manifest, &seen, &evidence, &at(9), &schedule, Automation::Full)
    };
    let vanished = seen([Has::Nothing, Has::Nothing]);
    assert!(vanished.actions.contains(&Action::Publish { selector: selector("old") }));
    assert!(matches!(vanished.alarms[0].threat, Threat::ActiveRecord { .. }));
    assert_eq!(vanished.alarms[0].until, Some(at(9 + 3600).wall), "caches may have it for its TTL");
    let changed = seen([Has::Record("v=DKIM1; p=QUJD".into()), Has::Nothing]);
    assert!(matches!(&changed.actions[0], Action::Change(Change::Step { event: Event::Looked(_), .. })));
}

#[test]
fn a_standby_that_took_over_at_once_is_looked_at_and_alarms_where_it_is_missing() {
    let (evidence, schedule) = (Evidence::default(), Schedule::default());
    let now = at(2 * DAY);
    let emergency = compromise(&with_standby(), &selector("old"), Meanwhile::Stop, &evidence, &now, &schedule).unwrap();
    assert_eq!(emergency.successor_seen, Some(at(311 + DAY).wall));
    let look = Action::Observe { selector: selector("new"), depth: Depth::Servers };
    assert!(planned(&emergency.manifest, &now, Automation::Full).actions.contains(&look));
    let mut seen = Observations::default();
    let binding = emergency.manifest.binding(&selector("new")).unwrap();
    seen.seen.insert(selector("new"), observed(&[ours(binding), Has::Nothing], &now));
    let plan = plan(&emergency.manifest, &seen, &evidence, &now, &schedule, Automation::Full);
    assert!(plan.alarms.iter().any(|alarm| matches!(alarm.threat, Threat::ActiveRecord { .. })
        && alarm.selector == Some(selector("new"))
        && alarm.until == Some(later(&now, 3600).wall)));
}

#[test]
fn a_key_that_began_to_sign_in_the_future_has_its_turn_from_when_that_is_noticed() {
    let manifest = bound(&domain(), "old", key(Algorithm::RsaSha256, 1), &at(0));
    let ahead = at(900 * DAY).wall;
    let manifest = manifest.activate(Choice::Newest, RetirementWaits::default(), ahead).unwrap().manifest;
    let now = at(DAY);
    let count = Action::Change(Change::Count);
    assert!(planned(&manifest, &now, Automation::Full).actions.contains(&count));
    let counted = apply(&manifest, &Change::Count, &Evidence::default(), &now, &Schedule::default()).unwrap();
    assert_eq!(counted.binding(&selector("old")).unwrap().state.since(), now.wall);
    assert!(!planned(&counted, &later(&now, 60), Automation::Full).actions.contains(&count));
}
