//! Dialogues no MTA would hold, against a running daemon. After each it must still sign.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;

struct Setup {
    daemon: Daemon,
    _installation: Installation,
    _scratch: Scratch,
}

impl Setup {
    fn new() -> Self {
        let scratch = Scratch::new("hostile");
        let installation = Installation::new(&scratch);
        let daemon = installation.start(&scratch);
        Self { daemon, _installation: installation, _scratch: scratch }
    }

    fn silent(&self) -> Dialogue {
        Dialogue::silent(self.daemon.socket())
    }

    fn open(&self) -> Dialogue {
        Dialogue::open(self.daemon.socket())
    }

    /// A message on a new connection is signed with both keys.
    fn assert_signs(&self, after: &str) {
        match self.open().message("STILL") {
            Verdict::Signed(fields) => assert_eq!(fields.len(), 2, "after {after}: {fields:?}"),
            other => panic!("after {after} a message is no longer signed: {other:?}"),
        }
    }
}

/// A whole session, from the offer on, for a daemon that takes every step.
fn whole_session() -> Vec<u8> {
    [offer(6, ACTIONS, PROTOCOL), connect("127.0.0.1"), frame(b'H', b"client.test\0"), whole_message("HOSTILE")]
        .concat()
}

fn body_hash(verdict: &Verdict) -> Vec<String> {
    let Verdict::Signed(fields) = verdict else { panic!("not signed: {verdict:?}") };
    let hash = |field: &String| {
        let unfolded: String = field.split_whitespace().collect();
        unfolded.split(';').find(|tag| tag.starts_with("bh=")).unwrap().to_owned()
    };
    fields.iter().map(hash).collect()
}

#[test]
fn what_is_not_the_protocol_closes_that_connection_only() {
    let setup = Setup::new();
    let mut garbage = Vec::new();
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        garbage.push(state.to_le_bytes()[0]);
    }
    // So that its first length is one no frame may have.
    garbage[0] = 0xfe;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a frame of length 0", vec![0, 0, 0, 0]),
        ("a frame of length 0xffffffff", vec![0xff, 0xff, 0xff, 0xff, b'O']),
        ("a frame just over the limit", [&[0, 0x20, 0, 0], b"L".as_slice()].concat()),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a TLS hello", [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].repeat(40)),
        ("an SMTP greeting", b"EHLO client.test\r\nMAIL FROM:<>\r\n".to_vec()),
        ("random octets", garbage),
        ("no offer first", frame(b'M', b"<a@example.test>\0")),
        ("a body first", frame(b'B', b"Hello")),
        ("an unknown command", [offer(6, ACTIONS, PROTOCOL), frame(b'Z', b"")].concat()),
        ("an offer of version 1", offer(1, ACTIONS, PROTOCOL)),
        ("an offer without the action that inserts fields", offer(6, ACTIONS & !1, PROTOCOL)),
        ("a short offer", frame(b'O', &[0, 0, 0, 6, 0])),
        ("an empty offer", frame(b'O', b"")),
    ];
    for (what, octets) in cases {
        let mut dialogue = setup.silent();
        dialogue.raw(&octets);
        dialogue.wait_for_close();
        setup.assert_signs(what);
    }
}

