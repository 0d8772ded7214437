//! Ten rotations while mail is signed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::client::sign_without_pause;
use crate::load::hooks::{Asked, Hooks};
use crate::load::host::{Host, MAIL_LIFE, ZONE};
use crate::load::ledger::{Again, Ledger};
use crate::support::{Outcome, Signature, Verifying, is_absent};

/// How long they may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// How runs of `waxseal rotate` are made and disturbed.
pub(crate) trait Runs: Sync {
    /// Makes one, and says when the next is to be.
    fn run(&self, ledger: &Ledger) -> Duration;

    /// A hook waits. Whether its run still lives.
    fn hook(&self, _asked: &Asked) -> bool {
        true
    }

    /// After this hook it went on.
    fn went_on(&self, _hook: &str) {}
}

/// Runs `waxseal rotate` again and again until keys took over so often, under load from the first key on.
pub(crate) fn rotate_under_load(
    host: &Host,
    hooks: &Hooks,
    resolver: SocketAddr,
    rotations: usize,
    runs: &dyn Runs,
) -> Ledger {
    let ledger = Ledger::default();
    let deadline = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        // Whatever fails, the others end.
        let _end = End(&ledger);
        scope.spawn(|| answer_hooks(hooks, resolver, &ledger, runs));
        scope.spawn(|| ask_early(host, resolver, &ledger));
        while host.selectors("active").len() < 2 {
            assert!(Instant::now() < deadline, "no key becomes active: {:#}", host.manifest());
            thread::sleep(runs.run(&ledger));
        }
        // Daemons look every second.
        thread::sleep(Duration::from_secs(1));
        scope.spawn(|| sign_without_pause(&host.socket(), resolver, &ledger));
        while ledger.rotations() < rotations {
            let failures = ledger.failures();
            assert!(failures.is_empty(), "{failures:#?}");
            assert!(Instant::now() < deadline, "{} rotations: {:#}", ledger.rotations(), host.manifest());
            thread::sleep(runs.run(&ledger));
        }
    });
    let mut again = VerifyAgain::new(resolver);
    for selector in ledger.selectors() {
        again.verify(&selector, &ledger, Again::AtTheEnd);
    }
    let failures = ledger.failures();
    assert!(failures.is_empty(), "{failures:#?}");
    ledger
}

struct End<'a>(&'a Ledger);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Lets hooks go on; before a record is withdrawn, all that its key signed is verified once more.
fn answer_hooks(hooks: &Hooks, resolver: SocketAddr, ledger: &Ledger, runs: &dyn Runs) {
    let mut again = VerifyAgain::new(resolver);
    let mut withdrawn = BTreeSet::new();
    while !ledger.is_over() {
        let Some(asked) = hooks.asked() else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let is_alive = runs.hook(&asked);
        if is_alive && asked.hook == "pre_withdraw" {
            for selector in &asked.selectors {
                // Revoked, it is deleted later on, which asks again.
                if withdrawn.insert(selector.clone()) {
                    again.verify(selector, ledger, Again::BeforeWithdrawal);
                } else if !ledger.take(selector).is_empty() {
                    ledger.failed(format!("{selector} has signed since its withdrawal began"));
                }
            }
        }
        let hook = asked.hook.clone();
        asked.go();
        if is_alive {
            runs.went_on(&hook);
        }
    }
}

/// Somebody who is curious asks the resolver for records that are not there yet, all the time, so that it remembers that
/// there are none.
fn ask_early(host: &Host, resolver: SocketAddr, ledger: &Ledger) {
    while !ledger.is_over() {
        for selector in host.selectors("generated").iter().chain(&host.selectors("published")) {
            if is_absent(resolver, &format!("{selector}._domainkey.{ZONE}")) {
                ledger.asked_early();
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Verifiers that look at messages a second time: Mail::DKIM at RSA, which dkimpy saw at first, dkimpy at Ed25519.
struct VerifyAgain {
    dkimpy: Verifying,
    mail_dkim: Verifying,
}

impl VerifyAgain {
    fn new(resolver: SocketAddr) -> Self {
        Self { dkimpy: Verifying::dkimpy(resolver), mail_dkim: Verifying::mail_dkim(resolver) }
    }

    fn verify(&mut self, selector: &str, ledger: &Ledger, when: Again) {
        let messages = ledger.take(selector);
        let now = Instant::now();
        for kept in &messages {
            let mut signatures = self.mail_dkim.verify_one(&kept.octets, selector);
            if signatures.iter().any(|signature| matches!(signature.outcome, Outcome::Unsupported(_))) {
                signatures = self.dkimpy.verify_one(&kept.octets, selector);
            }
            match &signatures[..] {
                [Signature { outcome: Outcome::Pass, .. }] => ledger.verified(when),
                other => ledger.failed(format!("{when:?}: {other:?}")),
            }
        }
        for kept in messages.iter().filter(|_| when == Again::BeforeWithdrawal) {
            let age = now.saturating_duration_since(kept.signed_at);
            if age < MAIL_LIFE {
                ledger.failed(format!("{selector} is withdrawn {age:?} after it signed"));
            }
        }
    }
}
