use proptest::prelude::*;

use super::*;
use crate::milter::command::{Client, CommandError};
use crate::milter::error::Stranger;
use crate::milter::macros::MacrosTooLong;
use crate::milter::mta::{Answer, Delivery, Envelope, Message, Mta, Outcome, Step};
use crate::milter::negotiation::{Actions, NegotiationError};

/// An event with its octets, to outlive the input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Negotiated,
    Connect(Vec<u8>, String),
    Helo(Vec<u8>),
    Mail(Vec<u8>, Vec<Vec<u8>>),
    Recipient(Vec<u8>),
    Data,
    Header(Vec<u8>, Vec<u8>),
    EndOfHeader,
    Body(Vec<u8>),
    EndOfMessage,
    Abort,
    Unknown(Vec<u8>),
    Quit,
    QuitNewConnection,
}

impl Seen {
    fn of(event: Event<'_>) -> Self {
        match event {
            Event::Negotiated => Self::Negotiated,
            Event::Connect { host, client } => Self::Connect(host.into(), format!("{client:?}")),
            Event::Helo { name } => Self::Helo(name.into()),
            Event::Mail { sender, parameters } => Self::Mail(sender.into(), parameters.map(<[u8]>::to_vec).collect()),
            Event::Recipient { recipient, .. } => Self::Recipient(recipient.into()),
            Event::Data => Self::Data,
            Event::Header { name, value } => Self::Header(name.into(), value.into()),
            Event::EndOfHeader => Self::EndOfHeader,
            Event::Body(piece) => Self::Body(piece.into()),
            Event::EndOfMessage => Self::EndOfMessage,
            Event::Abort => Self::Abort,
            Event::Unknown(line) => Self::Unknown(line.into()),
            Event::Quit => Self::Quit,
            Event::QuitNewConnection => Self::QuitNewConnection,
        }
    }
}

/// A session with a filter that says the same whenever it is asked.
struct Rig {
    session: Session,
    seen: Vec<Seen>,
    out: Vec<u8>,
    at_mail: Reply<'static>,
    at_end_of_header: Reply<'static>,
}

const OFFER: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";
/// Version 2: everything is answered.
const OLD_OFFER: &[u8] = b"\0\0\0\x0dO\0\0\0\x02\0\0\x00\x3f\0\0\0\x7f";

const SIGNATURE: Reply<'_> = Reply::InsertHeader { index: 0, name: "X-Signed", value: b" yes;\r\n\tb=1" };

impl Rig {
    fn new() -> Self {
        Self {
            session: Session::new(SessionOptions::default()),
            seen: Vec::new(),
            out: Vec::new(),
            at_mail: Reply::Continue,
            at_end_of_header: Reply::Continue,
        }
    }

    /// Negotiated, with nothing left of that.
    fn agreed(offer: &[u8]) -> Self {
        let mut rig = Self::new();
        rig.feed(offer).unwrap();
        rig.seen.clear();
        rig.out.clear();
        rig
    }

    fn feed(&mut self, mut input: &[u8]) -> Result<(), ProtocolError> {
        while !input.is_empty() {
            let received = self.session.receive(input, &mut self.out)?;
            input = &input[received.consumed..];
            let Some(event) = received.event else {
                assert!(input.is_empty());
                return Ok(());
            };
            let seen = Seen::of(event);
            match (&seen, self.seen.last_mut()) {
                (Seen::Body(piece), Some(Seen::Body(before))) => {
                    assert!(!piece.is_empty());
                    before.extend_from_slice(piece);
                }
                _ => self.seen.push(seen.clone()),
            }
            let reply = match seen {
                Seen::Mail(..) => self.at_mail,
                Seen::EndOfHeader => self.at_end_of_header,
                Seen::EndOfMessage => {
                    self.session.reply(SIGNATURE, &mut self.out).unwrap();
                    Reply::Accept
                }
                _ => {
                    assert!(!self.session.owes_reply());
                    assert_eq!(self.session.reply(Reply::Continue, &mut self.out), Err(ReplyError::NotDue));
                    continue;
                }
            };
            assert!(self.session.owes_reply());
            self.session.reply(reply, &mut self.out).unwrap();
        }
        // Nothing is pending when the input is used up.
        let received = self.session.receive(&[], &mut self.out)?;
        assert_eq!((received.consumed, received.event), (0, None));
        Ok(())
    }

