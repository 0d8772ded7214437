//! `waxseal import rspamd` over configurations such as people publish: what is taken over, what is said of the rest, and
//! whom the two sign for, by a model of rspamd.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use waxseal::keystore::{Directory, KeyStore};
use waxseal::manifest::StateName;
use waxseal::names::DomainName;

/// A directory of rspamd's, with what a test puts there.
struct Place(TempDir);

impl Place {
    /// With these files, in which `DIR` stands for the directory, and keys of these names.
    fn with(files: &[(&str, &str)], keys: &[&str]) -> Self {
        let place = Self(TempDir::new().unwrap());
        for name in ["local.d", "override.d", "modules.d", "keys"] {
            fs::create_dir(place.path(name)).unwrap();
        }
        let strong = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys/rsa-2048-pkcs8.pem");
        let weak = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys/rsa-1024-pkcs1.pem");
        for name in keys {
            let path = place.path("keys").join(name);
            fs::copy(if name.contains("weak") { &weak } else { &strong }, &path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        }
        for (name, text) in files {
            fs::write(place.path(name), text.replace("DIR", place.0.path().to_str().unwrap())).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["import", "rspamd"]).arg(self.0.path()).args(["--format", "json"]).args(arguments);
        command.arg("--to").arg(self.path("new")).output().unwrap()
    }

    fn import(&self, arguments: &[&str]) -> Report {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stdout));
        Report(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn refused(&self, arguments: &[&str]) -> Report {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!self.path("new").exists());
        Report(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn map(&self) -> Vec<String> {
        let map = fs::read_to_string(self.path("new/signers.map")).unwrap();
        map.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    fn config(&self) -> toml::Table {
        fs::read_to_string(self.path("new/waxseal.toml")).unwrap().parse().unwrap()
    }

    fn selectors(&self, domain: &str) -> Vec<(String, StateName)> {
        let store = Directory::open(&self.path("new/keys")).unwrap();
        let manifest = store.manifest(&DomainName::parse(domain).unwrap()).unwrap().unwrap();
        manifest.bindings().iter().map(|binding| (binding.selector.to_string(), binding.state.name())).collect()
    }
}

struct Report(Value);

impl Report {
    /// File and line of each finding with that rule.
    fn at(&self, rule: &str) -> Vec<String> {
        let findings = self.0["findings"].as_array().unwrap().iter().filter(|finding| finding["rule"] == rule);
        let place = |finding: &Value| {
            let path = Path::new(finding["place"]["path"].as_str().unwrap()).file_name().unwrap();
            format!("{}:{}", path.to_str().unwrap(), finding["place"]["line"])
        };
        findings.map(place).collect()
    }

    /// Those that are not by design.
    fn differences(&self) -> Vec<String> {
        let differences = self.0["comparison"]["differences"].as_array().unwrap();
        let differences = differences.iter().filter(|difference| difference.get("by_design").is_none());
        differences.map(Value::to_string).collect()
    }

    fn signed(&self) -> u64 {
        self.0["comparison"]["signed"].as_u64().unwrap()
    }
}

const LOCAL: &str = "local.d/dkim_signing.conf";

#[test]
fn the_tutorials_path_with_a_selector_takes_over_every_key_that_is_there() {
    let place = Place::with(
        &[(
            LOCAL,
            "# generated\npath = \"DIR/keys/$domain.$selector.key\";\nselector = \"mail\";\nsign_headers = \"(o)from:(x)to:subject:received\";\n",
        )],
        &["example.com.mail.key", "example.net.mail.key", "example.org.old.key", "sub.example.com.mail.key"],
    );
    let report = place.import(&[]);
    assert_eq!(report.differences(), [] as [&str; 0]);
    assert!(report.signed() >= 8);
    assert_eq!(
        place.map(),
        [
            "example.com  example.com",
            "*.example.com  example.com",
            "example.net  example.net",
            "*.example.net  example.net"
        ]
    );
    assert_eq!(place.selectors("example.net"), [("mail".to_owned(), StateName::Active)]);
    assert_eq!(report.at("import.never_matches"), ["dkim_signing.conf:2"], "a subdomain's key, with use_esld");
    assert_eq!(report.at("import.relayed").len(), 1);
    let config = place.config();
    let text = |section: &str, name: &str| config[section][name].as_str().map(str::to_owned);
    assert_eq!(text("trust", "bind_logins").as_deref(), Some("own-registrable"));
    assert_eq!(text("trust", "match_envelope").as_deref(), Some("same-registrable"));
    assert_eq!(config["signing"]["sign_present"].as_array().unwrap().len(), 1);
    assert_eq!(place.run(&[]).status.code(), Some(2), "a second run overwrites nothing");
}

#[test]
fn domains_with_their_own_keys_are_taken_over_from_local_and_override() {
    let place = Place::with(
        &[
            (
                "modules.d/dkim_signing.conf",
                "dkim_signing {\n  selector = \"dkim\";\n  try_fallback = true;\n\
                 .include(try=true,priority=1,duplicate=merge) \"$LOCAL_CONFDIR/local.d/dkim_signing.conf\"\n}\n",
            ),
            (
                LOCAL,
                "try_fallback = false;\nallow_username_mismatch = true;\nuse_esld = false;\nsign_local = false;\n\
                 domain {\n  example.com {\n    selectors [\n      { path: \"DIR/keys/a.key\"; selector: \"a\" },\n\
                 { path: \"DIR/keys/weak.key\"; selector: \"b\" }\n    ]\n  }\n  example.net { path = \"DIR/keys/a.key\"; selector = \"n\"; }\n\
                 missing.example { path = \"DIR/keys/none.key\"; selector = \"x\"; }\n}\n",
            ),
            ("override.d/dkim_signing.conf", "sign_networks = [\"192.0.2.0/24\", \"198.51.100.7\"];\n"),
            ("local.d/arc.conf", "domain {}\n"),
        ],
        &["a.key", "weak.key"],
    );
    let report = place.import(&[]);
    assert_eq!(place.map(), ["example.com  example.com", "example.net  example.net"]);
    assert_eq!(
        place.selectors("example.com"),
        [("a".to_owned(), StateName::Active), ("b".to_owned(), StateName::Published)]
    );
    assert_eq!(report.at("import.second_selector").len(), 1);
    assert_eq!(report.at("import.no_key").len(), 1);
    assert_eq!(report.at("import.arc"), ["arc.conf:null"]);
    assert!(report.differences().iter().all(|difference| difference.contains("s=b")), "the report said so");
    let config = place.config();
    assert_eq!(config["trust"]["networks"].as_array().unwrap().len(), 2);
    assert_eq!(config["trust"]["bind_logins"].as_str(), Some("off"));
    assert_eq!(config["trust"]["local_submission"].as_bool(), Some(false));
}

#[test]
fn maps_of_selectors_and_paths_are_taken_over() {
    let place = Place::with(
        &[
            (
                LOCAL,
                "selector_map = \"DIR/selectors.map\";\npath_map = \"DIR/paths.map\";\ntry_fallback = false;\n\
                 path = \"DIR/keys/$selector.key\";\nselector = \"fallback\";\n",
            ),
            ("selectors.map", "# selectors\nexample.com a\nexample.net b\n"),
            ("paths.map", "example.net DIR/keys/weak.key # old\nexample.org DIR/keys/a.key\n"),
        ],
        &["a.key", "weak.key"],
    );
    let report = place.import(&[]);
    assert_eq!(report.differences(), [] as [&str; 0]);
    let first = |domain: &str| place.selectors(domain)[0].0.clone();
    assert_eq!([first("example.com"), first("example.net"), first("example.org")], ["a", "b", "fallback"]);
    assert_eq!(report.at("import.weak_key"), ["selectors.map:3"]);
}

#[test]
fn tables_in_opendkims_form_are_taken_over_with_what_they_do_not_ask() {
    let place = Place::with(
        &[
            (
                LOCAL,
                "signing_table = \"DIR/signing.table\";\nkey_table = [\"a example.com:s:DIR/keys/a.key\", \"b example.net:DIR/keys/a.key\"];\nselector = \"std\";\n",
            ),
            ("signing.table", "*@example.com a\nnews@example.net b\n"),
        ],
        &["a.key"],
    );
    let report = place.import(&[]);
    assert_eq!(report.differences(), [] as [&str; 0]);
    assert_eq!(place.map(), ["example.com  example.com", "news@example.net  example.net"]);
    assert_eq!(place.selectors("example.net")[0].0, "std");
    assert_eq!(place.config()["trust"]["bind_logins"].as_str(), Some("off"));
}

#[test]
fn one_domain_for_all_is_taken_over_if_any_login_may_write_as_anybody() {
    let fixed = "use_domain = \"example.com\";\npath = \"DIR/keys/$domain.key\";\n";
    let place = Place::with(&[(LOCAL, fixed)], &["example.com.key"]);
    assert_eq!(place.refused(&[]).at("import.use_domain"), ["dkim_signing.conf:1"]);
    let place = Place::with(
        &[(LOCAL, &format!("{fixed}allow_username_mismatch = true; allow_hdrfrom_mismatch = true"))],
        &["example.com.key"],
    );
    let report = place.import(&[]);
    assert_eq!(place.map(), ["*  example.com"]);
    assert_eq!(report.differences(), [] as [&str; 0]);
}

#[test]
fn what_would_sign_more_or_cannot_be_taken_over_is_refused() {
    let path = "path = \"DIR/keys/$domain.key\";\n";
    for (settings, rule) in [
        ("use_redis = true;\nservers = \"127.0.0.1\";\npassword = \"s3cret\";\n", "import.dataset"),
        ("use_vault = true;\nvault_token = \"s3cret\";\n", "import.dataset"),
        ("sign_condition = <<EOD\nreturn function(task) return true end\nEOD\n", "import.dataset"),
        ("use_domain = \"recipient\";\n", "import.use_domain"),
        ("use_domain_sign_local = \"envelope\";\n", "import.use_domain"),
        ("selector_map = \"https://x.invalid/map\";\n", "import.dataset"),
        ("selector_map = \"/nowhere/map\";\n", "import.unreadable"),
        ("allow_envfrom_empty = false;\n", "import.wider"),
        ("enabled = false;\n", "import.mode"),
        ("domain {\n", "import.syntax"),
        (".include \"DIR/local.d/none.conf\"\n", "import.unreadable"),
    ] {
        let settings = format!("{path}{settings}");
        let place = Place::with(&[(LOCAL, &settings)], &["example.com.key"]);
        let report = place.refused(&[]);
        assert!(!report.at(rule).is_empty(), "{settings}: {}", report.0);
        assert!(!report.0.to_string().contains("s3cret"));
    }
    let place = Place::with(&[], &[]);
    assert_eq!(place.refused(&[]).at("import.signs_nobody").len(), 1);
}

#[test]
fn hostile_values_are_refused_or_said_and_never_fatal() {
    for settings in [
        "path = \"/dev/zero\";\ndomain { example.com { selector = x } }\n".to_owned(),
        "domain { \"\u{1b}[31m\" { path = \"DIR/keys/a.key\"; selector = s } }\n".to_owned(),
        "path = \"$domain/$selector\";\n".to_owned(),
        "signing_table = [\"* *\", \"% %\"];\nkey_table = [\"% %:%:%\"];\n".to_owned(),
        ".include \"dkim_signing.conf\"\n".repeat(50),
        "a {".repeat(5000),
        "domain { example.com { selectors [[[[{path=x}]]]] } }".to_owned(),
    ] {
        let place = Place::with(&[(LOCAL, &settings)], &["a.key"]);
        let output = place.run(&["--dry-run"]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{settings}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.contains(&0x1b), "{settings:?}");
    }
    let place = Place::with(&[], &["a.key"]);
    fs::write(place.path(LOCAL), b"path = \"\xff\0\";\n").unwrap();
    assert_eq!(place.refused(&[]).at("import.octets").len(), 1);
}
