//! In the shadow of another signer, and in its place: what the MTA is told, octet by octet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use rustix::process::Signal;
use support::*;

const BODY: &[u8] = b"Hello.\r\n";
const SHADOW: &str = "[signing]\nmode = \"shadow\"\n";

struct Setup {
    daemon: Daemon,
    installation: Installation,
    reloads: usize,
    _scratch: Scratch,
}

impl Setup {
    fn new(settings: &str) -> Self {
        let scratch = Scratch::new("shadow");
        let installation = Installation::new(&scratch);
        let daemon = installation.start_listening(&scratch, settings);
        Self { daemon, installation, reloads: 0, _scratch: scratch }
    }

    /// Replaces the settings while the daemon runs.
    fn reload(&mut self, settings: &str) {
        self.installation.configure(&format!("{}{settings}", self.daemon.listener()));
        self.daemon.server.signal(Signal::HUP);
        self.reloads += 1;
        self.daemon.wait_for_log("configuration reloaded", self.reloads);
    }

    /// What another signer with our keys puts on top of the message with this body: the values of its fields, top to bottom.
    fn signed_by_another(&self, body: &[u8]) -> Vec<String> {
        let mut message = Vec::new();
        for (name, value) in FIELDS {
            message.extend_from_slice(format!("{name}:{}\r\n", value.replace('\n', "\r\n")).as_bytes());
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body);
        let signed = String::from_utf8(self.installation.sign(&message)).unwrap();
        let header = signed.split_once("\r\nFrom:").unwrap().0.replace("\r\n", "\n");
        header.split("DKIM-Signature:").skip(1).map(|value| value.trim_end().to_owned()).collect()
    }

    /// Sends the message with these DKIM-Signature fields on top, in a session of its own; the verdict and the log line.
    fn send(&self, queue_id: &str, signatures: &[String]) -> (Verdict, LogLine) {
        let mut dialogue = Dialogue::open(self.daemon.socket());
        self.send_in(&mut dialogue, queue_id, signatures)
    }

    fn send_in(&self, dialogue: &mut Dialogue, queue_id: &str, signatures: &[String]) -> (Verdict, LogLine) {
        let mut fields: Vec<(&str, &str)> = signatures.iter().map(|value| ("DKIM-Signature", value.as_str())).collect();
        fields.extend(FIELDS);
        dialogue.mail(queue_id).unwrap();
        let verdict = dialogue.content(queue_id, &fields, BODY).unwrap();
        (verdict, self.daemon.message(queue_id))
    }
}

/// What was done: fields deleted, and how many inserted after that.
fn done(verdict: &Verdict) -> (Vec<&str>, usize) {
    let Verdict::Signed(changes) = verdict else {
        assert_eq!(*verdict, Verdict::Passed);
        return (Vec::new(), 0);
    };
    let deleted: Vec<&str> = changes.iter().filter(|change| change.starts_with("delete")).map(String::as_str).collect();
    let inserted = &changes[deleted.len()..];
    assert!(inserted.iter().all(|change| change.starts_with("DKIM-Signature:")), "{changes:?}");
    (deleted, inserted.len())
}

#[test]
fn in_shadow_everything_is_computed_and_nothing_is_inserted() {
    let setup = Setup::new(SHADOW);
    let theirs = setup.signed_by_another(BODY);
    assert_eq!(theirs.len(), 2);
    let (verdict, line) = setup.send("SAME", &theirs);
    assert_eq!(verdict, Verdict::Passed);
    assert_eq!((line.decision.as_str(), line.reason.as_str(), line.mode.as_str()), ("pass", "shadow", "shadow"));
    assert_eq!((line.would.as_str(), line.would_reason.as_str()), ("sign", "signed"));
    assert_eq!((line.differences.as_str(), line.explained.as_str()), ("none", ""));
    assert_eq!(line.d, "example.test");
    assert_eq!(line.s.split(',').count(), 2);

    let (_, line) = setup.send("ALONE", &[]);
    assert_eq!(line.differences, "only_ours");
    let (_, line) = setup.send("BROKEN", &setup.signed_by_another(b"Other.\r\n"));
    assert_eq!(line.differences, "body_hash");
    assert!(line.explained.contains("._domainkey.example.test: its bh= is not of this body"), "{}", line.explained);
    let forged: Vec<String> = theirs.iter().map(|value| value.replace("d=example.test", "d=Example.TEST")).collect();
    let (_, line) = setup.send("CASE", &forged);
    assert_eq!(line.differences, "key", "changed after it was made: {}", line.explained);
}

