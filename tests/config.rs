//! The configuration file: every problem at once, with its line; the shipped example; the reference in docs/.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

use std::path::Path;

use waxseal::config::{Accounts, Config, Listeners, MAX_OCTETS, parse, reference};
use waxseal::files::configuration::{self, ConfigError};
use waxseal::finding::{Finding, Place, Severity};
use waxseal::names::DomainName;
use waxseal::policy::OnRelayed;

const PATH: &str = "/etc/waxseal/waxseal.toml";

struct TestAccounts;

impl Accounts for TestAccounts {
    fn user(&self, name: &str) -> Option<u32> {
        (name == "waxseal").then_some(990)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "waxseal-milter").then_some(112)
    }
}

fn good(text: &str) -> (Config, Vec<Finding>) {
    match parse(Path::new(PATH), text, &TestAccounts) {
        Ok(good) => good,
        Err(findings) => panic!("{}", lines(&findings)),
    }
}

fn bad(text: &str) -> Vec<Finding> {
    match parse(Path::new(PATH), text, &TestAccounts) {
        Ok((config, _)) => panic!("this is wrong, and was taken: {config:?}"),
        Err(findings) => findings,
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// Line, column and rule of each finding.
fn places(findings: &[Finding]) -> Vec<(usize, usize, &'static str)> {
    findings
        .iter()
        .map(|finding| match finding.place {
            Place::Line { line, column, .. } => (line, column, finding.rule),
            _ => (0, 0, finding.rule),
        })
        .collect()
}

#[test]
fn the_version_alone_is_a_configuration() {
    let (config, warnings) = good("version = 1\n");
    assert!(warnings.is_empty(), "{}", lines(&warnings));
    assert_eq!(config, Config::default_in(Path::new("/etc/waxseal")));
    assert_eq!(config.keys.store, Path::new("/etc/waxseal/keys"));
    assert!(matches!(config.listeners, Listeners::PassedOr(_)));
}

#[test]
fn every_problem_is_reported_at_once_with_its_place_and_remedy() {
    let text = r#"version = 1

[[listener]]
socket = "inet:8891@192.0.2.1"
[[listener]]
socket = "unix:milter.sock"
mod = "0660"
[[listener]]
socket = "inet6:8891@::1"
group = "waxseal-milter"

[trust]
networks = ["127.0.0.1/8", "::1", "mail.example"]
authenticated = "yes"

[limits]
conections = 5
frame = "1 MB of it"
header_fields = 0
queue_deadline = 5

[domain."exa mple.com"]
subdomains = true
[domain."example.com"]
identity = "@example.org"
expire_after = "2d"

[sining]
on_failure = "defer"
[signing]
on_failure = "tempfail"
oversign = ["from", "Received", "to:"]
"#;
    let findings = bad(text);
    assert_eq!(
        places(&findings),
        [
            (4, 10, "config.listener_open"),
            (6, 10, "config.value"),
            (7, 1, "config.unknown"),
            (10, 9, "config.listener_permissions"),
            (13, 13, "config.value"),
            (13, 35, "config.value"),
            (14, 17, "config.value"),
            (17, 1, "config.unknown"),
            (18, 9, "config.value"),
            (19, 17, "config.value"),
            (20, 18, "config.value"),
            (22, 9, "config.value"),
            (25, 12, "config.identity"),
            (26, 16, "config.expiry_short"),
            (28, 2, "config.unknown"),
            (31, 14, "config.value"),
            (32, 21, "config.header"),
            (32, 33, "config.header"),
        ],
        "{}",
        lines(&findings)
    );
    let printed = lines(&findings);
    for said in [
        "/etc/waxseal/waxseal.toml:7:1: error: listener[1].mod: there is no such setting; did you mean \"mode\"?",
        "limits.conections: there is no such setting; did you mean \"connections\"?",
        "sining: there is no such section; did you mean \"signing\"?",
        "write \"127.0.0.0/8\" for the network, \"127.0.0.1\" for the one address",
        "expected a duration in quotes such as \"5s\"; for example queue_deadline = \"5s\"",
        "limits.frame = \"1 MB of it\": \"1 MB of it\" is no size",
        "for example authenticated = true",
        "on_failure = \"tempfail\": unknown variant",
    ] {
        assert!(printed.contains(said), "{said}\nis not in\n{printed}");
    }
}

#[test]
fn a_missing_version_is_asked_for_and_a_later_one_is_not_guessed_at() {
    let findings = bad("[limits]\nframe = 1\n");
    assert_eq!(places(&findings), [(1, 1, "config.version_missing"), (2, 9, "config.value")], "{}", lines(&findings));
    let findings = bad("# later\nversion = 2\n[nonsense]\n");
    assert_eq!(places(&findings), [(2, 11, "config.version_unknown")]);
    assert!(findings[0].remedy.contains("install a later release"), "{}", findings[0]);
    assert_eq!(places(&bad("version = \"1\"\n")), [(1, 11, "config.value")]);
    assert_eq!(places(&bad("")), [(1, 1, "config.version_missing")]);
}

#[test]
fn syntax_errors_have_line_and_column_and_do_not_hide_the_rest() {
    let findings = bad("version = 1\n[limits]\nframe = 1 MiB\nconnections = 0\n[log\nlevel = \"info\"\n");
    let places = places(&findings);
    assert!(places.contains(&(3, 9, "config.syntax")), "{}", lines(&findings));
    assert!(places.contains(&(4, 15, "config.value")), "{}", lines(&findings));
    assert!(places.contains(&(5, 5, "config.syntax")), "{}", lines(&findings));
    assert_eq!(places.len(), 3, "{}", lines(&findings));
    let findings = bad("version = =\n[limits]\nframe = =\nsigning_threads = -1\n");
    let expected = [(1, 11, "config.syntax"), (3, 9, "config.syntax"), (4, 19, "config.value")];
    assert_eq!(self::places(&findings), expected, "{}", lines(&findings));
}

#[test]
fn a_twin_is_an_error() {
    let findings = bad("version = 1\n[log]\nqueue = 1\nqueue = 2\n");
    assert_eq!(places(&findings), [(4, 1, "config.syntax")], "{}", lines(&findings));
    let findings = bad("version = 1\n[domain.\"EXAMPLE.com\"]\n[domain.\"example.com\"]\n");
    assert_eq!(places(&findings), [(3, 9, "config.domain_twice")], "{}", lines(&findings));
    let two = "[[listener]]\nname = \"a\"\nsocket = \"unix:/x\"\n".repeat(2);
    let findings = bad(&format!("version = 1\n{two}"));
    assert_eq!(
        places(&findings),
        [(6, 8, "config.listener_name"), (7, 10, "config.listener_twice")],
        "{}",
        lines(&findings)
    );
}

#[test]
fn a_listener_knows_its_file_and_its_peers() {
    let text = "version = 1\n[trust]\nsign_relayed = false\n[[listener]]\nsocket = \"local:/run/x\"\nmode = \"0600\"\nowner = \"waxseal\"\ngroup = 5\n\
        [[listener]]\nname = \"reinjection\"\nsocket = \"inet:8891@0.0.0.0\"\nallow = [\"192.0.2.0/24\"]\nsign_relayed = true\n";
    let (config, warnings) = good(text);
    assert!(warnings.is_empty());
    let Listeners::Named(listeners) = &config.listeners else { panic!("two listeners are named") };
    let [unix, inet] = listeners.as_slice() else { panic!("two listeners are named") };
    assert_eq!((unix.permissions.mode, unix.permissions.owner, unix.permissions.group), (0o600, Some(990), Some(5)));
    assert_eq!((unix.on_relayed(), inet.on_relayed()), (None, Some(OnRelayed::Sign)));
    assert!(inet.admits("192.0.2.9".parse().unwrap()) && inet.admits("::ffff:192.0.2.9".parse().unwrap()));
    assert!(!inet.admits("127.0.0.1".parse().unwrap()));
    assert!(unix.admits("127.0.0.1".parse().unwrap()) && !unix.admits("192.0.2.9".parse().unwrap()));
}

#[test]
fn accounts_that_do_not_exist_are_named() {
    let findings =
        bad("version = 1\n[[listener]]\nsocket = \"unix:/x\"\nowner = \"nobody-here\"\ngroup = \"waxseal\"\n");
    assert_eq!(places(&findings), [(4, 9, "config.account"), (5, 9, "config.account")], "{}", lines(&findings));
    assert!(findings[1].evidence.contains("no group \"waxseal\""));
}

#[test]
fn warnings_come_with_the_configuration() {
    let text = "version = 1\n[timeouts]\ncommand = \"1h\"\n[signing]\nexpire_after = \"5d\"\n[[listener]]\nsocket = \"unix:/x\"\nmode = \"0666\"\n";
    let (config, warnings) = good(text);
    assert_eq!(
        places(&warnings),
        [(3, 11, "config.timeout_command"), (5, 16, "config.expiry_short"), (8, 8, "config.listener_mode")],
        "{}",
        lines(&warnings)
    );
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    assert_eq!(config.signing.domain.expire_after.map(|expiry| expiry.as_secs()), Some(432_000));
}

#[test]
fn a_domain_has_its_own_settings_and_else_those_of_all() {
    let text = "version = 1\n[signing]\nexpire_after = \"14d\"\nleave_out = [\"Reply-To\"]\n\
        [domain.\"Bücher.example\"]\nsubdomains = true\nidentity = \"post@mail.bücher.example\"\nexpire_after = \"never\"\n\
        canonicalization = \"simple/relaxed\"\nleave_out = [\"sender\", \"reply-to\"]\n";
    let (config, _) = good(text);
    let own = config.domain(&DomainName::parse("bücher.example").unwrap());
    assert!(own.subdomains);
    assert_eq!(own.identity.as_ref().unwrap().as_str(), "post@mail.xn--bcher-kva.example");
    assert_eq!(own.expire_after, None);
    assert_eq!(own.canonicalization.to_string(), "simple/relaxed");
    assert_eq!(own.headers.left_out, ["reply-to", "sender"]);
    let other = config.domain(&DomainName::parse("example.com").unwrap());
    assert_eq!(other.headers.left_out, ["reply-to"]);
    assert_eq!(other.expire_after.map(|expiry| expiry.as_secs()), Some(14 * 86_400));
    assert!(!other.subdomains);
}

#[test]
fn the_closest_pattern_has_the_domain_and_of_equal_ones_the_first() {
    let publisher = |name: &str, domains: &str| {
        format!("[[publisher]]\nname = \"{name}\"\nkind = \"manual\"\ndomains = {domains}\n")
    };
    let text = [
        "version = 1\n".to_owned(),
        publisher("all", "[\"*\"]"),
        publisher("below", "[\"*.example.com\", \"example.net\"]"),
        publisher("one", "[\"A.example.com\"]"),
        publisher("deep", "[\"*.b.example.com\"]"),
    ];
    let (config, warnings) = good(&text.concat());
    assert!(warnings.is_empty(), "{}", lines(&warnings));
    let named = |domain: &str| config.publisher_for(&DomainName::parse(domain).unwrap()).unwrap().name.clone();
    let expected = [
        ("example.com", "all"),
        ("a.example.com", "one"),
        ("x.a.example.com", "below"),
        ("b.example.com", "below"),
        ("c.b.example.com", "deep"),
        ("example.net", "below"),
    ];
    for (domain, name) in expected {
        assert_eq!(named(domain), name, "{domain}");
    }
    let (config, _) = good(&text[..1].concat());
    assert_eq!(config.publisher_for(&DomainName::parse("example.com").unwrap()), None);

    let twice = [text[1].clone(), publisher("again", "[\"*\"]")].concat();
    let (config, warnings) = good(&format!("version = 1\n{twice}"));
    assert_eq!(places(&warnings), [(9, 12, "config.publisher_shadowed")], "{}", lines(&warnings));
    assert_eq!(config.publisher_for(&DomainName::parse("example.com").unwrap()).unwrap().name, "all");
}

#[test]
fn each_kind_of_publisher_has_its_own_settings() {
    let text = r#"version = 1
[[publisher]]
kind = "rfc2136"
domains = ["example.org", "a*b"]
zone = "example.com"
server = "ns1"
api_url = "http://127.0.0.1"
secret_file = "s"
credential = "c"
[[publisher]]
name = "rfc2136"
kind = "powerdns"
api_url = "http://192.0.2.1:8081"
timeout = "0s"
[[publisher]]
kind = "zone-include"
reload = ["rndc", "reload"]
zone = "example.com"
path = "x"
[[publisher]]
kind = "exec"
credential = "a/b"
[[publisher]]
name = "no kind"
[[publisher]]
kind = "rfc2137"
[[publisher]]
kind = "powerdns"
api_url = "https://127.0.0.1:8081"
credential = "../dns"
"#;
    let findings = bad(text);
    let expected = [
        (2, 1, "config.publisher_missing"),
        (4, 12, "config.publisher_zone"),
        (4, 27, "config.value"),
        (7, 11, "config.publisher_setting"),
        (9, 14, "config.publisher_secret"),
        (10, 1, "config.publisher_secret"),
        (11, 8, "config.publisher_name"),
        (13, 11, "config.publisher_cleartext"),
        (14, 11, "config.timeout"),
        (15, 1, "config.publisher_serial"),
        (17, 10, "config.publisher_program"),
        (20, 1, "config.publisher_missing"),
        (22, 14, "config.publisher_setting"),
        (23, 1, "config.publisher_kind"),
        (26, 8, "config.value"),
        (29, 11, "config.value"),
        (30, 14, "config.publisher_secret"),
    ];
    assert_eq!(places(&findings), expected, "{}", lines(&findings));
    assert!(findings.iter().all(|finding| !finding.remedy.is_empty() || finding.rule == "config.value"));
}

#[test]
fn rules_and_logins_are_held_against_themselves_and_each_other() {
    let text = r#"version = 1
[trust]
networks = ["0.0.0.0/0"]
except = ["192.0.2.7/24", "proxy.example.com"]
macros = ["{auth_author}", "{a b}", "{ours}=yes"]
login_maps = ["", "logins.map", "logins.map"]
[login."Joe"]
may_send = ["example.com", ".example.net"]
[login."joe"]
may_send = ["example.com"]
[[rule]]
name = "one"
from = []
never = true
sign = ["example.com"]
[[rule]]
name = "one"
from = ["joe@example.com", "a b"]
sign = ["example.com", "s1._domainkey.example.com"]
identity = "@example.net"
leave_out = ["From"]
[[rule]]
sign = []
expire_after = "1d"
also = ["example..com"]
[[rule]]
from = ["example.com"]
"#;
    let findings = bad(text);
    let expected = [
        (3, 13, "config.trust_everybody"),
        (4, 11, "config.value"),
        (5, 11, "config.macro_untrusted"),
        (5, 28, "config.value"),
        (6, 15, "config.map"),
        (6, 33, "config.map_twice"),
        (8, 28, "config.value"),
        (9, 1, "config.login_twice"),
        (13, 8, "config.rule_empty"),
        (15, 8, "config.rule_never"),
        (17, 8, "config.rule_name"),
        (18, 28, "config.value"),
        (19, 24, "config.signer_twice"),
        (20, 12, "config.identity"),
        (21, 14, "config.header"),
        (23, 8, "config.rule_empty"),
        (24, 16, "config.expiry_short"),
        (25, 9, "config.value"),
        (26, 1, "config.rule_shadowed"),
    ];
    let found = places(&findings);
    for place in expected {
        assert!(found.contains(&place), "{place:?}\n{}", lines(&findings));
    }
    assert!(findings.iter().all(|finding| !finding.remedy.is_empty()), "{}", lines(&findings));

    let (_, warnings) = good("version = 1\n[login.\"joe\"]\nmay_send = [\"*\"]\n");
    assert_eq!(places(&warnings), [(1, 1, "config.logins_unbound")], "{}", lines(&warnings));
    let findings = bad("version = 1\n[trust]\nbind_logins = \"listed\"\n");
    assert_eq!(places(&findings), [(3, 15, "config.logins_nobody")], "{}", lines(&findings));
}

#[test]
fn what_is_shown_is_a_configuration_that_gives_the_same_again() {
    for text in ["version = 1", &uncommented()] {
        let (config, _) = good(text);
        let shown = toml::to_string_pretty(&config.to_spec()).unwrap();
        assert_eq!(good(&shown).0, config, "{shown}");
    }
}

#[test]
fn the_shipped_example_is_a_configuration_as_it_stands() {
    let (config, warnings) = good(&example());
    assert!(warnings.is_empty(), "{}", lines(&warnings));
    assert_eq!(config, Config::default_in(Path::new("/etc/waxseal")));
}

#[test]
fn the_shipped_example_is_a_configuration_with_every_setting_switched_on() {
    let (config, warnings) = good(&uncommented());
    assert!(warnings.is_empty(), "{}", lines(&warnings));
    assert!(matches!(config.listeners, Listeners::Named(ref listeners) if listeners.len() > 1));
    // Every setting of the reference is in it.
    let example = uncommented();
    for setting in reference()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
    {
        let there = example.lines().any(|line| line.starts_with(&format!("{setting} = ")));
        assert!(there || setting.contains('"'), "docs/waxseal.example.toml lacks {setting}");
    }
}

#[test]
fn the_reference_in_docs_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference(),
        "docs/configuration.md is out of date; run: UPDATE_DOCS=1 cargo test --test config"
    );
}

