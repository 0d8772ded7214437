//! Domains whose zones others run: with CNAMEs of theirs to names that we publish at, and with `_domainkey` delegated to us,
//! against a real BIND.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

#[path = "publish/common.rs"]
#[expect(dead_code, reason = "tests/publish.rs uses the rest")]
mod common;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{LOOPBACK, SECRET, txt_at};
use crate::support::{Bind, Scratch, Server, Statements, ZoneText, free_port, run};

/// Another's zone, and the one that is ours.
const CUSTOMER: &str = "customer.test";
const OURS: &str = "host.test";

/// Of the customer's TSIG key, for tests only.
const OF_CUSTOMER: &str = "dGhlIGN1c3RvbWVyIG9mIHRoZXNlIHRlc3RzIGhhcyB0aGlzIG9uZQ==";

/// Everything that takes days takes seconds.
const SCHEDULE: &str = "settle = \"1s\"\nrounds = 2\nrounds_over = \"1s\"\nrevoked_for = \"1s\"\nrecord_ttl = \"1s\"\n";

const SLOTS: &str = "[[slots]]\ndomains = [\"customer.test\"]\nrsa = [\"s1\", \"s2\", \"s3\"]\n\
                     ed25519 = [\"e1\", \"e2\", \"e3\"]\ntarget = \"{selector}.{domain}._dkim.host.test\"\n";

const PATIENCE: Duration = Duration::from_secs(180);

struct Host {
    scratch: Scratch,
    bind: Bind,
    _resolver: Server,
}

/// A BIND that follows CNAMEs from zone to zone and remembers what it saw, in front of the one that has the zones.
fn resolver(scratch: &Scratch, servers: SocketAddr) -> (Server, SocketAddr) {
    let address = SocketAddr::new(LOOPBACK, free_port());
    let (ip, port) = (servers.ip(), servers.port());
    let configuration = format!(
        "options {{ directory \"{folder}\"; pid-file none; session-keyfile none; recursion yes;\n\
         listen-on port {own} {{ {ip}; }}; listen-on-v6 {{ none; }}; dnssec-validation no; empty-zones-enable no; }};\n\
         controls {{ }};\nzone \"test\" {{ type forward; forward only; forwarders {{ {ip} port {port}; }}; }};\n",
        folder = scratch.path().display(),
        own = address.port(),
    );
    let configuration = scratch.write("resolver.conf", configuration);
    let program = support::installed(&["/usr/sbin/named"], "bind9");
    let mut command = Command::new(program);
    let mut server =
        Server::start(command.args(["-g", "-n", "1", "-c"]).arg(configuration), &scratch.join("resolver.log"));
    let name = format!("ns1.{CUSTOMER}");
    server.wait_until("the resolver to answer", || TcpStream::connect(address).is_ok() && answers(address, &name));
    (server, address)
}

fn answers(server: SocketAddr, name: &str) -> bool {
    let asked = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    asked.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let mut answer = [0; 512];
    asked.send_to(&question, server).is_ok()
        && asked.recv(&mut answer).is_ok_and(|length| length > 12 && answer[3] & 15 == 0)
}

