//! Who is signed for: the tables of decisions in tests/data/decisions, hostile input, maps, and the daemon that obeys them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use support::{
    Case, Dialogue, FIELDS, Installation, Scratch, Table, Verdict, eventually, frame, macros, offer, tables,
};
use waxseal::config::{Accounts, Config, parse};
use waxseal::finding::Finding;
use waxseal::message::{Headers, Spacing};
use waxseal::names::{DomainName, Selector};
use waxseal::policy::{
    Author, Decision, Facts, Found, Header, Judgement, MapSource, OnRelayed, Peer, Plan, Policy, Reason, Recipients,
    Recorded, Step, Submission, Untraced, included,
};

struct NoAccounts;

impl Accounts for NoAccounts {
    fn user(&self, _: &str) -> Option<u32> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

/// Maps that stand in the table itself.
struct TableMaps<'t>(&'t BTreeMap<String, String>);

impl MapSource for TableMaps<'_> {
    fn read(&mut self, path: &Path, take: &mut dyn FnMut(&Path, usize, &str)) -> bool {
        let Some(text) = path.file_name().and_then(|name| self.0.get(name.to_str()?)) else { return false };
        text.lines().enumerate().all(|(index, line)| {
            take(path, index + 1, line);
            let other = included(line).filter(|other| !other.is_empty());
            other.is_none_or(|other| self.read(&path.with_file_name(other), take))
        })
    }
}

fn configuration(text: &str) -> Config {
    let text = format!("version = 1\n{text}");
    match parse(Path::new("/etc/waxseal/waxseal.toml"), &text, &NoAccounts) {
        Ok((config, _)) => config,
        Err(findings) => panic!("{text}\n{findings:#?}"),
    }
}

fn compiled(config: &Config, maps: &BTreeMap<String, String>) -> Result<(Policy, Vec<Finding>), Vec<Finding>> {
    Policy::compile(config.trust.clone(), config.rules.clone(), &mut TableMaps(maps))
}

fn keys_of(keys: &BTreeMap<String, String>, domain: &DomainName) -> Found<Vec<Selector>> {
    let selectors = |words: &str| words.split(' ').map(|word| Selector::parse(word).unwrap()).collect();
    match keys.get(domain.as_str()).map(String::as_str) {
        None => Found::Unknown,
        Some("not-active") => Found::NotActive,
        Some("unusable") => Found::Unusable,
        Some("unavailable") => Found::Unavailable,
        Some(words) => match words.strip_prefix("in-part ") {
            Some(words) => Found::UsableInPart(selectors(words)),
            None => Found::Usable(selectors(words)),
        },
    }
}

fn decide(
    case: &Case,
    table: &Table,
    config: &Config,
    policy: &Policy,
    trace: &mut Recorded,
) -> Judgement<Plan<Vec<Selector>>> {
    let macros =
        case.macros.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect::<BTreeMap<_, _>>();
    let mut recipients = Recipients::default();
    for recipient in case.rcpt.iter().flatten() {
        policy.recipient(recipient.as_bytes(), &mut recipients);
    }
    let headers = case.headers();
    let on_relayed = |sign| if sign { OnRelayed::Sign } else { OnRelayed::Pass };
    let facts = Facts {
        submission: Submission { peer: case.peer(), host: case.host.as_bytes(), macros: &macros },
        on_relayed: case.listener_sign_relayed.map(on_relayed),
        sender: case.sender.as_bytes(),
        recipients: &recipients,
        header: if case.header_too_large { Header::TooLarge { is_relayed: false } } else { Header::Whole(&headers) },
    };
    let subdomains = |domain: &DomainName| config.domain(domain).subdomains;
    let judgement = policy.decide(&facts, subdomains, |domain| keys_of(&table.keys, domain), trace);
    // Whether anybody listens changes nothing.
    let again = policy.decide(&facts, subdomains, |domain| keys_of(&table.keys, domain), &mut Untraced);
    assert_eq!(outcome(&judgement), outcome(&again));
    judgement
}

fn outcome(judgement: &Judgement<Plan<Vec<Selector>>>) -> Result<(Reason, usize), Reason> {
    judgement.outcome.as_ref().map(|plan| (plan.reason, plan.signatures.len())).map_err(|reason| *reason)
}

