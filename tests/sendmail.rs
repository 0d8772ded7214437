//! Mail through a real Sendmail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use support::*;

/// A Sendmail whose milter is a waxseald, and where its mail goes. Dropped in this order.
struct Setup {
    sendmail: Sendmail,
    daemon: Daemon,
    sink: Sink,
    seven_bit_sink: Sink,
    installation: Installation,
}

impl Setup {
    fn new(settings: &str) -> Self {
        let scratch = Scratch::new("sendmail");
        let installation = Installation::new(&scratch);
        let daemon = installation.start_listening(&scratch, settings);
        let sink = Sink::start(SinkOptions::default());
        let seven_bit_sink = Sink::start(SinkOptions { eight_bit_mime: false, smtputf8: false });
        let sendmail = Sendmail::start(scratch, sink.port(), seven_bit_sink.port());
        Self { sendmail, daemon, sink, seven_bit_sink, installation }
    }

    /// Judges the messages that have come to the sink under their names; all must bear two signatures.
    fn judge(&self, messages: &[Message], header: Header) -> usize {
        self.sink.wait_for_recipients(messages.iter().map(|message| message.name));
        judge(&deliveries(&self.sink, messages), Mta::Sendmail, header, self.installation.records(), 2)
    }
}

fn messages_for_sendmail() -> Vec<Message> {
    message_set().into_iter().filter(|message| message.is_taken_by(Mta::Sendmail)).collect()
}

#[test]
#[ignore = "needs root, Sendmail, OpenDKIM and dkimpy; tests/run-all installs them"]
fn the_harness_is_right_for_the_signatures_of_opendkim_verify_after_sendmail() {
    let scratch = Scratch::new("sendmail");
    let opendkim = OpenDkim::start(&scratch);
    let sink = Sink::start(SinkOptions::default());
    let sendmail = Sendmail::start(scratch, sink.port(), sink.port());
    let messages = messages_for_sendmail();
    send_all(Mta::Sendmail, sendmail.port(), &messages);
    sink.wait_for(messages.len());
    let passed = judge(&deliveries(&sink, &messages), Mta::Sendmail, Header::Relaxed, opendkim.records(), 1);
    assert!(passed > 30, "only {passed} signatures passed");
}

#[test]
#[ignore = "needs root, Sendmail and dkimpy; tests/run-all installs them"]
fn the_message_set_verifies_after_sendmail_with_relaxed_canonicalization() {
    let setup = Setup::new("");
    let messages = messages_for_sendmail();
    send_all(Mta::Sendmail, setup.sendmail.port(), &messages);
    setup.judge(&messages, Header::Relaxed);
}

#[test]
#[ignore = "needs root, Sendmail and dkimpy; tests/run-all installs them"]
fn the_message_set_verifies_after_sendmail_with_simple_canonicalization() {
    let setup = Setup::new("[signing]\ncanonicalization = \"simple/simple\"\n");
    let messages = messages_for_sendmail();
    send_all(Mta::Sendmail, setup.sendmail.port(), &messages);
    setup.judge(&messages, Header::Simple);
}

#[test]
#[ignore = "needs root, Sendmail and dkimpy; tests/run-all installs them"]
fn mail_submitted_by_local_programs_verifies_after_sendmail() {
    let setup = Setup::new("");
    let mut messages = messages_for_sendmail();
    // The submission program itself completes and rewrites the header before the daemon sees it; so only those that
    // it has nothing to complete in, held against what was submitted.
    messages.retain(|message| {
        ["plain", "eight-bit", "empty-body", "dots", "folded-with-tabs", "multipart", "attachment-of-5-mb"]
            .contains(&message.name)
    });
    for message in &messages {
        setup.sendmail.submit_locally(message.sender, &recipient(message), &with_unix_line_ends(&message.octets));
    }
    setup.judge(&messages, Header::Relaxed);
    let lines = setup.daemon.messages();
    assert!(lines.iter().all(|line| line.decision == "sign" && !line.queue_id.is_empty()), "{lines:#?}");
}

