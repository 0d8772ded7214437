//! The forms in which MTAs say the same thing, against a running daemon.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use support::*;

struct Setup {
    daemon: Daemon,
    _installation: Installation,
    _scratch: Scratch,
}

impl Setup {
    fn new() -> Self {
        let scratch = Scratch::new("wire");
        let installation = Installation::new(&scratch);
        let daemon = installation.start(&scratch);
        Self { daemon, _installation: installation, _scratch: scratch }
    }

    /// Opens a connection for a client announced by this payload of CONNECT.
    fn open(&self, client: &[u8]) -> Dialogue {
        let mut dialogue = Dialogue::silent(self.daemon.socket());
        let [_, _, steps] = dialogue.negotiate(6, ACTIONS, PROTOCOL).unwrap();
        dialogue.raw(&frame(b'C', client));
        if steps & 0x1000 == 0 {
            assert_eq!(dialogue.reply().unwrap().0, b'c');
        }
        dialogue
    }
}

#[test]
fn clients_are_known_in_every_form_of_connect() {
    let setup = Setup::new();
    let cases: [(&[u8], &str); 13] = [
        (b"[127.0.0.1]\x004\x00\x19127.0.0.1\0", "signed"),
        (b"localhost\x004\0\x00127.0.0.1\0", "signed"),
        (b"localhost\x006\x00\x19::1\0", "signed"),
        (b"[IPv6:0:0:0:0:0:0:0:1]\x006\x00\x19IPv6:0:0:0:0:0:0:0:1\0", "signed"),
        (b"[ipv6:::1]\x006\x00\x19ipv6:::1\0", "signed"),
        (b"localhost\0L\0\0/run/socket\0", "signed"),
        (b"localhost\0U", "signed"),
        (b"localhost\0U\0", "signed"),
        (b"unknown\0U", "not_trusted"),
        (b"localhost\x004\x00\x19203.0.113.5\0", "not_trusted"),
        (b"localhost\x006\x00\x192001:db8::1\0", "not_trusted"),
        (b"mapped\x006\x00\x19::ffff:203.0.113.5\0", "not_trusted"),
        (b"mapped\x006\x00\x19::ffff:127.0.0.1\0", "signed"),
    ];
    for (number, (client, reason)) in cases.into_iter().enumerate() {
        let queue_id = format!("CONNECT{number}");
        let verdict = setup.open(client).message(&queue_id);
        assert_eq!(matches!(verdict, Verdict::Signed(_)), reason == "signed", "{}", client.escape_ascii());
        assert_eq!(setup.daemon.message(&queue_id).reason, reason, "{}", client.escape_ascii());
    }
}

#[test]
fn senders_are_taken_in_every_form_of_mail() {
    let setup = Setup::new();
    let mut dialogue = Dialogue::open(setup.daemon.socket());
    let senders: [&[u8]; 7] = [
        b"<ada@example.test>\0",
        b"ada@example.test\0",
        b"<>\0",
        b"\0",
        b"<ada@example.test>\0SIZE=100\0BODY=8BITMIME\0",
        b"<j\xc3\xb6rg@b\xc3\xbccher.test>\0SMTPUTF8\0",
        b"<\xff\xfe@\x80>\0",
    ];
    for sender in senders {
        dialogue.raw(&frame(b'M', sender));
        assert_eq!(dialogue.reply().unwrap().0, b'c', "{}", sender.escape_ascii());
        let verdict = dialogue.content("SENDER", &FIELDS, b"x\r\n").unwrap();
        assert!(matches!(verdict, Verdict::Signed(_)), "{}: {verdict:?}", sender.escape_ascii());
    }
}

#[test]
fn a_queue_id_is_found_at_whatever_stage_it_comes() {
    let setup = Setup::new();
    let mut dialogue = Dialogue::open(setup.daemon.socket());
    let rest = [header("From", " ada@example.test"), frame(b'N', b"")].concat();
    for (stage, queue_id) in [(b'M', "ATMAIL"), (b'R', "ATRCPT"), (b'T', "ATDATA"), (b'N', "ATEOH"), (b'E', "ATEND")] {
        for name in ["i", "{i}"] {
            let at = |here: u8| if stage == here { macros(here, &[(name, queue_id)]) } else { macros(here, &[]) };
            dialogue.raw(&[at(b'M'), frame(b'M', b"<ada@example.test>\0")].concat());
            assert_eq!(dialogue.reply().unwrap().0, b'c');
            dialogue.raw(&[at(b'R'), at(b'T'), at(b'N'), rest.clone()].concat());
            assert_eq!(dialogue.reply().unwrap().0, b'c');
            dialogue.raw(&[at(b'E'), frame(b'E', b"")].concat());
            assert!(matches!(dialogue.end_of_message().unwrap(), Verdict::Signed(_)));
        }
        setup.daemon.message(queue_id);
    }
    // Never: the line comes without.
    dialogue.raw(&[frame(b'M', b"<ada@example.test>\0"), rest].concat());
    assert_eq!(dialogue.reply().unwrap().0, b'c');
    assert_eq!(dialogue.reply().unwrap().0, b'c');
    dialogue.raw(&frame(b'E', b""));
    assert!(matches!(dialogue.end_of_message().unwrap(), Verdict::Signed(_)));
    setup.daemon.wait_for_log("\"event\":\"message\"", 11);
    assert!(setup.daemon.messages()[10].queue_id.is_empty());
}

#[test]
fn frames_of_a_mebibyte_are_taken() {
    let setup = Setup::new();
    let mut dialogue = Dialogue::open(setup.daemon.socket());
    let send = |dialogue: &mut Dialogue, fields: &[u8], body: &[u8]| {
        dialogue.mail("LARGE").unwrap();
        dialogue.raw(&[fields, &frame(b'N', b"")].concat());
        let (reply, _) = dialogue.reply().unwrap();
        if reply != b'c' {
            return reply;
        }
        dialogue.raw(&[frame(b'B', body), frame(b'E', b"")].concat());
        match dialogue.end_of_message().unwrap() {
            Verdict::Signed(_) => b's',
            other => panic!("{other:?}"),
        }
    };
    let from = header("From", " ada@example.test");
    assert_eq!(send(&mut dialogue, &from, &vec![b'x'; 65_536]), b's');
    assert_eq!(send(&mut dialogue, &from, &vec![b'x'; (1 << 20) - 1]), b's');
    // Such a header is over its own limit: it passes, at its end.
    let long = header("X-Long", &"x".repeat((1 << 20) - 100));
    assert_eq!(send(&mut dialogue, &[from.clone(), long].concat(), b""), b'a');
    assert_eq!(send(&mut dialogue, &from, b"x\r\n"), b's');
}

#[test]
fn values_of_fields_are_signed_as_they_are() {
    let setup = Setup::new();
    let mut dialogue = Dialogue::open(setup.daemon.socket());
    let long = format!(" {}", "0123456789".repeat(6000));
    for subject in
        ["", " ", "tight", "  two", "\ttab", " folded\n\tonce\n twice", " Gr\u{fc}\u{df}e", " trailing \t ", &long]
    {
        dialogue.mail("VALUES").unwrap();
        let fields = [("From", " ada@example.test"), ("Subject", subject)];
        let verdict = dialogue.content("VALUES", &fields, b"x\r\n").unwrap();
        assert!(matches!(verdict, Verdict::Signed(_)), "{subject:?}: {verdict:?}");
    }
}