fn check(
    file: &Path,
    table: &Table,
    config: &Config,
    policy: &Policy,
    case: &Case,
    reasons: &mut BTreeSet<&'static str>,
) {
    let mut trace = Recorded::default();
    let judgement = decide(case, table, config, policy, &mut trace);
    let steps: Vec<String> = trace.steps.iter().map(ToString::to_string).collect();
    let said = format!("{}: {}\n{}", file.display(), case.name, steps.join("\n"));
    let reason = match &judgement.outcome {
        Ok(plan) => plan.reason,
        Err(reason) => *reason,
    };
    reasons.insert(reason.code());
    let expect = &case.expect;
    let decision = Decision::of(reason, config.signing.on_failure, config.signing.on_unsignable);
    assert_eq!((decision.action.as_str(), reason.code()), (expect.decision.as_str(), expect.reason.as_str()), "{said}");
    assert!(matches!(trace.steps.last(), Some(Step::Decided { reason: last }) if *last == reason), "{said}");
    if let Some(origin) = &expect.origin {
        assert_eq!(judgement.origin.as_str(), origin, "{said}");
    }
    assert_eq!(judgement.rule.map(|rule| policy.label(rule)), expect.rule, "{said}");
    if let Some(line) = &expect.line {
        let at = policy.line(judgement.rule.unwrap());
        let name = at.path.file_name().unwrap().to_string_lossy();
        assert_eq!(format!("{name}:{}", at.line), *line, "{said}");
        assert!(steps.iter().any(|step| step.contains(line.as_str())), "{said}");
    }
    let signatures = judgement.outcome.map(|plan| plan.signatures).unwrap_or_default();
    let signer = |planned: &waxseal::policy::PlannedSignature<_>| match &planned.selector {
        Some(selector) => format!("{}/{selector}", planned.domain),
        None => planned.domain.to_string(),
    };
    assert_eq!(signatures.iter().map(signer).collect::<Vec<_>>(), expect.signers, "{said}");
    let identities: Vec<String> = signatures
        .iter()
        .filter_map(|planned| policy.auid(judgement.rule?, judgement.author.as_ref()?, &planned.domain))
        .map(|auid| auid.map_or_else(|| "none".to_owned(), |auid| auid.to_string()))
        .collect();
    assert_eq!(identities, expect.identities, "{said}");
}

#[test]
fn every_table_of_decisions_holds() {
    let mut cases = 0;
    let mut reasons = BTreeSet::new();
    for (file, table) in &tables() {
        let config = configuration(&table.config);
        let (policy, _) =
            compiled(&config, &table.maps).unwrap_or_else(|findings| panic!("{}: {findings:#?}", file.display()));
        for case in &table.case {
            check(file, table, &config, &policy, case, &mut reasons);
            cases += 1;
        }
    }
    assert!(cases > 100, "{cases} cases");
    // All but those that only signing itself can come to.
    let later = [Reason::Overload, Reason::SigningFailed];
    for reason in Reason::ALL.iter().filter(|reason| !later.contains(reason)) {
        assert!(reasons.contains(reason.code()), "no case comes to {reason}");
    }
}