#[test]
#[ignore = "needs root, Sendmail and dkimpy; tests/run-all installs them"]
fn many_messages_on_one_connection_are_signed_also_after_aborted_ones() {
    let setup = Setup::new("");
    let set = messages_for_sendmail();
    let names = ["plain", "eight-bit", "dots", "empty-body", "folded-with-tabs", "multipart"];
    let messages: Vec<Message> =
        names.iter().map(|name| set.iter().find(|message| message.name == *name).unwrap().clone()).collect();
    let mut client = SmtpClient::connect(setup.sendmail.port());
    for (number, message) in messages.iter().enumerate() {
        // Something aborted before each. Sendmail may say nothing of it to its milter: the next MAIL just comes.
        match number {
            1 => {
                client.expect("MAIL FROM:<eve@other.test>");
                client.expect("RSET");
            }
            2 => {
                client.expect("MAIL FROM:<eve@other.test>");
                client.expect("RCPT TO:<aborted@sink.test>");
                client.expect("RSET");
            }
            3 => {
                client.expect("MAIL FROM:<eve@other.test>");
                client.expect("RCPT TO:<aborted@sink.test>");
                client.expect("EHLO again.example.test");
            }
            4 => {
                let mut other = SmtpClient::connect(setup.sendmail.port());
                other.expect("MAIL FROM:<ada@example.test>");
                other.expect("RCPT TO:<aborted@sink.test>");
                assert_eq!(other.command("DATA").code, 354);
                other.write(b"From: ada@example.test\r\nSubject: never ended\r\n\r\nText\r\n");
            }
            _ => {}
        }
        let reply = client.send(message.sender, &recipient(message), &message.octets, Transfer::Data);
        assert!(reply.is_positive(), "{}: {reply:?}", message.name);
    }
    setup.judge(&messages, Header::Relaxed);
    assert!(setup.sink.sent_to("aborted").is_empty());
    let lines = setup.daemon.messages();
    assert_eq!(lines.len(), messages.len(), "one line a message: {lines:#?}");
    for (line, name) in lines.iter().zip(names) {
        let octets = String::from_utf8_lossy(&setup.sink.sent_to(name)[0].octets).into_owned();
        assert!(octets.contains(&format!(" id {}\r\n", line.queue_id)), "{name}: {line:?}\n{octets:.900}");
        assert_eq!((line.decision.as_str(), line.reason.as_str(), line.d.as_str()), ("sign", "signed", "example.test"));
    }
}

#[test]
#[ignore = "needs root, Sendmail and dkimpy; tests/run-all installs them"]
fn mail_that_comes_back_with_a_received_field_is_signed_only_at_the_submission_service() {
    let setup = Setup::new("");
    let relayed = b"Received: from outside.test by filter.test; Mon, 23 Nov 2026 10:00:00 +0000\r\n\
                    From: ada@example.test\r\nTo: bob@sink.test\r\nSubject: Back\r\n\r\nBody\r\n";
    for (port, local_part) in [(setup.sendmail.port(), "port-25"), (setup.sendmail.submission_port(), "submission")] {
        let recipient = format!("{local_part}@sink.test");
        let reply = SmtpClient::connect(port).send("ada@example.test", &recipient, relayed, Transfer::Data);
        assert!(reply.is_positive(), "{reply:?}");
    }
    setup.sink.wait_for(2);
    let lines = setup.daemon.messages();
    assert_eq!((lines[0].decision.as_str(), lines[0].reason.as_str()), ("pass", "relayed"));
    assert_eq!((lines[1].decision.as_str(), lines[1].reason.as_str()), ("sign", "signed"));
    assert_eq!(signatures_in(&setup.sink.sent_to("port-25")[0].octets), 0);
    assert_eq!(signatures_in(&setup.sink.sent_to("submission")[0].octets), 2);
}

#[test]
#[ignore = "needs root, Sendmail and dkimpy; tests/run-all installs them"]
fn a_hop_without_8bitmime_breaks_signatures_of_eight_bit_mail_and_only_by_converting_it() {
    let setup = Setup::new("");
    let message = eight_bit_to_a_seven_bit_hop();
    let recipient = format!("{}@seven.test", message.name);
    let mut client = SmtpClient::connect(setup.sendmail.port());
    assert!(client.send(message.sender, &recipient, &message.octets, Transfer::Data).is_positive());
    setup.seven_bit_sink.wait_for(1);
    let messages = [message];
    let deliveries = deliveries(&setup.seven_bit_sink, &messages);
    judge(&deliveries, Mta::Sendmail, Header::Relaxed, setup.installation.records(), 2);
}