#[test]
fn what_only_the_other_signs_is_told_for_our_domains_and_for_nobody_elses() {
    let setup = Setup::new(SHADOW);
    let theirs = setup.signed_by_another(BODY);
    let send = |queue_id: &str, signatures: &[(&str, &str)]| {
        let mut dialogue = Dialogue::open_from(setup.daemon.socket(), "203.0.113.5");
        dialogue.mail(queue_id).unwrap();
        let fields: Vec<(&str, &str)> = signatures.iter().chain(&FIELDS).copied().collect();
        assert_eq!(dialogue.content(queue_id, &fields, BODY), Some(Verdict::Passed));
        let line = setup.daemon.message(queue_id);
        assert_eq!(line.reason, "not_trusted");
        line.differences
    };
    let own = ("DKIM-Signature", theirs[0].as_str());
    assert_eq!(send("OURS", &[own]), "only_theirs");
    // It comes back from a list: made before, not by the signer before us.
    assert_eq!(send("BACK", &[("Received", " from list.test by mx.test"), own]), "");
    let foreign = theirs[0].replace("d=example.test", "d=example.net");
    assert_eq!(send("FOREIGN", &[("DKIM-Signature", foreign.as_str())]), "");
    assert_eq!(send("NONE", &[]), "");
}

#[test]
fn a_cut_over_replaces_signatures_of_the_same_domain_and_is_raised_and_taken_back_by_reload() {
    let mut setup = Setup::new(&format!("{SHADOW}[cutover]\nshare = \"0%\"\n"));
    let theirs = setup.signed_by_another(BODY);
    let mut session = Dialogue::open(setup.daemon.socket());
    let (verdict, line) = setup.send_in(&mut session, "ZERO", &theirs);
    assert_eq!((done(&verdict), line.mode.as_str()), ((vec![], 0), "shadow"));

    setup.reload(&format!("{SHADOW}[cutover]\nshare = \"100%\"\n"));
    let (verdict, line) = setup.send_in(&mut session, "ALL", &theirs);
    assert_eq!(done(&verdict), (vec!["delete DKIM-Signature 2", "delete DKIM-Signature 1"], 2));
    assert_eq!((line.decision.as_str(), line.reason.as_str(), line.mode.as_str()), ("sign", "signed", "cutover"));
    assert_eq!((line.differences.as_str(), line.replaced), ("none", 2));
    let (verdict, _) = setup.send("UNSIGNED", &[]);
    assert_eq!(done(&verdict), (vec![], 2));

    setup.reload(&format!("{SHADOW}[cutover]\ndomains = [\"*.test\"]\n"));
    assert_eq!(done(&setup.send_in(&mut session, "LISTED", &theirs).0).1, 2);
    setup.reload(&format!("{SHADOW}[cutover]\ndomains = [\"example.org\"]\n"));
    assert_eq!(done(&setup.send_in(&mut session, "NOTLISTED", &theirs).0), (vec![], 0));
    setup.reload(SHADOW);
    assert_eq!(done(&setup.send_in(&mut session, "BACK", &theirs).0), (vec![], 0));
}

#[test]
fn fields_may_be_deleted_only_where_a_cut_over_is_configured_and_the_mta_allows_it() {
    let mut setup = Setup::new(SHADOW);
    let theirs = setup.signed_by_another(BODY);
    let actions =
        |setup: &Setup, offered| Dialogue::silent(setup.daemon.socket()).negotiate(6, offered, PROTOCOL).unwrap()[1];
    assert_eq!(actions(&setup, ACTIONS) & 0x10, 0);
    let mut old_session = Dialogue::open(setup.daemon.socket());
    setup.reload(&format!("{SHADOW}[cutover]\nshare = \"100%\"\n"));
    assert_eq!(actions(&setup, ACTIONS) & 0x10, 0x10);
    assert_eq!(actions(&setup, ACTIONS & !0x10) & 0x10, 0);
    // Where theirs cannot be taken away, ours is not added.
    let (verdict, line) = setup.send_in(&mut old_session, "OLD", &theirs);
    assert_eq!((done(&verdict), line.reason.as_str()), ((vec![], 0), "signed_before"));
    let (verdict, _) = setup.send_in(&mut old_session, "OLD2", &[]);
    assert_eq!(done(&verdict).1, 2);
}

#[test]
fn a_cut_over_leaves_alone_what_is_not_a_right_signature_of_the_same_domain() {
    let setup = Setup::new(&format!("{SHADOW}[cutover]\nshare = \"100%\"\n"));
    let theirs = setup.signed_by_another(BODY);
    let foreign = theirs[0].replace("d=example.test", "d=example.net");
    let wrong = setup.signed_by_another(b"Other.\r\n");
    let garbled = " v=1; a=rsa-sha256; d=example.test; ;;; s=\n\tx".to_owned();
    let upper = theirs[1].replace("d=example.test", "d=EXAMPLE.Test");
    let stack = [theirs[0].clone(), foreign, garbled.clone(), wrong[0].clone(), upper, theirs[1].clone()];
    let (verdict, line) = setup.send("MIXED", &stack);
    let deleted = ["delete DKIM-Signature 6", "delete DKIM-Signature 5", "delete DKIM-Signature 1"];
    assert_eq!(done(&verdict), (deleted.to_vec(), 2), "{line:?}");
    assert_eq!(line.replaced, 3);

    let (verdict, line) = setup.send("WRONG", &wrong);
    assert_eq!(done(&verdict), (vec![], 2), "the broken ones stay and ours are valid");
    assert_eq!(line.differences, "body_hash");

    // Forged ones of ours below the genuine ones, more than are looked at.
    let forged = theirs[0].replace("b=", "b=AAAA");
    let flood: Vec<String> = theirs.iter().cloned().chain(std::iter::repeat_n(forged, 30)).collect();
    let (verdict, _) = setup.send("FLOOD", &flood);
    let (deleted, inserted) = done(&verdict);
    assert_eq!((deleted.len(), deleted[0], inserted), (20, "delete DKIM-Signature 20", 2));
    let twenty: Vec<String> = std::iter::repeat_n(garbled, 20).collect();
    let (verdict, _) = setup.send("GARBLED", &twenty);
    assert_eq!(done(&verdict), (vec![], 2));
}