impl Host {
    /// An installation without keys of the customer, and a BIND that lets it write below the names of `grant` only.
    fn new(zones: &[(&str, &str)], grant: &str, of_rotation: &str, rest: &str) -> Self {
        let statements = Statements {
            global: format!(
                "key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
                 key \"customer\" {{ algorithm hmac-sha256; secret \"{OF_CUSTOMER}\"; }};"
            ),
            of_zones: format!("update-policy {{ grant waxseal wildcard {grant} TXT; grant customer zonesub ANY; }};"),
        };
        let head = "$TTL 1\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 1\n@ IN NS ns1\nns1 IN A 127.0.0.1\n";
        let zone = |(apex, lines): &(&str, &str)| ZoneText {
            apex: (*apex).to_owned(),
            text: format!("$ORIGIN {apex}.\n{head}{lines}"),
        };
        let zones: Vec<ZoneText> = zones.iter().map(zone).collect();
        let bind = Bind::start_with(&zones, &[LOOPBACK], &statements);
        let scratch = Scratch::new("slots");
        let (_resolver, resolver) = resolver(&scratch, bind.servers()[0]);
        let host = Self { scratch, bind, _resolver };
        run(host.waxseal(&["init", "--yes", OURS]).arg("--dir").arg(host.scratch.path()));
        let secret = host.scratch.write("dns.secret", SECRET);
        fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
        let server = host.server();
        let text = format!(
            "version = 1\n[keys]\nstore = \"keys\"\nmax_staleness = \"1s\"\n\
             [dns]\nresolvers = [\"{resolver}\"]\ntimeout = \"500ms\"\nattempts = 1\n[daemon]\nstate = \"evidence\"\n\
             [rotation]\nstate = \"state\"\n{of_rotation}{SCHEDULE}\
             [[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\nserver = \"{server}\"\nkey_name = \"waxseal\"\n\
             secret_file = \"dns.secret\"\n{rest}"
        );
        host.scratch.write("waxseal.toml", text);
        host
    }

    fn with_slots(of_rotation: &str) -> Self {
        let rest = format!("domains = [\"*._dkim.host.test\"]\n{SLOTS}");
        Self::new(&[(CUSTOMER, ""), (OURS, "")], "*._dkim.host.test.", of_rotation, &rest)
    }

    fn server(&self) -> SocketAddr {
        self.bind.servers()[0]
    }