    /// The octets of all replies so far, in order.
    fn replies(&mut self) -> String {
        let mut replies = String::new();
        let mut rest = self.out.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            replies.push(char::from(tail[0]));
            rest = &tail[length..];
        }
        self.out.clear();
        replies
    }
}

fn frames(commands: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (command, payload) in commands {
        frame::append(&mut out, *command, &[payload]);
    }
    out
}

const MESSAGE: &[(u8, &[u8])] =
    &[(b'M', b"<a@b>\0"), (b'L', b"From\0 a@b\0"), (b'N', b""), (b'B', b"one\r"), (b'B', b"\ntwo"), (b'E', b"")];

fn seen_message() -> Vec<Seen> {
    vec![
        Seen::Mail(b"<a@b>".into(), vec![]),
        Seen::Header(b"From".into(), b" a@b".into()),
        Seen::EndOfHeader,
        Seen::Body(b"one\r\ntwo".into()),
        Seen::EndOfMessage,
    ]
}

#[test]
fn a_message_is_answered_three_times_if_the_mta_can_do_without_more() {
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&[(b'C', b"h\0U")])).unwrap();
    rig.seen.clear();
    rig.feed(&frames(MESSAGE)).unwrap();
    assert_eq!(rig.seen, seen_message());
    assert_eq!(rig.replies(), "ccia");
    assert!(rig.session.is_idle());
}

#[test]
fn an_old_mta_is_answered_at_every_command() {
    let mut rig = Rig::agreed(OLD_OFFER);
    rig.feed(&frames(&[(b'C', b"h\0U"), (b'H', b"h\0")])).unwrap();
    assert_eq!(rig.replies(), "cc");
    rig.seen.clear();
    rig.feed(&frames(MESSAGE)).unwrap();
    assert_eq!(rig.seen, seen_message());
    assert_eq!(rig.replies(), "cccccia");
    assert_eq!(rig.session.value_spacing(), ValueSpacing::OneSpaceRemoved);
}

#[test]
fn replies_follow_what_was_agreed_and_not_what_was_wanted() {
    // Version 4 with no_header_reply.
    let mut rig = Rig::agreed(b"\0\0\0\x0dO\0\0\0\x04\0\0\x01\xff\0\0\x03\xff");
    rig.feed(&frames(&[(b'C', b"h\0U"), (b'R', b"<a>\0"), (b'T', b""), (b'U', b"x\0")])).unwrap();
    assert_eq!(rig.replies(), "cccc");
    rig.feed(&frames(MESSAGE)).unwrap();
    assert_eq!(rig.replies(), "ccccia");
}

#[test]
fn macros_come_before_header_fields_body_and_unknown_commands_too() {
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&[
        (b'D', b"C"),
        (b'D', b"M{auth_authen}\0anna\0"),
        (b'M', b"<a@b>\0"),
        (b'D', b"Li\x004X\0"),
        (b'L', b"a\0b\0"),
        (b'D', b"Ux\0y\0"),
        (b'D', b"zq\0y\0"),
        (b'D', b"A"),
    ]))
    .unwrap();
    assert_eq!(rig.session.macro_value("i"), Some(&b"4X"[..]));
    assert_eq!(rig.session.macro_value("auth_authen"), Some(&b"anna"[..]));
    assert_eq!(rig.session.macro_value("x"), None);
    rig.feed(&frames(&[(b'D', b"Ni\x005X\0"), (b'N', b""), (b'D', b"Bi\x006X\0"), (b'B', b"x")])).unwrap();
    assert_eq!(rig.session.macro_value("i"), Some(&b"6X"[..]));
    assert_eq!(rig.replies(), "cc");
    assert!(matches!(
        Rig::agreed(OFFER).feed(&frames(&[(b'D', b"")])),
        Err(ProtocolError::Command(CommandError::Malformed { .. }))
    ));
}

