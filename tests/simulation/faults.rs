//! What goes wrong, and is mended.

use std::time::Duration;

use jiff::SignedDuration;
use waxseal::dkim::Algorithm;

use super::daemon::Reach;
use super::guard::Guard;
use super::operators::free_selector;
use super::time::{DAY, HOUR, MINUTE};
use super::world::{Event, World};
use super::zone::{Author, NegativeTtl, Outage, Record};

/// Somebody else's record.
const FOREIGN: &str = "v=DKIM1; k=rsa; p=Zm9yZWlnbg==";

/// How the publisher is disposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It does what it says.
    Well,
    /// It refuses.
    Refuses,
    /// It does it, and the answer is lost.
    LosesAnswers,
    /// It says that it did it, and did not.
    LosesUpdates,
}

/// What went wrong and is to be put right.
#[derive(Debug)]
pub(crate) enum Mend {
    /// The wall clock is set right, but for seconds.
    Clock,
    /// A daemon reaches the store again.
    Reach(usize),
    /// Somebody undoes an edit if the record is as that left it, and else takes out what was put in.
    Edit { name: String, edited: Vec<Record>, before: Vec<Record> },
}

impl World {
    /// One thing goes wrong; the next comes later.
    pub(crate) fn fault(&mut self) {
        self.tally.faults += 1;
        let drawn = self.random.below(14);
        let kind = self.guard.and_then(Guard::fault).filter(|_| self.random.happens(500)).unwrap_or(drawn);
        self.tell(|_| format!("fault {kind}"));
        match kind {
            0..=2 => self.fail_a_server(),
            3 => self.fail_all_servers(),
            4 => {
                let (server, span) = (self.a_server(), self.random.up_to(3 * DAY));
                self.zone.lag(server, self.now + span);
            }
            5 => self.change_negative_ttl(),
            6 => self.edit_a_record(),
            7 => self.take_a_selector(),
            8 | 9 => {
                let mood = *self.random.pick(&[Mood::Refuses, Mood::LosesAnswers, Mood::LosesUpdates]);
                self.publisher = (mood, self.now + self.random.up_to(DAY));
            }
            10 => self.cut_a_daemon_off(),
            11 => self.restart_a_daemon(),
            12 => self.set_the_clock(),
            _ => self.reboot(),
        }
        let next = self.random.up_to(3 * DAY) + MINUTE;
        self.after(next, Event::Fault);
    }

    /// Something is put right.
    pub(crate) fn mend(&mut self, mend: Mend) {
        self.tell(|_| format!("{mend:?}"));
        match mend {
            Mend::Clock => {
                let off = self.random.below(241) as i64 - 120;
                self.clock.set(off);
                self.clock_mended = self.now;
                let after = self.random.up_to(10 * MINUTE);
                self.start_later(0, after);
            }
            Mend::Reach(daemon) => self.daemons[daemon].set_reach(Reach::Well),
            Mend::Edit { name, edited, before } => {
                let there = self.zone.at_primary(&name);
                let after = match there == edited {
                    true => before,
                    false => there.iter().filter(|record| *record.text != *FOREIGN).cloned().collect(),
                };
                self.zone.change(&name, after, Author::Other, self.now);
            }
        }
    }

    fn a_server(&mut self) -> usize {
        self.random.below(self.zone.servers.len() as u64) as usize
    }

    fn fail_a_server(&mut self) {
        let server = self.a_server();
        let outage = *self.random.pick(&[Outage::Down, Outage::ServFail]);
        if server > 0 && !self.has_dead_secondary && self.random.happens(100) {
            self.has_dead_secondary = true;
            self.zone.fail(server, outage, self.now + 100_000 * DAY);
        } else if self.zone.is_up(server) {
            let span = self.random.up_to(3 * DAY);
            self.zone.fail(server, outage, self.now + span);
        }
    }

    fn fail_all_servers(&mut self) {
        let span = self.random.up_to(6 * HOUR);
        for server in 0..self.zone.servers.len() {
            if self.zone.is_up(server) {
                self.zone.fail(server, Outage::Down, self.now + span);
            }
        }
    }

    fn change_negative_ttl(&mut self) {
        if self.has_long_memory {
            return;
        }
        let settle = self.settle.as_secs() as u32;
        let minimum = *self.random.pick(&[60, 300, 900, 3600, 10_800]);
        let ttl = *self.random.pick(&[300, 3600, 86_400]);
        self.zone.set_negative(NegativeTtl { ttl, minimum: minimum.min(settle) }, self.now);
    }

