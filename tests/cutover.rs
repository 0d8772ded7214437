//! From OpenDKIM to Waxseal while mail flows: both in a row as the milters of a real Postfix.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Signal;
use support::*;

const CUSTOMERS: [&str; 6] =
    ["customer1.test", "customer2.test", "customer3.test", "customer4.test", "customer5.test", "customer6.test"];

/// Those whose names are in the first half (`waxseal config show` has no say in it: the names decide).
const FIRST_HALF: [&str; 3] = ["customer1.test", "customer2.test", "customer6.test"];

/// The same header fields for both signers: each signs what is there of these, and guards From.
const OPENDKIM: &str = "Canonicalization relaxed/relaxed\n\
    SignHeaders From,To,Cc,Subject,Date,Message-ID,Sender,Reply-To,MIME-Version,Content-Type,Content-Transfer-Encoding\n\
    OversignHeaders From\n";
const WAXSEAL: &str = "[signing]\noversign = []\nsign_present = [\"to\", \"cc\", \"subject\", \"date\", \"message-id\", \
    \"sender\", \"reply-to\", \"mime-version\", \"content-type\", \"content-transfer-encoding\"]\n";
const SHADOW: &str = "mode = \"shadow\"\n";

/// Postfix, OpenDKIM before Waxseal, and where the mail goes. Dropped in this order.
struct Setup {
    postfix: Postfix,
    daemon: Daemon,
    opendkim: OpenDkim,
    sink: Sink,
    installation: Installation,
    reloads: usize,
    sent: usize,
    scratch: Scratch,
    _opendkim_scratch: Scratch,
}

impl Setup {
    /// For these domains, with these lines of OpenDKIM's configuration and these settings of ours.
    fn new(domains: &[&str], opendkim_settings: &str, settings: &str) -> Self {
        let (scratch, opendkim_scratch) = (Scratch::new("cutover"), Scratch::new("opendkim"));
        let opendkim = OpenDkim::start_for(opendkim_scratch.path(), domains, opendkim_settings);
        let installation = Installation::with_key_of_another(&scratch, domains, "od", opendkim.key());
        let daemon = installation.start_listening(&scratch, settings);
        let sink = Sink::start(SinkOptions::default());
        let postfix = Postfix::start(&PostfixOptions {
            milter: format!("unix:{}, unix:{}", opendkim.socket().display(), daemon.socket().display()),
            sink: sink.port(),
            seven_bit_sink: sink.port(),
            settings: "",
        });
        let _opendkim_scratch = opendkim_scratch;
        Self { postfix, daemon, opendkim, sink, installation, reloads: 0, sent: 0, scratch, _opendkim_scratch }
    }

    /// Replaces the settings while mail flows.
    fn reload(&mut self, settings: &str) {
        self.installation.configure(&format!("{}{settings}", self.daemon.listener()));
        self.daemon.reload();
        self.reloads += 1;
        self.daemon.wait_for_log("configuration reloaded", self.reloads);
    }

    /// Sends a message of that author with these octets of header before its own; what was delivered, and our log line.
    fn send(&mut self, author: &str, header: &str) -> (Vec<u8>, LogLine) {
        self.sent += 1;
        let name = format!("m{}", self.sent);
        let message = format!(
            "{header}From: Ada <{author}>\r\nTo: {name}@sink.test\r\nSubject: Number {number}\r\n\
             Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{name}.{author}>\r\n\r\nText.\r\n",
            number = self.sent
        );
        let mut client = SmtpClient::connect(self.postfix.port());
        let reply = client.send(author, &format!("{name}@sink.test"), message.as_bytes(), Transfer::Data);
        assert!(reply.is_positive(), "{reply:?}");
        let queue_id = reply.text.rsplit(' ').next().unwrap().trim().to_owned();
        self.sink.wait_for_recipients([name.as_str()].into_iter());
        (self.sink.sent_to(&name).remove(0).octets, self.daemon.message(&queue_id))
    }

