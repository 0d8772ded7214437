//! The machine in a small world: two servers, a publisher, a store that compares and swaps, and whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::{Effect, Machine, Naming, Next, Outcome, Patrol, Refusal, RefusalKind, Start, Summary};
use crate::dkim::{Algorithm, KeyRecord};
use crate::lifecycle::tests::world::{Has, at, bound, domain, key, observed, selector};
use crate::lifecycle::{
    Automation, Evidence, Hand, Schedule, Silences, Standby, WaitReason, Witnessed, compromise, leave, violations,
};
use crate::manifest::{Binding, Choice, DomainManifest, Meanwhile, RetirementWaits, StateName, Status};
use crate::names::Selector;
use crate::record_format::PublishedRecord;

/// Where a run is cut off.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Never,
    /// Before this effect.
    Before(u16),
    /// After it, its outcome lost.
    After(u16),
}

#[derive(Debug, Clone)]
enum Deed {
    Run(Cut),
    Pass(u32),
    Reboot(u32),
    SetClock(i64),
    /// The secondary is silent, lags, or is well.
    Secondary(u8),
    Publisher(bool),
    SomebodyWrites(u8, u8),
    Use(u8),
    Compromise(u8, bool),
    Leave,
    OperatorActivates(u8),
}

struct World {
    manifest: DomainManifest,
    now: Witnessed,
    primary: BTreeMap<Selector, String>,
    secondary: BTreeMap<Selector, String>,
    secondary_is: u8,
    publisher_works: bool,
    silences: Silences,
    evidence: Evidence,
    schedule: Schedule,
    keys: u16,
    rotations: u32,
    patrol: Patrol,
    /// Seconds since the beginning, and when what a server has at a selector last changed.
    seconds: i64,
    changed: BTreeMap<Selector, i64>,
}

impl World {
    fn new(algorithms: &[Algorithm], standby: Standby, patrol: Patrol) -> Self {
        let now = at(0);
        let mut manifest = domain();
        for (number, algorithm) in algorithms.iter().enumerate() {
            manifest = bound(&manifest, &format!("k{number}"), key(*algorithm, u16::try_from(number).unwrap()), &now);
        }
        let schedule = Schedule { standby, key_age: SignedDuration::from_hours(60 * 24), ..Schedule::default() };
        Self {
            manifest,
            now,
            primary: BTreeMap::new(),
            secondary: BTreeMap::new(),
            secondary_is: 0,
            publisher_works: true,
            silences: Silences::default(),
            evidence: Evidence::default(),
            schedule,
            keys: 100,
            rotations: 0,
            patrol,
            seconds: 0,
            changed: BTreeMap::new(),
        }
    }

    fn machine(&self) -> Machine {
        Machine::new(Start {
            manifest: self.manifest.clone(),
            schedule: self.schedule.clone(),
            automation: Automation::Full,
            evidence: self.evidence.clone(),
            silences: self.silences.clone(),
            patrol: self.patrol,
            naming: Naming::default(),
            record_ttl: 3600,
            audited: None,
        })
    }

    /// Runs a machine; none if it was cut off.
    fn run(&mut self, cut: Cut) -> Option<Box<Summary>> {
        let mut machine = self.machine();
        let mut outcome = Outcome::Begin;
        for index in 0.. {
            assert!(index < 500, "it goes in circles");
            let effect = match machine.next(outcome, &self.now) {
                Next::Effect(effect) => effect,
                Next::Done(summary) => {
                    self.silences = machine.silences().clone();
                    return Some(summary);
                }
            };
            if matches!(cut, Cut::Before(at) if at == index) {
                return None;
            }
            outcome = self.perform(effect);
            if matches!(cut, Cut::After(at) if at == index) {
                return None;
            }
        }
        None
    }