#[test]
fn macros_of_one_message_are_not_seen_with_the_next() {
    let announce: &[(u8, &[u8])] = &[(b'D', b"Cj\0host\0"), (b'C', b"h\0U"), (b'D', b"M{auth_authen}\0anna\0i\0A\0")];
    let endings: [&[(u8, &[u8])]; 4] =
        [MESSAGE, &[(b'M', b"<a>\0"), (b'A', b"")], &[(b'M', b"<a>\0")], &[(b'M', b"<a>\0"), (b'H', b"x\0")]];
    for ending in endings {
        let mut rig = Rig::agreed(OFFER);
        rig.feed(&frames(announce)).unwrap();
        rig.feed(&frames(ending)).unwrap();
        rig.feed(&frames(&[(b'M', b"<b>\0")])).unwrap();
        assert_eq!(rig.session.macro_value("auth_authen"), None);
        assert_eq!(rig.session.macro_value("i"), None);
        assert_eq!(rig.session.macro_value("j"), Some(&b"host"[..]));
    }
    let mut rig = Rig::agreed(OFFER);
    rig.at_end_of_header = Reply::Accept;
    rig.feed(&frames(announce)).unwrap();
    rig.feed(&frames(&MESSAGE[..3])).unwrap();
    assert_eq!(rig.session.macro_value("i"), None);
}

#[test]
fn an_abort_does_nothing_outside_a_message_and_ends_it_inside() {
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&[(b'A', b""), (b'A', b"")])).unwrap();
    assert_eq!(rig.seen, []);
    for length in 1..MESSAGE.len() {
        let mut rig = Rig::agreed(OFFER);
        rig.feed(&frames(&MESSAGE[..length])).unwrap();
        let before = rig.seen.len();
        assert!(!rig.session.is_idle());
        rig.feed(&frames(&[(b'A', b""), (b'A', b""), (b'Q', b"")])).unwrap();
        assert_eq!(rig.seen[before..], [Seen::Abort, Seen::Quit]);
        assert!(rig.session.is_idle());
    }
}

#[test]
fn a_message_begins_anew_without_an_abort() {
    for length in 1..=MESSAGE.len() {
        let mut rig = Rig::agreed(OFFER);
        rig.feed(&frames(&MESSAGE[..length])).unwrap();
        rig.seen.clear();
        rig.replies();
        rig.feed(&frames(MESSAGE)).unwrap();
        assert_eq!(rig.seen, seen_message());
        assert_eq!(rig.replies(), "ccia");
    }
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&[(b'M', b"<a>\0"), (b'H', b"x\0"), (b'A', b"")])).unwrap();
    assert!(!rig.seen.contains(&Seen::Abort));
}

#[test]
fn an_end_of_message_with_payload_is_body_and_end() {
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&[(b'M', b"<a>\0"), (b'N', b""), (b'E', b"last")])).unwrap();
    assert_eq!(rig.seen[2..], [Seen::Body(b"last".into()), Seen::EndOfMessage]);
    assert_eq!(rig.replies(), "ccia");
}

#[test]
fn the_last_piece_of_a_body_is_answered_with_it() {
    let mut rig = Rig::agreed(OLD_OFFER);
    rig.feed(&frames(&[(b'M', b"<a>\0"), (b'N', b"")])).unwrap();
    rig.replies();
    rig.feed(&frames(&[(b'B', b"piece")])).unwrap();
    assert_eq!(rig.replies(), "c");
    rig.feed(&frames(&[(b'B', b"")])).unwrap();
    assert_eq!(rig.replies(), "c");
}

#[test]
fn a_header_that_was_never_ended_is_ended_for_the_filter_only() {
    for (end, body) in [(&[(b'B', &b"x"[..]), (b'E', b"")][..], true), (&[(b'E', b"")], false)] {
        let mut rig = Rig::agreed(OFFER);
        rig.feed(&frames(&[(b'M', b"<a>\0"), (b'L', b"a\0b\0")])).unwrap();
        rig.feed(&frames(end)).unwrap();
        let mut expected = vec![Seen::EndOfHeader];
        if body {
            expected.push(Seen::Body(b"x".into()));
        }
        expected.push(Seen::EndOfMessage);
        assert_eq!(rig.seen[2..], expected);
        assert_eq!(rig.replies(), "cia");
    }
    let mut rig = Rig::agreed(OFFER);
    rig.at_end_of_header = Reply::TempFail;
    rig.feed(&frames(&[(b'M', b"<a>\0"), (b'B', b"x"), (b'E', b"")])).unwrap();
    assert_eq!(rig.seen[1..], [Seen::EndOfHeader]);
    assert_eq!(rig.replies(), "ct");
}