#[test]
fn another_key_under_our_selector_keeps_its_signature() {
    let (setup, other) = (Setup::new(&format!("{SHADOW}[cutover]\nshare = \"100%\"\n")), Setup::new(""));
    let theirs = other.signed_by_another(BODY);
    let (verdict, line) = setup.send("OTHERKEY", &theirs);
    assert_eq!((done(&verdict), line.reason.as_str()), ((vec![], 0), "signed_before"));
    assert!(line.differences.contains("key"), "{line:?}");
}

#[test]
fn a_message_that_passes_twice_is_signed_once_unless_told_otherwise() {
    let mut setup = Setup::new("");
    let theirs = setup.signed_by_another(BODY);
    let (verdict, line) = setup.send("TWICE", &theirs);
    assert_eq!(verdict, Verdict::Passed);
    assert_eq!((line.decision.as_str(), line.reason.as_str()), ("pass", "signed_before"));
    let (verdict, line) = setup.send("HALF", &theirs[..1]);
    assert_eq!((done(&verdict), line.reason.as_str()), ((vec![], 1), "signed"));
    // Forged, or broken since: ours is needed.
    let forged = theirs[0].replace("b=", "b=AAAA");
    assert_eq!(done(&setup.send("FORGED", &[forged]).0), (vec![], 2));
    assert_eq!(done(&setup.send("CHANGED", &setup.signed_by_another(b"Other.\r\n")).0), (vec![], 2));
    setup.reload("[signing]\nsign_again = true\n");
    assert_eq!(done(&setup.send("TOLD", &theirs).0), (vec![], 2));
}

#[test]
fn in_shadow_nothing_is_deferred_or_refused() {
    let mut setup = Setup::new("[signing]\nmode = \"shadow\"\non_unsignable = \"refuse\"\n");
    let mut dialogue = Dialogue::open(setup.daemon.socket());
    dialogue.mail("NOFROM").unwrap();
    assert_eq!(dialogue.content("NOFROM", &[("Subject", " x")], BODY), Some(Verdict::Passed));
    let line = setup.daemon.message("NOFROM");
    assert_eq!((line.decision.as_str(), line.reason.as_str()), ("pass", "shadow"));
    assert_eq!((line.would.as_str(), line.would_reason.as_str()), ("refuse", "no_from"));
    setup.reload("[signing]\nmode = \"shadow\"\n[[rule]]\nsign = [\"unknown.test\"]\n");
    let (verdict, line) = setup.send("NOKEY", &[]);
    assert_eq!(verdict, Verdict::Passed);
    assert_eq!((line.would.as_str(), line.would_reason.as_str()), ("defer", "no_named_key"));
    setup.reload("[[rule]]\nsign = [\"unknown.test\"]\n");
    assert!(matches!(setup.send("NOKEY2", &[]).0, Verdict::Deferred(_)));
}

#[test]
fn ignored_clients_are_accepted_when_they_connect_and_nothing_more_is_asked() {
    let setup = Setup::new("[trust]\nignore = [\"203.0.113.0/24\", \"127.0.0.2\"]\n");
    let mut dialogue = Dialogue::silent(setup.daemon.socket());
    let [_, _, steps] = dialogue.negotiate(6, ACTIONS, PROTOCOL).unwrap();
    assert_eq!(steps & 0x1000, 0, "CONNECT is to be answered");
    dialogue.raw(&connect("203.0.113.5"));
    assert_eq!(dialogue.reply(), Some((b'a', Vec::new())));
    dialogue.quit();
    setup.daemon.wait_for_log("\"event\":\"connection\"", 1);
    setup.daemon.wait_for_log("203.0.113.5", 1);

    let (verdict, _) = setup.send("HEARD", &[]);
    assert_eq!(done(&verdict).1, 2, "others are asked on");
    // An MTA that shows more nevertheless.
    let mut dialogue = Dialogue::silent(setup.daemon.socket());
    dialogue.negotiate(6, ACTIONS, PROTOCOL).unwrap();
    dialogue.raw(&connect("127.0.0.2"));
    assert_eq!(dialogue.reply(), Some((b'a', Vec::new())));
    assert_eq!(dialogue.mail("IGNORED"), Some(b'a'));
    assert_eq!(setup.daemon.message("IGNORED").reason, "ignored_peer");
}