    fn perform(&mut self, effect: Effect) -> Outcome {
        match effect {
            Effect::Observe { selectors, .. } => {
                let look = |selector: Selector| {
                    let servers = [
                        self.says(&self.primary, &selector),
                        match self.secondary_is {
                            1 => Has::Silence,
                            _ => self.says(&self.secondary, &selector),
                        },
                    ];
                    (selector, observed(&servers, &self.now))
                };
                Outcome::Observed(selectors.into_iter().map(look).collect())
            }
            Effect::Generate { algorithm } => {
                self.keys += 1;
                Outcome::Generated(key(algorithm, self.keys))
            }
            Effect::Commit { manifest, .. } => {
                assert_eq!(manifest.revision(), self.manifest.revision());
                let broken = violations(&self.manifest, &manifest, &self.now, Hand::Rotation);
                assert!(broken.is_empty(), "{broken:?}");
                self.check(&manifest);
                self.manifest = manifest.with_next_revision();
                Outcome::Committed(Box::new(self.manifest.clone()))
            }
            Effect::Publish { record } => self.write(&record.selector, &[], Some(&record)),
            Effect::Revoke { old, new, standing } => {
                let values = [old.value.clone()].into_iter().chain(texts(&standing)).collect::<Vec<_>>();
                self.write(&new.selector, &values, Some(&new))
            }
            Effect::Delete { records, standing } => {
                let selector = records[0].selector.clone();
                let values: Vec<_> = records.into_iter().map(|record| record.value).chain(texts(&standing)).collect();
                self.write(&selector, &values, None)
            }
            Effect::AwaitDaemons { revision, seconds } => {
                assert_eq!(revision, self.manifest.revision());
                self.pass(i64::try_from(seconds).unwrap());
                refused(RefusalKind::Failed)
            }
            Effect::Hook { .. } | Effect::Audit { .. } | Effect::Destroy { .. } => Outcome::Done,
        }
    }

    /// A key that begins to sign by its waits stands on every server that answers, unless that changed since the look
    /// that may be an hour old.
    fn check(&mut self, next: &DomainManifest) {
        for binding in next.bindings() {
            let before = self.manifest.binding(&binding.selector).map(|before| before.state.name());
            if binding.state.name() == StateName::Active && before != Some(StateName::Active) {
                self.rotations += 1;
                if self.changed.get(&binding.selector).is_some_and(|at| self.seconds - at <= 3600) {
                    continue;
                }
                let ours = PublishedRecord::with_key(next.domain(), binding).value;
                assert_eq!(self.primary.get(&binding.selector), Some(&ours), "{} signs", binding.selector);
                if self.secondary_is != 1 {
                    assert_eq!(self.secondary.get(&binding.selector), Some(&ours), "{} signs", binding.selector);
                }
            }
        }
    }

    fn write(&mut self, selector: &Selector, old: &[String], new: Option<&PublishedRecord>) -> Outcome {
        if !self.publisher_works {
            return refused(RefusalKind::Failed);
        }
        let wanted = new.map(|record| record.value.clone());
        match self.primary.get(selector) {
            there if there == wanted.as_ref() => {}
            Some(there) if !old.contains(there) => return refused(RefusalKind::Conflict),
            // A record that is gone is not revoked, and one that is absent is as good as deleted.
            None if !old.is_empty() => {}
            _ => match wanted {
                Some(value) => drop(self.primary.insert(selector.clone(), value)),
                None => drop(self.primary.remove(selector)),
            },
        }
        Outcome::Done
    }

    fn says(&self, server: &BTreeMap<Selector, String>, selector: &Selector) -> Has {
        server.get(selector).map_or(Has::Nothing, |text| Has::Record(text.clone()))
    }

    fn pass(&mut self, seconds: i64) {
        self.now = crate::lifecycle::tests::world::later(&self.now, seconds);
        self.seconds += seconds;
        if self.secondary_is != 2 {
            for selector in self.primary.keys().chain(self.secondary.keys()) {
                if self.primary.get(selector) != self.secondary.get(selector) {
                    self.changed.insert(selector.clone(), self.seconds);
                }
            }
            self.secondary = self.primary.clone();
        }
    }