#[test]
fn a_message_that_was_judged_early_gets_one_final_reply_if_the_mta_goes_on() {
    for (reply, octets) in [
        (Reply::Accept, "caa"),
        (Reply::Discard, "cdd"),
        (Reply::Reject, "crr"),
        (Reply::TempFail, "ctt"),
        (Reply::Code { code: 451, enhanced: "4.3.2", text: "busy" }, "cyt"),
        (Reply::Code { code: 550, enhanced: "", text: "no" }, "cyr"),
    ] {
        let mut rig = Rig::agreed(OFFER);
        rig.at_end_of_header = reply;
        rig.feed(&frames(MESSAGE)).unwrap();
        assert_eq!(rig.seen, seen_message()[..3]);
        assert_eq!(rig.replies(), octets);
        rig.feed(&frames(&[(b'A', b"")])).unwrap();
        assert_eq!(rig.seen.len(), 3);
    }
    let mut rig = Rig::agreed(OFFER);
    rig.at_mail = Reply::TempFail;
    rig.feed(&frames(MESSAGE)).unwrap();
    assert_eq!(rig.replies(), "tct");
}

#[test]
fn a_message_that_never_began_is_deferred() {
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&MESSAGE[1..])).unwrap();
    assert_eq!(rig.seen, []);
    assert_eq!(rig.replies(), "ct");
}

#[test]
fn another_smtp_session_may_follow_on_the_same_connection() {
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&[(b'D', b"Cj\0host\0"), (b'C', b"h\0U"), (b'M', b"<a>\0"), (b'K', b"")])).unwrap();
    assert_eq!(rig.session.macro_value("j"), None);
    assert!(rig.session.is_idle());
    rig.feed(&frames(&[(b'C', b"h\x004\0\x00127.0.0.1\0")])).unwrap();
    rig.seen.clear();
    rig.replies();
    rig.feed(&frames(MESSAGE)).unwrap();
    assert_eq!(rig.replies(), "ccia");
}

#[test]
fn quit_ends_everything_and_what_follows_is_dropped() {
    let mut rig = Rig::agreed(OFFER);
    rig.feed(&frames(&[(b'M', b"<a>\0"), (b'Q', b""), (b'M', b"<a>\0"), (b'z', b"")])).unwrap();
    assert_eq!(rig.seen.last(), Some(&Seen::Quit));
    assert!(rig.session.is_idle());
    let mut rig = Rig::new();
    rig.feed(&frames(&[(b'Q', b"")])).unwrap();
    assert_eq!(rig.seen, [Seen::Quit]);
}

#[test]
fn nothing_is_taken_while_a_reply_is_owed() {
    let mut session = Session::new(SessionOptions::default());
    let mut out = Vec::new();
    let received = session.receive(OFFER, &mut out).unwrap();
    assert_eq!((received.consumed, received.event), (OFFER.len(), Some(Event::Negotiated)));
    let input = frames(&[(b'M', b"<a>\0"), (b'A', b"")]);
    let consumed = session.receive(&input, &mut out).unwrap().consumed;
    let rest = &input[consumed..];
    assert_eq!(rest.len(), 5);
    let received = session.receive(rest, &mut out).unwrap();
    assert_eq!((received.consumed, received.event), (0, None));
    session.reply(Reply::Continue, &mut out).unwrap();
    assert_eq!(session.receive(rest, &mut out).unwrap().event, Some(Event::Abort));
}