#[test]
fn a_hundred_problems_are_cut_short_and_say_so() {
    let unknown: String = (0..100).map(|number| format!("nonsense_{number} = 1\n")).collect();
    let findings = bad(&format!("version = 1\n{unknown}"));
    assert_eq!(findings.len(), 51);
    assert_eq!(findings.last().map(|finding| finding.rule), Some("config.more"));
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_first_wrong_octet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waxseal.toml");
    std::fs::write(&path, b"version = 1\n# \xc3\xa9\xff\n").unwrap();
    let Err(ConfigError::Invalid(findings)) = configuration::read(&path) else { panic!("it was read") };
    assert_eq!(places(&findings), [(2, 4, "config.not_utf8")], "{}", lines(&findings));

    std::fs::write(&path, "\0\u{1}[[[\u{7f}\r\r\"".repeat(2000)).unwrap();
    let Err(ConfigError::Invalid(findings)) = configuration::read(&path) else { panic!("it was read") };
    assert!(findings.len() <= 52, "{}", findings.len());
    assert!(findings.iter().all(|finding| !finding.to_string().contains(['\0', '\u{1}', '\r'])));
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waxseal.toml");
    std::fs::write(&path, format!("version = 1\n{}", "# filler\n".repeat(10 << 17))).unwrap();
    let Err(ConfigError::Invalid(findings)) = configuration::read(&path) else { panic!("it was read") };
    assert_eq!(places(&findings), [(0, 0, "config.too_long")]);

    let comment = "#".repeat(MAX_OCTETS - 12);
    std::fs::write(&path, format!("version = 1\n{comment}")).unwrap();
    assert!(configuration::read(&path).is_ok());
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(configuration::read(directory.path()), Err(ConfigError::NotAFile { .. })));
    assert!(matches!(configuration::read(&directory.path().join("missing")), Err(ConfigError::Read { .. })));
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_panics_and_never_fails_without_a_reason(text in "(\\PC|[\\[\\]=\"\\.\n#' ]|version = 1\n|\\[limits\\]\n|frame = ){0,60}") {
            if let Err(findings) = parse(Path::new(PATH), &text, &TestAccounts) {
                prop_assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
            }
        }

        #[test]
        fn in_place_of_a_value_is_reported_on_its_line(value in "[ -~]{0,30}") {
            let text = format!("version = 1\n[limits]\nframe = {value}\n");
            if let Err(findings) = parse(Path::new(PATH), &text, &TestAccounts) {
                for (line, _, _) in places(&findings) {
                    prop_assert_eq!(line, 3, "{}", lines(&findings));
                }
            }
        }
    }
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/waxseal.example.toml");
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The example with its settings switched on: they are commented with `#` alone, explanations with `# `.
fn uncommented() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    example().lines().map(on).collect()
}