#[test]
fn malformed_payloads_and_odd_orders_never_stop_the_daemon() {
    let setup = Setup::new();
    let mail = frame(b'M', b"<ada@example.test>\0");
    let from = header("From", " ada@example.test");
    let end = [frame(b'N', b""), frame(b'E', b"")].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("end of message without a message", frame(b'E', b"")),
        ("end of message without end of header", [mail.clone(), from.clone(), frame(b'E', b"")].concat()),
        ("a header outside a message", [from.clone(), end.clone()].concat()),
        ("a body before the header", [mail.clone(), frame(b'B', b"x\r\n"), from.clone(), end.clone()].concat()),
        ("a header after the body", [mail.clone(), frame(b'B', b"x\r\n"), end.clone(), from.clone()].concat()),
        ("end of header twice", [mail.clone(), from.clone(), frame(b'N', b""), end.clone()].concat()),
        ("a recipient before the sender", [frame(b'R', b"<b@x.test>\0"), mail.clone(), end.clone()].concat()),
        ("MAIL twice", [mail.clone(), mail.clone(), from.clone(), end.clone()].concat()),
        ("HELO within a message", [mail.clone(), from.clone(), frame(b'H', b"x\0"), end.clone()].concat()),
        (
            "ABORT everywhere",
            [frame(b'A', b""), mail.clone(), frame(b'A', b""), frame(b'A', b""), end.clone()].concat(),
        ),
        (
            "a new client on the same connection",
            [mail.clone(), frame(b'K', b""), connect("127.0.0.1"), mail.clone()].concat(),
        ),
        ("a second offer", [mail.clone(), offer(6, ACTIONS, PROTOCOL), mail.clone()].concat()),
        ("QUIT within a message", [mail.clone(), from.clone(), frame(b'Q', b"")].concat()),
        ("commands after QUIT", [frame(b'Q', b""), mail.clone(), from.clone(), end.clone()].concat()),
        ("a sender without its NUL", frame(b'M', b"<ada@example.test>")),
        ("an empty sender", [frame(b'M', b""), from.clone(), end.clone()].concat()),
        ("a header without a value", [mail.clone(), frame(b'L', b"From\0"), end.clone()].concat()),
        ("a header without any NUL", [mail.clone(), frame(b'L', b"From"), end.clone()].concat()),
        ("a header with more than a value", [mail.clone(), frame(b'L', b"From\0 a\0b\0"), end.clone()].concat()),
        ("an empty header frame", [mail.clone(), frame(b'L', b""), end.clone()].concat()),
        ("a header with an empty name", [mail.clone(), frame(b'L', b"\0x\0"), end.clone()].concat()),
        ("a header name with a colon", [mail.clone(), frame(b'L', b"From: x\0y\0"), end.clone()].concat()),
        ("end of message with a payload", [mail.clone(), from.clone(), frame(b'E', b"last\r\n")].concat()),
        ("macros for nothing", frame(b'D', b"")),
        ("macros without a value", frame(b'D', b"Mi\0")),
        ("macros for an unknown command", frame(b'D', b"\xffi\0x\0")),
        ("a client without family", frame(b'C', b"host\0")),
        ("a client of an unknown family", frame(b'C', b"host\0X\0\x19nonsense\0")),
        ("a client whose address does not parse", frame(b'C', b"host\x004\0\x19not-an-address\0")),
        ("a client whose port is cut", frame(b'C', b"host\x004\0")),
        ("a client without a name", frame(b'C', b"")),
    ];
    for (what, octets) in cases {
        let said = |then: &[u8]| {
            let mut dialogue = setup.silent();
            dialogue.negotiate(6, ACTIONS, PROTOCOL).unwrap();
            dialogue.raw(&octets);
            dialogue.raw(then);
            dialogue
        };
        // Vanishing then, and going on: to the end of the connection, by QUIT or by the daemon's doing.
        drop(said(b""));
        said(&[frame(b'A', b""), mail.clone(), frame(b'Q', b"")].concat()).wait_for_close();
        setup.assert_signs(what);
    }
}

