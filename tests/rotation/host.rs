//! An installation of waxseal beside a BIND that takes its updates.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{LOOPBACK, SECRET, ZONE, txt_at};
use crate::support::{Bind, Outcome as Verified, Scratch, Statements, ZoneText, dkimpy, installed, run, with_input};

/// Everything that takes days takes seconds.
const SCHEDULE: &str = "[rotation]\nstate = \"state\"\nkey_age = \"8s\"\nsettle = \"1s\"\nrounds = 2\nrounds_over = \"1s\"\n\
                        mail_life = \"2s\"\nrevoked_for = \"1s\"\nexcuse_after = \"2s\"\n";

/// How long the way to the third key may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Host {
    pub(crate) scratch: Scratch,
    pub(crate) bind: Bind,
    pub(crate) servers: String,
}

impl Host {
    /// An installation with keys that nobody published yet, and a BIND that lets it.
    pub(crate) fn new() -> Self {
        let statements = Statements {
            global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
            of_zones: format!("update-policy {{ grant waxseal wildcard *._domainkey.{ZONE}. TXT; }};"),
        };
        let zone = format!(
            "$ORIGIN {ZONE}.\n$TTL 1\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 1\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"
        );
        let bind = Bind::start_with(&[ZoneText { apex: ZONE.into(), text: zone }], &[LOOPBACK], &statements);
        let scratch = Scratch::new("rotation");
        let server = bind.servers()[0].to_string();
        let host = Self { scratch, bind, servers: server.clone() };
        run(host.waxseal(&["init", "--yes", ZONE]).arg("--dir").arg(host.scratch.path()));
        let secret = host.scratch.write("dns.secret", SECRET);
        fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "version = 1\n[keys]\nstore = \"keys\"\nmax_staleness = \"1s\"\n\
             [dns]\nresolvers = [\"{server}\"]\ntimeout = \"500ms\"\nattempts = 1\n\
             [daemon]\nstate = \"evidence\"\n{SCHEDULE}\
             [[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\nserver = \"{server}\"\nkey_name = \"waxseal\"\n\
             secret_file = \"dns.secret\"\n"
        );
        host.scratch.write("waxseal.toml", text);
        let path = host.scratch.join(&format!("keys/domains/{ZONE}/manifest.json"));
        let manifest = fs::read_to_string(&path).unwrap();
        fs::write(&path, manifest.replace("\"record_ttl\": 3600", "\"record_ttl\": 1")).unwrap();
        host
    }

    pub(crate) fn waxseal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["--color", "never"]).arg("--config").arg(self.scratch.join("waxseal.toml")).args(arguments);
        command.env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    pub(crate) fn rotate(&self, arguments: &[&str]) -> Output {
        self.waxseal(&["rotate", "--servers", &self.servers]).args(arguments).output().unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        let status = self.waxseal(&["status", ZONE, "--format", "json"]).output().unwrap();
        serde_json::from_slice::<Value>(&status.stdout).unwrap()[0].take()
    }

    /// The keys in a state, as selectors.
    pub(crate) fn keys(&self, state: &str) -> Vec<String> {
        let status = self.status();
        let keys = status["keys"].as_array().unwrap().iter().filter(|key| key["state"] == state);
        keys.map(|key| key["selector"].as_str().unwrap().to_owned()).collect()
    }

    /// Every key that signs stands in DNS.
    pub(crate) fn check_active(&self) -> Vec<String> {
        let active = self.keys("active");
        for selector in &active {
            let standing = txt_at(self.bind.servers()[0], &format!("{selector}._domainkey.{ZONE}"));
            assert!(matches!(&standing[..], [one] if !one.ends_with("p=")), "{selector} signs: {standing:?}");
        }
        active
    }

    /// Rotates until so many RSA keys have signed; `disturb` is called before each run.
    pub(crate) fn rotate_until(&self, generations: usize, mut rotate: impl FnMut(&Self)) -> BTreeSet<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut signed: BTreeSet<String> = BTreeSet::new();
        while signed.len() < generations {
            assert!(Instant::now() < deadline, "{signed:?}: {:#}", self.status());
            rotate(self);
            let active = self.check_active();
            assert!(signed.is_empty() || !active.is_empty(), "no key signs any more: {:#}", self.status());
            signed.extend(active.into_iter().filter(|selector| selector.contains('r')));
            thread::sleep(Duration::from_millis(300));
        }
        signed
    }

    /// The same with a key that signs and, Ready beside it, its successor, whose turn is far.
    pub(crate) fn with_standby() -> Self {
        let host = Self::new();
        host.set_key_age("180d");
        host.rotate_until(1, |host| drop(host.rotate(&[ZONE])));
        let deadline = Instant::now() + PATIENCE;
        while host.keys("ready").len() < 2 {
            assert!(Instant::now() < deadline, "{:#}", host.status());
            host.rotate(&[ZONE]);
            thread::sleep(Duration::from_millis(300));
        }
        host
    }

    /// How long keys sign from now on.
    pub(crate) fn set_key_age(&self, age: &str) {
        let path = self.scratch.join("waxseal.toml");
        let text = fs::read_to_string(&path).unwrap();
        let line = |line: &str| match line.starts_with("key_age") {
            true => format!("key_age = \"{age}\"\n"),
            false => format!("{line}\n"),
        };
        fs::write(&path, text.lines().map(line).collect::<String>()).unwrap();
    }

    /// The manifest's file.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.scratch.join(&format!("keys/domains/{ZONE}/manifest.json"))
    }

    /// A message is signed with every key that is Active, and dkimpy verifies it against what BIND has. The selectors.
    pub(crate) fn check_signs(&self) -> Vec<String> {
        let message = b"From: anne@example.test\nTo: bob@example.org\nSubject: Hello\n\nHello Bob\n";
        let signed = with_input(&mut self.waxseal(&["sign"]), message);
        assert!(signed.status.success(), "{}", text(&signed.stderr));
        let path = self.scratch.write("signed.eml", signed.stdout);
        let active = self.keys("active");
        let record = |selector: &String| {
            let name = format!("{selector}._domainkey.{ZONE}");
            format!("{name} {}\n", txt_at(self.bind.servers()[0], &name).concat())
        };
        let records: String = active.iter().map(record).collect();
        let signatures = dkimpy(&[path], &records).remove(0);
        assert!(signatures.iter().all(|signature| signature.outcome == Verified::Pass), "{signatures:?}");
        assert_eq!(signatures.len(), active.len());
        active
    }

    /// Changes the zone as another administrator would, past waxseal.
    pub(crate) fn by_hand(&self, changes: &str) {
        let server = self.bind.servers()[0];
        let input = format!("server {} {}\n{changes}\nsend\n", server.ip(), server.port());
        let mut command = Command::new(installed(&["/usr/bin/nsupdate"], "bind9-dnsutils"));
        let done = with_input(command.args(["-y", &format!("hmac-sha256:waxseal:{SECRET}")]), input.as_bytes());
        assert!(done.status.success(), "{}", text(&done.stderr));
    }

    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.scratch.join("state/audit.jsonl")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
