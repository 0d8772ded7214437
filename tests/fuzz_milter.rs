//! Hostile octets into the milter session. Runs as an ordinary test for a few seconds; `cargo bolero test` (with AFL or
//! libFuzzer) goes on for longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::time::Duration;

use waxseal::milter::mta::{Answer, Message, Mta};
use waxseal::milter::{Event, Offer, Reply, Session, SessionOptions};

const OFFER: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";

/// Feeds a session in pieces of `cut` octets, answering as a filter would; holds it to its promises.
fn feed(session: &mut Session, input: &[u8], cut: usize) {
    let mut out = Vec::new();
    for piece in input.chunks(cut) {
        let mut rest = piece;
        loop {
            let Ok(received) = session.receive(rest, &mut out) else {
                assert!(!session.owes_reply());
                return;
            };
            rest = &rest[received.consumed..];
            let is_end = matches!(received.event, Some(Event::EndOfMessage));
            if let Some(Event::Body(body)) = received.event {
                assert!(!body.is_empty());
            }
            if received.event.is_none() {
                assert!(rest.is_empty());
                break;
            }
            if session.owes_reply() {
                let change = Reply::InsertHeader { index: 0, name: "X", value: b" y" };
                assert_eq!(session.reply(change, &mut out).is_ok(), is_end);
                assert!(session.reply(Reply::Continue, &mut out).is_ok());
                assert!(!session.owes_reply());
            }
        }
    }
    // What is said back can be read by an MTA.
    let mut rest = &out[..];
    if rest.get(4) == Some(&b'O') {
        let consumed = Mta::new(Offer::POSTFIX).negotiated(rest).ok().flatten();
        rest = &rest[consumed.unwrap_or(rest.len())..];
    }
    while !rest.is_empty() {
        let Ok(Some((consumed, _))) = Answer::parse(rest) else { panic!("unreadable answer {rest:?}") };
        rest = &rest[consumed..];
    }
}

#[test]
fn octets() {
    bolero::check!().with_test_time(Duration::from_secs(1)).with_max_len(4096).for_each(|input: &[u8]| {
        let Some((&cut, input)) = input.split_first() else { return };
        feed(&mut Session::new(SessionOptions::default()), input, usize::from(cut) + 1);
        let _ = Answer::parse(input);
        let _ = Mta::new(Offer::POSTFIX).negotiated(input);
        let _ = Message::parse(input);
    });
}

#[test]
fn commands() {
    bolero::check!().with_test_time(Duration::from_secs(2)).with_type::<(u8, Vec<(u8, Vec<u8>)>)>().for_each(
        |(cut, commands)| {
            let mut input = OFFER.to_vec();
            for (command, payload) in commands {
                let command = b"DCHMRTLNBEAUQK"[usize::from(*command) % 14];
                input.extend_from_slice(&(payload.len() as u32 + 1).to_be_bytes());
                input.push(command);
                input.extend_from_slice(payload);
            }
            feed(&mut Session::new(SessionOptions::default()), &input, usize::from(*cut) + 1);
        },
    );
}