#[test]
fn a_client_may_vanish_after_any_octet() {
    let setup = Setup::new();
    let session = whole_session();
    for cut in 0..session.len() {
        setup.silent().raw(&session[..cut]);
    }
    setup.assert_signs("every way to vanish");
    // Nothing stays behind: the daemon sees each connection's end.
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", setup.daemon.server.pid())).unwrap().count();
    let start = Instant::now();
    while descriptors() > 64 {
        assert!(start.elapsed() < Duration::from_secs(10), "{} descriptors stay open", descriptors());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn octets_may_come_one_by_one_or_all_at_once() {
    let setup = Setup::new();
    let session = whole_session();
    let answer = |dialogue: &mut Dialogue| {
        let mut replies = Vec::new();
        loop {
            let (reply, _) = dialogue.reply().expect("the daemon closed the connection");
            replies.push(reply);
            // `i` before the last reply to `E`.
            if replies.iter().filter(|reply| **reply == b'i').count() == 2 && reply != b'i' {
                return replies;
            }
        }
    };
    let mut at_once = setup.silent();
    at_once.raw(&session);
    let expected = answer(&mut at_once);
    let mut one_by_one = setup.silent();
    for octet in &session {
        one_by_one.raw(&[*octet]);
    }
    assert_eq!(answer(&mut one_by_one), expected);
    let mut slow = setup.silent();
    for piece in session.chunks(41) {
        slow.raw(piece);
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(answer(&mut slow), expected);
    let mut many = setup.silent();
    many.raw(&[session, whole_message("SECOND"), whole_message("THIRD")].concat());
    for _ in 0..3 {
        answer(&mut many);
    }
}

#[test]
fn every_cutting_of_a_body_into_chunks_gives_the_same_hash() {
    let setup = Setup::new();
    let body = b"one \t \r\n \r\ntwo\r\n\t\r\n  three  \r\n\r\n \r\n\r\n";
    let mut dialogue = setup.open();
    let mut sign = |pieces: &[&[u8]]| {
        dialogue.mail("CHUNKS").unwrap();
        for (name, value) in FIELDS {
            dialogue.raw(&header(name, value));
        }
        dialogue.raw(&frame(b'N', b""));
        assert_eq!(dialogue.reply().unwrap().0, b'c');
        for piece in pieces {
            dialogue.raw(&frame(b'B', piece));
        }
        dialogue.raw(&frame(b'E', b""));
        body_hash(&dialogue.end_of_message().unwrap())
    };
    let whole = sign(&[body]);
    for cut in 0..=body.len() {
        assert_eq!(sign(&[&body[..cut], &body[cut..]]), whole, "cut at {cut}");
    }
    let octets: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(sign(&octets), whole);
}

#[test]
fn older_offers_are_spoken_as_they_are() {
    let setup = Setup::new();
    for (version, actions, protocol) in [
        (2, 0x3f, 0x7f),
        (3, ACTIONS, 0x17f),
        (4, ACTIONS, 0x37f),
        (6, ACTIONS, PROTOCOL),
        (6, ACTIONS, 0x301f_ffff),
        (7, ACTIONS, PROTOCOL),
    ] {
        let mut dialogue = setup.silent();
        let [answered, wanted_actions, wanted_steps] = dialogue.negotiate(version, actions, protocol).unwrap();
        assert_eq!(answered, version.min(6), "version");
        assert_eq!(wanted_actions & !actions, 0, "actions that were not offered");
        assert_eq!(wanted_steps & !protocol, 0, "steps that were not offered");
        let after_negotiation = |command: &[u8], unwanted: u32, quiet: u32, dialogue: &mut Dialogue| {
            if wanted_steps & unwanted == 0 {
                dialogue.raw(command);
                if wanted_steps & quiet == 0 {
                    assert_eq!(dialogue.reply().unwrap().0, b'c');
                }
            }
        };
        after_negotiation(&connect("127.0.0.1"), 0x1, 0x1000, &mut dialogue);
        after_negotiation(&frame(b'H', b"x\0"), 0x2, 0x2000, &mut dialogue);
        match dialogue.message("OLD") {
            Verdict::Signed(fields) => {
                // Without HDR_LEADSPC the MTA puts the blank after the colon itself.
                let begins_with_blank = fields[0].starts_with("DKIM-Signature: ");
                assert_eq!(begins_with_blank, wanted_steps & 0x10_0000 != 0, "{version}: {}", fields[0]);
            }
            other => panic!("{version}: {other:?}"),
        }
    }
}

#[test]
fn floods_of_macros_and_fields_stay_within_bounds() {
    let setup = Setup::new();
    let before = setup.daemon.kilobytes("VmHWM");
    let names: Vec<String> = (0..1000).map(|number| format!("{{macro{number}}}")).collect();
    let thousand: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    let long = "x".repeat(60_000);
    let flood = |what: &str, octets: &[u8], times: usize| {
        let mut dialogue = setup.open();
        dialogue.mail("FLOOD").unwrap();
        for _ in 0..times {
            if !dialogue.raw(octets) {
                break;
            }
        }
        // It may have been cut off; if not, the message ends as any other.
        dialogue.raw(&[header("From", " ada@example.test"), frame(b'N', b"")].concat());
        if dialogue.reply().is_some() {
            dialogue.raw(&frame(b'Q', b""));
        }
        setup.assert_signs(what);
    };
    flood("a thousand macros", &macros(b'M', &thousand), 1);
    flood("ten million macros", &macros(b'L', &thousand), 10_000);
    flood("long macros", &macros(b'M', &[("i", &long), ("{auth_authen}", &long)]), 500);
    flood("long fields", &header("X-Long", &long), 500);
    flood("a million fields", &header("X", "").repeat(1000), 1000);
    flood("a body without end of header", &frame(b'B', long.as_bytes()), 500);
    let grown = setup.daemon.kilobytes("VmHWM") - before;
    assert!(grown < 48 * 1024, "the daemon grew by {grown} KB");
}

#[test]
fn a_header_over_the_limits_passes_unsigned_and_says_so() {
    let setup = Setup::new();
    let mut dialogue = setup.open();
    dialogue.mail("LARGE").unwrap();
    let long = format!(" {}", "x".repeat(60_000));
    let mut fields = vec![("From", " ada@example.test")];
    fields.extend((0..20).map(|_| ("X-Long", long.as_str())));
    assert_eq!(dialogue.content("LARGE", &fields, b"x\r\n"), Some(Verdict::Passed));
    let line = setup.daemon.message("LARGE");
    assert_eq!((line.decision.as_str(), line.reason.as_str()), ("pass", "header_too_large"));
    assert!(matches!(dialogue.message("NEXT"), Verdict::Signed(_)), "the same connection goes on");
}

#[test]
fn relayed_mail_is_not_refused_for_its_large_header() {
    let scratch = Scratch::new("hostile");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, "[signing]\non_unsignable = \"refuse\"\n");
    let mut dialogue = Dialogue::open(daemon.socket());
    let mut fields = vec![("From", " ada@example.test")];
    fields.extend((0..1000).map(|_| ("X-Hop", " x")));
    dialogue.mail("OURS").unwrap();
    assert!(matches!(dialogue.content("OURS", &fields, b"x\r\n"), Some(Verdict::Refused(_))));
    fields.insert(0, ("Received", " from mx.test by mail.test"));
    dialogue.mail("RELAYED").unwrap();
    assert_eq!(dialogue.content("RELAYED", &fields, b"x\r\n"), Some(Verdict::Passed));
    assert_eq!(daemon.message("RELAYED").reason, "relayed");
}

#[test]
fn a_header_whose_names_fill_more_than_a_reply_passes_unsigned_and_says_so() {
    let setup = Setup::new();
    let mut dialogue = setup.open();
    dialogue.mail("NAMES").unwrap();
    let names: Vec<String> = (0..400).map(|number| format!("List-{number}-{}", "x".repeat(240))).collect();
    let mut fields = vec![("From", " ada@example.test")];
    fields.extend(names.iter().map(|name| (name.as_str(), " x")));
    assert_eq!(dialogue.content("NAMES", &fields, b"x\r\n"), Some(Verdict::Passed));
    let line = setup.daemon.message("NAMES");
    assert_eq!((line.decision.as_str(), line.reason.as_str()), ("pass", "header_too_large"));
    assert!(matches!(dialogue.message("NEXT"), Verdict::Signed(_)), "the same connection goes on");
}

#[test]
fn a_quiet_listener_keeps_no_place_from_a_busy_one() {
    let scratch = Scratch::new("hostile");
    let installation = Installation::new(&scratch);
    let other = scratch.join("other.sock");
    let listener = format!("[[listener]]\nsocket = \"unix:{}\"\n", other.display());
    let daemon = installation.start_listening(&scratch, &format!("{listener}[limits]\nconnections = 1\n"));
    for socket in [daemon.socket(), daemon.socket(), &other, &other] {
        assert!(matches!(Dialogue::open(socket).message("PLACE"), Verdict::Signed(_)), "{}", socket.display());
    }
}

#[test]
fn a_client_is_not_taken_for_the_one_before_it_on_the_same_connection() {
    let setup = Setup::new();
    let mut dialogue = setup.open();
    assert!(matches!(dialogue.message("FIRST"), Verdict::Signed(_)));
    dialogue.raw(&frame(b'K', b""));
    dialogue.mail("SECOND").unwrap();
    assert_eq!(dialogue.content("SECOND", &FIELDS, b"x\r\n"), Some(Verdict::Passed));
    assert_eq!(setup.daemon.message("SECOND").reason, "not_trusted");
}

#[test]
fn macros_of_one_message_do_not_reach_the_next() {
    let setup = Setup::new();
    let mut dialogue = Dialogue::open_from(setup.daemon.socket(), "203.0.113.5");
    dialogue.raw(&macros(b'M', &[("i", "FIRST"), ("{auth_type}", "PLAIN"), ("{auth_authen}", "ada")]));
    dialogue.raw(&frame(b'M', b"<ada@example.test>\0"));
    assert_eq!(dialogue.reply().unwrap().0, b'c');
    assert!(matches!(dialogue.content("FIRST", &FIELDS, b"x\r\n"), Some(Verdict::Signed(_))));
    // The second comes without macros at MAIL: nobody has logged in for it.
    dialogue.raw(&frame(b'M', b"<ada@example.test>\0"));
    dialogue.reply().unwrap();
    assert_eq!(dialogue.content("SECOND", &FIELDS, b"x\r\n"), Some(Verdict::Passed));
    assert_eq!(setup.daemon.message("SECOND").reason, "not_trusted");
}

#[test]
fn a_thousand_connections_at_once_are_all_served() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let setup = Setup::new();
    let mut dialogues: Vec<Dialogue> = (0..1000).map(|_| setup.open()).collect();
    for (number, dialogue) in dialogues.iter_mut().enumerate() {
        dialogue.mail(&format!("C{number}")).unwrap();
    }
    let mut signed = 0;
    let mut deferred = 0;
    let share = dialogues.len().div_ceil(20);
    thread::scope(|scope| {
        let workers: Vec<_> = dialogues
            .chunks_mut(share)
            .map(|share| {
                scope.spawn(move || {
                    let serve = |dialogue: &mut Dialogue| dialogue.content("THOUSAND", &FIELDS, b"Hello.\r\n").unwrap();
                    share.iter_mut().map(serve).collect::<Vec<_>>()
                })
            })
            .collect();
        for verdict in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
            match verdict {
                Verdict::Signed(_) => signed += 1,
                Verdict::Deferred(_) => deferred += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(signed + deferred, 1000);
    assert!(signed >= 900, "{signed} signed, {deferred} deferred");
    // Each connection takes another message.
    assert!(matches!(dialogues[999].message("AGAIN"), Verdict::Signed(_)));
}
