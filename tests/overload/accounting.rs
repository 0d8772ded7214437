//! Load beyond what can be signed: what becomes of each message.

use crate::bench::{Bench, Figures, counted};
use crate::support::{Daemon, Dialogue, Installation, Scratch, Verdict};

/// One signing thread and keys that keep it busy for milliseconds, so that any machine has too much to do.
const SLOW: [&str; 4] = ["--algorithm", "rsa", "--bits", "4096"];

fn slow(scratch: &Scratch, settings: &str) -> Daemon {
    let installation = Installation::with_keys(scratch, &SLOW);
    installation.start_listening(scratch, &format!("[limits]\nsigning_threads = 1\nruntime_threads = 1\n{settings}"))
}

fn rate_of(daemon: &Daemon) -> f64 {
    let peak = Bench::start(daemon.socket(), "--messages 400 --connections 20 --auth anna").finish();
    peak.assert_accounted();
    peak.signed_per_second
}

/// The daemon has a line for each message, and they say the same.
fn assert_lines(daemon: &Daemon, loads: &[&Figures]) {
    let sum = |of: fn(&Figures) -> u64| loads.iter().map(|figures| of(figures)).sum::<u64>();
    let messages = sum(|figures| figures.messages);
    daemon.wait_for_log("\"event\":\"message\"", usize::try_from(messages).unwrap());
    let expected = [sum(|figures| figures.signed), sum(|figures| figures.deferred), sum(|figures| figures.unsigned)];
    assert_eq!(["sign", "defer", "pass"].map(|decision| counted(daemon, decision)), expected);
    assert!(daemon.messages().iter().filter(|line| line.decision == "defer").all(|line| line.reason == "overload"));
}

#[test]
fn four_times_what_can_be_signed_is_signed_or_deferred_and_what_is_not_ours_passes() {
    let scratch = Scratch::new("overload");
    let daemon = slow(&scratch, "queue_deadline = \"500ms\"\n");
    let rate = rate_of(&daemon);
    let before = daemon.messages().len();
    let arguments = format!("--rate {:.0} --duration 5 --connections 200 --auth anna", 4.0 * rate);
    let ours = Bench::start(daemon.socket(), &arguments);
    let inbound = Bench::start(daemon.socket(), "--rate 40 --duration 5 --connections 10 --not-ours").finish();
    let ours = ours.finish();
    ours.assert_accounted();
    inbound.assert_passed();
    assert!(ours.deferred > 0, "it was no overload: {ours:#?}");
    assert!(ours.first_reply.as_deref().unwrap().starts_with("451 4.3.2 "), "{:?}", ours.first_reply);
    assert_eq!(before, 400);
    let warm_up = Figures { signed: 400, messages: 400, deferred: 0, ..empty() };
    assert_lines(&daemon, &[&warm_up, &ours, &inbound]);
    // Afterwards there is nothing left of it.
    let after = Bench::start(daemon.socket(), "--messages 20 --connections 1 --auth bert").finish();
    assert_eq!((after.signed, after.deferred), (20, 0), "{after:#?}");
}

fn empty() -> Figures {
    let nothing = r#"{"messages":0,"signed":0,"unsigned":0,"deferred":0,"refused":0,"discarded":0,"lost":0,
        "offered_per_second":0,"signed_per_second":0}"#;
    serde_json::from_str(nothing).unwrap()
}

#[test]
fn the_flood_of_one_login_keeps_no_other_from_being_signed() {
    let scratch = Scratch::new("overload");
    // Long enough that no pause of a busy machine passes for lateness.
    let daemon = slow(&scratch, "queue_deadline = \"20s\"\nsigning_queue = 100\n");
    let rate = rate_of(&daemon);
    let flood = format!("--rate {:.0} --duration 5 --connections 200 --auth flood", 4.0 * rate);
    let flood = Bench::start(daemon.socket(), &flood);
    let anna = Bench::start(daemon.socket(), "--rate 5 --duration 4 --connections 4 --auth anna").finish();
    let flood = flood.finish();
    flood.assert_accounted();
    assert!(flood.deferred > 0, "it was no flood: {flood:#?}");
    assert_eq!((anna.signed, anna.deferred, anna.lost), (anna.messages, 0, 0), "{anna:#?}");
}

#[test]
fn connections_that_stall_within_their_messages_keep_no_other_from_being_signed() {
    let scratch = Scratch::new("overload");
    let installation = Installation::with_keys(&scratch, &["--algorithm", "rsa"]);
    let daemon = installation.start_listening(&scratch, "[limits]\nsigning_queue = 100\n");
    let load = Bench::start(daemon.socket(), "--messages 600 --connections 20 --stall 380 --auth anna").finish();
    load.assert_accounted();
    assert!(load.signed > load.deferred, "{load:#?}");
    let mut dialogue = Dialogue::open(daemon.socket());
    assert!(matches!(dialogue.message("AFTER"), Verdict::Signed(_)));
}

#[test]
fn a_signing_queue_of_two_places_loses_nothing() {
    let scratch = Scratch::new("overload");
    let daemon = slow(&scratch, "queue_deadline = \"100ms\"\nsigning_queue = 2\n");
    let load = Bench::start(daemon.socket(), "--messages 2000 --connections 50 --auth anna").finish();
    load.assert_accounted();
    assert!(load.deferred > 0, "{load:#?}");
}