proptest! {
    #[test]
    fn no_octets_of_strangers_make_a_decision_panic_or_move_the_terminal(
        from in proptest::collection::vec(any::<u8>(), 0..60),
        host in proptest::collection::vec(any::<u8>(), 0..30),
        macros in proptest::collection::vec(
            ("auth_authen|auth_type|daemon_name|client_addr|ours", proptest::collection::vec(any::<u8>(), 0..30)),
            0..5,
        ),
        sender in proptest::collection::vec(any::<u8>(), 0..30),
        recipients in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..3),
    ) {
        let config = configuration(
            "[trust]\nbind_logins = \"own-registrable\"\nmatch_envelope = \"same-registrable\"\nmacros = [\"{ours}\"]\nexcept = [\"*.example.com\"]\nhosts = [\"*.example.net\"]\n\
             [[rule]]\nfrom = [\"*@*a*\", \"*.example\"]\nto = [\"*@*b*\"]\nidentity = \"author\"\nsign = [\"example.com\"]\n",
        );
        let (policy, _) = compiled(&config, &BTreeMap::new()).unwrap();
        let macros: BTreeMap<String, Vec<u8>> = macros.into_iter().collect();
        let mut seen = Recipients::default();
        recipients.iter().for_each(|recipient| policy.recipient(recipient, &mut seen));
        let mut headers = Headers::new();
        headers.push(b"From", &from, Spacing::AsReceived);
        let facts = Facts {
            submission: Submission { peer: Peer::Local, host: &host, macros: &macros },
            on_relayed: None,
            sender: &sender,
            recipients: &seen,
            header: Header::Whole(&headers),
        };
        let mut trace = Recorded::default();
        let keys = |_: &DomainName| Found::Usable(vec![Selector::parse("s").unwrap()]);
        let judgement = policy.decide(&facts, |_| true, keys, &mut trace);
        if let (Ok(plan), Some(rule), Some(author)) = (&judgement.outcome, judgement.rule, &judgement.author) {
            for planned in &plan.signatures {
                if let Some(Some(auid)) = policy.auid(rule, author, &planned.domain) {
                    prop_assert!(auid.as_str().bytes().all(|octet| octet.is_ascii_graphic()), "{}", auid);
                }
            }
        }
        for step in &trace.steps {
            prop_assert!(!step.to_string().contains(char::is_control), "{step:?}");
        }
    }

    #[test]
    fn no_map_makes_it_panic_and_every_error_has_its_line(lines in proptest::collection::vec("\\PC{0,40}|[a-z*?@.,# -]{0,30}", 0..8)) {
        let config = configuration("[trust]\nbind_logins = \"listed\"\nlogin_maps = [\"m\"]\n[[rule]]\nfrom_maps = [\"m\"]\nto_maps = [\"m\"]\n");
        let maps = BTreeMap::from([("m".to_owned(), lines.join("\n"))]);
        if let Err(findings) = compiled(&config, &maps) {
            for finding in findings {
                prop_assert!(!finding.to_string().contains(char::is_control), "{finding}");
            }
        }
    }

    #[test]
    fn the_first_line_decides_as_if_all_were_compared_one_by_one(
        lines in proptest::collection::vec("[ab*]{1,3}@[ab*]{1,3}\\.[ab]{1,2}|[ab*]{1,3}\\.[ab]{1,2}", 1..20),
        local_part in "[ab]{1,3}",
        domain in "[ab]{1,3}\\.[ab]{1,2}",
    ) {
        let config = configuration("[[rule]]\nfrom_maps = [\"m\"]\n");
        let maps = BTreeMap::from([("m".to_owned(), lines.join("\n"))]);
        let (policy, _) = compiled(&config, &maps).unwrap();
        let mut headers = Headers::new();
        headers.push(b"From", format!(" {local_part}@{domain}").as_bytes(), Spacing::AsReceived);
        prop_assume!(Author::of(&headers).is_ok());
        let judgement = policy.judge_trusted(&headers, &Recipients::default(), &mut Untraced);
        let fits = |line: &String| {
            let pattern: waxseal::policy::AddressPattern = line.parse().unwrap();
            pattern.matches(local_part.as_bytes(), &domain)
        };
        let naive = lines.iter().position(fits).map(|index| index + 1);
        prop_assert_eq!(judgement.rule.map(|rule| policy.line(rule).line), naive);
    }
}

#[test]
fn every_line_of_a_map_that_cannot_be_understood_is_named_at_once() {
    let config = configuration(
        "[trust]\nbind_logins = \"listed\"\nlogin_maps = [\"logins\"]\n[[rule]]\nfrom_maps = [\"authors\"]\nto_maps = [\"recipients\"]\n",
    );
    let map = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let maps = BTreeMap::from([
        map(
            "authors",
            "good.example\n.example.com\ngood.example  other.example\nx@  \nb.example a=b\n$include\nc.example d e@f g\n",
        ),
        map("recipients", "joe@example.com\njoe@example.com signer.example\n"),
        map("logins", "joe example.com\nJOE example.net\nann\n"),
    ]);
    let findings = compiled(&config, &maps).unwrap_err();
    let said: Vec<String> = findings.iter().map(|finding| finding.to_string().replace("/etc/waxseal/", "")).collect();
    let expected = [
        ("authors:2:1: error", "write \"*.example.com\""),
        ("authors:3:1: warning", "good.example stands at authors:1 already"),
        ("authors:4:1: error", "no domain"),
        ("authors:5:1: error", "\"a=b\" is no signing domain"),
        ("authors:6:1: error", "path"),
        ("authors:7:1: error", "\"g\" is one word too many"),
        ("recipients:2:1: error", "\"signer.example\" is one word too many"),
        ("logins:2:1: error", "the login \"joe\" stands at logins:1 already"),
        ("logins:3:1: error", "nothing stands behind the login \"ann\""),
    ];
    for (place, what) in expected {
        let found = said.iter().any(|line| line.starts_with(place) && line.contains(what));
        assert!(found, "{place} {what}\n{}", said.join("\n"));
    }
    assert_eq!(said.len(), expected.len(), "{}", said.join("\n"));
}

