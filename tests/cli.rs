//! `waxseal` as its users type it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::with_input;
use tempfile::TempDir;

const MESSAGE: &str = "From: Joe <joe@example.com>\r\nTo: you@example.net\r\nSubject: hi\r\n\r\nHello\r\n";

/// An installation in a temporary directory.
struct House {
    dir: TempDir,
}

impl House {
    /// `waxseal init` for these domains.
    fn with(domains: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = Self { dir };
        let mut args = vec!["init", "--dir", house.path(), "--yes"];
        args.extend(domains);
        succeeds(&waxseal(&args, b""));
        house
    }

    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("waxseal.toml")
    }

    fn domain(&self, domain: &str) -> PathBuf {
        self.dir.path().join("keys/domains").join(domain)
    }

    /// The private key file of an algorithm's letter.
    fn key_file(&self, domain: &str, letter: char) -> PathBuf {
        let entries = fs::read_dir(self.domain(domain)).unwrap();
        let is_key = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.ends_with(".pem") && name.split('.').next().unwrap().ends_with(letter)
        };
        entries.map(|entry| entry.unwrap().path()).find(is_key).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, b"")
    }

    fn run_with(&self, args: &[&str], stdin: &[u8]) -> Output {
        let config = self.config();
        let mut all = vec!["--config", config.to_str().unwrap()];
        all.extend(args);
        waxseal(&all, stdin)
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        succeeds(&output);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The published records in the form that check-message reads.
    fn records(&self, domain: &str) -> PathBuf {
        let records = self.json(&["record", domain, "--format", "json"]);
        let lines: String = records
            .as_array()
            .unwrap()
            .iter()
            .map(|record| format!("{} {}\n", record["name"].as_str().unwrap(), record["value"].as_str().unwrap()))
            .collect();
        let path = self.dir.path().join(format!("{domain}.records"));
        fs::write(&path, lines).unwrap();
        path
    }
}

fn waxseal(args: &[&str], stdin: &[u8]) -> Output {
    with_input(Command::new(env!("CARGO_BIN_EXE_waxseal")).args(args), stdin)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}\n{}", stdout(output), stderr(output));
}

#[track_caller]
fn fails(output: &Output, code: i32, expected: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for text in expected {
        assert!(said.contains(text), "{text:?} in {said}");
    }
}

#[test]
fn init_writes_everything_and_says_what_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        waxseal(&["init", "--dir", dir.path().to_str().unwrap(), "--yes", "example.com", "Bücher.example"], b"");
    succeeds(&output);
    let said = stdout(&output);
    for text in [
        "_domainkey.example.com. 3600 IN TXT ( \"v=DKIM1; k=rsa; p=",
        "_domainkey.xn--bcher-kva.example. 3600 IN TXT ( \"v=DKIM1; k=ed25519; p=",
        "smtpd_milters = inet:127.0.0.1:8892",
        "non_smtpd_milters = inet:127.0.0.1:8892",
        "INPUT_MAIL_FILTER(`waxseal', `S=inet:8892@127.0.0.1, F=T",
        "activate example.com xn--bcher-kva.example",
        "waxseald --config",
    ] {
        assert!(said.contains(text), "{text:?} in {said}");
    }
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("waxseal.toml"), 0o644);
    assert_eq!(mode("keys"), 0o700);
    assert_eq!(mode("keys/domains/example.com/manifest.json"), 0o600);
}