    /// Sends a message of each customer; by the author's domain, who signed: `opendkim` or `waxseal`. Each delivered message
    /// must carry one signature, which dkimpy and Mail::DKIM find valid.
    fn stage(&mut self, name: &str) -> BTreeMap<String, &'static str> {
        let (mut delivered, mut by) = (Vec::new(), BTreeMap::new());
        for domain in CUSTOMERS {
            let (octets, line) = self.send(&format!("ada@{domain}"), "");
            assert_eq!(line.differences, "none", "{name}: {}", line.explained);
            let signer = match (line.mode.as_str(), line.decision.as_str(), line.replaced) {
                ("shadow", "pass", 0) => "opendkim",
                ("cutover", "sign", 1) => "waxseal",
                _ => panic!("{name}: {line:?}"),
            };
            assert_eq!(is_ours(&octets), signer == "waxseal", "{name}: {}", String::from_utf8_lossy(&octets));
            by.insert(domain.to_owned(), signer);
            delivered.push(octets);
        }
        for signatures in self.verified(&delivered) {
            assert_eq!(signatures, [Outcome::Pass], "{name}");
        }
        by
    }

    /// What dkimpy and Mail::DKIM, which must agree, say of each message's signatures.
    fn verified(&self, messages: &[Vec<u8>]) -> Vec<Vec<Outcome>> {
        let path = |number: usize| self.scratch.join(&format!("{number}.delivered"));
        for (number, octets) in messages.iter().enumerate() {
            fs::write(path(number), octets).unwrap();
        }
        let paths: Vec<_> = (0..messages.len()).map(path).collect();
        let outcomes = |lists: Vec<Vec<Signature>>| -> Vec<Vec<Outcome>> {
            lists.into_iter().map(|list| list.into_iter().map(|signature| signature.outcome).collect()).collect()
        };
        let passes = |lists: &[Vec<Outcome>]| -> Vec<usize> {
            lists.iter().map(|list| list.iter().filter(|outcome| **outcome == Outcome::Pass).count()).collect()
        };
        let by_dkimpy = outcomes(dkimpy(&paths, self.opendkim.records()));
        let by_perl = outcomes(mail_dkim(&paths, self.opendkim.records()));
        assert_eq!(passes(&by_dkimpy), passes(&by_perl));
        by_dkimpy
    }
}

/// Whether the topmost signature is Waxseal's work, which has the names of h= in lower case; OpenDKIM has them as written.
fn is_ours(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets);
    let names = text.split_once("h=").map(|(_, names)| names).unwrap_or_default();
    names.starts_with("from:")
}

fn settings(cutover: &str) -> String {
    format!("{WAXSEAL}{SHADOW}{cutover}")
}

