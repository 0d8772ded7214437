//! docs/migrating-from-opendkim.md, typed: its commands, one after the other, in the shell that it describes, with Debian's
//! OpenDKIM and a real Postfix. Where the page says that mail goes through, messages of both domains do, and each must arrive
//! with exactly one signature of its domain, which dkimpy verifies.
//!
//! `<!-- mail: WHO -->` says who signs then: `OpenDKIM alone`, before Waxseal is there; `shadow`; or the domains whose mail
//! Waxseal signs, the others being left as they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::*;

/// Set where the commands are typed: in namespaces of the test's own.
const INSIDE: &str = "WAXSEAL_MIGRATION_INSIDE";

const DOMAINS: [&str; 2] = ["example.com", "example.net"];

/// Of the smarthost on the page.
const SMARTHOST: u16 = 2525;

const LOG: &str = "/var/lib/waxseald.log";

#[test]
#[ignore = "needs root, Postfix, OpenDKIM, systemd-sysusers and dkimpy; tests/run-all installs them"]
fn the_page_on_moving_over_can_be_typed_and_every_message_has_one_valid_signature() {
    if std::env::var_os(INSIDE).is_some() {
        return walk();
    }
    installed(&["/usr/sbin/opendkim"], "opendkim");
    installed(&["/usr/sbin/opendkim-genkey", "/usr/bin/opendkim-genkey"], "opendkim-tools");
    installed(&["/usr/sbin/postfix"], "postfix");
    // What the page has the reader type first.
    let shell = "unshare --mount --net --pid --fork --mount-proc --kill-child";
    assert!(read_page().contains(&format!("# {shell} bash\n")), "the page no longer begins with {shell}");
    let mut words = shell.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .arg(std::env::current_exe().unwrap())
        .args(["--include-ignored", "--nocapture", "--exact"])
        .arg("the_page_on_moving_over_can_be_typed_and_every_message_has_one_valid_signature")
        .env(INSIDE, "yes")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("unshare is missing: run tests/run-all, or install Debian's package util-linux");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn read_page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrating-from-opendkim.md")).unwrap()
}

/// Types the page. Nothing outlives this process: it is the first of its namespace.
fn walk() {
    for hidden in ["/etc", "/run", "/var/lib", "/var/spool", "/usr/local/bin"] {
        assert!(
            !Path::new(env!("CARGO_BIN_EXE_waxseal")).starts_with(hidden),
            "the page hides {hidden} from its shell"
        );
    }
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/usr/local/bin"]));
    for program in [env!("CARGO_BIN_EXE_waxseal"), env!("CARGO_BIN_EXE_waxseald")] {
        run(Command::new("install").args(["-m", "0755", program, "/usr/local/bin/"]));
    }
    // Before the smarthost, which needs the loopback interface that the page brings up first.
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
    let scratch = Scratch::new("migration");
    let sink = Sink::start_at(SMARTHOST, SinkOptions::default());
    let mut walk = Walk { reader: PageReader::new(), sink, scratch, sent: 0, logged: 0 };
    let steps = page_steps(&read_page());
    assert!(steps.len() > 30, "the page has only {} steps", steps.len());
    for step in &steps {
        walk.take(step);
    }
    assert_eq!(walk.sent, 6 * messages("x").len(), "mail at six stages");
}

struct Walk {
    reader: PageReader,
    sink: Sink,
    scratch: Scratch,
    sent: usize,
    /// Messages of each domain that Waxseal has seen.
    logged: usize,
}

impl Walk {
    fn take(&mut self, step: &PageStep) {
        let Some(mark) = self.reader.take(step) else { return };
        let who = mark.strip_prefix("mail: ").unwrap_or_else(|| panic!("nobody knows the mark {mark:?}"));
        let stage = format!("stage{}", self.sent);
        let messages = messages(&stage);
        for message in &messages {
            self.send(message);
        }
        self.sent += messages.len();
        self.judge(&messages);
        if who != "OpenDKIM alone" {
            self.logged += messages.len() / 2;
        }
        for domain in DOMAINS {
            let expected = match who {
                "OpenDKIM alone" => continue,
                "shadow" => "shadow",
                taken if taken.split(' ').any(|taken| taken == domain) => "signed",
                _ => "shadow",
            };
            let decided = reasons(domain, messages.len() / 2, self.logged);
            assert_eq!(decided, vec![expected; messages.len() / 2], "{stage}, {domain}");
        }
    }