    fn deed(&mut self, deed: &Deed) {
        let nth = |manifest: &DomainManifest, number: u8| {
            let count = manifest.bindings().len();
            (count > 0).then(|| manifest.bindings()[usize::from(number) % count].selector.clone())
        };
        match deed {
            Deed::Run(cut) => {
                // One that pauses since the clock was set leaves everything to the next.
                let is_clock = |wait: &crate::lifecycle::Wait| matches!(wait.reason, WaitReason::Clock { .. });
                if self.run(*cut).is_some_and(|done| !done.plan.waits.iter().any(is_clock)) {
                    self.run_again();
                }
            }
            Deed::Pass(seconds) => self.pass(i64::from(*seconds)),
            Deed::Reboot(seconds) => {
                self.pass(i64::from(*seconds));
                self.now.boot_id.push('b');
                self.now.boot_time = Duration::from_secs(30);
            }
            Deed::SetClock(by) => {
                self.now.wall = self.now.wall.saturating_add(SignedDuration::from_secs(*by)).unwrap();
            }
            Deed::Secondary(how) => self.secondary_is = *how,
            Deed::Publisher(works) => self.publisher_works = *works,
            Deed::SomebodyWrites(number, what) => {
                if let Some(selector) = nth(&self.manifest, *number) {
                    self.changed.insert(selector.clone(), self.seconds);
                    match what {
                        0 => drop(self.primary.remove(&selector)),
                        _ => drop(self.primary.insert(selector, "v=DKIM1; k=rsa; p=QUJD".into())),
                    }
                }
            }
            Deed::Use(number) => {
                if let Some(selector) = nth(&self.manifest, *number) {
                    let key_id = self.manifest.binding(&selector).unwrap().key_id();
                    self.evidence.last_used.insert(key_id, self.now.wall);
                }
            }
            Deed::Compromise(number, stop) => {
                let Some(selector) = nth(&self.manifest, *number) else { return };
                let meanwhile = if *stop { Meanwhile::Stop } else { Meanwhile::Sign };
                let (evidence, schedule) = (&self.evidence, &self.schedule);
                let emergency =
                    compromise(&self.manifest, &selector, meanwhile, evidence, &self.now, schedule).unwrap();
                let broken = violations(&self.manifest, &emergency.manifest, &self.now, Hand::Operator);
                assert!(broken.is_empty(), "{broken:?}");
                self.manifest = emergency.manifest.with_next_revision();
            }
            Deed::Leave => self.manifest = leave(&self.manifest).with_next_revision(),
            Deed::OperatorActivates(number) => {
                let Some(selector) = nth(&self.manifest, *number) else { return };
                let choice = [selector];
                let choice = Choice::Selectors(&choice);
                if let Ok(done) = self.manifest.activate(choice, RetirementWaits::default(), self.now.wall) {
                    let broken = violations(&self.manifest, &done.manifest, &self.now, Hand::Operator);
                    assert!(broken.is_empty(), "{broken:?}");
                    self.manifest = done.manifest.with_next_revision();
                }
            }
        }
    }

    /// A second run at the same instant finds nothing that contradicts the first.
    fn run_again(&mut self) {
        let states = |manifest: &DomainManifest| -> Vec<_> {
            manifest.bindings().iter().map(|binding| (binding.selector.clone(), binding.state.name())).collect()
        };
        let (before, records, at) = (states(&self.manifest), self.primary.clone(), self.now.clone());
        self.run(Cut::Never).unwrap();
        if self.now == at && records == self.primary {
            let after = states(&self.manifest);
            let is_further = |(selector, state): &(Selector, StateName)| {
                after.iter().find(|(other, _)| other == selector).is_none_or(|(_, later)| later >= state)
            };
            assert!(before.iter().all(is_further), "{before:?} then {after:?}");
        }
    }
}