#[test]
fn a_line_takes_less_than_200_octets_of_memory() {
    const LINES: usize = 20_000;
    let lines =
        (0..LINES).map(|number| format!("user{number}@customer{number}.example.com customer{number}.example.com"));
    let maps = BTreeMap::from([("m".to_owned(), lines.collect::<Vec<_>>().join("\n"))]);
    let (policy, _) = compiled(&configuration("[[rule]]\nfrom_maps = [\"m\"]\n"), &maps).unwrap();
    assert_eq!(policy.entries(), LINES);
    assert!(policy.memory() < 200 * LINES, "{}", policy.memory());
}

/// The macros asked for at each stage, by its number.
fn macros_asked_for(socket: &Path) -> BTreeMap<u32, String> {
    let mut dialogue = Dialogue::silent(socket);
    dialogue.raw(&offer(6, support::ACTIONS, support::PROTOCOL));
    let (_, payload) = dialogue.reply().unwrap();
    let mut rest = &payload[12..];
    let mut lists = BTreeMap::new();
    while let Some((number, after)) = rest.split_first_chunk::<4>() {
        let end = after.iter().position(|octet| *octet == 0).unwrap();
        lists.insert(u32::from_be_bytes(*number), String::from_utf8_lossy(&after[..end]).into_owned());
        rest = &after[end + 1..];
    }
    lists
}

/// One message on a connection of its own, with these macros and to this recipient.
fn message(socket: &Path, queue_id: &str, client: &str, values: &[(&str, &str)], recipient: &str) -> Verdict {
    let mut dialogue = Dialogue::open_from(socket, client);
    let all: Vec<(&str, &str)> = [("i", queue_id)].into_iter().chain(values.iter().copied()).collect();
    dialogue.raw(&macros(b'M', &all));
    dialogue.raw(&frame(b'M', b"<ada@example.test>\0"));
    let (reply, _) = dialogue.reply().unwrap();
    if reply == b'a' {
        return Verdict::Passed;
    }
    let verdict = dialogue.content_to(recipient, queue_id, &FIELDS, b"Hello.\r\n").unwrap();
    dialogue.quit();
    verdict
}

fn is_signed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Signed(_))
}

#[test]
fn the_daemon_asks_for_what_a_policy_names_and_obeys_it() {
    let scratch = Scratch::new("policy");
    let installation = Installation::new(&scratch);
    let settings = "[trust]\nnetworks = []\ndaemon_names = []\nmacros = [\"{ours}=yes\", \"_\"]\nignore = [\"192.0.2.25\"]\nbind_logins = \"own-domain\"\n\
        [[rule]]\nname = \"list\"\nto = [\"*@lists.test\"]\nnever = true\n\
        [[rule]]\nname = \"ours\"\nfrom = [\"ada@example.test\"]\nidentity = \"author\"\ncanonicalization = \"simple/simple\"\nexpire_after = \"14d\"\n";
    let daemon = installation.start_listening(&scratch, settings);
    let socket = daemon.socket();
    let asked = macros_asked_for(socket);
    for stage in [0, 1, 2, 6] {
        assert!(asked[&stage].contains("{ours}") && asked[&stage].ends_with(" _"), "{asked:?}");
    }

    assert!(is_signed(&message(socket, "MACRO", "203.0.113.9", &[("{ours}", "yes")], "<bob@sink.test>")));
    assert_eq!(message(socket, "OTHER", "203.0.113.9", &[("{ours}", "no")], "<bob@sink.test>"), Verdict::Passed);
    assert_eq!(message(socket, "LIST", "203.0.113.9", &[("{ours}", "yes")], "<x@Lists.test>"), Verdict::Passed);
    let login = |name: &str, queue_id: &str| {
        message(
            socket,
            queue_id,
            "203.0.113.9",
            &[("{auth_type}", "PLAIN"), ("{auth_authen}", name)],
            "<bob@sink.test>",
        )
    };
    let Verdict::Signed(fields) = login("joe@example.test", "LOGIN") else { panic!("not signed") };
    assert!(fields[0].contains("i=ada@example.test") && fields[0].contains("c=simple/simple"), "{fields:?}");
    assert!(fields[0].contains("x="), "{fields:?}");
    assert_eq!(login("joe@example.org", "BOUND"), Verdict::Passed);
    let ignored = [("{auth_type}", "PLAIN"), ("{auth_authen}", "joe@example.test")];
    assert_eq!(message(socket, "IGNORED", "192.0.2.25", &ignored, "<bob@sink.test>"), Verdict::Passed);

    for (queue_id, reason) in [
        ("MACRO", "signed"),
        ("OTHER", "not_trusted"),
        ("LIST", "rule_never"),
        ("LOGIN", "signed"),
        ("BOUND", "login_not_bound"),
        ("IGNORED", "ignored_peer"),
    ] {
        assert_eq!(daemon.message(queue_id).reason, reason, "{queue_id}");
    }
    assert!(daemon.server.output().contains("\"login\":\"joe@example.org\""));
    assert!(daemon.server.output().contains("\"rule\":\"list\""));
}