    /// Hands Postfix a message, which may be reloading.
    fn send(&self, message: &Mail) {
        let taken = eventually("Postfix to take a message", Duration::from_secs(20), || {
            let mut client = SmtpClient::connect(25);
            let (sender, recipient) = (format!("joe@{}", message.domain), format!("{}@sink.test", message.name));
            let reply = client.send(&sender, &recipient, message.text.as_bytes(), Transfer::Data);
            // 4xx: the MTA has no milter at this moment, and a client comes again.
            (reply.code < 400 || reply.code >= 500).then_some(reply)
        });
        assert!(taken.is_positive(), "{}: {taken:?}", message.name);
    }

    /// Each must have arrived once, with one signature, of its domain, which is valid.
    fn judge(&self, messages: &[Mail]) {
        self.sink.wait_for_recipients(messages.iter().map(|message| message.name.as_str()));
        let records = records();
        let mut paths: Vec<PathBuf> = Vec::new();
        for message in messages {
            let received = self.sink.sent_to(&message.name);
            assert_eq!(received.len(), 1, "{} came {} times", message.name, received.len());
            let text = String::from_utf8_lossy(&received[0].octets).into_owned();
            assert_eq!(signatures_in(&received[0].octets), 1, "{}:\n{text}", message.name);
            assert!(text.contains(&format!("d={}", message.domain)), "{}:\n{text}", message.name);
            paths.push(self.scratch.write(&format!("{}.eml", message.name), &received[0].octets));
        }
        for (message, signatures) in messages.iter().zip(dkimpy(&paths, &records)) {
            assert_eq!(signatures.len(), 1, "{}", message.name);
            assert_eq!(signatures[0].outcome, Outcome::Pass, "{}", message.name);
        }
    }
}

struct Mail {
    name: String,
    domain: &'static str,
    text: String,
}

/// Messages of both domains, of several kinds.
fn messages(stage: &str) -> Vec<Mail> {
    let kinds = [
        ("plain", "Subject: Plain\r\n", "Hello,\r\n\r\nthis is plain text.\r\n"),
        (
            "folded",
            "Subject: Folded\r\n over two\r\n\tlines  with   blanks\r\nCc: ann@sink.test\r\n",
            "Hello\r\n\r\n\r\n",
        ),
        (
            "mime",
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\nReply-To: joe@elsewhere.test\r\n",
            "Gr=C3=BC=C3=9Fe =\r\naus K=C3=B6ln\r\n.\r\n",
        ),
        (
            "list",
            "List-Id: <x.example>\r\nList-Unsubscribe: <mailto:x@x.example>\r\nReferences: <1@x> <2@x>\r\n",
            "Line \r\n \r\n",
        ),
        ("empty", "Subject: Empty\r\n", ""),
    ];
    let mut messages = Vec::new();
    for domain in DOMAINS {
        for (kind, fields, body) in kinds {
            let name = format!("{stage}-{kind}-{}", domain.replace('.', "-"));
            let text = format!(
                "From: Joe <joe@{domain}>\r\nTo: {name}@sink.test\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
                 Message-ID: <{name}@{domain}>\r\n{fields}\r\n{body}"
            );
            messages.push(Mail { name, domain, text });
        }
    }
    messages
}

/// The reasons in the daemon's last lines about a domain's messages, once it has written so many of all.
fn reasons(domain: &str, last: usize, all: usize) -> Vec<String> {
    let mut said = String::new();
    let found = (0..250).find_map(|_| {
        said = fs::read_to_string(LOG).unwrap();
        let lines = said.lines().filter(|line| line.contains(&format!(" d={domain} ")));
        let reason = |line: &str| line.split(" reason=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let reasons: Vec<String> = lines.map(reason).collect();
        std::thread::sleep(Duration::from_millis(20));
        (reasons.len() >= all).then_some(reasons)
    });
    let reasons = found.unwrap_or_else(|| panic!("not {all} lines about {domain}:\n{said}"));
    reasons[reasons.len() - last..].to_vec()
}

/// The records that opendkim-genkey wrote, a line each.
fn records() -> String {
    [("mail", "example.com"), ("old", "example.net")]
        .map(|(selector, domain)| {
            let printed = fs::read_to_string(format!("/etc/dkimkeys/{selector}.txt")).unwrap();
            let value: String = printed.split('"').skip(1).step_by(2).collect();
            format!("{selector}._domainkey.{domain} {value}\n")
        })
        .concat()
}
