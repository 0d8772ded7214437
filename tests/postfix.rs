//! Mail through a real Postfix.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::time::Duration;

use support::*;

/// A Postfix whose milter is a waxseald, and where its mail goes. Dropped in this order.
struct Setup {
    postfix: Postfix,
    daemon: Daemon,
    sink: Sink,
    seven_bit_sink: Sink,
    installation: Installation,
    scratch: Scratch,
}

impl Setup {
    fn new(settings: &str) -> Self {
        Self::with_postfix(settings, None, "")
    }

    /// With these settings of the daemon and of Postfix, the milter over TCP if there is a port.
    fn with_postfix(settings: &str, port: Option<u16>, postfix_settings: &'static str) -> Self {
        let scratch = Scratch::new("postfix");
        let installation = Installation::new(&scratch);
        let daemon = installation.start_listening(&scratch, settings);
        let sink = Sink::start(SinkOptions::default());
        let seven_bit_sink = Sink::start(SinkOptions { eight_bit_mime: false, smtputf8: false });
        let postfix = Postfix::start(&PostfixOptions {
            milter: match port {
                Some(port) => format!("inet:127.0.0.1:{port}"),
                None => format!("unix:{}", daemon.socket().display()),
            },
            sink: sink.port(),
            seven_bit_sink: seven_bit_sink.port(),
            settings: postfix_settings,
        });
        Self { postfix, daemon, sink, seven_bit_sink, installation, scratch }
    }

    /// Judges the messages that have come to the sink under their names; all must bear two signatures.
    fn judge(&self, messages: &[Message], header: Header) -> usize {
        self.sink.wait_for_recipients(messages.iter().map(|message| message.name));
        judge(&deliveries(&self.sink, messages), Mta::Postfix, header, self.installation.records(), 2)
    }
}

fn messages_for_postfix() -> Vec<Message> {
    message_set().into_iter().filter(|message| message.is_taken_by(Mta::Postfix)).collect()
}

