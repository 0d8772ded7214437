//! A domain's world: what is in it, and how time goes on in it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use waxseal::dkim::key::{KeyId, PublicKey};
use waxseal::lifecycle::{Schedule, Silences, Standby, Witnessed};
use waxseal::names::{DomainName, Selector};
use waxseal::observation::{NameServer, Zone as SeenZone};

use super::daemon::Daemon;
use super::faults::Mood;
use super::guard::Guard;
use super::keys::Bound;
use super::mail::{Chosen, Message};
use super::random::Random;
use super::resolver::Resolver;
use super::runner::Runner;
use super::store::Store;
use super::tally::Tally;
use super::time::{Clock, DAY, HOUR, MINUTE, Moment};
use super::zone::{NegativeTtl, Zone};

/// Everything around the keys of one domain.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Moment,
    queue: BinaryHeap<Due>,
    sequence: u64,
    pub(crate) domain: DomainName,
    pub(crate) zone: Zone,
    /// The zone as an observation has it, without what its servers say of it.
    pub(crate) seen_zone: SeenZone,
    pub(crate) resolvers: Vec<Resolver>,
    /// Whether resolvers remember for longer than `settle` that something is absent; then that never changes.
    pub(crate) has_long_memory: bool,
    /// Whether daemons write down when they signed with what.
    pub(crate) writes_evidence: bool,
    /// Whether the second resolver is configured as an outside resolver.
    pub(crate) has_outside: bool,
    pub(crate) store: Store,
    pub(crate) daemons: Vec<Daemon>,
    /// How often each daemon was started.
    pub(crate) starts: Vec<u64>,
    /// The clocks of the one host.
    pub(crate) clock: Clock,
    pub(crate) clock_mended: Moment,
    pub(crate) schedule: Schedule,
    /// What the schedule says when nothing is switched off: how long mail is under way, and a record settles.
    pub(crate) mail_life: Duration,
    pub(crate) settle: Duration,
    pub(crate) acknowledge_within: Duration,
    /// Compromised keys of which all daemons said that they have ceased to use them.
    pub(crate) acknowledged: HashSet<Selector>,
    /// Since when there is a key that signs.
    pub(crate) signs_since: Option<Moment>,
    /// What is switched off.
    pub(crate) guard: Option<Guard>,
    pub(crate) silences: Silences,
    pub(crate) record_ttl: u32,
    /// The newest revision in the audit log.
    pub(crate) audited: Option<u64>,
    pub(crate) runners: [Runner; 2],
    pub(crate) publisher: (Mood, Moment),
    /// The worst fault of an optional kind that this world has.
    pub(crate) has_dead_secondary: bool,
    /// Every key ever bound, by selector.
    pub(crate) bound: HashMap<Selector, Bound>,
    pub(crate) next_key: u64,
    pub(crate) generated: BTreeMap<KeyId, PublicKey>,
    /// The last signature under each selector.
    pub(crate) last_signed: HashMap<Selector, Moment>,
    pub(crate) compromised: HashMap<Selector, Declared>,
    /// Activated by an operator before they were Ready, or after shortened checks because all others were compromised.
    pub(crate) hurried: HashSet<Selector>,
    /// When each key ceased to be one that signs.
    pub(crate) ceased: HashMap<Selector, Moment>,
    pub(crate) revoked_at: HashMap<Selector, Moment>,
    /// Signatures of each selector whose delivery is yet to come.
    pub(crate) under_way: HashMap<Selector, u64>,
    /// When each daemon last ended a message that had taken hours.
    pub(crate) late_signed: Vec<Option<Moment>>,
    pub(crate) tally: Tally,
    /// All that happened, if it is to be told.
    pub(crate) log: Option<Vec<String>>,
}

/// A key that was declared compromised.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    /// When.
    pub(crate) at: Moment,
    /// Until when mail was said to be under way that it signed before.
    pub(crate) mail_until: Option<Moment>,
}

/// What happens at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A runner's timer goes off; the number tells whether it was set anew meanwhile.
    Run(usize, u64),
    /// A runner has an effect done; the number tells it from one that was killed.
    Perform(usize, u64),
    /// A message's headers end at a daemon.
    Submit(usize),
    /// One message more than usual.
    Extra(usize),
    /// And its body ends, if the daemon was not started again meanwhile.
    Sign(usize, u64, Chosen),
    /// A message is verified by a receiver.
    Deliver(Box<Message>),
    /// Somebody asks a resolver for a name.
    Probe(Arc<str>),
    /// Something goes wrong.
    Fault,
    /// What went wrong is mended.
    Mend(super::faults::Mend),
    /// An operator does something.
    Operate,
}