#[test]
fn what_does_not_fit_is_not_sent_and_the_reply_is_still_owed() {
    let mut rig = Rig::agreed(OFFER);
    let mut out = Vec::new();
    assert_eq!(rig.session.reply(Reply::Accept, &mut out), Err(ReplyError::NotDue));
    let input = frames(&[(b'M', b"<a>\0")]);
    rig.session.receive(&input, &mut out).unwrap();
    assert_eq!(rig.session.reply(SIGNATURE, &mut out), Err(ReplyError::NotEndOfMessage));
    assert_eq!(rig.session.reply(Reply::Progress, &mut out), Err(ReplyError::NotEndOfMessage));
    let bad = Reply::Code { code: 250, enhanced: "", text: "" };
    assert_eq!(rig.session.reply(bad, &mut out), Err(ReplyError::Code { code: 250 }));
    rig.session.reply(Reply::Continue, &mut out).unwrap();
    assert_eq!(out, b"\0\0\0\x01c");

    let input = frames(&[(b'E', b"")]);
    let consumed = rig.session.receive(&input, &mut out).unwrap().consumed;
    rig.session.reply(Reply::Continue, &mut out).unwrap();
    rig.session.receive(&input[consumed..], &mut out).unwrap();
    let change = Reply::ChangeHeader { index: 1, name: "a", value: b"" };
    assert_eq!(rig.session.reply(change, &mut out), Err(ReplyError::NotNegotiated));
    rig.session.reply(Reply::Progress, &mut out).unwrap();
    assert!(rig.session.owes_reply());
    rig.session.reply(Reply::Accept, &mut out).unwrap();
    assert!(!rig.session.owes_reply());
}

#[test]
fn other_protocols_are_recognised() {
    for (octets, stranger) in [
        (&b"GET / HTTP/1.1\r\n"[..], Stranger::Http),
        (b"EHLO me\r\n", Stranger::Smtp),
        (b"\x16\x03\x01\x02\x00\x01", Stranger::Tls),
    ] {
        let error = Rig::new().feed(octets).unwrap_err();
        assert_eq!(error, ProtocolError::NotMilter(stranger));
        assert!(error.to_string().contains(&stranger.to_string()));
    }
    assert!(matches!(Rig::agreed(OFFER).feed(b"GET "), Err(ProtocolError::Frame(FrameError::TooLong { .. }))));
}

#[test]
fn frames_that_cannot_be_understood_end_the_session() {
    let cases: [(&[u8], &str); 6] = [
        (b"\0\0\0\0", "length 0"),
        (b"\xff\xff\xff\xff", "4294967295 octets"),
        (b"\0\0\0\x01z", "unknown command 0x7a"),
        (b"\0\0\0\x01M", "sender is missing"),
        (b"\0\0\0\x01C", "host name"),
        (OFFER, "second time"),
    ];
    for (octets, message) in cases {
        let mut rig = Rig::agreed(OFFER);
        let error = rig.feed(octets).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        rig.feed(&frames(MESSAGE)).unwrap();
        assert_eq!(rig.seen, []);
    }
    let error = Rig::new().feed(&frames(&[(b'C', b"h\0U")])).unwrap_err();
    assert_eq!(error, ProtocolError::NotNegotiated { command: CommandKind::Connect });
    let error = Rig::new().feed(&frames(&[(b'O', b"\0\0\0\x06\0\0\0\0\0")])).unwrap_err();
    assert!(matches!(error, ProtocolError::Negotiation(NegotiationError::Short { length: 9 })));
}

#[test]
fn frames_up_to_a_mebibyte_are_taken_and_none_beyond() {
    for size in [65_535, 65_536, (1 << 20) - 3] {
        let value = vec![b'y'; size];
        let payload = [b"X\0", &value[..], b"\0"].concat();
        let mut rig = Rig::agreed(OFFER);
        let input = frames(&[(b'M', b"<a>\0"), (b'L', &payload)]);
        for piece in input.chunks(4096) {
            rig.feed(piece).unwrap();
        }
        assert_eq!(rig.seen.last(), Some(&Seen::Header(b"X".into(), value)));
    }
    let length = ((1_u32 << 20) + 2).to_be_bytes();
    assert!(matches!(
        Rig::agreed(OFFER).feed(&[&length[..], b"L"].concat()),
        Err(ProtocolError::Frame(FrameError::TooLong { .. }))
    ));
}

