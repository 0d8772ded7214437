//! `waxseal verify` as its users run it: against real BIND, and against a server that lies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{Bind, DnsServer, Lie, Scratch, ZoneText};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Where the lying server plays the resolver.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// An installation whose domains are in somebody's DNS.
struct House {
    scratch: Scratch,
}

impl House {
    /// Keys, all of them active, for these domains.
    fn with(domains: &[String]) -> Self {
        let house = Self { scratch: Scratch::new("verify") };
        let list = house.scratch.write("domains", domains.join("\n"));
        let first = &domains[0];
        let dir = house.scratch.join("waxseal");
        succeeds(waxseal().args(["init", "--yes", "--dir"]).arg(&dir).arg(first));
        if domains.len() > 1 {
            let rest = fs::read_to_string(&list).unwrap().replacen(&format!("{first}\n"), "", 1);
            fs::write(&list, rest).unwrap();
            succeeds(house.command("generate").args(["--no-dns-check", "--from"]).arg(&list));
        }
        succeeds(house.command("activate").arg("--yes").args(domains));
        house
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = waxseal();
        command.arg("--config").arg(self.scratch.join("waxseal/waxseal.toml")).arg(subcommand);
        command
    }

    /// The domain's records as lines of a zone file, the RSA key's first.
    fn records(&self, domain: &str) -> Vec<String> {
        let output = succeeds(self.command("record").args(["--format", "bind", domain]));
        let mut lines: Vec<String> = output.lines().filter(|line| line.contains(" TXT ")).map(str::to_owned).collect();
        lines.sort_by_key(|line| !line.contains("k=rsa"));
        assert_eq!(lines.len(), 2, "{output}");
        lines
    }

    /// `waxseal verify` of these arguments, with this resolver and name servers at the same port.
    fn verify(&self, resolver: SocketAddr, args: &[&str]) -> Output {
        let mut command = self.command("verify");
        let port = resolver.port().to_string();
        command.args(["--timeout", "500ms", "--resolver", &resolver.to_string(), "--port", &port]);
        command.args(args).output().unwrap()
    }

    fn public_manifest(&self) -> PathBuf {
        let path = self.scratch.join("public.json");
        succeeds(self.command("export").args(["--public", "--output"]).arg(&path));
        path
    }
}

fn waxseal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.args(["--color", "never"]);
    command
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with all that was said unless the exit code is this one.
fn exits(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", stdout(output), stderr(output));
    stdout(output)
}

/// The text of a record's line without its quotes and parentheses.
fn value(line: &str) -> String {
    line.split('"').skip(1).step_by(2).collect()
}

fn owner(line: &str) -> &str {
    line.split_once(' ').unwrap().0
}

fn quoted(text: &str) -> String {
    let strings = text.as_bytes().chunks(200).map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk)));
    format!("( {} )", strings.collect::<Vec<_>>().join(" "))
}