#[derive(Debug)]
struct Due {
    at: Moment,
    sequence: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl World {
    /// A world from a seed.
    pub(crate) fn new(seed: u64, guard: Option<Guard>) -> Self {
        let random = &mut Random::new(seed);
        let is_off = |off: Guard| guard == Some(off);
        let mut schedule = schedule(random);
        if is_off(Guard::ExpireAfter) {
            schedule.expire_after = Some(SignedDuration::from_hours(24 * 7));
        }
        let minimum = *random.pick(&[60, 300, 900, 3600, 10_800]);
        let mut negative = NegativeTtl { ttl: *random.pick(&[300, 3600, 86_400]), minimum };
        if random.happens(if is_off(Guard::NegativeTtl) { 1000 } else { 100 }) {
            negative = NegativeTtl { ttl: 2 * 86_400, minimum: 2 * 86_400 };
        }
        let has_long_memory = SignedDuration::from_secs(negative.seconds().into()) > schedule.settle;
        let mut resolvers: Vec<Resolver> = (0..3).map(|_| Resolver::default()).collect();
        if random.happens(if is_off(Guard::Resolvers) { 1000 } else { 150 }) {
            resolvers[0].remembers = 3 * DAY;
        }
        let writes_evidence = !is_off(Guard::Staleness) && random.happens(850);
        let record_ttl = *random.pick(&[300, 3600, 86_400]);
        let secondaries = random.below(4) as usize;
        let is_primary_hidden = secondaries > 1 && random.happens(300);
        let zone = Zone::new(secondaries, is_primary_hidden, negative, random);
        let domain = DomainName::parse("example.com").unwrap();
        let store = Store::new(domain.clone());
        let staleness = Duration::from_secs(3600);
        let daemons: Vec<Daemon> =
            (0..1 + random.below(3)).map(|_| Daemon::start(domain.clone(), store.clone(), staleness)).collect();
        let starts = vec![0; daemons.len()];
        let mut world = Self {
            now: Moment(0),
            queue: BinaryHeap::new(),
            sequence: 0,
            seen_zone: seen_zone(&zone),
            zone,
            domain,
            resolvers,
            has_long_memory,
            writes_evidence,
            has_outside: random.happens(500),
            starts: starts.clone(),
            daemons,
            store,
            clock: Clock::default(),
            clock_mended: Moment(0),
            mail_life: Duration::from_secs(schedule.mail_seconds()),
            settle: Duration::from_secs(schedule.settle.as_secs() as u64),
            acknowledge_within: Duration::from_secs(schedule.acknowledge_within.as_secs() as u64),
            acknowledged: HashSet::new(),
            signs_since: None,
            schedule: guard.map_or(schedule.clone(), |guard| guard.switched_off(schedule)),
            guard,
            silences: Silences::default(),
            record_ttl: if is_off(Guard::Staleness) || is_off(Guard::Evidence) { 300 } else { record_ttl },
            audited: None,
            runners: [Runner::default(), Runner::default()],
            publisher: (Mood::Well, Moment(0)),
            has_dead_secondary: false,
            bound: HashMap::new(),
            next_key: 0,
            generated: BTreeMap::new(),
            last_signed: HashMap::new(),
            compromised: HashMap::new(),
            hurried: HashSet::new(),
            ceased: HashMap::new(),
            revoked_at: HashMap::new(),
            under_way: HashMap::new(),
            late_signed: vec![None; starts.len()],
            tally: Tally::default(),
            log: None,
            random: random.split(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.give_first_keys();
        self.start_later(0, HOUR);
        for daemon in 0..self.daemons.len() {
            let after = self.random.up_to(HOUR);
            self.after(after, Event::Submit(daemon));
        }
        self.after(HOUR, Event::Fault);
        self.after(DAY, Event::Operate);
    }

    /// Lets time go on until so many keys have taken over, or so much time has passed.
    pub(crate) fn run(&mut self, rotations: u64, at_most: Duration) {
        self.until(rotations, Moment(0) + at_most);
        if self.tally.rotations < rotations {
            let rotated = self.tally.rotations;
            self.violate(&format!("there were only {rotated} rotations, of {rotations}"));
        } else if self.random.happens(300) {
            self.leave();
        }
    }

    /// Lets so much time pass, or until enough has gone wrong.
    pub(crate) fn run_for(&mut self, span: Duration) {
        self.until(u64::MAX, self.now + span);
    }

    /// The domain leaves, and nothing of it is left.
    fn leave(&mut self) {
        self.offboard();
        let end = self.now + 400 * DAY;
        while self.now < end && !self.store.manifest().bindings().is_empty() {
            self.until(u64::MAX, self.now + 20 * DAY);
        }
        let left = self.store.manifest();
        if let Some(binding) = left.bindings().first() {
            self.violate(&format!("a domain that left has {} still, {}", binding.selector, binding.state.name()));
        }
    }

    fn until(&mut self, rotations: u64, end: Moment) {
        while self.tally.rotations < rotations && self.tally.violated <= 20 {
            if self.queue.peek().is_none_or(|due| due.at > end) {
                break;
            }
            let Some(Due { at, event, .. }) = self.queue.pop() else { break };
            self.now = at;
            match event {
                Event::Run(runner, turn) => self.begin_run(runner, turn),
                Event::Perform(runner, run) => self.perform(runner, run),
                Event::Submit(daemon) => self.submit(daemon),
                Event::Extra(daemon) => self.submit_one(daemon),
                Event::Sign(daemon, start, chosen) => self.sign(daemon, start, &chosen),
                Event::Deliver(message) => self.deliver(message),
                Event::Probe(name) => {
                    let resolver = self.random.below(self.resolvers.len() as u64) as usize;
                    self.resolvers[resolver].resolve(&name, &mut self.zone, self.now, &mut self.random);
                }
                Event::Fault => self.fault(),
                Event::Mend(mend) => self.mend(mend),
                Event::Operate => self.operate(),
            }
        }
    }

    /// The same world, which tells what happens.
    pub(crate) fn told(mut self) -> Self {
        self.log = Some(Vec::new());
        self
    }

    /// Tells what happens, if the world is to be watched.
    pub(crate) fn tell(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.log.is_some() {
            let line = format!("{}: {}", self.now.0, what(self));
            self.log.iter_mut().for_each(|log| log.push(line.clone()));
        }
    }

    /// Has something happen after a time.
    pub(crate) fn after(&mut self, span: Duration, event: Event) {
        self.sequence += 1;
        self.queue.push(Due { at: self.now + span, sequence: self.sequence, event });
    }

    /// The time, as the host's clocks have it.
    pub(crate) fn witnessed(&self) -> Witnessed {
        let boot_id = match self.guard {
            // A boot of its own for each second: only the wall clock is left to count by.
            Some(Guard::BootTime) => format!("{}-{}", self.clock.boot_id(), self.now.0),
            _ => self.clock.boot_id(),
        };
        Witnessed { wall: self.clock.wall(self.now), boot_id, boot_time: self.clock.boot_time(self.now) }
    }

    /// Drops what can matter no more.
    pub(crate) fn tidy(&mut self) {
        for resolver in &mut self.resolvers {
            resolver.tidy(self.now);
        }
        let manifest = self.store.manifest();
        let bound: HashSet<KeyId> = manifest.bindings().iter().map(|binding| binding.key_id()).collect();
        for daemon in &mut self.daemons {
            daemon.tidy(|key| bound.contains(key));
        }
        self.generated.clear();
    }
}

/// Times as different as hosts have them, shorter than the defaults where that only makes more happen.
fn schedule(random: &mut Random) -> Schedule {
    let span = |span: Duration| SignedDuration::from_secs(span.as_secs() as i64);
    let settle = *random.pick(&[HOUR, 3 * HOUR, 12 * HOUR]);
    Schedule {
        key_age: span(*random.pick(&[12 * HOUR, DAY, 3 * DAY])),
        standby: *random.pick(&[Standby::Always, Standby::WhenDue]),
        mail_life: span(*random.pick(&[12 * HOUR, DAY, 4 * DAY])),
        settle: span(settle),
        revoked_for: span(*random.pick(&[Duration::ZERO, 6 * HOUR, 2 * DAY])),
        expire_after: random.happens(300).then(|| span(3 * DAY)),
        ..Schedule::default()
    }
}

fn seen_zone(zone: &Zone) -> SeenZone {
    let name_servers = zone
        .servers
        .iter()
        .zip(1..)
        .map(|(server, octet)| NameServer {
            name: server.name.to_owned(),
            in_delegation: !server.is_hidden,
            in_apex: !server.is_hidden,
            is_configured: server.is_hidden,
            addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, octet))],
            unresolved: None,
        })
        .collect();
    SeenZone { apex: "example.com".into(), name_servers, has_ds: Some(false), soas: Vec::new() }
}

/// Half an hour, within which things usually happen again.
pub(crate) const SOON: Duration = Duration::from_secs(30 * MINUTE.as_secs());
