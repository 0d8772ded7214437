//! Keys rotate while mail is signed without pause: through the real daemon, over a zone whose primary is BIND, Knot or
//! PowerDNS and whose secondary is slow. Every message is verified by others' verifiers through a resolver that caches: at
//! once by dkimpy, and again just before its key is withdrawn, RSA by Mail::DKIM. None may fail, none may be unsigned.
//!
//! ```console
//! $ cargo test --test load -- --ignored --nocapture --test-threads 1
//! ```
//!
//! prints a line of figures for each server. It needs what `tests/run-all` installs and some two minutes for each test on two
//! cores. What takes days takes seconds here; nothing is measured against a clock but what rotation itself must wait for. A
//! message is signed every 60 ms, since others' verifiers look at each twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

#[path = "load/mod.rs"]
mod load;
mod support;

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::inotify::ReadFlags;

use crate::load::cuts::{Cut, Cuts};
use crate::load::hooks::{Asked, Hooks};
use crate::load::host::{Host, Kind, Looks, Paths, Zone};
use crate::load::ledger::Ledger;
use crate::load::relay::Relay;
use crate::load::rotations::{Runs, rotate_under_load};
use crate::load::watch::watch;

/// How often keys take over in each test, for each server.
const ROTATIONS: usize = 10;

/// All primaries at once: most of the time is waiting.
fn with_each(scenario: impl Fn(Kind) + Sync) {
    thread::scope(|scope| {
        for kind in [Kind::Bind, Kind::Knot, Kind::PowerDns] {
            let scenario = &scenario;
            thread::Builder::new().name(format!("{kind:?}")).spawn_scoped(scope, move || scenario(kind)).unwrap();
        }
    });
}

/// Runs that nobody disturbs. Each must go well.
struct Undisturbed<'a> {
    host: &'a Host,
    number: AtomicUsize,
}

impl<'a> Undisturbed<'a> {
    fn new(host: &'a Host) -> Self {
        Self { host, number: AtomicUsize::new(0) }
    }
}

impl Runs for Undisturbed<'_> {
    fn run(&self, ledger: &Ledger) -> Duration {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let run = self.host.rotate().output().unwrap();
        if !run.status.success() {
            let said = [run.stdout, run.stderr].concat();
            ledger.failed(format!("run {number}, {}: {}", run.status, String::from_utf8_lossy(&said)));
        }
        Duration::from_millis(250)
    }
}

#[test]
#[ignore = "needs BIND, Knot, PowerDNS, Unbound, dkimpy and Mail::DKIM; tests/run-all installs them"]
fn no_message_fails_while_keys_rotate_and_a_secondary_is_slow() {
    with_each(|kind| {
        let begun = Instant::now();
        let zone = Zone::start(kind);
        let (host, hooks) = Host::new(&zone, Paths::straight(&zone), Looks::Quick);
        let runs = Undisturbed::new(&host);
        let ledger = rotate_under_load(&host, &hooks, zone.resolver(), ROTATIONS, &runs);
        report(kind, "slow secondary", begun, &ledger, runs.number.into_inner());
    });
}

/// Runs that go on when the secondary is dead.
struct WithoutSecondary<'a> {
    undisturbed: Undisturbed<'a>,
    zone: &'a Mutex<Zone>,
}

impl Runs for WithoutSecondary<'_> {
    fn run(&self, ledger: &Ledger) -> Duration {
        // It dies while mail signed by the first key is under way.
        if ledger.messages() > 20 {
            self.zone.lock().unwrap().kill_secondary();
        }
        self.undisturbed.run(ledger)
    }
}

#[test]
#[ignore = "needs BIND, Knot, PowerDNS, Unbound, dkimpy and Mail::DKIM; tests/run-all installs them"]
fn no_message_fails_while_keys_rotate_and_a_secondary_is_dead() {
    with_each(|kind| {
        let begun = Instant::now();
        let zone = Zone::start(kind);
        let (host, hooks) = Host::new(&zone, Paths::straight(&zone), Looks::Slow);
        let resolver = zone.resolver();
        let zone = Mutex::new(zone);
        let runs = WithoutSecondary { undisturbed: Undisturbed::new(&host), zone: &zone };
        let ledger = rotate_under_load(&host, &hooks, resolver, ROTATIONS, &runs);
        report(kind, "dead secondary", begun, &ledger, runs.undisturbed.number.into_inner());
    });
}

/// Runs that are killed at every effect.
struct Killed<'a> {
    host: &'a Host,
    cuts: &'a Cuts,
    number: AtomicUsize,
}

impl Runs for Killed<'_> {
    fn run(&self, ledger: &Ledger) -> Duration {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        if let Err(said) = self.cuts.run(self.host, number, ledger.rotations()) {
            ledger.failed(format!("run {number} was not killed: {said}"));
        }
        Duration::from_millis(50)
    }

    fn hook(&self, asked: &Asked) -> bool {
        self.cuts.hook(self.host, asked)
    }

    fn went_on(&self, hook: &str) {
        if hook == "post_activate" {
            self.cuts.generates(self.host);
        }
    }
}