#[test]
fn slots_that_cannot_work_are_refused_with_line_value_and_remedy() {
    let text = r#"version = 1
[rotation]
selector = "{year}"
record_ttl = "0s"
[[slots]]
domains = ["*.example.net"]
rsa = ["s1", "s2"]
ed25519 = ["s2", "e1", "e2"]
target = "{selector}._dkim.example.org"
[[slots]]
target = "{domain}._dkim.example.org"
[[slots]]
domains = ["example.com"]
target = "{selector}.{user}.example.org"
rsa = ["s1", "s 2", "s3"]
[[slots]]
domains = ["example.com"]
rsa = []
target = "{selector}._dkim.example.org"
"#;
    let findings = bad(text);
    let expected = [
        (3, 12, "config.value"),
        (4, 14, "config.record_ttl"),
        (7, 7, "config.slots_few"),
        (8, 12, "config.slots_twice"),
        (9, 10, "config.slots_target"),
        (10, 1, "config.slots_missing"),
        (10, 1, "config.slots_missing"),
        (11, 10, "config.value"),
        (14, 10, "config.value"),
        (15, 7, "config.value"),
        (18, 7, "config.slots_few"),
    ];
    assert_eq!(places(&findings), expected, "{}", lines(&findings));
    let few = findings.iter().find(|finding| finding.rule == "config.slots_few").unwrap();
    assert!(few.evidence.contains("2 of at least 3 selectors: while one signs"), "{few}");
    assert!(few.remedy.contains("rsa = [\"s1\", \"s2\", \"s3\"]"), "{few}");
    assert!(findings.iter().all(|finding| !finding.remedy.is_empty()));
}