#[test]
fn a_session_is_small_and_gives_its_buffers_back() {
    assert!(size_of::<Session>() <= 256, "{}", size_of::<Session>());
    let mut rig = Rig::agreed(OFFER);
    let value = vec![b'y'; 100_000];
    let payload = [b"X\0", &value[..], b"\0"].concat();
    let macros = [b"Lx\0", &value[..], b"\0"].concat();
    let input = frames(&[(b'M', b"<a>\0"), (b'D', &macros), (b'L', &payload), (b'N', b""), (b'E', b"")]);
    for piece in input.chunks(1000) {
        rig.feed(piece).unwrap();
    }
    assert_eq!(rig.seen.last(), Some(&Seen::EndOfMessage));
    assert!(rig.session.frames.held() <= 1024, "{}", rig.session.frames.held());
    assert!(rig.session.dialogue.macros.held() <= 512);
}

#[test]
fn too_many_macros_end_the_session() {
    let mut rig = Rig::agreed(OFFER);
    let set = vec![b'x'; 200 << 10];
    rig.feed(&frames(&[(b'D', &[b"C", &set[..]].concat())])).unwrap();
    assert!(matches!(
        rig.feed(&frames(&[(b'D', &[b"M", &set[..]].concat())])),
        Err(ProtocolError::Macros(MacrosTooLong { .. }))
    ));
}

/// The MTA's side against the filter's: what the filter saw, what became of the message.
fn play(offer: Offer, message: &Message, cuts: &[usize]) -> (Vec<Seen>, Outcome, Message) {
    let mut rig = Rig::new();
    let mut mta = Mta::new(offer);
    let mut out = Vec::new();
    mta.set_macro("{daemon_name}", b"ORIGINATING");
    mta.negotiate(&mut out);
    rig.feed(&out).unwrap();
    assert_eq!(mta.negotiated(&rig.out).unwrap(), Some(rig.out.len()));
    rig.out.clear();
    out.clear();
    let client = Client::Inet { address: [127, 0, 0, 1].into(), port: 1234 };
    let expected = mta.connect(b"[127.0.0.1]", client, &mut out);
    rig.feed(&out).unwrap();
    assert_eq!(rig.replies().len(), usize::from(expected == super::super::mta::Expect::Reply));
    out.clear();

    let envelope = Envelope { sender: b"<a@b>".into(), recipients: vec![b"<c@d>".into()], queue_id: b"4XYZ".into() };
    let mut delivered = message.clone();
    let mut delivery = Delivery::new();
    let mut cuts = cuts.iter().cycle();
    loop {
        let step = delivery.step(&mut mta, &envelope, message, &mut out);
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).clamp(1, rest.len()));
            rig.feed(piece).unwrap();
            rest = after;
        }
        out.clear();
        if let Step::Finished(outcome) = step {
            return (rig.seen, outcome, delivered);
        }
        let mut answers = rig.out.as_slice();
        let mut finals = 0;
        while let Some((consumed, answer)) = Answer::parse(answers).unwrap() {
            delivered.apply(&answer, mta.value_spacing());
            delivery.answered(&answer).unwrap();
            finals += usize::from(answer.is_final());
            answers = &answers[consumed..];
        }
        assert_eq!(answers, b"");
        assert_eq!(finals, usize::from(step == Step::Await));
        rig.out.clear();
    }
}

fn offers() -> impl Strategy<Value = Offer> {
    prop_oneof![
        Just((2, 0x3f, 0x7f)),
        Just((2, 0x1ff, 0x7f)),
        Just((4, 0x1ff, 0x37f)),
        Just((4, 0x1ff, 0x3ff)),
        Just((6, 0x1ff, 0x1f_ffff)),
        Just((6, 0x1ff, 0x301f_ffff)),
        (0_u32..1 << 21).prop_map(|steps| (6, 0x1ff, steps)),
    ]
    .prop_map(|(version, actions, steps)| Offer {
        version,
        actions: Actions::from_bits(actions),
        steps: Steps::from_bits(steps),
    })
}

