//! The story of an overload with figures: offered, signed, deferred, lost, how long each took, and memory.
//!
//! The daemon has the first core with one signing thread, the load tool the second. `WAXSEAL_STORY_SECONDS` sets how long each
//! load lasts (60), `WAXSEAL_STORY_KEYS` the sizes of the RSA keys (2048,4096).

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::bench::{Bench, Figures, Percentiles};
use crate::support::{Daemon, Installation, Scratch, run};

const DAEMON: &str = "0";
const LOAD: [&str; 3] = ["taskset", "-c", "1"];

/// Connections of the load that is too much: enough that no message waits for one.
const CONNECTIONS: u32 = 1000;

fn seconds() -> u64 {
    std::env::var("WAXSEAL_STORY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn daemon(scratch: &Scratch, bits: &str) -> Daemon {
    let installation = Installation::with_keys(scratch, &["--algorithm", "rsa", "--bits", bits]);
    let limits = "[limits]\nsigning_threads = 1\nruntime_threads = 1\nqueue_deadline = \"500ms\"\n";
    let daemon = installation.start_listening(scratch, limits);
    run(Command::new("taskset").args(["-a", "-p", "-c", DAEMON, &daemon.server.pid().to_string()]));
    daemon
}

fn load(daemon: &Daemon, arguments: &str) -> Bench {
    Bench::start_by(&LOAD, daemon.socket(), &format!("{arguments} --pid {}", daemon.server.pid()))
}

/// As fast as answers come, over so many connections.
fn peak(daemon: &Daemon, more: &str) -> Figures {
    let warm_up = load(daemon, "--messages 500 --connections 100 --auth anna").finish();
    let messages = (warm_up.signed_per_second * seconds() as f64 / 4.0).max(500.0);
    load(daemon, &format!("--messages {messages:.0} --connections 100 --auth anna {more}")).finish()
}

fn say(what: &str, figures: &Figures) {
    let times = |percentiles: &Option<Percentiles>| match percentiles {
        Some(Percentiles { p50, p99 }) => format!("p50 {:.1} ms, p99 {:.1} ms", p50 / 1e3, p99 / 1e3),
        None => "none".to_owned(),
    };
    println!(
        "{what}: {:.0}/s offered, {:.0}/s signed; {} messages: {} signed, {} deferred, {} passed, {} lost",
        figures.offered_per_second,
        figures.signed_per_second,
        figures.messages,
        figures.signed,
        figures.deferred,
        figures.unsigned,
        figures.lost
    );
    println!("    signed {}; deferred {}", times(&figures.signed_message), times(&figures.deferred_message));
    println!("    all {}; begun late by {}", times(&figures.whole_message), times(&figures.late));
    if let Some(problem) = &figures.first_problem {
        println!("    first problem: {problem}");
    }
    if let Some(process) = &figures.process {
        let mebibytes = |octets: u64| octets as f64 / f64::from(1 << 20);
        let (before, peak) = (mebibytes(process.resident_before), mebibytes(process.resident_peak));
        println!("    daemon's memory {before:.1} MiB before, {peak:.1} MiB at most");
    }
}

#[test]
#[ignore = "takes some minutes and two cores of its own; tests/overload.sh runs it"]
fn story_of_four_times_what_can_be_signed() {
    let keys = std::env::var("WAXSEAL_STORY_KEYS").unwrap_or_else(|_| "2048,4096".to_owned());
    println!("load average before: {}", fs::read_to_string("/proc/loadavg").unwrap().trim());
    for bits in keys.split(',') {
        let scratch = Scratch::new("story");
        let daemon = daemon(&scratch, bits);
        let seconds = seconds();
        println!("\nRSA-{bits}, one signing thread, daemon on core {DAEMON}, load on core {}", LOAD[2]);
        let peak = peak(&daemon, "");
        say("as fast as answers come", &peak);
        let offered = 4.0 * peak.signed_per_second;
        let arguments = format!("--rate {offered:.0} --duration {seconds} --connections {CONNECTIONS} --auth anna");
        let ours = load(&daemon, &arguments);
        let others = format!("--rate 20 --duration {seconds} --connections 20");
        let inbound = Bench::start_by(&LOAD, daemon.socket(), &format!("{others} --not-ours"));
        let small = Bench::start_by(&LOAD, daemon.socket(), &format!("{others} --auth bert"));
        let (ours, inbound, small) = (ours.finish(), inbound.finish(), small.finish());
        thread::sleep(Duration::from_secs(2));
        let after = load(&daemon, "--messages 200 --connections 1 --auth anna").finish();
        say("four times as much, one login", &ours);
        say("not ours, at the same time", &inbound);
        say("another login, at the same time", &small);
        say("two seconds later, one after the other", &after);
        let goodput = (ours.signed_per_second + small.signed_per_second) / peak.signed_per_second;
        println!("goodput {:.0} % of the peak", 100.0 * goodput);
        for figures in [&peak, &ours, &small, &after] {
            figures.assert_accounted();
        }
        inbound.assert_passed();
        assert_eq!(after.deferred, 0, "two seconds later all is normal");
    }
}

#[test]
#[ignore = "takes some minutes and two cores of its own; tests/overload.sh runs it"]
fn story_of_connections_that_stall() {
    let scratch = Scratch::new("story");
    let daemon = daemon(&scratch, "2048");
    println!("\nRSA-2048, one signing thread: 100 connections, alone and with 1,900 that stall");
    let alone = peak(&daemon, "");
    say("alone", &alone);
    let among = peak(&daemon, "--stall 1900");
    say("with 1,900 that stall", &among);
    println!("throughput {:.0} % of what it is alone", 100.0 * among.signed_per_second / alone.signed_per_second);
    for figures in [&alone, &among] {
        figures.assert_accounted();
    }
}