#[test]
fn a_domain_has_the_slots_of_the_closest_pattern_and_their_publisher() {
    let text = "version = 1\n[rotation]\nrecord_ttl = \"2h\"\n[domain.\"a.example.com\"]\nselector = \"k{random}\"\n\
                record_ttl = \"5m\"\n\
                [[slots]]\ndomains = [\"*.example.com\"]\nrsa = [\"s1\", \"s2\", \"s3\"]\n\
                target = \"{selector}.{domain}._dkim.example.net\"\n\
                [[slots]]\ndomains = [\"b.example.com\"]\ned25519 = [\"e1\", \"e2\", \"e3\"]\n\
                target = \"{selector}.b.dkim.example.net\"\n\
                [[publisher]]\nname = \"dkim\"\nkind = \"manual\"\ndomains = [\"*._dkim.example.net\"]\n";
    let (config, _) = good(text);
    let name = |text: &str| waxseal::names::DomainName::parse(text).unwrap();
    let selector = |text: &str| waxseal::names::Selector::parse(text).unwrap();
    let (a, b, other) = (name("a.example.com"), name("b.example.com"), name("example.com"));
    assert_eq!(config.target_of(&a, &selector("s2")), Some(name("s2.a.example.com._dkim.example.net")));
    assert_eq!(config.target_of(&a, &selector("20261123r")), None);
    assert_eq!(config.target_of(&b, &selector("s2")), None);
    assert_eq!(config.target_of(&b, &selector("e2")), Some(name("e2.b.dkim.example.net")));
    assert!(config.slots.of(&other).is_none());
    let publisher =
        |domain, text| config.publisher_of(domain, &selector(text)).map(|publisher| publisher.name.as_str());
    assert_eq!((publisher(&a, "s1"), publisher(&a, "x"), publisher(&b, "e1")), (Some("dkim"), None, None));
    let automation = |domain| config.automation(domain, waxseal::config::Provenance::Ours);
    use waxseal::config::DomainAutomation::{ByHand, Reminders};
    assert_eq!((automation(&a), automation(&b), automation(&other)), (ByHand, Reminders, Reminders));
    assert_eq!(config.selector_template(&a).to_string(), "k{random}");
    assert_eq!(config.selector_template(&b).to_string(), "{date}{algorithm}");
    let empty = |domain: &waxseal::names::DomainName| waxseal::manifest::DomainManifest::new(domain.clone());
    assert_eq!((config.record_ttl(&empty(&a)), config.record_ttl(&empty(&b))), (300, 7200));
}
