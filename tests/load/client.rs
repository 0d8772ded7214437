//! A client that signs without pause, and has each message verified at once.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::ledger::Ledger;
use crate::support::{Dialogue, Verdict, Verifying};

/// Messages of one connection: most of them on one that was there before.
const A_CONNECTION: u64 = 100;

/// From one message to the next, at the least: verifiers look at each twice, and are to keep up on two cores.
const PACE: Duration = Duration::from_millis(60);

/// Signs until the ledger is over: one message after the other, each verified before the next.
pub(crate) fn sign_without_pause(socket: &Path, resolver: SocketAddr, ledger: &Ledger) {
    let mut dkimpy = Verifying::dkimpy(resolver);
    let mut number = 0;
    while !ledger.is_over() {
        let mut dialogue = Dialogue::open(socket);
        for _ in 0..A_CONNECTION {
            if ledger.is_over() {
                break;
            }
            number += 1;
            one(&mut dialogue, number, &mut dkimpy, ledger);
        }
        dialogue.quit();
    }
}

fn one(dialogue: &mut Dialogue, number: u64, dkimpy: &mut Verifying, ledger: &Ledger) {
    let queue_id = format!("LOAD{number}");
    let subject = format!(" Invoice {number}");
    let fields = [
        ("From", " Ada <ada@example.test>"),
        ("To", " bob@sink.test"),
        ("Subject", subject.as_str()),
        ("Date", " Mon, 23 Nov 2026 10:00:00 +0000"),
    ];
    let body = format!("Dear customer,\r\n\r\nplease find attached number {number}.\r\n");
    let begun = Instant::now();
    dialogue.mail(&queue_id).expect("the daemon closed the connection at MAIL");
    let verdict = dialogue.content(&queue_id, &fields, body.as_bytes());
    let verdict = verdict.expect("the daemon closed the connection within a message");
    ledger.took(begun.elapsed().as_millis());
    let Verdict::Signed(inserted) = verdict else {
        return ledger.failed(format!("message {number} is not signed: {verdict:?}"));
    };
    let mut message = String::new();
    for field in &inserted {
        message += &field.replace('\n', "\r\n");
        message += "\r\n";
    }
    for (name, value) in fields {
        message += &format!("{name}:{value}\r\n");
    }
    message += &format!("\r\n{body}");
    let signed_at = Instant::now();
    let signatures = dkimpy.verify(message.as_bytes());
    ledger.signed(message.into_bytes(), signed_at, &signatures);
    thread::sleep(PACE.saturating_sub(begun.elapsed()));
}