#[test]
#[ignore = "needs root, Postfix, OpenDKIM, dkimpy and Mail::DKIM; tests/run-all installs them"]
fn each_message_carries_one_valid_signature_at_every_stage_of_the_cut_over_and_back() {
    let mut setup = Setup::new(&CUSTOMERS, OPENDKIM, &settings(""));
    let all = |signer| CUSTOMERS.iter().map(|domain| ((*domain).to_owned(), signer)).collect::<BTreeMap<_, _>>();
    let but = |taken: &[&str]| {
        let mut by = all("opendkim");
        taken.iter().for_each(|domain| *by.get_mut(*domain).unwrap() = "waxseal");
        by
    };
    assert_eq!(setup.stage("shadow"), all("opendkim"));
    setup.reload(&settings("[cutover]\nshare = \"0%\"\n"));
    assert_eq!(setup.stage("0 %"), all("opendkim"));
    setup.reload(&settings("[cutover]\nshare = \"50%\"\n"));
    assert_eq!(setup.stage("50 %"), but(&FIRST_HALF));
    setup.reload(&settings("[cutover]\nshare = \"100%\"\n"));
    assert_eq!(setup.stage("100 %"), all("waxseal"));
    setup.reload(&settings("[cutover]\nshare = \"0%\"\ndomains = [\"customer4.test\"]\n"));
    assert_eq!(setup.stage("a list"), but(&["customer4.test"]));

    // A map takes hold without a reload, and is taken back like it.
    let map = setup.installation.configuration().with_file_name("cut-over.map");
    fs::write(&map, "customer5.test\n").unwrap();
    setup.reload(&settings("[cutover]\ndomain_maps = [\"cut-over.map\"]\n"));
    assert_eq!(setup.stage("a map"), but(&["customer5.test"]));
    let new = map.with_extension("new");
    fs::write(&new, "customer3.test\ncustomer5.test\n").unwrap();
    fs::rename(new, &map).unwrap();
    setup.daemon.wait_for_log("maps reread", 1);
    assert_eq!(setup.stage("a longer map"), but(&["customer3.test", "customer5.test"]));

    setup.reload(&settings("[cutover]\nshare = \"0%\"\n"));
    assert_eq!(setup.stage("back"), all("opendkim"));
    setup.daemon.server.signal(Signal::TERM);
    setup.daemon.wait_for_log("\"signatures_replaced\":", 1);
    assert!(!setup.daemon.server.output().contains("\"kind\":"), "{}", setup.daemon.server.output());
}

#[test]
#[ignore = "needs root, Postfix, OpenDKIM and dkimpy; tests/run-all installs them"]
fn shadow_sees_no_difference_over_the_message_set_but_where_opendkim_does_not_sign() {
    let setup = Setup::new(&["example.test", "xn--bcher-kva.test"], OPENDKIM, &settings(""));
    let messages: Vec<Message> =
        message_set().into_iter().filter(|message| message.is_taken_by(Mta::Postfix)).collect();
    send_all(Mta::Postfix, setup.postfix.port(), &messages);
    setup.sink.wait_for_recipients(messages.iter().map(|message| message.name));
    let mut differing = BTreeMap::new();
    for Delivery { message, received } in deliveries(&setup.sink, &messages) {
        let text = String::from_utf8_lossy(&received.octets).into_owned();
        let id =
            text.split("with ESMTP").nth(1).or(text.split("with SMTP").nth(1)).or(text.split("with UTF8SMTP").nth(1));
        let queue_id = id.and_then(|id| id.split(" id ").nth(1)).and_then(|id| id.split_whitespace().next()).unwrap();
        let line = setup.daemon.message(queue_id.trim_end_matches(';'));
        if line.differences != "none" {
            differing.insert(message.name, (line.reason, line.differences));
        }
    }
    // OpenDKIM knows no U-labels.
    let expected = BTreeMap::from([("smtputf8", ("shadow".to_owned(), "only_ours".to_owned()))]);
    assert_eq!(differing, expected);
}

