//! What counting costs a message, against the signatures that it is about.
//!
//! ```console
//! $ cargo bench --bench observe
//! ```
//!
//! An RSA-2048 signature takes some hundreds of microseconds of a core (`cargo bench --bench signing`); one percent of that
//! is what all counting of a message may take.

use std::time::Duration;

use divan::Bencher;
use waxseal::clock::Clock;
use waxseal::dkim::Algorithm;
use waxseal::observe::signing_meter::SigningMeter;
use waxseal::observe::tally::Tally;
use waxseal::policy::{Action, Decision, Reason, Warnings};

fn main() {
    divan::main();
}

/// All that is counted of a message with two signatures, the clock included, from one thread and from several at once.
#[divan::bench(threads = [1, 2, 4])]
fn count_one_message(bencher: Bencher<'_, '_>) {
    let (tally, meter, clock) = (Tally::default(), SigningMeter::default(), Clock::System);
    let decision = Decision { action: Action::Sign, reason: Reason::Signed };
    bencher.bench(|| {
        let message = tally.traffic.message();
        for _ in 0..3 {
            tally.traffic.count_received(1024);
            tally.traffic.count_sent(512);
        }
        let began = clock.monotonic();
        let took = clock.monotonic();
        meter.record(took.saturating_duration_since(began), clock.monotonic().saturating_duration_since(took));
        tally.count(decision);
        tally.count_warnings(Warnings::default());
        tally.count_answer(Duration::from_micros(400));
        tally.count_signature(Algorithm::RsaSha256);
        tally.count_signature(Algorithm::Ed25519Sha256);
        drop(message);
    });
}
