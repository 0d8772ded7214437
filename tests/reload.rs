//! SIGHUP and SIGTERM under load: every message is signed or deferred, and counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::*;

const CONNECTIONS: usize = 8;

/// What became of the messages of all connections.
#[derive(Debug, Default)]
struct Count {
    signed: usize,
    deferred: usize,
    /// Connections that the daemon closed before it took a message; the MTA answers such a message with 451 itself.
    not_taken: usize,
    canonicalizations: Vec<String>,
}

/// Sends messages on `CONNECTIONS` connections while `during` runs, and for as long as the daemon takes them
/// afterwards if it stops. Panics if the daemon closes a connection within a message it has taken.
fn under_load(daemon: &Daemon, during: impl FnOnce()) -> Count {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|worker| {
                let (stop, socket) = (&stop, daemon.socket());
                scope.spawn(move || {
                    let mut count = Count::default();
                    let mut dialogue = Dialogue::open(socket);
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            dialogue.quit();
                            break;
                        }
                        let queue_id = format!("Q{worker}-{number}");
                        match dialogue.mail(&queue_id) {
                            None => {
                                count.not_taken += 1;
                                break;
                            }
                            Some(b'c') => {}
                            Some(b't' | b'y') => {
                                count.deferred += 1;
                                continue;
                            }
                            Some(other) => panic!("unexpected reply {other} to MAIL"),
                        }
                        let verdict = dialogue.content(&queue_id, &FIELDS, b"Hello.\r\n");
                        match verdict.unwrap_or_else(|| panic!("closed within {queue_id}, which it had taken")) {
                            Verdict::Signed(fields) => {
                                assert_eq!(fields.len(), 2);
                                let canonicalization = fields[0].split_once("c=").unwrap().1.split_once(';').unwrap().0;
                                if count.canonicalizations.last().is_none_or(|last| last != canonicalization) {
                                    count.canonicalizations.push(canonicalization.to_owned());
                                }
                                count.signed += 1;
                            }
                            Verdict::Deferred(_) => count.deferred += 1,
                            other => panic!("{queue_id}: {other:?}"),
                        }
                    }
                    count
                })
            })
            .collect();
        during();
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).fold(Count::default(), |mut sum, count| {
            sum.signed += count.signed;
            sum.deferred += count.deferred;
            sum.not_taken += count.not_taken;
            sum.canonicalizations.extend(count.canonicalizations);
            sum
        })
    })
}

fn a_moment() {
    thread::sleep(Duration::from_millis(300));
}

/// The daemon's own count: one line a message, each with its decision.
fn assert_counted(daemon: &Daemon, count: &Count) {
    daemon.wait_for_log("\"event\":\"message\"", count.signed);
    let lines = daemon.messages();
    let of = |decision: &str| lines.iter().filter(|line| line.decision == decision).count();
    assert_eq!((of("sign"), of("pass"), of("refuse")), (count.signed, 0, 0), "{count:?}");
    assert!(of("defer") <= count.deferred, "{} deferred in the log, {count:?}", of("defer"));
    let mut queue_ids: Vec<&str> = lines.iter().map(|line| line.queue_id.as_str()).collect();
    queue_ids.sort_unstable();
    queue_ids.dedup();
    assert_eq!(queue_ids.len(), lines.len(), "a message has two lines");
}

#[test]
fn a_reload_under_load_loses_no_message_and_closes_no_connection() {
    let scratch = Scratch::new("reload");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let count = under_load(&daemon, || {
        a_moment();
        for round in 0..6 {
            let canonicalization = if round % 2 == 0 { "simple/simple" } else { "relaxed/relaxed" };
            let signing = format!("[signing]\ncanonicalization = \"{canonicalization}\"\n");
            installation.configure(&format!("{}{signing}", daemon.listener()));
            daemon.reload();
            a_moment();
        }
    });
    assert!(count.signed > 100, "{count:?}");
    assert_eq!((count.deferred, count.not_taken), (0, 0), "{count:?}");
    // The new configuration took hold on connections that were open all the time.
    assert!(count.canonicalizations.iter().any(|canonicalization| canonicalization == "simple/simple"), "{count:?}");
    assert_counted(&daemon, &count);
}

