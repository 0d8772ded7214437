//! Each bound on its own: who is told "busy", who is not, and that room is found again.

use std::time::Duration;

use crate::support::*;

/// Begins a message as this login; the answer to MAIL.
fn mail_as(dialogue: &mut Dialogue, login: &str, queue_id: &str) -> String {
    dialogue.raw(&macros(b'M', &[("i", queue_id), ("{auth_type}", "PLAIN"), ("{auth_authen}", login)]));
    dialogue.raw(&frame(b'M', b"<ada@example.test>\0"));
    let (command, payload) = dialogue.reply().expect("the daemon closed the connection at MAIL");
    let text = String::from_utf8_lossy(payload.strip_suffix(b"\0").unwrap_or(&payload)).into_owned();
    format!("{}{text}", char::from(command))
}

fn elsewhere(daemon: &Daemon) -> Dialogue {
    Dialogue::open_from(daemon.socket(), "192.0.2.1")
}

const BUSY: &str = "y451 4.3.2 busy, try again later";

#[test]
fn messages_in_progress_are_bounded_and_shared_and_what_is_not_ours_passes() {
    let scratch = Scratch::new("overload");
    let daemon = Installation::new(&scratch).start_listening(&scratch, "[limits]\nmessages = 4\n");
    let mut open: Vec<Dialogue> = (0..8).map(|_| elsewhere(&daemon)).collect();
    let logins = [("anna", "c"), ("anna", "c"), ("anna", BUSY), ("bert", "c"), ("carl", "c"), ("dora", BUSY)];
    for (at, (login, answer)) in logins.into_iter().enumerate() {
        assert_eq!(mail_as(&mut open[at], login, &format!("Q{at}")), answer, "{login}, message {at}");
    }
    // Not ours: the client did not log in.
    assert_eq!(open[6].message("STRANGER"), Verdict::Passed);
    assert_eq!(daemon.message("STRANGER").reason, "not_trusted");
    // Trusted only for its place: it may not be ours to sign, which shows in its header.
    let mut local = Dialogue::open(daemon.socket());
    for (queue_id, field, reason) in [
        ("RELAYED", ("Received", " from mx.test by mail.test"), "relayed"),
        ("UNKNOWN", ("From", " ada@unknown.test"), "no_key"),
    ] {
        local.mail(queue_id).unwrap();
        assert_eq!(local.content(queue_id, &[field], b"x\r\n").unwrap(), Verdict::Passed, "{queue_id}");
        assert_eq!(daemon.message(queue_id).reason, reason);
    }
    assert!(matches!(local.message("LOCAL"), Verdict::Deferred(text) if text.starts_with("451 4.3.2 ")));
    assert_eq!(daemon.message("LOCAL").reason, "overload");
    // What was taken on finishes, and makes room.
    assert!(matches!(open[0].content("Q0", &FIELDS, b"Hello.\r\n"), Some(Verdict::Signed(_))));
    assert_eq!(mail_as(&mut open[7], "dora", "Q7"), "c");
    for cause in ["\"busy\":\"client_share\"", "\"busy\":\"messages\""] {
        daemon.wait_for_log(cause, 1);
    }
    // So does what the MTA gives up.
    assert_eq!(mail_as(&mut open[2], "emil", "Q8"), BUSY);
    drop(open.remove(1));
    eventually("room for one more", Duration::from_secs(10), || {
        (mail_as(&mut open[1], "emil", "Q9") == "c").then_some(())
    });
}

#[test]
fn memory_for_headers_is_bounded_and_what_finds_no_room_is_deferred() {
    let scratch = Scratch::new("overload");
    let limits = "[limits]\nheader_memory = \"256 KiB\"\nheader_bytes = \"128 KiB\"\n";
    let daemon = Installation::new(&scratch).start_listening(&scratch, limits);
    let large = "x".repeat(60_000);
    let mut open: Vec<Dialogue> = (0..5).map(|_| elsewhere(&daemon)).collect();
    for (at, dialogue) in open.iter_mut().take(4).enumerate() {
        assert_eq!(mail_as(dialogue, &format!("login{at}"), &format!("Q{at}")), "c");
    }
    for dialogue in open.iter_mut().take(4) {
        assert!(dialogue.raw(&header("X-Large", &large)));
    }
    // Three quarters are taken as soon as the daemon has read them.
    eventually("a new message to be deferred", Duration::from_secs(10), || {
        let answer = mail_as(&mut open[4], "anna", "NEW");
        open[4].raw(&frame(b'A', b""));
        (answer == BUSY).then_some(())
    });
    daemon.wait_for_log("\"busy\":\"header_memory\"", 1);
    // One that was begun and grows beyond what there is ends as deferred, and gives back what it held.
    let grown = [("X-More", large.as_str()), FIELDS[0]];
    assert!(
        matches!(open[0].content("Q0", &grown, b"x\r\n"), Some(Verdict::Deferred(text)) if text.starts_with("451 4.3.2 "))
    );
    assert_eq!(daemon.message("Q0").reason, "overload");
    // Mail that is not ours passes, whatever became of its header.
    assert_eq!(elsewhere(&daemon).message("STRANGER"), Verdict::Passed);
    assert_eq!(mail_as(&mut open[4], "anna", "AGAIN"), "c");
    assert!(matches!(open[1].content("Q1", &FIELDS, b"x\r\n"), Some(Verdict::Signed(_))));
}

#[test]
fn a_reload_changes_the_bounds_of_messages_from_then_on() {
    let scratch = Scratch::new("overload");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let mut open: Vec<Dialogue> = (0..3).map(|_| elsewhere(&daemon)).collect();
    assert_eq!(mail_as(&mut open[0], "anna", "Q0"), "c");
    installation.configure(&format!("{}[limits]\nmessages = 1\n", daemon.listener()));
    daemon.reload();
    daemon.wait_for_log("configuration reloaded", 1);
    assert_eq!(mail_as(&mut open[1], "bert", "Q1"), BUSY);
    assert!(matches!(open[0].content("Q0", &FIELDS, b"x\r\n"), Some(Verdict::Signed(_))));
    assert_eq!(mail_as(&mut open[2], "bert", "Q2"), "c");
}