#[test]
#[ignore = "needs root, Postfix and OpenDKIM; tests/run-all installs them"]
fn each_difference_in_configuration_is_counted_by_its_kind_and_explained() {
    let domains = ["example.test", "sub.example.test", "other.test"];
    let mut setup = Setup::new(&domains, OPENDKIM, &settings(""));
    let at = "od._domainkey.example.test: ";
    let cases = [
        ("canonicalization = \"simple/relaxed\"\n", "canonicalization", "c=relaxed/relaxed, ours simple/relaxed"),
        ("expire_after = \"14d\"\n", "lifetime", "valid without end, ours 1209600 s"),
        ("leave_out = [\"date\", \"to\"]\n", "fields_not_signed", "our h= lacks date, to"),
        ("oversign_absent = [\"reply-to\"]\n", "fields_added", "our h= has reply-to besides"),
        (
            "[domain.\"example.test\"]\nidentity = \"joe@example.test\"\n",
            "identity",
            "i=@example.test, ours joe@example.test",
        ),
        ("[[rule]]\nsign = [\"other.test\"]\n", "domain", "ours is d=other.test"),
        ("[[rule]]\nnever = true\n", "only_theirs", "only the other signs"),
        ("[[rule]]\nalso = [\"other.test\"]\n", "only_ours", "only we sign"),
        ("[trust]\nnetworks = []\n", "only_theirs", "only the other signs"),
    ];
    for (change, kind, explained) in cases {
        setup.reload(&settings(change));
        let (octets, line) = setup.send("ada@example.test", "");
        assert_eq!(line.differences, kind, "{change}");
        let record = if kind == "only_ours" { "od._domainkey.other.test: " } else { at };
        assert_eq!(line.explained, format!("{record}{explained}"), "{change}");
        assert_eq!(signatures_in(&octets), 1);
        assert!(!is_ours(&octets));
    }

    // Another key under the same selector, and another selector.
    let own = setup.installation.configuration().with_file_name("own.pem");
    fs::write(&own, fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys/rsa-2048-pkcs8.pem")).unwrap())
        .unwrap();
    let mut import = setup.installation.command("import");
    run(import.args(["key", "--domain", "example.test", "--selector", "wx", "--activate"]).arg(&own));
    setup.reload(&settings("[cutover]\nshare = \"100%\"\n"));
    // The daemon sees the new key within a second.
    let sent = (0..100).map(|_| setup.send("ada@example.test", "")).find(|(_, line)| line.s == "wx");
    let (octets, line) = sent.expect("a message signed with the new key");
    assert_eq!((line.differences.as_str(), line.replaced), ("selector", 1), "{}", line.explained);
    assert_eq!(signatures_in(&octets), 1);
    assert!(String::from_utf8_lossy(&octets).contains("s=wx;"));
}

#[test]
#[ignore = "needs root, Postfix and OpenDKIM; tests/run-all installs them"]
fn what_only_opendkim_does_is_explained() {
    for (opendkim_settings, kind, explained) in [
        ("BodyLengthDB csl:m1@sink.test\n", "body_length", "od._domainkey.example.test: l="),
        ("SignatureTTL 3600\n", "lifetime", "od._domainkey.example.test: valid 3600 s, ours without end"),
    ] {
        let mut setup = Setup::new(&["example.test"], &format!("{OPENDKIM}{opendkim_settings}"), &settings(""));
        let (_, line) = setup.send("ada@example.test", "");
        assert_eq!(line.differences, kind, "{}", line.explained);
        assert!(line.explained.starts_with(explained), "{}", line.explained);
    }
}

#[test]
#[ignore = "needs root, Postfix, OpenDKIM, dkimpy and Mail::DKIM; tests/run-all installs them"]
fn hostile_signatures_in_the_message_leave_exactly_one_valid_one() {
    let mut setup = Setup::new(&["example.test"], OPENDKIM, &settings("[cutover]\nshare = \"100%\"\n"));
    let (genuine, _) = setup.send("ada@example.test", "");
    let genuine = String::from_utf8(genuine).unwrap();
    let genuine = format!("{}\r\n", genuine.split_once("\r\nReceived:").unwrap().0);
    let upper = genuine.replace("d=example.test", "d=EXAMPLE.Test").replace("DKIM-Signature", "dkim-SIGNATURE");
    let foreign = genuine.replace("d=example.test", "d=example.org");
    let garbled =
        "DKIM-Signature: v=1; d=example.test;\r\n\t s=od\r\n ; a\r\n\t=rsa-sha256 ;;; b=\r\n\t x; bh\r\n =!\r\n";
    // The body is the same, so the body hash of what is forged is right. OpenDKIM does not sign where there is a field that it
    // cannot read.
    let cases = [
        ("forged", genuine.clone(), 2),
        ("upper", upper, 2),
        ("twenty", genuine.repeat(20), 20),
        ("forty", genuine.repeat(40), 20),
        ("foreign", foreign.clone(), 1),
        ("garbled", garbled.to_owned(), 0),
        ("all", [&genuine, garbled, &foreign, &genuine].concat(), 2),
    ];
    let mut delivered = Vec::new();
    for (name, header, replaced) in &cases {
        let (octets, line) = setup.send("ada@example.test", header);
        assert_eq!(
            (line.mode.as_str(), line.decision.as_str(), line.replaced),
            ("cutover", "sign", *replaced),
            "{name} {line:?}"
        );
        assert!(is_ours(&octets), "{name}");
        delivered.push(octets);
    }
    for ((name, ..), outcomes) in cases.iter().zip(setup.verified(&delivered)) {
        let passed = outcomes.iter().filter(|outcome| **outcome == Outcome::Pass).count();
        assert_eq!(passed, 1, "{name}: {outcomes:?}");
    }
}

#[test]
#[ignore = "needs root, Postfix and OpenDKIM; tests/run-all installs them"]
fn postfix_shows_nothing_more_of_clients_that_are_ignored() {
    let trust = "[trust]\nignore = [\"203.0.113.0/24\"]\n";
    let mut setup = Setup::new(&["example.test"], OPENDKIM, trust);
    let mut client = SmtpClient::connect(setup.postfix.port());
    client.expect("XCLIENT ADDR=203.0.113.9 NAME=[UNAVAILABLE]");
    client.expect("EHLO client.example.test");
    client.expect("MAIL FROM:<>");
    // Postfix has connected anew for the other client, and been told that this is enough.
    setup.daemon.wait_for_log("\"event\":\"connection\"", 1);
    setup.daemon.wait_for_log("203.0.113.9", 1);
    let (_, line) = setup.send("ada@example.test", "");
    assert_eq!(line.decision, "pass", "OpenDKIM has signed already: {line:?}");
    assert_eq!(line.reason, "signed_before");
    assert_eq!(setup.daemon.messages().len(), 1);
}

#[test]
#[ignore = "needs root, Sendmail, OpenDKIM and dkimpy; tests/run-all installs them"]
fn sendmail_takes_the_other_signature_away_too() {
    let scratch = Scratch::new("cutover-sendmail");
    let first = scratch.folder("first");
    let opendkim = OpenDkim::start_for(&first, &["example.test"], OPENDKIM);
    let installation = Installation::with_key_of_another(&scratch, &["example.test"], "od", opendkim.key());
    let daemon = installation.start_listening(&scratch, &settings("[cutover]\nshare = \"100%\"\n"));
    let sink = Sink::start(SinkOptions::default());
    let sendmail = Sendmail::start(scratch, sink.port(), sink.port());
    let plain = message_set().remove(0);
    let genuine = installation.sign(&plain.octets);
    let end = memchr::memmem::find(&genuine, b"\r\nFrom:").unwrap() + 2;
    let cases = [("one", Vec::new(), 1), ("three", genuine[..end].repeat(3), 4)];
    let folder = Scratch::new("delivered");
    for (name, header, replaced) in cases {
        let message = [&header, plain.octets.as_slice()].concat();
        let reply = SmtpClient::connect(sendmail.port()).send(
            plain.sender,
            &format!("{name}@sink.test"),
            &message,
            Transfer::Data,
        );
        assert!(reply.is_positive(), "{reply:?}");
        sink.wait_for_recipients([name].into_iter());
        let octets = sink.sent_to(name).remove(0).octets;
        let line = daemon.messages().pop().unwrap();
        assert_eq!((line.decision.as_str(), line.replaced), ("sign", replaced), "{name}: {line:?}");
        assert_eq!(signatures_in(&octets), 1, "{name}: {}", String::from_utf8_lossy(&octets));
        assert!(is_ours(&octets), "{name}");
        let path = folder.write(name, &octets);
        let outcomes = dkimpy(&[path], opendkim.records()).remove(0);
        assert_eq!(outcomes.into_iter().map(|signature| signature.outcome).collect::<Vec<_>>(), [Outcome::Pass]);
    }
}
