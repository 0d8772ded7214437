//! `waxseal import opendkim` over configurations such as people publish: what is taken over, what is said of the rest, and
//! whom the two sign for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use waxseal::config::{Accounts, parse};
use waxseal::import::opendkim::Setup;
use waxseal::import::{Sample, Selection, Signature, Sources, Unreadable};
use waxseal::keystore::{Directory, KeyStore};
use waxseal::manifest::StateName;
use waxseal::names::DomainName;
use zeroize::Zeroizing;

/// A directory with keys, `strong.pem` of 2048 bits and `weak.pem` of 1024, and what a test puts there.
struct Place(TempDir);

impl Place {
    /// With a configuration, in which `DIR` stands for the directory, and other files.
    fn with(configuration: &str, files: &[(&str, &str)]) -> Self {
        let place = Self(TempDir::new().unwrap());
        for (name, key) in [("strong.pem", "rsa-2048-pkcs8.pem"), ("weak.pem", "rsa-1024-pkcs1.pem")] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys").join(key);
            fs::write(place.path(name), fs::read(from).unwrap()).unwrap();
            fs::set_permissions(place.path(name), Permissions::from_mode(0o600)).unwrap();
        }
        for (name, text) in files.iter().chain([&("opendkim.conf", configuration)]) {
            fs::write(place.path(name), text.replace("DIR", place.0.path().to_str().unwrap())).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Without the real OpenDKIM, wherever it may be installed.
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(&[&["--model-only"], arguments].concat())
    }