/// A way to break a record: the rule that is to see it, and the zone's lines that do it.
type Break = (&'static str, fn(&[String]) -> String);

/// Ten ways, each worth an error.
const BREAKS: [Break; 10] = [
    ("D01", |lines| lines[1].clone()),
    ("D02", |lines| format!("{}\n{} 3600 IN TXT \"hello\"\n{}", lines[0], owner(&lines[0]), lines[1])),
    ("D05", |lines| format!("{} 3600 IN CNAME nowhere\n{}", owner(&lines[0]), lines[1])),
    ("D09", |lines| format!("{}\n{}\n*._domainkey 3600 IN TXT \"v=DKIM1; p=\"", lines[0], lines[1])),
    ("S01", |lines| with_value(lines, &|text| format!("{}; v=DKIM1", text.trim_start_matches("v=DKIM1; ")))),
    ("S03", |lines| with_value(lines, &|text| text[..text.find("; p=").unwrap()].to_owned())),
    ("S04", |lines| with_value(lines, &|text| text.replacen("p=MII", "p=M*I", 1))),
    ("S06", |lines| with_value(lines, &|text| text.replace(';', "\\\\;"))),
    ("K09", |lines| with_value(lines, &|_| OTHER_KEY.to_owned())),
    ("P05", |lines| with_value(lines, &|_| "v=DKIM1; k=rsa; p=".to_owned())),
];

/// An RSA key that is none of ours.
const OTHER_KEY: &str = "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlmDJFZ5eZo8ienhVNR8RW8KUrB1WT9fEgeUyy1\
    IXp61D4cbeaw023unmKCE0/wQLs1thDNRaZaxj8dBVr4jGBqKbJJcE3dI6bgvJ4aiKP2aqKttKfErCwkQgDoJOiePKGmH+HlnAeI\
    7GGdBzzE2GHlQWrLcvMHSj42Khk8o5ZNLESP8G+MSx8SA9q1w2gOIVvhrinU7+UeIV9f5Crkjr4RYwuZx5fPt+mmPfVgEVM6Ex3g\
    RHD7xQk6/SHkATDC4Z4W+7QSO1/9fwjdYt8PXoPg1SgNYAsahAO0aPzQpP0BlMb8h9PsMJglX4NnRpDy0Sdmt80GHlRChRTNSIR4\
    MoCQIDAQAB";

fn with_value(lines: &[String], change: &dyn Fn(&str) -> String) -> String {
    format!("{} 3600 IN TXT {}\n{}", owner(&lines[0]), quoted(&change(&value(&lines[0]))), lines[1])
}

#[test]
#[ignore = "starts BIND; run by tests/run-all"]
fn a_thousand_domains_are_clean_and_ten_breaks_are_each_named() {
    let domains: Vec<String> = (0..1_000).map(|number| format!("d{number:04}.test")).collect();
    let house = House::with(&domains);
    let printed = succeeds(house.command("record").args(["--format", "bind"]).args(&domains));
    let mut zones: Vec<ZoneText> = Vec::new();
    for domain in &domains {
        let suffix = format!("._domainkey.{domain}. ");
        let lines: Vec<&str> = printed.lines().filter(|line| line.contains(&suffix)).collect();
        assert_eq!(lines.len(), 2, "{domain}");
        zones.push(ZoneText::new(domain, &[LOOPBACK], &lines.join("\n")));
    }
    let bind = Bind::start(&zones, &[LOOPBACK]);
    let clean = house.verify(bind.servers()[0], &["--all"]);
    let text = exits(&clean, 0);
    assert!(text.contains("1000 domains"), "{text}");

    let broken: Vec<ZoneText> = BREAKS
        .iter()
        .zip(&domains)
        .map(|((_, change), domain)| {
            let mut zone = ZoneText::new(domain, &[LOOPBACK], &change(&house.records(domain)));
            zone.text = zone.text.replacen(" hostmaster 1 ", " hostmaster 2 ", 1);
            zone
        })
        .collect();
    bind.reload(&broken);

    let text = exits(&house.verify(bind.servers()[0], &["--all"]), 1);
    let manifest = house.public_manifest();
    let manifest = manifest.to_str().unwrap();
    let junit = exits(&house.verify(bind.servers()[0], &["--manifest", manifest, "--format", "junit"]), 1);
    let github = exits(&house.verify(bind.servers()[0], &["--manifest", manifest, "--format", "github"]), 1);
    let json = exits(&house.verify(bind.servers()[0], &["--manifest", manifest, "--format", "json"]), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    let lines = fs::read_to_string(manifest).unwrap();
    for ((rule, _), domain) in BREAKS.iter().zip(&domains) {
        let report = json["domains"].as_array().unwrap().iter().find(|report| report["domain"] == **domain).unwrap();
        let findings = findings(report);
        let errors: BTreeSet<&str> =
            findings.iter().filter(|(_, severity, _)| severity == "error").map(|(rule, ..)| rule.as_str()).collect();
        assert!(errors.contains(rule), "{domain}: {rule} is not in {findings:?}");
        assert!(findings.iter().all(|(_, severity, remedy)| severity == "info" || !remedy.is_empty()), "{findings:?}");
        let remedy = &findings.iter().find(|(found, ..)| found == rule).unwrap().2;
        let first_words: String = remedy.chars().take(24).collect();
        for (form, output) in [("text", &text), ("junit", &junit), ("github", &github)] {
            assert!(output.contains(domain.as_str()), "{form} lacks {domain}");
            assert!(output.contains(rule), "{form} lacks {rule}");
            assert!(unwrapped(output).contains(&first_words), "{form} lacks the remedy {remedy:?} of {rule}");
        }
        // The annotation stands at the line of a key of the domain.
        let annotation = github.lines().find(|line| line.contains(domain.as_str()) && line.contains(rule)).unwrap();
        let line: usize = annotation.split("line=").nth(1).unwrap().split([',', ':']).next().unwrap().parse().unwrap();
        assert!(lines.lines().nth(line - 1).unwrap().contains("\"selector\""), "{annotation}");
    }
    // And nobody else.
    let failing = json["domains"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|report| findings(report).iter().any(|(_, severity, _)| severity == "error"));
    assert_eq!(failing.count(), BREAKS.len());

    let address = bind.servers()[0];
    bind.stop();
    let text = exits(&house.verify(address, &["d0500.test"]), 3);
    assert!(text.contains("undetermined"), "{text}");
}

/// Rule, severity and remedy of each finding.
fn findings(report: &Value) -> Vec<(String, String, String)> {
    let of = |value: &Value| -> Vec<Value> { value["findings"].as_array().unwrap().clone() };
    let keys = report["keys"].as_array().unwrap().iter().flat_map(of);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    of(report)
        .into_iter()
        .chain(keys)
        .map(|finding| (text(&finding["rule"]), text(&finding["severity"]), text(&finding["remedy"])))
        .collect()
}

/// Text whose lines were broken for the eye, or escaped, as one line.
fn unwrapped(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.replace("%25", "%").replace("&apos;", "'").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A lying server for example.test, on two addresses, and a resolver on a third.
fn liar(house: &House, change: impl Fn(&[String]) -> String) -> DnsServer {
    let server = DnsServer::start(&[LOOPBACK, SECOND, RESOLVER]);
    // Its parser knows no parentheses.
    let lines = change(&house.records("example.test")).replace("( ", "").replace(" )", "");
    let zone = format!(
        "@ IN SOA ns1 hostmaster 1 7200 900 1209600 3600\n@ IN NS ns1\n@ IN NS ns2\nns1 IN A {LOOPBACK}\nns2 IN A {SECOND}\n{lines}\n"
    );
    server.serve(&[LOOPBACK, SECOND], "example.test", &zone);
    server.resolve(RESOLVER);
    server
}

fn example() -> House {
    House::with(&["example.test".to_owned()])
}

fn asked_of_the_resolver(server: &DnsServer, part: &str) -> usize {
    server.asked().iter().filter(|asked| asked.recursion_desired && asked.name.contains(part)).count()
}

#[test]
fn a_published_domain_is_clean_and_the_table_says_so() {
    let house = example();
    let server = liar(&house, |lines| lines.join("\n"));
    let text = exits(&house.verify(server.at(RESOLVER), &["example.test"]), 0);
    assert!(text.contains("example.test") && text.contains("rsa-sha256") && text.contains("ok"), "{text}");
    let nagios = exits(&house.verify(server.at(RESOLVER), &["example.test", "--format", "nagios"]), 0);
    assert!(nagios.starts_with("DKIM OK") && nagios.contains("domains=1"), "{nagios}");
    assert_eq!(nagios.lines().count(), 1, "{nagios}");
    // Nothing but records that are there was asked of the resolver.
    assert!(asked_of_the_resolver(&server, "_domainkey") > 0);
}

#[test]
fn what_is_not_published_is_an_error_with_the_record_to_publish_and_no_resolver_hears_of_it() {
    let house = example();
    let server = liar(&house, |_| String::new());
    let output = house.verify(server.at(RESOLVER), &["example.test"]);
    let text = exits(&output, 1);
    let record = &house.records("example.test")[0];
    assert!(text.contains("D01"), "{text}");
    assert!(unwrapped(&text).contains(&value(record)[..60]), "{text}");
    assert_eq!(asked_of_the_resolver(&server, "_domainkey"), 0);
    let nagios = exits(&house.verify(server.at(RESOLVER), &["example.test", "--format", "nagios"]), 2);
    assert!(nagios.starts_with("DKIM CRITICAL"), "{nagios}");
}

#[test]
fn silence_is_undetermined_and_findings_win_over_it() {
    let house = example();
    let server = liar(&house, |lines| lines.join("\n"));
    let names: Vec<String> = house.records("example.test").iter().map(|line| owner(line).to_owned()).collect();
    for name in &names {
        for address in [LOOPBACK, SECOND] {
            server.lie(address, name.trim_end_matches('.'), Lie::Silence);
        }
    }
    let text = exits(&house.verify(server.at(RESOLVER), &["example.test"]), 3);
    assert!(text.contains("undetermined") && !text.contains("D01"), "{text}");
    exits(&house.verify(server.at(RESOLVER), &["example.test", "--format", "nagios"]), 3);
    // One record answers, with something wrong: 1, whatever the other does.
    server.lie(
        LOOPBACK,
        names[0].trim_end_matches('.'),
        Lie::Records(format!("{} 60 IN TXT \"v=DKIM1; p=\"", names[0])),
    );
    exits(&house.verify(server.at(RESOLVER), &["example.test"]), 1);
}

#[test]
fn servers_that_differ_are_named() {
    let house = example();
    let server = liar(&house, |lines| lines.join("\n"));
    let name = owner(&house.records("example.test")[0]).trim_end_matches('.').to_owned();
    server.lie(SECOND, &name, Lie::Records(String::new()));
    let text = exits(&house.verify(server.at(RESOLVER), &["example.test"]), 1);
    assert!(text.contains("D03") && text.contains("127.0.0.2"), "{text}");
}

#[test]
fn fail_on_decides_which_findings_fail() {
    let house = example();
    let server = liar(&house, |lines| lines.join("\n").replace("v=DKIM1; k=ed25519", "v=DKIM1; t=y; k=ed25519"));
    exits(&house.verify(server.at(RESOLVER), &["example.test"]), 0);
    let text = exits(&house.verify(server.at(RESOLVER), &["example.test", "--fail-on", "warning"]), 1);
    assert!(text.contains("P03"), "{text}");
    exits(&house.verify(server.at(RESOLVER), &["example.test", "--format", "nagios"]), 1);
}

#[test]
fn waiting_ends_when_the_record_is_everywhere() {
    let house = example();
    let server = liar(&house, |lines| lines.join("\n"));
    let name = owner(&house.records("example.test")[0]).trim_end_matches('.').to_owned();
    server.lie(SECOND, &name, Lie::Records(String::new()));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(2));
            server.be_honest(SECOND, &name);
        });
        let output = house.verify(server.at(RESOLVER), &["example.test", "--wait=60s"]);
        exits(&output, 0);
        assert!(stderr(&output).contains("left"), "{}", stderr(&output));
    });
    // And when its time is over.
    server.lie(SECOND, &name, Lie::Records(String::new()));
    exits(&house.verify(server.at(RESOLVER), &["example.test", "--wait=1s"]), 1);
}