#[test]
fn init_does_nothing_without_a_yes_and_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    fails(&waxseal(&["init", "--dir", path, "example.com"], b"y\n"), 1, &["nothing was written", "--yes"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    let house = House::with(&["example.com"]);
    let again = waxseal(&["init", "--dir", house.path(), "--yes", "example.net"], b"");
    fails(&again, 1, &["exists", "generate example.net"]);
    assert!(!house.domain("example.net").exists());
}

#[test]
fn init_takes_a_store_that_is_there_and_completes_what_was_cut_short() {
    let house = House::with(&["example.com"]);
    let key = house.key_file("example.com", 'r');
    // As an init leaves it whose disk was full before the configuration; as systemd-tmpfiles makes an empty one.
    fs::remove_file(house.config()).unwrap();
    let again = waxseal(&["init", "--dir", house.path(), "--yes", "example.com", "example.net"], b"");
    succeeds(&again);
    assert_eq!(stdout(&again).matches(" IN TXT ").count(), 4, "{}", stdout(&again));
    assert_eq!(house.key_file("example.com", 'r'), key);
    assert_eq!(fs::read_dir(house.domain("example.com")).unwrap().count(), 3);
    succeeds(&house.run(&["activate", "--yes", "example.com", "example.net"]));
}

#[test]
fn init_binds_logins_where_it_is_told_to_and_says_so_where_it_does_not() {
    let with = |args: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let output = waxseal(&[&["init", "--yes", "--dir", dir.path().to_str().unwrap()], args].concat(), b"");
        let config = fs::read_to_string(dir.path().join("waxseal.toml")).unwrap_or_default();
        (output, config)
    };
    let ed25519 = ["--algorithm", "ed25519"];
    let (one, config) = with(&[&ed25519[..], &["example.com"]].concat());
    assert!(!stdout(&one).contains("bind_logins") && !config.contains("bind_logins"), "{config}");
    let (several, config) = with(&[&ed25519[..], &["example.com", "example.net"]].concat());
    assert!(stdout(&several).contains("bind_logins = \"own-domain\"") && !config.contains("bind_logins"), "{config}");
    for binding in ["own-domain", "own-registrable"] {
        let (bound, config) = with(&[&ed25519[..], &["--bind-logins", binding, "example.com", "example.net"]].concat());
        succeeds(&bound);
        assert!(config.contains(&format!("bind_logins = \"{binding}\"\n")), "{config}");
        assert!(!stdout(&bound).contains("Whoever logs in"), "{}", stdout(&bound));
    }
    fails(&with(&["--bind-logins", "listed", "example.com"]).0, 2, &["own-registrable"]);
}