#[test]
#[ignore = "needs BIND, Knot, PowerDNS, Unbound, dkimpy and Mail::DKIM; tests/run-all installs them"]
fn no_message_fails_while_runs_are_killed_at_every_effect() {
    with_each(|kind| {
        let begun = Instant::now();
        let zone = Zone::start(kind);
        let cuts = Arc::new(Cuts::default());
        let relay = |target| {
            let cuts = Arc::clone(&cuts);
            Relay::start(target, Arc::new(move |passing| cuts.passes(passing)))
        };
        let straight = Paths::straight(&zone);
        let (primary, api) = (relay(straight.primary), straight.api.map(relay));
        let paths = Paths { primary: primary.address(), api: api.as_ref().map(Relay::address), ..straight };
        let (host, hooks) = Host::new(&zone, paths, Looks::Quick);
        let runs = Killed { host: &host, cuts: &cuts, number: AtomicUsize::new(0) };
        let is_over = AtomicUsize::new(0);
        let ledger = thread::scope(|scope| {
            let _over = Over(&is_over);
            scope.spawn(|| {
                let folders = [host.keys(), host.state()];
                let over = || is_over.load(Ordering::Relaxed) > 0;
                watch(&[&folders[0], &folders[1]], over, |name, events| {
                    cuts.file(name, events.contains(ReadFlags::DELETE));
                });
            });
            rotate_under_load(&host, &hooks, zone.resolver(), ROTATIONS, &runs)
        });
        report(kind, "killed", begun, &ledger, runs.number.into_inner());
        let counts = cuts.counts();
        eprintln!("{kind:?}: {} runs killed: {counts:?}", counts.values().sum::<usize>());
        for cut in Cut::ALL {
            assert!(counts.contains_key(&cut), "no run was killed at {cut:?}");
        }
        cuts.end();
        nothing_is_left_over(&host, &hooks);
    });
}

/// That these tests can fail: rotation is kept from knowing of the secondary, which never has the new keys.
#[test]
#[ignore = "needs BIND, Unbound, dkimpy and Mail::DKIM; tests/run-all installs them"]
#[should_panic(expected = ", at once: Signature")]
fn a_key_that_is_not_on_every_server_is_noticed() {
    let zone = Zone::start_with(Kind::Bind, Duration::from_secs(3600));
    let (mut host, hooks) = Host::new(&zone, Paths::straight(&zone), Looks::Quick);
    host.asks(&zone.servers()[..1]);
    let runs = Undisturbed::new(&host);
    rotate_under_load(&host, &hooks, zone.resolver(), ROTATIONS, &runs);
}

struct Over<'a>(&'a AtomicUsize);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
    }
}

/// After a whole run, nothing of what was cut short stays, and each line of the audit log stands there once.
fn nothing_is_left_over(host: &Host, hooks: &Hooks) {
    let output = host.state().join("output");
    let said = fs::File::create(&output).unwrap();
    let mut run = host.rotate().stdout(said).stderr(Stdio::null()).spawn().unwrap();
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        if let Some(asked) = hooks.asked() {
            asked.go();
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}: {}", fs::read_to_string(output).unwrap());
    let manifest = host.manifest();
    let bindings = manifest["bindings"].as_array().unwrap();
    let has_key = |selector: &str| {
        bindings.iter().any(|binding| binding["selector"] == *selector && binding["private_key"] == "own")
    };
    for entry in fs::read_dir(host.keys()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name != "manifest.json" {
            let selector = name.split('.').next().unwrap();
            assert!(name.ends_with(".pem") && has_key(selector), "{name} is left over: {manifest:#}");
        }
    }
    let log = host.audit();
    let mut ids: Vec<&str> = log.iter().map(|line| line["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let lines = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), lines, "a line of the audit log stands there twice");
    for binding in bindings {
        let selector = &binding["selector"];
        let state = binding["state"].as_object().unwrap().keys().next().unwrap();
        let told = log.iter().rfind(|line| line["selector"] == *selector && line["what"] == "transition");
        assert_eq!(told.unwrap()["after"], **state, "{selector}");
    }
}

fn report(kind: Kind, what: &str, begun: Instant, ledger: &Ledger, runs: usize) {
    let figures = ledger.figures();
    let seconds = begun.elapsed().as_secs();
    eprintln!("{kind:?}, {what}: {} rotations in {runs} runs and {seconds} s: {figures}", ledger.rotations());
    assert!(figures.absent > 0, "the resolver was never asked too early");
    assert_eq!(figures.before_withdrawal + figures.at_the_end, figures.at_once, "each signature is verified twice");
}