fn texts(standing: &[crate::observation::Txt]) -> impl Iterator<Item = String> {
    standing.iter().map(|txt| String::from_utf8(txt.joined()).unwrap())
}

fn refused(kind: RefusalKind) -> Outcome {
    Outcome::Refused(Refusal { kind, detail: "so".into() })
}

fn deed() -> impl Strategy<Value = Deed> {
    let cut = prop_oneof![
        4 => Just(Cut::Never),
        1 => (0..12_u16).prop_map(Cut::Before),
        1 => (0..12_u16).prop_map(Cut::After),
    ];
    prop_oneof![
        20 => cut.prop_map(Deed::Run),
        8 => (1..600_u32).prop_map(Deed::Pass),
        8 => (600..100_000_u32).prop_map(Deed::Pass),
        3 => (1..6_000_000_u32).prop_map(Deed::Pass),
        2 => (1..200_000_u32).prop_map(Deed::Reboot),
        1 => (-40_000_000..40_000_000_i64).prop_map(Deed::SetClock),
        2 => (0..3_u8).prop_map(Deed::Secondary),
        2 => any::<bool>().prop_map(Deed::Publisher),
        1 => (any::<u8>(), 0..2_u8).prop_map(|(number, what)| Deed::SomebodyWrites(number, what)),
        2 => any::<u8>().prop_map(Deed::Use),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(number, stop)| Deed::Compromise(number, stop)),
        1 => any::<u8>().prop_map(Deed::OperatorActivates),
        1 => (0..20_u8).prop_filter_map("rarely", |dice| (dice == 0).then_some(Deed::Leave)),
    ]
}