#[test]
fn init_refuses_what_the_daemon_would_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let init = |args: &[&str]| waxseal(&[&["init", "--dir", path, "--yes", "example.com"], args].concat(), b"");
    fails(&init(&["--listen", "inet:8892@0.0.0.0"]), 2, &["inet:8892@0.0.0.0", "allow"]);
    fails(&init(&["--config", "/elsewhere/waxseal.toml"]), 2, &["/elsewhere/waxseal.toml", "--dir"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_domain_named_twice_gets_one_set_of_keys() {
    let house = House::with(&["example.com", "EXAMPLE.com"]);
    assert_eq!(house.json(&["list", "--format", "json"]).as_array().unwrap().len(), 2);
    let made = house.run(&["generate", "example.net", "example.net.", "--algorithm", "ed25519"]);
    succeeds(&made);
    assert_eq!(stdout(&made).matches(" IN TXT ").count(), 1, "{}", stdout(&made));
}

#[test]
fn what_cannot_be_written_out_is_told_from_a_full_store() {
    let house = House::with(&["example.com"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_waxseal"))
        .args(["--config", house.config().to_str().unwrap(), "list"])
        .stdout(full)
        .output()
        .unwrap();
    fails(&output, 1, &["standard output", "No space left"]);
}

#[test]
fn keys_are_generated_listed_shown_recorded_and_activated() {
    let house = House::with(&["example.com"]);
    succeeds(&house.run(&["generate", "example.net", "--algorithm", "ed25519"]));

    let listed = house.json(&["list", "--format", "json"]);
    let row = |key: &Value| {
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        (text("domain"), text("algorithm"), key["bits"].as_u64().unwrap(), text("state"))
    };
    let mut rows: Vec<_> = listed.as_array().unwrap().iter().map(row).collect();
    rows.sort();
    let generated = || "generated".to_owned();
    assert_eq!(
        rows,
        [
            ("example.com".into(), "ed25519-sha256".into(), 256, generated()),
            ("example.com".into(), "rsa-sha256".into(), 2048, generated()),
            ("example.net".into(), "ed25519-sha256".into(), 256, generated()),
        ]
    );

    let output = house.run(&["activate", "example.com"]);
    fails(&output, 1, &["nothing was changed", "--yes"]);
    assert!(stdout(&output).contains("What this risks"), "{}", stdout(&output));
    succeeds(&house.run(&["activate", "--yes", "example.com"]));
    let shown = house.json(&["show", "example.com", "--format", "json"]);
    assert!(shown["keys"].as_array().unwrap().iter().all(|key| key["state"] == "active"), "{shown}");
    let again = house.run(&["activate", "--yes", "example.com"]);
    succeeds(&again);
    assert!(stdout(&again).contains("already"), "{}", stdout(&again));

    let plain = stdout(&house.run(&["record", "example.com", "--format", "plain"]));
    let bind = stdout(&house.run(&["record", "example.com"]));
    let json = house.json(&["record", "example.com", "--format", "json"]);
    for record in json.as_array().unwrap() {
        assert_eq!(record["type"], "TXT");
        assert_eq!(record["ttl"], 3600);
        let (name, value) = (record["name"].as_str().unwrap(), record["value"].as_str().unwrap());
        assert!(plain.contains(&format!("name   {name}\n")) && plain.contains(&format!("value  {value}\n")), "{plain}");
        let line = bind.lines().find(|line| line.starts_with(&format!("{name}. 3600 IN TXT ( \""))).unwrap();
        let strings: Vec<_> = line.split('"').skip(1).step_by(2).collect();
        assert!(strings.iter().all(|string| string.len() <= 255));
        assert_eq!(strings.concat(), value);
    }
}

#[test]
fn a_new_activation_retires_the_key_before_it() {
    let house = House::with(&["example.com"]);
    succeeds(&house.run(&["activate", "--yes", "example.com"]));
    succeeds(&house.run(&["generate", "example.com", "--algorithm", "rsa"]));
    let output = house.run(&["activate", "--yes", "example.com"]);
    succeeds(&output);
    assert!(stdout(&output).contains("will retire"), "{}", stdout(&output));
    let shown = house.json(&["show", "example.com", "--format", "json"]);
    let states: Vec<_> = shown["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| format!("{} {}", key["algorithm"].as_str().unwrap(), key["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states.iter().filter(|state| *state == "rsa-sha256 active").count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|state| *state == "rsa-sha256 retiring").count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|state| *state == "ed25519-sha256 active").count(), 1, "{states:?}");
}

#[test]
fn a_message_is_signed_and_checked_without_a_daemon() {
    let house = House::with(&["example.com"]);
    fails(&house.run_with(&["sign"], MESSAGE.as_bytes()), 1, &["no_active_key", "activate"]);
    succeeds(&house.run(&["activate", "--yes", "example.com"]));
    let signed = house.run_with(&["sign"], MESSAGE.as_bytes());
    succeeds(&signed);
    let text = stdout(&signed);
    assert!(text.starts_with("DKIM-Signature: v=1; a=rsa-sha256;"), "{text}");
    assert_eq!(text.matches("DKIM-Signature:").count(), 2);
    assert!(text.ends_with(MESSAGE));
    let head = text.lines().take_while(|line| !line.starts_with("From:"));
    assert!(head.clone().all(|line| line.len() <= 78), "{text}");

    let records = house.records("example.com");
    let records = records.to_str().unwrap();
    let checked = house.run_with(&["check-message", "--records", records], &signed.stdout);
    succeeds(&checked);
    assert_eq!(stdout(&checked).matches("pass").count(), 2, "{}", stdout(&checked));
    // The same from what `waxseal record` prints for zone files.
    let zone = house.dir.path().join("zone");
    fs::write(&zone, house.run(&["record", "example.com"]).stdout).unwrap();
    succeeds(&house.run_with(&["check-message", "--records", zone.to_str().unwrap()], &signed.stdout));
    fails(&house.run_with(&["check-message", "--records", "/nonexistent"], &signed.stdout), 2, &["/nonexistent"]);
    let tampered = text.replace("Hello", "Hallo");
    let checked = house.run_with(&["check-message", "--records", records, "--format", "json"], tampered.as_bytes());
    assert_eq!(checked.status.code(), Some(1));
    assert!(stdout(&checked).contains("body"), "{}", stdout(&checked));
    let unsigned = house.run_with(&["check-message", "--records", records], MESSAGE.as_bytes());
    assert_eq!(unsigned.status.code(), Some(1), "{}", stdout(&unsigned));
}

#[test]
fn what_cannot_be_signed_is_named_with_its_reason() {
    let house = House::with(&["example.com"]);
    succeeds(&house.run(&["activate", "--yes", "example.com"]));
    let sign = |message: &str| house.run_with(&["sign"], message.as_bytes());
    fails(&sign("To: a@b.example\r\n\r\n"), 1, &["no_from"]);
    fails(&sign("From: a@example.com\r\nFrom: b@example.com\r\n\r\n"), 1, &["several_from"]);
    fails(&sign("From: a@example.net\r\n\r\n"), 1, &["no_key", "example.net", "generate"]);
    fails(&sign("From: nobody\r\n\r\n"), 1, &["unparsable_from"]);
    let many = "Comments: x\r\n".repeat(1000);
    fails(&sign(&format!("From: a@example.com\r\n{many}\r\n")), 1, &["header_too_large", "limits.header_fields"]);
}

#[test]
fn a_broken_key_costs_only_itself() {
    let house = House::with(&["example.com", "example.net"]);
    succeeds(&house.run(&["activate", "--yes", "example.com", "example.net"]));
    let broken = house.key_file("example.com", 'r');
    let good = fs::read(&broken).unwrap();

    fs::write(&broken, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let name = broken.file_name().unwrap().to_str().unwrap();
    let shown = house.run(&["show", "example.com"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(stdout(&shown).contains(name) && stdout(&shown).contains("cannot sign"), "{}", stdout(&shown));
    let signed = house.run_with(&["sign"], MESSAGE.as_bytes());
    succeeds(&signed);
    assert_eq!(stdout(&signed).matches("DKIM-Signature:").count(), 1);
    assert!(stderr(&signed).contains(name), "{}", stderr(&signed));

    // The key of another domain is a good key, but not this one's.
    fs::copy(house.key_file("example.net", 'r'), &broken).unwrap();
    let shown = stdout(&house.run(&["show", "example.com"]));
    assert!(shown.contains("cannot sign"), "{shown}");

    fs::remove_file(&broken).unwrap();
    let shown = stdout(&house.run(&["show", "example.com"]));
    assert!(shown.contains("cannot sign") && shown.contains(name), "{shown}");

    fs::write(&broken, good).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o600)).unwrap();
    succeeds(&house.run(&["show", "example.com"]));
}

#[test]
fn modes_that_let_others_read_are_refused_with_the_remedy() {
    let house = House::with(&["example.com", "example.net"]);
    succeeds(&house.run(&["activate", "--yes", "example.com", "example.net"]));
    let key = house.key_file("example.com", 'r');
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = house.run(&["show", "example.com"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(stdout(&shown).contains("chmod"), "{}", stdout(&shown));
    succeeds(&house.run_with(&["sign"], MESSAGE.replace("example.com", "example.net").as_bytes()));

    let keys = house.dir.path().join("keys");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
    fails(&house.run(&["list"]), 1, &["chmod", keys.to_str().unwrap(), "755"]);
}

#[test]
fn a_manifest_of_a_newer_version_or_edited_by_hand_is_named() {
    let house = House::with(&["example.com", "example.net"]);
    let manifest = house.domain("example.com").join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    fails(&house.run(&["show", "example.com"]), 1, &["manifest.json", "newer"]);
    fs::write(&manifest, text.replace("\"status\"", "\"statsu\"")).unwrap();
    fails(&house.run(&["show", "example.com"]), 1, &["manifest.json", "statsu"]);

    let listed = house.run(&["list"]);
    assert_eq!(listed.status.code(), Some(1));
    assert!(stdout(&listed).contains("example.net"), "{}", stdout(&listed));
    fails(&listed, 1, &["example.com"]);
}

#[test]
fn wrong_words_and_files_are_usage_errors_with_a_next_step() {
    fails(&waxseal(&["frobnicate"], b""), 2, &["frobnicate"]);
    fails(&waxseal(&["generate", "exa mple.com"], b""), 2, &["0x20", "position 4"]);
    fails(&waxseal(&["--config", "/nonexistent/waxseal.toml", "list"], b""), 2, &["/nonexistent/waxseal.toml"]);
    let house = House::with(&["example.com"]);
    fs::write(house.config(), "version = 1\n[keys]\nstroe = \"keys\"\n").unwrap();
    fails(&house.run(&["list"]), 2, &["waxseal.toml:3", "stroe", "store"]);
    let house = House::with(&["example.com"]);
    fails(&house.run(&["generate", "example.com", "--bits", "1024"]), 2, &["1024", "2048"]);
    fails(&house.run(&["generate", "192.0.2.1"]), 2, &["192.0.2.1 is an address"]);
    fails(&house.run(&["show", "example.org"]), 1, &["example.org", "generate"]);
    fails(&house.run(&["record", "example.com", "--selector", "none"]), 1, &["no selector none"]);
}

#[test]
fn config_check_opens_what_the_daemon_would_open() {
    let house = House::with(&["example.com"]);
    succeeds(&house.run(&["config", "check"]));
    let keys = house.dir.path().join("keys");
    fs::rename(&keys, house.dir.path().join("elsewhere")).unwrap();
    let checked = house.run(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(1), "{}", stdout(&checked));
    let said = stdout(&checked) + &stderr(&checked);
    assert!(said.contains(keys.to_str().unwrap()), "{said}");
}

#[test]
fn the_demo_signs_and_verifies_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_waxseal")).arg("demo").env("TMPDIR", temporary.path()).output().unwrap();
    succeeds(&output);
    let said = stdout(&output);
    assert_eq!(said.matches("DKIM-Signature:").count(), 2, "{said}");
    assert!(said.contains("decision=sign reason=signed"), "{said}");
    assert_eq!(said.matches("pass").count(), 2, "{said}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn completions_and_manual_pages_are_written() {
    let script = waxseal(&["completions", "bash"], b"");
    succeeds(&script);
    assert!(stdout(&script).contains("check-message"));
    let dir = tempfile::tempdir().unwrap();
    succeeds(&waxseal(&["man", dir.path().to_str().unwrap()], b""));
    assert!(Path::exists(&dir.path().join("waxseal-generate.1")));
}