    fn waxseal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["--color", "never"]).arg("--config").arg(self.scratch.join("waxseal.toml")).args(arguments);
        command.env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.waxseal(arguments).output().unwrap()
    }

    fn rotate(&self) -> Output {
        self.output(&["rotate", CUSTOMER, "--servers", &self.server().to_string()])
    }

    /// The customer changes the zone that is theirs.
    fn customer(&self, commands: &str) {
        let program = support::installed(&["/usr/bin/nsupdate"], "bind9-dnsutils");
        let mut child = Command::new(program)
            .args(["-v", "-y", &format!("hmac-sha256:customer:{OF_CUSTOMER}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (ip, port) = (self.server().ip(), self.server().port());
        write!(stdin, "server {ip} {port}\nzone {CUSTOMER}\n{commands}\nsend\n").unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success(), "{commands}");
    }

    /// The customer takes over what they were handed.
    fn customer_publishes_cnames(&self) {
        let printed = self.output(&["record", CUSTOMER, "--cnames"]);
        let lines = text(&printed.stdout);
        assert_eq!(lines.lines().count(), 6, "{lines}{}", text(&printed.stderr));
        // But for the TTL, which here must not last for an hour.
        let update: String =
            lines.lines().map(|line| format!("update add {}\n", line.replace(" 3600 ", " 1 "))).collect();
        self.customer(&update);
    }

    fn status(&self) -> Value {
        let status = self.output(&["status", CUSTOMER, "--format", "json"]);
        serde_json::from_slice::<Value>(&status.stdout).unwrap()[0].take()
    }

    /// The keys in a state: selector and id.
    fn keys(&self, state: &str) -> BTreeMap<String, String> {
        let shown = self.output(&["show", CUSTOMER, "--format", "json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let keys = shown["keys"].as_array().unwrap().iter().filter(|key| key["state"] == state);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        keys.map(|key| (text(&key["selector"]), text(&key["key_id"]))).collect()
    }

    /// Rotates until `done`; each key that signs stands in DNS at `target`, and one signs from the first on.
    fn rotate_until(&self, target: impl Fn(&str) -> String, mut done: impl FnMut(&BTreeMap<String, String>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut has_signed = false;
        loop {
            let ran = self.rotate();
            assert!(Instant::now() < deadline, "{}{:#}", text(&ran.stdout), self.status());
            assert_eq!(ran.status.code(), Some(0), "{}{}", text(&ran.stdout), text(&ran.stderr));
            let active = self.keys("active");
            for selector in active.keys() {
                let standing = txt_at(self.server(), &target(selector));
                assert!(matches!(&standing[..], [one] if !one.ends_with("p=")), "{selector} signs: {standing:?}");
            }
            assert!(!has_signed || !active.is_empty(), "no key signs any more: {:#}", self.status());
            has_signed |= !active.is_empty();
            if done(&active) {
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// `waxseal verify` finds no error.
    fn verify(&self) {
        let server = self.server().to_string();
        let verified = self.output(&["verify", CUSTOMER, "--servers", &server, "--fail-on", "error"]);
        assert_eq!(verified.status.code(), Some(0), "{}{}", text(&verified.stdout), text(&verified.stderr));
    }
}

fn target(selector: &str) -> String {
    format!("{selector}.{CUSTOMER}._dkim.{OURS}")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
#[ignore = "needs BIND and nsupdate; tests/run-all installs them"]
fn keys_take_turns_in_the_slots_and_a_slot_gets_its_second_key_when_the_first_is_over() {
    let host = Host::with_slots("key_age = \"6s\"\nmail_life = \"2s\"\n");
    host.customer_publishes_cnames();
    let generated = host.output(&["generate", CUSTOMER]);
    let said = text(&generated.stdout);
    assert!(said.contains(&format!("{}.", target("s1"))) && said.contains(&format!("{}.", target("e1"))), "{said}");
    assert!(said.contains("record --cnames customer.test"), "{said}{}", text(&generated.stderr));
    let refused = host.output(&["generate", CUSTOMER, "--selector-template", "mine"]);
    assert!(text(&refused.stderr).contains("leave --selector-template out"), "{}", text(&refused.stderr));

    // Until every slot has had a key that signed, and two of them another.
    let mut signed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    host.rotate_until(target, |active| {
        for (selector, key_id) in active {
            signed.entry(selector.clone()).or_default().insert(key_id.clone());
        }
        signed.values().filter(|keys| keys.len() > 1).count() >= 2
    });
    let used: Vec<_> = signed.keys().map(String::as_str).collect();
    assert_eq!(used, ["e1", "e2", "e3", "s1", "s2", "s3"]);
    host.verify();
    // Nothing of ours ever stood in the customer's zone.
    let active = host.keys("active").into_keys().next().unwrap();
    let shown = text(&host.output(&["show", CUSTOMER]).stdout);
    let line = format!("{active}._domainkey.{CUSTOMER}.  {}.", target(&active));
    assert!(shown.contains(&line), "{shown}");
    let published = host.output(&["publish", CUSTOMER, "--selector", &active, "--dry-run"]);
    assert!(text(&published.stdout).contains(&target(&active)), "{}", text(&published.stdout));
}

#[test]
#[ignore = "needs BIND and nsupdate; tests/run-all installs them"]
fn without_the_right_cname_no_key_becomes_ready_and_the_customer_is_told_what_to_publish() {
    let host = Host::with_slots("key_age = \"1d\"\nmail_life = \"2s\"\n");
    run(&mut host.waxseal(&["generate", CUSTOMER, "--algorithm", "rsa"]));
    let alias = format!("s1._domainkey.{CUSTOMER}");
    let to_publish = format!("is to publish: {alias}. CNAME {}.", target("s1"));
    let rotated = |rounds: usize| {
        let mut said = String::new();
        for _ in 0..rounds {
            said = text(&host.rotate().stdout);
            thread::sleep(Duration::from_millis(600));
        }
        said
    };
    let said = rotated(8);
    assert!(said.contains(&format!("{alias} has no CNAME")) && said.contains(&to_publish), "{said}");
    assert!(!txt_at(host.server(), &target("s1")).is_empty(), "what is ours to publish is published");
    assert_eq!(host.keys("published").len(), 1);
    let status = text(&host.output(&["status", CUSTOMER]).stdout);
    assert!(status.contains(&format!("the domain's zone needs: {alias}. CNAME {}.", target("s1"))), "{status}");
    let server = host.server().to_string();
    let published = text(&host.output(&["publish", CUSTOMER, "--yes", "--servers", &server]).stdout);
    assert!(published.contains(&format!("{alias}. CNAME {}.", target("s1"))), "{published}");

    host.customer(&format!("update add {alias}. 1 CNAME s1.elsewhere.{CUSTOMER}."));
    let said = rotated(8);
    let astray = format!("{alias} leads to s1.elsewhere.{CUSTOMER}, not to {}", target("s1"));
    assert!(said.contains(&astray) && said.contains(&to_publish), "{said}");
    assert_eq!(host.keys("published").len(), 1);

    host.customer(&format!("update delete {alias}. CNAME"));
    host.customer_publishes_cnames();
    host.rotate_until(target, |active| active.contains_key("s1"));
    // Lost again while it signs: loud, and the customer's to mend.
    host.customer(&format!("update delete {alias}. CNAME"));
    let patrolled = Host::alarm(&host);
    assert!(patrolled.contains(&to_publish), "{patrolled}");
}

#[test]
#[ignore = "needs BIND and nsupdate; tests/run-all installs them"]
fn with_all_slots_taken_rotation_waits_and_says_until_when() {
    let host = Host::with_slots("key_age = \"3s\"\nmail_life = \"1h\"\n");
    host.customer_publishes_cnames();
    run(&mut host.waxseal(&["generate", CUSTOMER, "--algorithm", "rsa"]));
    host.rotate_until(target, |active| active.contains_key("s3"));
    thread::sleep(Duration::from_secs(4));
    let said = text(&host.rotate().stdout);
    assert!(said.contains("one of its 3 slots is free for the next rsa-sha256 key"), "{said}");
    assert_eq!(host.keys("active").into_keys().collect::<Vec<_>>(), ["s3"]);
    let status = host.status();
    let wait = status["waits"].as_array().unwrap().iter().find(|wait| wait["reason"] == "slot").cloned();
    let wait = wait.unwrap_or_else(|| panic!("{status:#}"));
    let until: jiff::Timestamp = wait["until"].as_str().unwrap().parse().unwrap();
    let left = until.duration_since(jiff::Timestamp::now()).as_mins();
    assert!((50..=61).contains(&left), "{left} min: {status:#}");
    let refused = host.output(&["generate", CUSTOMER, "--algorithm", "rsa"]);
    assert!(text(&refused.stderr).contains("none of the 3 rsa-sha256 slots"), "{}", text(&refused.stderr));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_delegated_domainkey_zone_is_found_published_to_rotated_and_verified() {
    let zone = format!("_domainkey.{CUSTOMER}");
    for named in ["", "zone = \"_domainkey.customer.test\"\n"] {
        // The customer's own zone, which only delegates, is not ours to write.
        let delegation = "_domainkey IN NS ns1._domainkey\nns1._domainkey IN A 127.0.0.1\n";
        let rest = format!("domains = [\"{CUSTOMER}\"]\n{named}");
        let zones = [(CUSTOMER, delegation), (zone.as_str(), "")];
        let rotation = "key_age = \"5s\"\nmail_life = \"2s\"\nselector = \"k{random}\"\n";
        let host = Host::new(&zones, &format!("*.{zone}."), rotation, &rest);
        run(&mut host.waxseal(&["generate", CUSTOMER]));
        let server = host.server().to_string();
        run(&mut host.waxseal(&["publish", CUSTOMER, "--yes", "--servers", &server]));
        let mut signed = BTreeSet::new();
        host.rotate_until(
            |selector| format!("{selector}.{zone}"),
            |active| {
                signed.extend(active.keys().cloned());
                signed.len() >= 4
            },
        );
        assert!(signed.iter().all(|selector| selector.len() == 9 && selector.starts_with('k')), "{signed:?}");
        host.verify();
    }
}

impl Host {
    /// What a run says that looks at the record of a key that signs.
    fn alarm(host: &Self) -> String {
        let path = host.scratch.join("waxseal.toml");
        let configuration = fs::read_to_string(&path).unwrap();
        fs::write(&path, configuration.replace("[rotation]\n", "[rotation]\npatrol_every = \"1s\"\n")).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = host.rotate();
            if ran.status.code() == Some(1) {
                return text(&ran.stdout);
            }
            assert!(Instant::now() < deadline, "{}{}", text(&ran.stdout), text(&ran.stderr));
            thread::sleep(Duration::from_millis(300));
        }
    }
}