#[test]
fn when_the_clock_was_set_one_run_pauses_and_says_so_and_the_next_goes_on() {
    for by in [-366 * 86_400, 366 * 86_400] {
        let mut world = World::new(&[Algorithm::RsaSha256], Standby::Always, Patrol::AllInUse);
        world.run(Cut::Never).unwrap();
        world.pass(400);
        world.deed(&Deed::SetClock(by));
        let states = |world: &World| {
            let states = world.manifest.bindings().iter().map(|binding| binding.state.clone());
            states.collect::<Vec<_>>()
        };
        let before = states(&world);
        let paused = world.run(Cut::Never).unwrap();
        assert_eq!(states(&world), before);
        let is_clock = |wait: &crate::lifecycle::Wait| matches!(wait.reason, WaitReason::Clock { .. });
        assert!(paused.plan.waits.iter().any(is_clock), "{:?}", paused.plan);
        let after = world.run(Cut::Never).unwrap();
        assert!(!after.plan.waits.iter().any(is_clock), "{:?}", after.plan);
        assert_ne!(states(&world), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_invariant_is_broken(
        deeds in proptest::collection::vec(deed(), 1..150),
        both: bool,
        always: bool,
        looks_at_all: bool,
    ) {
        let algorithms = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];
        let standby = if always { Standby::Always } else { Standby::WhenDue };
        let patrol = if looks_at_all { Patrol::AllInUse } else { Patrol::OnlyDue };
        let mut world = World::new(if both { &algorithms } else { &algorithms[..1] }, standby, patrol);
        for deed in &deeds {
            world.deed(deed);
        }
    }
}

#[test]
fn a_domain_left_alone_rotates_for_ever_and_never_ceases_to_sign() {
    for standby in [Standby::Always, Standby::WhenDue] {
        let mut world = World::new(&[Algorithm::RsaSha256, Algorithm::Ed25519Sha256], standby, Patrol::OnlyDue);
        let mut has_signed = false;
        for _ in 0..6 * 400 {
            world.run(Cut::Never).unwrap();
            world.pass(4 * 3600);
            let signing = world.manifest.signing().count();
            has_signed |= signing == 2;
            assert!(!has_signed || signing == 2);
        }
        // 400 days, a key every 60, and the first within three days; two algorithms.
        assert!(world.rotations >= 14, "{}", world.rotations);
        assert!(world.manifest.tombstones().len() >= 8, "{}", world.manifest.tombstones().len());
        assert!(world.primary.len() <= 6, "{:?}", world.primary.keys());
    }
}

#[test]
fn ed25519_that_cannot_be_published_never_holds_rsa_up() {
    let mut world = World::new(&[Algorithm::RsaSha256, Algorithm::Ed25519Sha256], Standby::Always, Patrol::AllInUse);
    world.primary.insert(selector("k1"), "v=spf1 -all".into());
    for _ in 0..24 * 70 {
        world.run(Cut::Never).unwrap();
        world.pass(3600);
    }
    let held = world.manifest.binding(&selector("k1")).unwrap();
    assert!(held.held.is_some() && held.state.name() == StateName::Generated);
    assert_eq!(world.primary[&selector("k1")], "v=spf1 -all");
    assert!(world.rotations >= 2, "{}", world.rotations);
}

#[test]
fn a_standby_key_whose_record_vanished_unnoticed_does_not_begin_to_sign() {
    let mut world = World::new(&[Algorithm::RsaSha256], Standby::Always, Patrol::OnlyDue);
    let days = |world: &mut World, days: u32| {
        for _ in 0..days * 6 {
            world.run(Cut::Never).unwrap();
            world.pass(4 * 3600);
        }
    };
    days(&mut world, 20);
    let ready = |binding: &&crate::manifest::Binding| binding.state.name() == StateName::Ready;
    let standby = world.manifest.bindings().iter().find(ready).unwrap().selector.clone();
    world.primary.remove(&standby);
    let turn = |world: &World| world.manifest.signing().next().unwrap().selector == standby;
    while world.manifest.binding(&standby).unwrap().state.name() == StateName::Ready {
        // The run that would activate it finds that it is gone (and `World::check` that it never signs so).
        assert!(!turn(&world));
        days(&mut world, 1);
    }
    assert!(!turn(&world), "it is published again, and waits again");
    days(&mut world, 5);
    assert!(turn(&world) && world.primary.contains_key(&standby));
}

#[test]
fn a_domain_that_leaves_ends_without_keys_and_records() {
    let mut world = World::new(&[Algorithm::RsaSha256], Standby::Always, Patrol::OnlyDue);
    for hour in 0..24 * 60 {
        if hour == 24 * 5 {
            world.deed(&Deed::Leave);
        }
        world.run(Cut::Never).unwrap();
        world.pass(3600);
    }
    assert_eq!(world.manifest.status(), Status::Leaving);
    assert_eq!(world.manifest.bindings(), []);
    assert_eq!(world.primary, BTreeMap::new());
    assert_eq!(world.manifest.tombstones().len(), 2);
}

#[test]
fn a_record_that_came_back_after_its_withdrawal_is_deleted_again() {
    let mut world = World::new(&[Algorithm::RsaSha256], Standby::Always, Patrol::OnlyDue);
    let mut came_back = BTreeSet::new();
    for third in 0..3 * 24 * 60 {
        if third == 3 * 24 * 5 {
            world.deed(&Deed::Leave);
        }
        let is_withdrawn = |binding: &&Binding| binding.state.name() == StateName::Withdrawn;
        let withdrawn = world.manifest.bindings().iter().find(is_withdrawn).cloned();
        if let Some(binding) = withdrawn.filter(|binding| came_back.insert(binding.selector.clone())) {
            // A run that had looked before, and publishes only now.
            world.primary.insert(binding.selector.clone(), KeyRecord::of(&binding.public_key).to_string());
        }
        world.run(Cut::Never).unwrap();
        world.pass(1200);
    }
    assert_eq!(came_back.len(), 2);
    assert_eq!(world.manifest.bindings(), []);
    assert_eq!(world.primary, BTreeMap::new());
}