#[test]
fn a_changed_map_takes_hold_without_a_reload_and_a_broken_one_changes_nothing() {
    let scratch = Scratch::new("policy");
    let installation = Installation::new(&scratch);
    let folder = installation.configuration().parent().unwrap().to_owned();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("authors.map", "$include more.map\n");
    write("more.map", "example.test -\n");
    let daemon = installation.start_listening(&scratch, "[[rule]]\nname = \"mapped\"\nfrom_maps = [\"authors.map\"]\n");
    let mut number = 0;
    let mut signed = || {
        number += 1;
        is_signed(&message(daemon.socket(), &format!("M{number}"), "127.0.0.1", &[], "<bob@sink.test>"))
    };
    assert!(!signed());
    write("more.map", "# nobody\n");
    eventually("the changed map to take hold", Duration::from_secs(20), || signed().then_some(()));

    write("more.map", "example.test -\nexa$mple.test\n");
    daemon.wait_for_log("what was read before stays", 1);
    assert!(signed(), "a broken map took hold");
    assert!(daemon.server.output().contains("more.map:2:1"), "{}", daemon.server.output());
    daemon.reload();
    daemon.wait_for_log("configuration not reloaded", 1);
    assert!(signed(), "a broken map took hold at the reload");

    fs::remove_file(folder.join("more.map")).unwrap();
    daemon.wait_for_log("what was read before stays", 2);
    assert!(signed());
    write("more.map", "example.test -\n");
    eventually("the mended map to take hold", Duration::from_secs(20), || (!signed()).then_some(()));
}

#[test]
fn the_daemon_does_not_start_and_the_check_fails_on_a_map_that_cannot_be_read() {
    let scratch = Scratch::new("policy");
    let installation = Installation::new(&scratch);
    installation.configure("[[rule]]\nfrom_maps = [\"missing.map\"]\n");
    let checked = installation.command("config").arg("check").output().unwrap();
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{printed}");
    assert!(printed.contains("missing.map") && printed.contains("make it, or take it out"), "{printed}");
    let started = std::process::Command::new(env!("CARGO_BIN_EXE_waxseald"))
        .arg("--config")
        .arg(installation.configuration())
        .output()
        .unwrap();
    assert_eq!(started.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&started.stderr).contains("missing.map"));
}

#[test]
fn what_will_break_after_us_is_counted_with_the_message() {
    let scratch = Scratch::new("policy");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let mut dialogue = Dialogue::open_from(daemon.socket(), "127.0.0.1");
    dialogue.mail("BREAKS").unwrap();
    let fields = [
        ("DKIM-Signature", " v=1; d=example.test; s=old; b="),
        ("From", " A. D. A. <ada@example.test>"),
        ("Subject", " x"),
    ];
    let body = format!("gr\u{fc}n {}\r\n", "x".repeat(1000));
    let verdict = dialogue.content("BREAKS", &fields, body.as_bytes()).unwrap();
    assert!(is_signed(&verdict));
    daemon.message("BREAKS");
    let expected = "\"warnings\":\"long_line,eight_bit,rewritten_address,already_signed\"";
    assert!(daemon.server.output().contains(expected), "{}", daemon.server.output());
}