#[test]
#[ignore = "needs root, Postfix, OpenDKIM and dkimpy; tests/run-all installs them"]
fn the_harness_is_right_for_the_signatures_of_opendkim_verify_after_postfix() {
    let scratch = Scratch::new("opendkim");
    let opendkim = OpenDkim::start(&scratch);
    let sink = Sink::start(SinkOptions::default());
    let postfix = Postfix::start(&PostfixOptions {
        milter: format!("unix:{}", opendkim.socket().display()),
        sink: sink.port(),
        seven_bit_sink: sink.port(),
        settings: "",
    });
    let mut messages = messages_for_postfix();
    // OpenDKIM does not find the keys of a domain written in U-labels.
    messages.retain(|message| message.name != "smtputf8");
    send_all(Mta::Postfix, postfix.port(), &messages);
    sink.wait_for(messages.len());
    let passed = judge(&deliveries(&sink, &messages), Mta::Postfix, Header::Relaxed, opendkim.records(), 1);
    assert!(passed > 30, "only {passed} signatures passed");
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn the_message_set_verifies_after_postfix_with_relaxed_canonicalization() {
    let setup = Setup::new("");
    let messages = messages_for_postfix();
    send_all(Mta::Postfix, setup.postfix.port(), &messages);
    setup.judge(&messages, Header::Relaxed);
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn the_message_set_verifies_after_postfix_with_simple_canonicalization() {
    let setup = Setup::new("[signing]\ncanonicalization = \"simple/simple\"\n");
    let messages = messages_for_postfix();
    send_all(Mta::Postfix, setup.postfix.port(), &messages);
    setup.judge(&messages, Header::Simple);
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn mail_submitted_by_local_programs_verifies_after_postfix() {
    let setup = Setup::new("");
    let mut messages = messages_for_postfix();
    // These are about SMTP: a local program's line ends are LF.
    messages.retain(|message| !message.name.starts_with("bare-"));
    for message in &messages {
        setup.postfix.submit_locally(message.sender, &recipient(message), &with_unix_line_ends(&message.octets));
    }
    setup.judge(&messages, Header::Relaxed);
    let lines = setup.daemon.messages();
    assert!(lines.iter().all(|line| line.decision == "sign" && !line.queue_id.is_empty()), "{lines:#?}");
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn many_messages_on_one_connection_are_signed_also_after_aborted_ones() {
    let setup = Setup::new("");
    let set = messages_for_postfix();
    let message = |name: &str| set.iter().find(|message| message.name == name).unwrap().clone();
    let names = ["plain", "eight-bit", "dots", "empty-body", "folded-with-tabs", "multipart", "chunk-borders"];
    let messages: Vec<Message> = names.iter().map(|name| message(name)).collect();
    let mut client = SmtpClient::connect(setup.postfix.port());
    for (number, message) in messages.iter().enumerate() {
        // Something aborted before each: at MAIL, at RCPT, by EHLO, by a recipient refused, by a lost connection.
        match number {
            1 => drop(client.expect("MAIL FROM:<eve@other.test>")),
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
                client.expect("MAIL FROM:<eve@other.test>");
                assert_eq!(client.command("RCPT TO:<>").code, 501);
                client.expect("RSET");
            }
            5 => {
                let mut other = SmtpClient::connect(setup.postfix.port());
                other.expect("MAIL FROM:<ada@example.test>");
                other.expect("RCPT TO:<aborted@sink.test>");
                assert_eq!(other.command("DATA").code, 354);
                other.write(b"From: ada@example.test\r\nSubject: never ended\r\n\r\nText\r\n");
            }
            _ => {}
        }
        if number == 1 {
            client.expect("RSET");
        }
        let reply = client.send(message.sender, &recipient(message), &message.octets, Transfer::Data);
        assert!(reply.is_positive(), "{}: {reply:?}", message.name);
    }
    setup.judge(&messages, Header::Relaxed);
    assert!(setup.sink.sent_to("aborted").is_empty());
    let lines = setup.daemon.messages();
    assert_eq!(lines.len(), messages.len(), "one line a message: {lines:#?}");
    for (line, name) in lines.iter().zip(names) {
        let received = &setup.sink.sent_to(name)[0];
        let octets = String::from_utf8_lossy(&received.octets).into_owned();
        assert!(octets.contains(&format!("with ESMTP id {}\r\n", line.queue_id)), "{name}: {line:?}\n{octets:.900}");
        assert_eq!((line.decision.as_str(), line.reason.as_str(), line.d.as_str()), ("sign", "signed", "example.test"));
    }
}

/// A few messages that differ in what a milter must keep.
fn a_few_messages() -> Vec<Message> {
    let names = ["plain", "folded-with-tabs", "inner-blanks", "trailing-blanks", "empty-body", "chunk-borders"];
    messages_for_postfix().into_iter().filter(|message| names.contains(&message.name)).collect()
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn mail_verifies_where_the_milter_is_reached_over_tcp() {
    let port = free_port();
    let settings = format!("[[listener]]\nsocket = \"inet:{port}@127.0.0.1\"\n");
    let setup = Setup::with_postfix(&settings, Some(port), "");
    let messages = a_few_messages();
    send_all(Mta::Postfix, setup.postfix.port(), &messages);
    setup.judge(&messages, Header::Relaxed);
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn mail_verifies_where_postfix_speaks_an_older_version_of_the_protocol() {
    for postfix_settings in ["milter_protocol = 2", "milter_protocol = 3", "milter_protocol = 4 no_header_reply"] {
        let setup = Setup::with_postfix("", None, postfix_settings);
        let messages = a_few_messages();
        send_all(Mta::Postfix, setup.postfix.port(), &messages);
        setup.judge(&messages, Header::Relaxed);
    }
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn mail_that_comes_back_with_a_received_field_is_signed_only_at_the_submission_service() {
    let setup = Setup::new("");
    let relayed = b"Received: from outside.test by filter.test; Mon, 23 Nov 2026 10:00:00 +0000\r\n\
                    From: ada@example.test\r\nTo: bob@sink.test\r\nSubject: Back\r\n\r\nBody\r\n";
    for (port, local_part) in [(setup.postfix.port(), "port-25"), (setup.postfix.submission_port(), "submission")] {
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
#[ignore = "needs root and Postfix; tests/run-all installs them"]
fn mail_from_a_stranger_passes_unsigned() {
    let setup = Setup::new("");
    let mut client = SmtpClient::connect(setup.postfix.port());
    client.expect("XCLIENT NAME=stranger.test ADDR=203.0.113.5");
    client.expect("EHLO stranger.test");
    let message = b"From: ada@example.test\r\nSubject: Not from us\r\n\r\nBody\r\n";
    assert!(client.send("ada@example.test", "stranger@sink.test", message, Transfer::Data).is_positive());
    setup.sink.wait_for(1);
    let line = &setup.daemon.messages()[0];
    assert_eq!((line.decision.as_str(), line.reason.as_str()), ("pass", "not_trusted"));
    assert_eq!(signatures_in(&setup.sink.sent_to("stranger")[0].octets), 0);
}

#[test]
#[ignore = "needs root and Postfix; tests/run-all installs them"]
fn recipients_and_macros_that_a_policy_names_come_from_postfix() {
    let settings = "[trust]\nnetworks = []\nmacros = [\"{ours}=yes\"]\n\
        [[rule]]\nname = \"lists\"\nto = [\"list@sink.test\"]\nnever = true\n";
    let setup = Setup::with_postfix(settings, None, "milter_macro_defaults = {ours}=yes");
    let mut client = SmtpClient::connect(setup.postfix.port());
    client.expect("XCLIENT NAME=stranger.test ADDR=203.0.113.5");
    client.expect("EHLO stranger.test");
    let message = b"From: A. D. A. <ada@example.test>\r\nSubject: x\r\n\r\nBody\r\n";
    for (recipient, reason, signatures) in [("bob", "signed", 2), ("list", "rule_never", 0)] {
        let address = format!("{recipient}@sink.test");
        assert!(client.send("ada@example.test", &address, message, Transfer::Data).is_positive());
        setup.sink.wait_for_recipients([recipient].into_iter());
        assert_eq!(signatures_in(&setup.sink.sent_to(recipient)[0].octets), signatures, "{recipient}");
        assert_eq!(setup.daemon.messages().last().unwrap().reason, reason);
    }
    let log = setup.daemon.server.output();
    // Postfix leaves addresses as they are, and says who it is.
    assert!(log.contains("\"origin\":\"macro\"") && !log.contains("rewritten_address"), "{log}");
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn a_hop_without_8bitmime_breaks_signatures_of_eight_bit_mail_and_only_by_converting_it() {
    let setup = Setup::new("");
    let message = eight_bit_to_a_seven_bit_hop();
    let recipient = format!("{}@seven.test", message.name);
    let mut client = SmtpClient::connect(setup.postfix.port());
    assert!(client.send(message.sender, &recipient, &message.octets, Transfer::Data).is_positive());
    setup.seven_bit_sink.wait_for(1);
    let messages = [message];
    let deliveries = deliveries(&setup.seven_bit_sink, &messages);
    judge(&deliveries, Mta::Postfix, Header::Relaxed, setup.installation.records(), 2);
}

#[test]
#[ignore = "needs root, Postfix and dkimpy; tests/run-all installs them"]
fn while_the_daemon_is_away_mail_is_deferred_and_nothing_goes_unsigned() {
    let mut setup = Setup::new("");
    let plain = messages_for_postfix().remove(0);
    setup.daemon.terminate();
    assert!(setup.daemon.server.wait(Duration::from_secs(20)).success());
    let reply =
        SmtpClient::connect(setup.postfix.port()).send(plain.sender, &recipient(&plain), &plain.octets, Transfer::Data);
    assert_eq!(reply.code, 451, "{reply:?}");
    setup.daemon = setup.installation.start(&setup.scratch);
    let messages = [plain];
    send_all(Mta::Postfix, setup.postfix.port(), &messages);
    setup.judge(&messages, Header::Relaxed);
    assert_eq!(setup.sink.messages().len(), 1);
}