    fn run_with(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["import", "opendkim"]).arg(self.path("opendkim.conf")).args(arguments);
        command.arg("--to").arg(self.path("new")).output().unwrap()
    }

    /// Imports, successfully, and gives the report.
    fn import(&self, arguments: &[&str]) -> Report {
        let output = self.run(&[&["--format", "json"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stdout));
        Report(serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Imports, which must be refused, and gives the report.
    fn refused(&self, arguments: &[&str]) -> Report {
        let output = self.run(&[&["--format", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!self.path("new").exists());
        Report(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn map(&self) -> Vec<String> {
        let map = fs::read_to_string(self.path("new/signers.map")).unwrap();
        map.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// The configuration that was written, as a table; it is valid.
    fn config(&self) -> toml::Table {
        struct Nobody;
        impl Accounts for Nobody {
            fn user(&self, _: &str) -> Option<u32> {
                None
            }
            fn group(&self, _: &str) -> Option<u32> {
                None
            }
        }
        let path = self.path("new/waxseal.toml");
        let text = fs::read_to_string(&path).unwrap();
        parse(&path, &text, &Nobody).unwrap();
        text.parse().unwrap()
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
        findings
            .map(|finding| {
                let path = Path::new(finding["place"]["path"].as_str().unwrap()).file_name().unwrap();
                format!("{}:{}", path.to_str().unwrap(), finding["place"]["line"])
            })
            .collect()
    }

    fn evidence(&self, rule: &str) -> String {
        let findings = self.0["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["rule"] == rule).unwrap()["evidence"].as_str().unwrap().to_owned()
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

const TABLES: &str =
    "Mode sv\nCanonicalization relaxed/simple\nKeyTable DIR/key.table\nSigningTable refile:DIR/signing.table\n";

#[test]
fn debians_default_signs_for_nobody_and_says_so() {
    let place = Place::with(
        "Syslog\tyes\nSyslogSuccess yes\nCanonicalization relaxed/simple\nOversignHeaders From\nUserID opendkim\n\
         UMask 007\nSocket local:/run/opendkim/opendkim.sock\nPidFile /run/opendkim/opendkim.pid\n\
         TrustAnchorFile /usr/share/dns/root.key\n",
        &[],
    );
    let report = place.refused(&[]);
    assert_eq!(report.at("import.signs_nobody").len(), 1);
    assert!(report.evidence("import.verifying").contains("trustanchorfile"));
}

#[test]
fn the_tutorials_tables_sign_the_same_mail_with_the_same_keys() {
    let place = Place::with(
        &format!(
            "{TABLES}InternalHosts DIR/trusted\nExternalIgnoreList DIR/trusted\nSocket inet:8891@localhost # Postfix\n"
        ),
        &[
            ("trusted", "127.0.0.1\nlocalhost\n192.0.2.0/24\n*.example.com\n"),
            (
                "key.table",
                "mail._domainkey.example.com example.com:mail:DIR/strong.pem\nnet example.net:old:DIR/weak.pem\n",
            ),
            (
                "signing.table",
                "# comment\nnews@example.com net\n*@example.com mail._domainkey.example.com:boss@example.com\n\
                 *@*.example.com mail._domainkey.example.com\n*example.net net\n",
            ),
        ],
    );
    let report = place.import(&[]);
    assert_eq!(report.differences(), [] as [&str; 0]);
    assert!(report.signed() > 5);
    assert_eq!(
        place.map(),
        [
            "news@example.com  example.net",
            "example.com  example.com boss@example.com",
            "*.example.com  example.com",
            "*example.net  example.net",
        ]
    );
    assert_eq!(place.selectors("example.com"), [("mail".to_owned(), StateName::Active)]);
    assert_eq!(place.selectors("example.net"), [("old".to_owned(), StateName::Active)]);
    assert_eq!(report.at("import.weak_key"), ["signing.table:2"]);
    assert_eq!(report.at("import.never_matches"), ["trusted:4"]);
    let config = place.config();
    let networks: Vec<_> =
        config["trust"]["networks"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(networks, ["127.0.0.1/32", "192.0.2.0/24"]);
    assert_eq!(config["trust"]["daemon_names"].as_array().unwrap().len(), 0);
    assert_eq!(config["listener"][0]["socket"].as_str(), Some("inet:8892@127.0.0.1"));
    assert_eq!(place.run(&[]).status.code(), Some(2), "a second run overwrites nothing");
}

#[test]
fn one_domain_with_a_key_file_is_taken_over_with_what_it_excepts() {
    let place = Place::with(
        "Domain example.com, example.net\nSelector s\nKeyFile DIR/strong.pem\nSubDomains yes\nSignatureTTL 1209600\n\
         DontSignMailTo list@lists.example.org,.news.example.org\nExemptDomains private.example.com\nPeerList 192.0.2.9\n\
         MTA MSA\nMacroList tls_version=TLSv1.3|TLSv1.2\nOversignHeaders From,Reply-To\nInternalHosts -\n",
        &[],
    );
    let report = place.import(&[]);
    assert_eq!(report.differences(), [] as [&str; 0]);
    assert_eq!(
        place.map(),
        [
            "example.com  example.com",
            "example.net  example.net",
            "*.example.com  example.com @example.com",
            "*.example.net  example.net @example.net"
        ]
    );
    assert_eq!(fs::read_dir(place.path("new/keys/shared")).unwrap().count(), 1, "the key is kept once");
    let config = place.config();
    assert_eq!(report.at("import.never_matches"), ["opendkim.conf:6"]);
    assert_eq!(config["trust"]["local_submission"].as_bool(), Some(false));
    assert_eq!(config["signing"]["canonicalization"].as_str(), Some("simple/simple"));
    assert_eq!(config["signing"]["oversign_absent"][0].as_str(), Some("reply-to"));
    assert!(config["signing"]["expire_after"].as_str().is_some());
    assert_eq!(config["trust"]["macros"].as_array().unwrap().len(), 2);
}

#[test]
fn any_domain_and_percent_want_the_domains_by_name() {
    let place =
        Place::with("Domain *\nSelector s\nKeyFile DIR/strong.pem\n", &[("domains", "example.com\nexample.net\n")]);
    assert_eq!(place.refused(&[]).at("import.domains_unknown"), ["opendkim.conf:1"]);
    let domains = place.path("domains");
    place.import(&["--domains", domains.to_str().unwrap()]);
    assert_eq!(place.map(), ["example.com  example.com", "example.net  example.net"]);

    let place = Place::with(
        TABLES,
        &[
            ("domains", "example.com\n"),
            ("key.table", "any %:s:DIR/%.pem\n"),
            ("signing.table", "*@strong any:@%\n*@* any\n"),
        ],
    );
    fs::copy(place.path("strong.pem"), place.path("example.com.pem")).unwrap();
    let domains = place.path("domains");
    let report = place.import(&["--domains", domains.to_str().unwrap()]);
    assert_eq!(place.map(), ["strong  strong author-domain", "example.com  example.com"]);
    assert_eq!(report.at("import.domains_given"), ["signing.table:2"]);
}

#[test]
fn modoboas_data_base_is_refused_by_name_without_its_password() {
    let place = Place::with(
        "KeyTable dsn:mysql://opendkim:s3cret@3306+localhost/modoboa/table=dkim?keycol=id?datacol=domain_name,selector,private_key_path\n\
         SigningTable dsn:pgsql://opendkim:s3cret@5432+localhost/modoboa/table=dkim?keycol=domain_name?datacol=id\n",
        &[],
    );
    let report = place.refused(&[]);
    assert_eq!(report.at("import.dataset"), ["opendkim.conf:2", "opendkim.conf:1"]);
    assert!(report.evidence("import.dataset").contains("pgsql"));
    assert!(!report.0.to_string().contains("s3cret"));
    for kind in ["ldap://x", "lua:/x", "db:/x", "/etc/x.db", "memcache:x/y", "mdb:/x"] {
        let place = Place::with(&format!("KeyTable {kind}\nSigningTable csl:x=y\n"), &[]);
        assert_eq!(place.refused(&[]).at("import.dataset"), ["opendkim.conf:1"], "{kind}");
    }
}

#[test]
fn each_trap_is_said_with_its_line_and_widens_nothing() {
    let place = Place::with(
        &format!("{TABLES}InternalHosts DIR/hosts\nMacroList {{auth_authen}},auth_author\nCanonicalization relaxed\n"),
        &[
            ("hosts", "127.0.0.1/8\n127/8\n10.0.0.0/255.0.0.0\n192.0.2.1\n"),
            ("key.table", "a example.com:s:DIR/strong.pem\nb example.com:t:DIR/weak.pem\nbroken nothing\n"),
            (
                "signing.table",
                "nokey@example.com\nmissing@example.com nowhere\nb@example.com b\n*@example.com a:boss@example.org\nexample.net a\n",
            ),
        ],
    );
    let report = place.import(&[]);
    assert_eq!(
        report.at("import.never_matches"),
        ["signing.table:5", "hosts:1", "hosts:2", "hosts:3", "opendkim.conf:6"]
    );
    assert_eq!(report.at("import.macro_untrusted"), ["opendkim.conf:6"]);
    assert_eq!(report.at("import.line_without_key"), ["signing.table:1"]);
    assert_eq!(report.at("import.no_such_key"), ["signing.table:2"]);
    assert_eq!(report.at("import.identity_outside"), ["signing.table:4"]);
    assert_eq!(report.at("import.second_selector").len(), 1);
    assert_eq!(report.at("import.key_line"), ["key.table:3"]);
    assert_eq!(report.at("import.set_twice"), ["opendkim.conf:7"]);
    assert_eq!(place.map()[..2], ["nokey@example.com  -", "missing@example.com  -"]);
    assert!(place.config()["trust"].get("macros").is_none());
    // What differs is the second selector, and the report said so.
    assert!(
        report.differences().iter().all(|difference| {
            difference.contains("b@example.com") || difference.contains("with the macro auth_author")
        }),
        "{:?}",
        report.differences()
    );
}

#[test]
fn tables_without_refile_are_looked_up_as_opendkim_does() {
    let place = Place::with(
        "KeyTable DIR/key.table\nSigningTable file:DIR/signing.table\n",
        &[
            ("key.table", "a a.example:s:DIR/strong.pem\nb b.example:s:DIR/weak.pem\nc c.example:s:DIR/strong.pem\n"),
            (
                "signing.table",
                "* c\n.example.com b\njoe@.example.com a\nexample.com a\njoe@example.com b\n.deep.example.com c\njoe@* a\n*@example.org a\n",
            ),
        ],
    );
    let report = place.import(&[]);
    assert_eq!(report.differences(), [] as [&str; 0]);
    assert_eq!(report.at("import.never_matches"), ["signing.table:8"]);
    assert_eq!(place.map().len(), 7);
    assert_eq!(place.map().last().unwrap(), "*  c.example");
}

#[test]
fn several_signatures_are_taken_over() {
    let place = Place::with(
        &format!("{TABLES}MultipleSignatures yes\n"),
        &[
            ("key.table", "a example.com:s:DIR/strong.pem\nb provider.example:p:DIR/weak.pem\n"),
            ("signing.table", "* b\n*@example.com a:@example.com\njoe@example.com a\n"),
        ],
    );
    let report = place.import(&[]);
    assert_eq!(place.map()[1], "example.com  example.com,provider.example @example.com");
    // OpenDKIM would sign twice with one key for joe; Waxseal never does.
    assert!(
        report.differences().iter().all(|difference| difference.contains("joe@example.com")),
        "{:?}",
        report.differences()
    );
}

#[test]
fn a_key_in_the_table_is_taken_over_and_never_shown() {
    let pem =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys/rsa-1024-pkcs1.pem")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let place = Place::with(
        TABLES,
        &[("key.table", &format!("a example.com:s:{base64}\n")), ("signing.table", "*@example.com a\n")],
    );
    let report = place.import(&["--dry-run"]);
    assert!(!place.path("new").exists());
    assert!(!report.0.to_string().contains(&base64[..40]));
    assert_eq!(report.0["keys"][0]["bits"], 1024);
    place.import(&[]);
    assert_eq!(place.selectors("example.com"), [("s".to_owned(), StateName::Active)]);
}

#[test]
fn hostile_values_are_refused_or_said_and_never_fatal() {
    for (table, keys) in [
        ("\u{1b}[31m@example.com a\n", "a example.com:s:DIR/strong.pem\n"),
        ("*@example.com a\n", "a ..:s:DIR/strong.pem\n"),
        ("*@example.com a\n", "a example.com:-:/dev/zero\n"),
        ("*@example.com a\n", "a example.com:s:-----BEGIN RSA PRIVATE KEY-----x\n"),
        ("****@**@* a\n", "a %:%:%\n"),
        ("*@example.com a:joe\u{0}@example.com\n", "a example.com:s:DIR/strong.pem\n"),
    ] {
        let place = Place::with(TABLES, &[("key.table", keys), ("signing.table", table)]);
        let output = place.run(&["--dry-run"]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{table}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.contains(&0x1b) && !output.stdout.contains(&0), "{table:?}");
    }
    let place = Place::with("Include DIR/opendkim.conf\n", &[]);
    assert_eq!(place.refused(&[]).at("import.include").len(), 1);
}

#[test]
fn nothing_is_replaced_and_nothing_stays_half_written() {
    let tables: &[(&str, &str)] =
        &[("key.table", "a example.com:s:DIR/strong.pem\n"), ("signing.table", "*@example.com a\n")];
    for there in ["waxseal.toml", "signers.map"] {
        let place = Place::with(TABLES, tables);
        fs::create_dir(place.path("new")).unwrap();
        fs::write(place.path("new").join(there), "mine").unwrap();
        let output = place.run(&[]);
        assert_eq!(output.status.code(), Some(2), "{there}");
        assert_eq!(fs::read_to_string(place.path("new").join(there)).unwrap(), "mine");
        assert_eq!(fs::read_dir(place.path("new")).unwrap().count(), 1, "{there}");
    }
    // An empty store is what packages make; one with keys is somebody's.
    let place = Place::with(TABLES, tables);
    fs::create_dir(place.path("new")).unwrap();
    Directory::create(&place.path("new/keys"), waxseal::keystore::Access::OneUser).unwrap();
    place.import(&[]);
    assert_eq!(fs::read_dir(place.path("new")).unwrap().count(), 3);
    fs::remove_file(place.path("new/waxseal.toml")).unwrap();
    fs::remove_file(place.path("new/signers.map")).unwrap();
    assert_eq!(place.run(&[]).status.code(), Some(2));
    assert!(!place.path("new/waxseal.toml").exists());

    // Two selectors that differ in case alone are one: the store refuses the second, after the first.
    let place = Place::with(TABLES, tables);
    fs::create_dir(place.path("new")).unwrap();
    fs::write(place.path("new/keys"), "no directory").unwrap();
    assert_ne!(place.run(&[]).status.code(), Some(0));
    assert_eq!(fs::read_dir(place.path("new")).unwrap().count(), 1);
}

#[test]
fn a_key_that_everybody_can_read_or_that_is_none_stops_the_import() {
    let table = [("signing.table", "*@example.com a\n")];
    let with_key = |key: &str| {
        Place::with(TABLES, &[table[0], ("key.table", &format!("a example.com:s:DIR/{key}\n")), ("none.pem", "x\n")])
    };
    let place = with_key("strong.pem");
    fs::set_permissions(place.path("strong.pem"), Permissions::from_mode(0o604)).unwrap();
    let report = place.refused(&[]);
    assert_eq!(report.at("import.key"), ["signing.table:1"]);
    assert!(report.evidence("import.key").contains("0604"), "{}", report.evidence("import.key"));
    fs::set_permissions(place.path("strong.pem"), Permissions::from_mode(0o640)).unwrap();
    place.import(&[]);
    let mode = |path: &str| fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o007;
    assert_eq!((mode("new/keys"), mode("new/keys/domains/example.com")), (0, 0));

    let place = with_key("none.pem");
    fs::set_permissions(place.path("none.pem"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.refused(&[]).at("import.key"), ["signing.table:1"]);
    assert_eq!(with_key("missing.pem").refused(&[]).at("import.key"), ["signing.table:1"]);
}

#[test]
fn samples_are_put_through_both_from_three_kinds_of_clients() {
    let place = Place::with(
        TABLES,
        &[
            ("key.table", "a example.com:s:DIR/strong.pem\n"),
            ("signing.table", "*@example.com a\n"),
            ("one.eml", "From: joe@example.com\nTo: ann@example.org\n\nHello\n"),
            ("two.eml", "From: joe@example.org\n\nHello\n"),
        ],
    );
    let (one, two) = (place.path("one.eml"), place.path("two.eml"));
    let report = place.import(&["--sample", one.to_str().unwrap(), two.to_str().unwrap()]);
    assert_eq!(report.0["comparison"]["messages"], 6);
    assert_eq!(report.signed(), 2);
    assert_eq!(report.differences(), [] as [&str; 0]);
}

#[test]
fn what_would_be_signed_and_is_not_today_stops_the_import_unless_it_is_accepted() {
    let place = Place::with(
        &format!("{TABLES}SenderHeaders Sender,From\n"),
        &[("key.table", "a example.com:s:DIR/strong.pem\n"), ("signing.table", "*@example.com a\n")],
    );
    let report = place.refused(&[]);
    assert!(report.evidence("import.wider").contains("with another Sender"), "{}", report.evidence("import.wider"));
    let report = place.import(&["--accept-wider"]);
    assert_eq!(report.at("import.wider").len(), 1);
    assert_eq!(report.at("import.sender_headers").len(), 1);
}

#[test]
fn keys_that_no_line_names_are_kept_and_do_not_sign() {
    let place = Place::with(
        TABLES,
        &[
            (
                "key.table",
                "old example.com:2019:DIR/weak.pem\nnew example.com:2025:DIR/strong.pem\nlost example.com:lost:/nowhere\n\
                 other example.net:x:DIR/weak.pem\n",
            ),
            ("signing.table", "*@example.com new\n"),
        ],
    );
    let report = place.import(&[]);
    assert_eq!(report.at("import.unused_key"), ["key.table:3", "key.table:1", "key.table:4"]);
    assert_eq!(
        place.selectors("example.com"),
        [("2025".to_owned(), StateName::Active), ("2019".to_owned(), StateName::Published)]
    );
    assert!(!place.path("new/keys/domains/example.net").exists());
}

#[test]
fn text_that_is_no_utf8_is_passed_over_in_comments_and_named_elsewhere() {
    let place = Place::with(TABLES, &[("key.table", "a example.com:s:DIR/strong.pem\n")]);
    fs::write(place.path("signing.table"), b"*@example.com a # f\xfcr alle\n*@\xfcml.example a\n*@nul\0.example a\n")
        .unwrap();
    assert_eq!(place.refused(&[]).at("import.octets"), ["signing.table:2", "signing.table:3"]);
    fs::write(place.path("signing.table"), b"*@example.com a # f\xfcr alle\n").unwrap();
    place.import(&[]);
}

#[test]
fn a_loop_of_many_includes_ends() {
    let loops = "Include DIR/opendkim.conf\n".repeat(50);
    let place = Place::with(&loops, &[]);
    assert!(!place.refused(&[]).at("import.include").is_empty());
}

#[test]
#[ignore = "runs OpenDKIM"]
fn the_real_opendkim_does_what_the_import_said_it_does() {
    let keys = "a example.com:s1:DIR/strong.pem\nb example.net:old:DIR/weak.pem\n";
    let tables = "RequireSafeKeys no\nMode sv\nKeyTable DIR/key.table\nSigningTable refile:DIR/signing.table\n";
    let one = "RequireSafeKeys no\nSelector s\nKeyFile DIR/strong.pem\n";
    for settings in [
        format!("{tables}InternalHosts DIR/hosts\nPeerList 192.0.2.9\nMTA MSA\nMacroList tls_version=TLSv1.3\n"),
        format!(
            "{tables}DontSignMailTo x@lists.example.org,lists.example.net\nExemptDomains sub.example.com,.example.net\n"
        ),
        format!("{tables}MultipleSignatures yes\n"),
        format!("{one}Domain example.com,example.net\nSubDomains yes\n"),
        format!("{one}Domain example.com\n"),
    ] {
        let place = Place::with(
            &settings,
            &[
                ("key.table", keys),
                (
                    "signing.table",
                    "news@example.com b\n*@example.com a:boss@example.com\n*@*.example.com a\n*@example.net b\n",
                ),
                ("hosts", "127.0.0.1\n192.0.2.0/24\n!192.0.2.7\n10.0.0.1/8\n.example.org\n*.example.com\n"),
            ],
        );
        let output = place.run_with(&["--format", "json", "--opendkim", "/usr/sbin/opendkim"]);
        let report = Report(serde_json::from_slice(&output.stdout).unwrap());
        let through = &report.0["through_program"];
        assert!(through["signed"].as_u64().unwrap() > 3, "{settings}: {}", report.0);
        assert_eq!(through["unlike_model"].as_array().unwrap(), &[] as &[Value], "{settings}");
        assert_eq!(through["differences"], report.0["comparison"]["differences"], "{settings}");
        let selectors = report.at("import.second_selector").len() + report.at("import.overlap").len();
        assert!(selectors > 0 || report.differences().is_empty(), "{settings}: {:?}", report.differences());
    }
}

/// Reads the files of this machine.
struct Files;

impl Sources for Files {
    fn read(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let octets = fs::read(path).map_err(|source| Unreadable { path: path.to_owned(), source })?;
        Ok(Zeroizing::new(octets))
    }

    fn list(&mut self, _: &Path) -> Result<Vec<String>, Unreadable> {
        Ok(Vec::new())
    }
}

#[test]
#[ignore = "runs OpenDKIM"]
fn the_model_takes_lines_of_tables_as_the_real_opendkim_does() {
    let keys = "a example.com:s1:DIR/strong.pem\nb example.net:old:DIR/weak.pem\nany %:any:DIR/strong.pem\n";
    let patterns = "news@example.com b\n*@example.com a:boss@example.com\n*@*.example.com a:x@example.org\n*example.net b\n\
                    jo* any:@%\nmissing@* nowhere\n";
    let forms = "news@example.com b\nexample.com a\njoe@.example.com any:@%\n.example.com b\n.deep.example.com a\njoe@* any\n* b\n";
    let common = "Mode s\nSyslog no\nRequireSafeKeys no\nSocket local:DIR/socket\nKeyTable DIR/key.table\n";
    for (settings, table) in [
        ("SigningTable refile:DIR/signing.table\n", patterns),
        ("SigningTable DIR/signing.table\n", forms),
        ("SigningTable refile:DIR/signing.table\nMultipleSignatures yes\n", patterns),
        ("SigningTable DIR/signing.table\nMultipleSignatures yes\n", forms),
    ] {
        let place = Place::with(&format!("{common}{settings}"), &[("key.table", keys), ("signing.table", table)]);
        let mut findings = Vec::new();
        let setup = Setup::read(&place.path("opendkim.conf"), &mut Files, &mut findings);
        for author in [
            "joe@example.com",
            "News@Example.COM",
            "joe@a.example.com",
            "ann@a.example.com",
            "ann@x.deep.example.com",
            "joe@x.deep.example.com",
            "ann@example.net",
            "ann@notexample.net",
            "john@example.org",
            "joe@other.example",
            "ann@other.example",
            "missing@other.example",
        ] {
            let message =
                format!("From: <{author}>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nSubject: x\r\n\r\nHello\r\n");
            let path = place.path("message.eml");
            fs::write(&path, &message).unwrap();
            let mut command = Command::new("/usr/sbin/opendkim");
            let output = command.arg("-x").arg(place.path("opendkim.conf")).arg("-vvt").arg(&path).output().unwrap();
            let headers = waxseal::message::Message::parse(message.as_bytes()).unwrap().headers;
            let model = setup.select(&Sample {
                host: "localhost".into(),
                client: Some([127, 0, 0, 1].into()),
                macros: BTreeMap::new(),
                recipients: Vec::new(),
                ..Sample::logged_in(headers)
            });
            let mut model = match model {
                Selection::Signs(signatures) => signatures,
                Selection::Passes | Selection::Defers => Vec::new(),
            };
            model.sort();
            assert_eq!(inserted(&output), model, "{author} with {settings}{table}");
        }
    }
}

/// The signatures that OpenDKIM's test mode says it would insert.
fn inserted(output: &Output) -> Vec<Signature> {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text: String = String::from_utf8_lossy(&text).split_whitespace().collect();
    let mut signatures: Vec<Signature> = text
        .split("DKIM-Signature")
        .filter_map(|part| {
            let tag = |name: &str| {
                let value = part.split(';').find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='));
                value.map(str::to_owned)
            };
            Some(Signature { domain: tag("d")?, selector: tag("s")?, identity: tag("i") })
        })
        .collect();
    signatures.sort();
    signatures
}