#[test]
fn a_reload_of_a_bad_configuration_keeps_the_old_one_and_says_why() {
    let scratch = Scratch::new("reload");
    let installation = Installation::new(&scratch);
    let mut daemon = installation.start_listening(&scratch, "[signing]\ncanonicalization = \"simple/relaxed\"\n");
    let good = std::fs::read_to_string(installation.configuration()).unwrap();
    let count = under_load(&daemon, || {
        a_moment();
        for bad in [
            "version = 1\nno toml at all",
            "version = 1\n[signing]\ncanonicalization = \"sloppy\"\n",
            "version = 99\n",
            "",
            "version = 1\n[nonsense]\nx = 1\n",
        ] {
            installation.write_configuration(bad);
            daemon.reload();
            a_moment();
        }
        std::fs::remove_file(installation.configuration()).unwrap();
        daemon.reload();
        a_moment();
    });
    assert!(daemon.server.is_running());
    assert!(count.signed > 100, "{count:?}");
    assert_eq!((count.deferred, count.not_taken), (0, 0), "{count:?}");
    assert!(count.canonicalizations.iter().all(|canonicalization| canonicalization == "simple/relaxed"), "{count:?}");
    assert_counted(&daemon, &count);
    let log = daemon.server.output();
    assert!(log.contains("sloppy") && log.contains("nonsense"), "the log does not say what was wrong:\n{log:.2000}");
    installation.write_configuration(&good);
    daemon.reload();
    a_moment();
    assert!(matches!(Dialogue::open(daemon.socket()).message("AFTER"), Verdict::Signed(_)));
}

#[test]
fn each_reload_says_what_still_needs_a_restart() {
    let scratch = Scratch::new("reload");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let queue = "[limits]\nsigning_queue = 7\n";
    for (round, (settings, warnings)) in [(queue, 1), (queue, 2), ("", 2)].into_iter().enumerate() {
        installation.configure(&format!("{}{settings}", daemon.listener()));
        daemon.reload();
        daemon.wait_for_log("configuration reloaded", round + 1);
        let log = daemon.server.output();
        assert_eq!(log.matches("next restart").count(), warnings, "after reload {round}:\n{log}");
    }
}

#[test]
fn a_reload_changes_at_once_what_is_done_with_relayed_mail() {
    let scratch = Scratch::new("reload");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let mut dialogue = Dialogue::open(daemon.socket());
    let mut relayed = |queue_id: &str| {
        dialogue.mail(queue_id).unwrap();
        let fields = [("Received", " from mx.test by mail.test"), ("From", " ada@example.test")];
        dialogue.content(queue_id, &fields, b"x\r\n").unwrap()
    };
    assert_eq!(relayed("BEFORE"), Verdict::Passed);
    assert_eq!(daemon.message("BEFORE").reason, "relayed");
    installation.configure(&format!("{}[trust]\nsign_relayed = true\n", daemon.listener()));
    daemon.reload();
    daemon.wait_for_log("configuration reloaded", 1);
    assert!(matches!(relayed("AFTER"), Verdict::Signed(_)));
    assert!(!daemon.server.output().contains("next restart"));
}

#[test]
fn sigterm_under_load_finishes_what_was_taken() {
    let scratch = Scratch::new("reload");
    let installation = Installation::new(&scratch);
    let mut daemon = installation.start(&scratch);
    let count = under_load(&daemon, || {
        a_moment();
        daemon.terminate();
        a_moment();
    });
    assert!(daemon.server.wait(Duration::from_secs(20)).success());
    assert!(count.signed > 50, "{count:?}");
    assert!(count.not_taken <= CONNECTIONS, "{count:?}");
    assert_counted(&daemon, &count);
}

#[test]
fn sigterm_lets_a_slow_message_end_and_closes_idle_connections() {
    let scratch = Scratch::new("reload");
    let installation = Installation::new(&scratch);
    let mut daemon = installation.start(&scratch);
    let mut idle = Dialogue::open(daemon.socket());
    let mut slow = Dialogue::open(daemon.socket());
    slow.mail("SLOW").unwrap();
    daemon.terminate();
    idle.wait_for_close();
    a_moment();
    assert!(daemon.server.is_running(), "it did not wait for the message it had taken");
    assert!(matches!(slow.content("SLOW", &FIELDS, b"Hello.\r\n"), Some(Verdict::Signed(_))));
    slow.wait_for_close();
    assert!(daemon.server.wait(Duration::from_secs(10)).success());
    assert_eq!(daemon.message("SLOW").decision, "sign");
}

#[test]
fn sigterm_does_not_wait_for_a_message_without_end() {
    let scratch = Scratch::new("reload");
    let installation = Installation::new(&scratch);
    let mut daemon = installation.start_listening(&scratch, "[timeouts]\ndrain = \"1s\"\n");
    let mut endless = Dialogue::open(daemon.socket());
    endless.mail("ENDLESS").unwrap();
    daemon.terminate();
    assert!(daemon.server.wait(Duration::from_secs(10)).success());
    endless.wait_for_close();
}