#[test]
fn a_selector_of_which_nothing_is_held_is_looked_at_alone() {
    let scratch = Scratch::new("verify");
    let house = example();
    let server = liar(&house, |lines| lines.join("\n"));
    let name = owner(&house.records("example.test")[0]).to_owned();
    let selector = name.split('.').next().unwrap();
    let port = server.port().to_string();
    // No configuration, no key store: anybody's domain.
    let mut command = waxseal();
    command.current_dir(scratch.path()).args(["verify", "example.test", "--selector", selector]);
    let output = command.args(["--servers", "127.0.0.1,127.0.0.2", "--port", &port]);
    let output = output.args(["--resolver", &server.at(RESOLVER).to_string()]).output().unwrap();
    let text = exits(&output, 0);
    assert!(text.contains(selector), "{text}");
    // Without a selector there is nothing to go by.
    let output = house.verify(server.at(RESOLVER), &["example.org"]);
    exits(&output, 2);
    assert!(stderr(&output).contains("--selector"), "{}", stderr(&output));
}

#[test]
fn a_zone_file_is_checked_before_it_is_published() {
    let house = example();
    let lines = house.records("example.test").join("\n");
    let head = "$ORIGIN example.test.\n$TTL 3600\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 3600\n@ IN NS ns1\n";
    let good = house.scratch.write("good.zone", format!("{head}{lines}\n"));
    let bad = house.scratch.write("bad.zone", format!("{head}{}\n", lines.replacen("p=MII", "p=M*I", 1)));
    let check =
        |path: &PathBuf| house.command("verify").arg("--zone-file").arg(path).arg("example.test").output().unwrap();
    exits(&check(&good), 0);
    let text = exits(&check(&bad), 1);
    assert!(text.contains("example.test"), "{text}");
    let broken = house.scratch.write("broken.zone", format!("{head}x IN TXT \"never closed\n"));
    let output = check(&broken);
    exits(&output, 2);
    assert!(stderr(&output).contains("broken.zone:5") || stderr(&output).contains("line 5"), "{}", stderr(&output));
    exits(&check(&house.scratch.join("none.zone")), 2);
}