    /// Somebody changes a record of ours, and undoes it later.
    fn edit_a_record(&mut self) {
        let manifest = self.store.manifest();
        if manifest.bindings().is_empty() {
            return;
        }
        let selector = &self.random.pick(manifest.bindings()).selector;
        let name = selector.record_name(&self.domain);
        let before = self.zone.at_primary(&name).to_vec();
        let foreign = Record { text: FOREIGN.into(), ttl: 600 };
        let edited = match self.random.below(4) {
            0 => Vec::new(),
            1 => vec![foreign],
            2 => before.iter().cloned().chain([foreign]).collect(),
            _ => before.iter().map(|record| Record { ttl: 2 * record.ttl.min(40_000), ..record.clone() }).collect(),
        };
        self.edit(name, edited, before);
    }

    /// Somebody uses a name that ours is to have soon.
    fn take_a_selector(&mut self) {
        let days = self.random.below(4) as i64;
        let wall = self.clock.wall(self.now) + SignedDuration::from_hours(24 * days);
        let algorithm = *self.random.pick(&[Algorithm::RsaSha256, Algorithm::Ed25519Sha256]);
        let selector = free_selector(&self.store.manifest(), wall, algorithm);
        let name = selector.record_name(&self.domain);
        if self.zone.at_primary(&name).is_empty() {
            let foreign = Record { text: FOREIGN.into(), ttl: self.foreign_ttl() };
            self.edit(name, vec![foreign], Vec::new());
        }
    }

    /// Not longer than what is waited for at least: nobody can know what stood there before.
    fn foreign_ttl(&mut self) -> u32 {
        (*self.random.pick(&[60, 3600, 86_400])).min(self.settle.as_secs() as u32)
    }

    fn edit(&mut self, name: String, edited: Vec<Record>, before: Vec<Record>) {
        self.zone.change(&name, edited.clone(), Author::Other, self.now);
        for within in [MINUTE, HOUR] {
            let after = self.random.between(Duration::ZERO, within);
            self.after(after, Event::Probe(name.as_str().into()));
        }
        let span = self.random.up_to(3 * DAY);
        self.after(span, Event::Mend(Mend::Edit { name, edited, before }));
    }

    fn a_daemon(&mut self) -> usize {
        self.random.below(self.daemons.len() as u64) as usize
    }

    fn cut_a_daemon_off(&mut self) {
        let (daemon, span) = (self.a_daemon(), self.random.up_to(3 * HOUR));
        self.cut_off(daemon, span);
    }

    /// A daemon has read the store a moment before its keys change, and cannot read it after.
    pub(crate) fn cut_a_daemon_off_as_keys_change(&mut self) {
        let daemon = self.a_daemon();
        if self.daemons[daemon].is_well() {
            self.tally.faults += 1;
            self.daemons[daemon].select(self.now);
            let span = self.random.between(HOUR, 3 * HOUR);
            self.cut_off(daemon, span);
        }
    }

    fn cut_off(&mut self, daemon: usize, span: Duration) {
        let reach = *self.random.pick(&[Reach::Hangs, Reach::Fails]);
        self.daemons[daemon].set_reach(reach);
        self.after(span, Event::Mend(Mend::Reach(daemon)));
        for part in 1..6 {
            self.after(span * part / 6, Event::Extra(daemon));
        }
    }

    fn restart_a_daemon(&mut self) {
        let daemon = self.a_daemon();
        if self.has_unwritten(daemon) {
            return;
        }
        self.starts[daemon] += 1;
        self.daemons[daemon].restart(self.now);
    }

    /// Whether a daemon ended a message just now that had taken hours, and did not write that down yet.
    fn has_unwritten(&self, daemon: usize) -> bool {
        self.late_signed[daemon].is_some_and(|signed| self.now - signed <= 2 * MINUTE)
    }

    /// By minutes, hours, or a year, forward or back.
    fn set_the_clock(&mut self) {
        // Until a run has counted after a boot, only the wall clock tells what passed before it.
        if self.clock.boot_time(self.now) < 3 * HOUR {
            return;
        }
        let by = *self.random.pick(&[120, 3600, 86_400, 30 * 86_400, 365 * 86_400]);
        let sign = *self.random.pick(&[1, -1]);
        self.tell(|_| format!("the clock is set by {} s", sign * by));
        self.clock.set(sign * by);
        let span = self.random.up_to(2 * DAY);
        self.after(span, Event::Mend(Mend::Clock));
    }

    /// Everything on the host starts again, unless its wall clock is wrong, or was till just now.
    fn reboot(&mut self) {
        let has_unwritten = (0..self.daemons.len()).any(|daemon| self.has_unwritten(daemon));
        if self.clock.is_wrong() || self.now - self.clock_mended < 3 * HOUR || has_unwritten {
            return;
        }
        self.clock.reboot(self.now);
        for daemon in 0..self.daemons.len() {
            self.starts[daemon] += 1;
            self.daemons[daemon].restart(self.now);
        }
        for runner in 0..self.runners.len() {
            let after = self.random.up_to(HOUR);
            self.start_later(runner, after);
        }
    }
}
