//! `waxseal publish` as an administrator runs it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::{LOOPBACK, SECRET, ZONE, txt_at};
use crate::support::{Bind, Scratch, Statements, ZoneText, free_port, run};

pub(crate) struct Host {
    scratch: Scratch,
}

impl Host {
    pub(crate) fn new(settings: &str) -> Self {
        let scratch = Scratch::new("publish");
        let host = Self { scratch };
        run(host.waxseal(&["init", "--yes", ZONE]).arg("--dir").arg(host.scratch.path()));
        host.secret(SECRET);
        host.configure(settings);
        host
    }

    /// Another secret of the publisher.
    pub(crate) fn secret(&self, secret: &str) {
        self.write_secret(&self.scratch.join("dns.secret"), secret, 0o600);
    }

    pub(crate) fn write_secret(&self, path: &Path, secret: &str, mode: u32) {
        let _ = fs::remove_file(path);
        fs::write(path, secret).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Another configuration.
    pub(crate) fn configure(&self, settings: &str) {
        let basis = "version = 1\n[keys]\nstore = \"keys\"\n[dns]\nresolvers = [\"127.0.0.1:9\"]\ntimeout = \"500ms\"\n\
             [rotation]\nstate = \"state\"\n";
        self.scratch.write("waxseal.toml", format!("{basis}{settings}"));
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.scratch.folder(name)
    }

    /// The names of the keys' records, in the order of [`Self::states`].
    pub(crate) fn names(&self) -> Vec<String> {
        let planned = run(&mut self.waxseal(&["publish", ZONE, "--dry-run", "--format", "json"]));
        let planned: Vec<Value> = serde_json::from_slice(&planned.stdout).unwrap();
        planned.iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn waxseal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["--color", "never"]).arg("--config").arg(self.scratch.join("waxseal.toml")).args(arguments);
        command.env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    fn publish(&self, arguments: &[&str]) -> Output {
        self.waxseal(&["publish", ZONE]).args(arguments).output().unwrap()
    }

    pub(crate) fn states(&self) -> Vec<String> {
        let listed = run(&mut self.waxseal(&["list", "--format", "json"]));
        let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        listed.iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect()
    }
}

fn bind() -> Bind {
    let statements = Statements {
        global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
        of_zones: format!(
            "update-policy {{ grant waxseal wildcard *._domainkey.{ZONE}. TXT; }}; allow-transfer {{ any; }};"
        ),
    };
    Bind::start_with(&[ZoneText::new(ZONE, &[LOOPBACK], "")], &[LOOPBACK], &statements)
}

fn rfc2136(server: &str) -> String {
    format!(
        "[[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\nserver = \"{server}\"\nkey_name = \"waxseal\"\nsecret_file = \"dns.secret\"\n"
    )
}

pub(crate) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn records_are_published_seen_and_noted() {
    let bind = bind();
    let server = bind.servers()[0].to_string();
    let host = Host::new(&rfc2136(&server));
    let plan = host.publish(&["--dry-run"]);
    assert_eq!(plan.status.code(), Some(0), "{}", text(&plan.stderr));
    assert!(text(&plan.stdout).contains("publish (primary)"), "{}", text(&plan.stdout));
    let unasked = host.publish(&["--servers", &server]);
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked.stderr).contains("add --yes"));
    assert_eq!(host.states(), ["generated", "generated"]);

    let published = host.publish(&["--yes", "--servers", &server, "--format", "json"]);
    assert_eq!(published.status.code(), Some(0), "{}{}", text(&published.stdout), text(&published.stderr));
    let lines: Vec<Value> = serde_json::from_slice(&published.stdout).unwrap();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!((line["outcome"].as_str(), line["seen"].as_str()), (Some("done"), Some("everywhere")), "{line}");
        assert_eq!(line["state"], "published");
        assert_eq!(txt_at(bind.servers()[0], line["name"].as_str().unwrap()), [line["value"].as_str().unwrap()]);
    }
    assert_eq!(host.states(), ["published", "published"]);
    let again = host.publish(&["--yes", "--servers", &server]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(text(&again.stdout).matches("was published already").count(), 2, "{}", text(&again.stdout));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_secondary_that_lags_is_waited_for() {
    let bind = bind();
    let primary = bind.servers()[0];
    let secondary = Bind::secondary_of(primary, &[ZONE], &[LOOPBACK]);
    let servers = format!("{primary},{}", secondary.servers()[0]);
    let host = Host::new(&rfc2136(&primary.to_string()));
    let published = host.publish(&["--yes", "--servers", &servers, "--wait=30s", "--format", "json"]);
    assert_eq!(published.status.code(), Some(0), "{}{}", text(&published.stdout), text(&published.stderr));
    let lines: Vec<Value> = serde_json::from_slice(&published.stdout).unwrap();
    for line in &lines {
        assert_eq!(line["servers"].as_object().unwrap().len(), 2, "{line}");
        assert_eq!(txt_at(secondary.servers()[0], line["name"].as_str().unwrap()), [line["value"].as_str().unwrap()]);
    }
    secondary.stop();
    let away = host.publish(&["--yes", "--servers", &servers, "--format", "json"]);
    let lines: Vec<Value> = serde_json::from_slice(&away.stdout).unwrap();
    assert!(lines[0]["servers"].as_object().unwrap().values().any(|has| has == "silent"), "{}", text(&away.stdout));
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn what_fails_changes_no_state_and_names_no_secret() {
    let bind = bind();
    let server = bind.servers()[0].to_string();
    let host = Host::new(&rfc2136(&server));
    host.scratch.write("dns.secret", "YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3QgdGhlIHNlcnZlcnM=");
    let refused = host.publish(&["--yes", "--servers", &server]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stdout).contains("BADSIG"), "{}", text(&refused.stdout));
    assert!(!text(&refused.stdout).contains("YW5v") && !text(&refused.stderr).contains("YW5v"));
    assert_eq!(host.states(), ["generated", "generated"]);

    fs::set_permissions(host.scratch.join("dns.secret"), Permissions::from_mode(0o644)).unwrap();
    let exposed = host.publish(&["--yes"]);
    assert_eq!(exposed.status.code(), Some(1));
    assert!(text(&exposed.stderr).contains("chmod 0640"), "{}", text(&exposed.stderr));
}

#[test]
fn without_a_publisher_the_records_are_printed_and_an_operator_s_word_is_taken() {
    let host = Host::new("");
    // Nobody answers there: what stands in DNS remains unknown.
    let nobody = format!("127.0.0.1:{}", free_port());
    let printed = host.publish(&["--yes", "--servers", &nobody]);
    assert_eq!(printed.status.code(), Some(3), "{}{}", text(&printed.stdout), text(&printed.stderr));
    assert_eq!(text(&printed.stdout).matches("IN TXT \"v=DKIM1").count(), 2, "{}", text(&printed.stdout));
    assert_eq!(host.states(), ["generated", "generated"]);
    let told = host.publish(&["--yes", "--published", "--servers", &nobody]);
    assert_eq!(told.status.code(), Some(3), "{}", text(&told.stderr));
    assert_eq!(host.states(), ["published", "published"]);
}