#[test]
fn resolvers_alone_are_asked_where_the_way_to_servers_is_blocked() {
    let house = example();
    let server = liar(&house, |lines| lines.join("\n"));
    let resolver = server.at(RESOLVER).to_string();
    let mut command = house.command("verify");
    // Port 9 of the name servers: whoever asks them gets no answer.
    let output =
        command.args(["example.test", "--recursive-only", "--resolver", &resolver, "--port", "9"]).output().unwrap();
    exits(&output, 0);
    assert!(server.asked().iter().all(|asked| asked.recursion_desired));
}

#[test]
fn a_rule_is_explained_and_an_unknown_one_is_not() {
    let text = succeeds(waxseal().args(["verify", "--explain", "d03"]));
    assert!(text.starts_with("D03") && text.lines().count() >= 3, "{text}");
    let output = waxseal().args(["verify", "--explain", "D33"]).output().unwrap();
    exits(&output, 2);
    assert!(stderr(&output).contains("D15"), "{}", stderr(&output));
}

#[test]
fn a_manifest_edited_by_hand_is_refused_with_the_line_of_each_fault() {
    let house = example();
    let path = house.public_manifest();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("ed25519-sha256", "ed25519-sha512")).unwrap();
    let mut command = house.command("verify");
    let output = command.arg("--manifest").arg(&path).output().unwrap();
    exits(&output, 2);
    let line = text.lines().position(|line| line.contains("ed25519-sha256")).unwrap() + 1;
    assert!(stderr(&output).contains(&format!("line {line}")), "{}", stderr(&output));
    fs::write(&path, "{").unwrap();
    exits(&house.command("verify").arg("--manifest").arg(&path).output().unwrap(), 2);
}

#[test]
fn what_a_hostile_server_says_never_reaches_the_terminal_raw() {
    let house = example();
    let name = owner(&house.records("example.test")[0]).to_owned();
    let server = liar(&house, |lines| lines.join("\n"));
    for address in [LOOPBACK, SECOND] {
        let evil = format!("{name} 60 IN TXT \"v=DKIM1; p=\\027[31m\\007\\000; n=\\155\\255\"");
        server.lie(address, name.trim_end_matches('.'), Lie::Records(evil));
    }
    for format in ["text", "json", "junit", "github", "nagios", "sarif"] {
        let output = house.verify(server.at(RESOLVER), &["example.test", "--format", format]);
        assert!([1, 2].contains(&output.status.code().unwrap()), "{format}: {}", stderr(&output));
        let bad = output.stdout.iter().find(|octet| octet.is_ascii_control() && **octet != b'\n');
        assert_eq!(bad, None, "{format}");
    }
}