fn messages() -> impl Strategy<Value = Message> {
    let field = ("[A-Za-z-]{1,12}", "[ -~\u{80}-\u{ff}]{0,60}");
    (prop::collection::vec(field, 1..15), prop::collection::vec(any::<u8>(), 0..200), 1_usize..1500).prop_map(
        |(fields, body, times)| {
            let mut octets: Vec<u8> =
                fields.iter().flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes()).collect();
            octets.extend_from_slice(b"\r\n");
            octets.extend_from_slice(&body.repeat(times));
            Message::parse(&octets).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_mta_sends_is_what_the_filter_sees(
        offer in offers(),
        message in messages(),
        cuts in prop::collection::vec(1_usize..70_000, 1..8),
    ) {
        let (seen, outcome, delivered) = play(offer, &message, &cuts);
        prop_assert_eq!(outcome, Outcome::Accepted);
        let mut expected_fields = Vec::new();
        for (name, value) in message.shown() {
            let leading = offer.steps.contains(Steps::HEADER_LEADING_SPACE);
            let value = if leading { value } else { value.strip_prefix(b" ").unwrap() };
            expected_fields.push(Seen::Header(name.into(), value.into()));
        }
        let fields: Vec<Seen> = seen.iter().filter(|seen| matches!(seen, Seen::Header(..))).cloned().collect();
        prop_assert_eq!(fields, expected_fields);
        let body: Vec<u8> =
            seen.iter().filter_map(|seen| if let Seen::Body(body) = seen { Some(body.clone()) } else { None }).flatten().collect();
        prop_assert_eq!(&body[..], message.body());
        prop_assert_eq!(seen.last(), Some(&Seen::EndOfMessage));
        prop_assert_eq!(delivered.octets(), [b"X-Signed: yes;\r\n\tb=1\r\n", &message.octets()[..]].concat());
    }

    #[test]
    fn any_chunking_gives_the_same_events(
        message in messages(),
        cuts in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let whole = play(Offer::POSTFIX, &message, &[usize::MAX]);
        let cut = play(Offer::POSTFIX, &message, &cuts);
        prop_assert_eq!(whole.0, cut.0);
        prop_assert_eq!(whole.2.octets(), cut.2.octets());
    }

    #[test]
    fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..2000), cut in 1_usize..100) {
        for mut rig in [Rig::new(), Rig::agreed(OFFER)] {
            for piece in octets.chunks(cut) {
                if rig.feed(piece).is_err() {
                    break;
                }
            }
        }
        let _ = Answer::parse(&octets);
        let _ = Mta::new(Offer::POSTFIX).negotiated(&octets);
        let _ = Message::parse(&octets);
    }

    #[test]
    fn arbitrary_commands_never_panic(
        commands in prop::collection::vec((prop::sample::select(&b"DCHMRTLNBEAUQK"[..]), prop::collection::vec(0_u8..4, 0..40)), 0..60),
        cut in 1_usize..100,
    ) {
        let input = commands.iter().flat_map(|(command, payload)| frames(&[(*command, payload)])).collect::<Vec<_>>();
        let mut rig = Rig::agreed(OFFER);
        for piece in input.chunks(cut) {
            if rig.feed(piece).is_err() {
                break;
            }
        }
    }
}

#[test]
fn a_filter_that_wants_it_is_asked_when_a_client_connects() {
    const CONNECT: &[u8] = b"\0\0\0\x1bC[192.0.2.1]\x004\0\x19192.0.2.1\0";
    for (reply, octet) in [(Reply::Accept, b'a'), (Reply::Continue, b'c')] {
        let options = SessionOptions { connects: ConnectReplies::Wanted, ..SessionOptions::default() };
        let (mut session, mut out) = (Session::new(options), Vec::new());
        session.receive(OFFER, &mut out).unwrap();
        assert_eq!(session.header_changes(), HeaderChanges::AddOnly);
        out.clear();
        let length = u32::try_from(CONNECT.len() - 4).unwrap().to_be_bytes();
        let connect = [&length[..], &CONNECT[4..]].concat();
        let received = session.receive(&connect, &mut out).unwrap();
        assert!(matches!(received.event, Some(Event::Connect { .. })));
        assert!(session.owes_reply() && out.is_empty());
        session.reply(reply, &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 1, octet]);
        // Should the MTA go on nevertheless, it is heard.
        let received = session.receive(b"\0\0\0\x04M<>\0", &mut out).unwrap();
        assert!(matches!(received.event, Some(Event::Mail { .. })));
    }
}
