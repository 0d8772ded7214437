//! `waxseal rotate` over many domains: the first run, one with nothing due, one that goes on where another was killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{DnsServer, KeysAre, Lie, Many, eventually};

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("d{number}.test"))
}

/// A host whose records a program publishes that does nothing.
fn host(count: usize, keys: KeysAre, dns: &DnsServer, more: &str) -> Many {
    let server = dns.at(SERVER);
    let config = format!(
        "[dns]\nresolvers = [\"{server}\"]\ntimeout = \"500ms\"\nattempts = 1\n\
         [rotation]\nstate = \"state\"\nstandby = false\npatrol_every = \"3650d\"\n{more}\n\
         [[publisher]]\nname = \"program\"\nkind = \"exec\"\nprogram = [\"/bin/true\"]\n"
    );
    Many::new(names(count), keys, &config)
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn summary(many: &Many) -> Value {
    serde_json::from_slice(&fs::read(many.state("summary.json")).unwrap()).unwrap()
}

fn audit_ids(many: &Many) -> Vec<String> {
    let log = fs::read_to_string(many.state("audit.jsonl")).unwrap();
    log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn with_nothing_due_no_dns_is_asked_and_a_lost_index_costs_a_look_at_each_manifest() {
    const COUNT: usize = 2000;
    let dns = DnsServer::start(&[SERVER]);
    // The rate is that of domains that ask or change DNS: none does, or this would take half an hour.
    let many = host(COUNT, KeysAre::Active, &dns, "domains_per_second = 1");
    let mut first = many.waxseal(&["rotate"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the first run", Duration::from_secs(120), || first.try_wait().unwrap());
    assert_eq!(text(&first.wait_with_output().unwrap()), format!("{COUNT} of {COUNT} domains were due\n"));
    let told = summary(&many);
    for (field, number) in [("domains", COUNT), ("due", COUNT), ("done", COUNT), ("failed", 0), ("alarmed", 0)] {
        assert_eq!(told[field], number, "{field}: {told:#}");
    }
    assert_eq!((told["keys"]["active"].as_u64(), told["keys"]["ready"].as_u64()), (Some(2 * COUNT as u64), Some(0)));
    assert!(told["next_due"].is_string() && told["halted"].is_null(), "{told:#}");
    let lines = audit_ids(&many);
    assert_eq!((lines.len(), lines.iter().collect::<BTreeSet<_>>().len()), (2 * COUNT, 2 * COUNT));

    assert_eq!(text(&many.rotate(&[])), format!("0 of {COUNT} domains were due\n"));
    assert_eq!(summary(&many)["due"], 0);

    // One manifest is another than it was, one domain is gone.
    let changed = fs::read_to_string(many.manifest("d7.test")).unwrap();
    fs::write(many.manifest("d7.test"), format!("{changed} ")).unwrap();
    fs::remove_dir_all(many.directory("d8.test")).unwrap();
    assert_eq!(text(&many.rotate(&[])), format!("1 of {} domains were due\n", COUNT - 1));
    assert_eq!(summary(&many)["keys"]["active"], 2 * (COUNT - 1));

    // No line of the audit log is written twice.
    fs::remove_file(many.state("due.jsonl")).unwrap();
    assert_eq!(text(&many.rotate(&[])), format!("{0} of {0} domains were due\n", COUNT - 1));
    assert_eq!(audit_ids(&many).len(), lines.len());
    assert_eq!(dns.asked(), []);
}

#[test]
fn a_first_run_that_is_killed_is_gone_on_with() {
    const COUNT: usize = 300;
    let dns = DnsServer::start(&[SERVER]);
    let many = host(COUNT, KeysAre::Generated, &dns, "domains_per_second = 60\nhalt = 100");
    let mut first = many.waxseal(&["rotate"]).stdout(Stdio::null()).spawn().unwrap();
    let known = || fs::read_to_string(many.state("due.jsonl")).unwrap_or_default().matches("\n{\"domain\"").count();
    eventually("the index to be written during the run", Duration::from_secs(60), || (known() >= 40).then_some(()));
    first.kill().unwrap();
    first.wait().unwrap();
    let known = known();
    assert!(known < COUNT, "{known}: it was too quick to be killed");

    let config = fs::read_to_string(many.scratch().join("waxseal.toml")).unwrap();
    many.scratch().write("waxseal.toml", config.replace("domains_per_second = 60", "domains_per_second = 10000"));
    let second = text(&many.rotate(&[]));
    let due: usize = second.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert_eq!(due, COUNT - known, "{second}");
    assert_eq!(summary(&many)["keys"]["published"], 2 * COUNT, "{:#}", summary(&many));
    let lines = audit_ids(&many);
    assert_eq!(lines.len(), lines.iter().collect::<BTreeSet<_>>().len());
}

#[test]
fn a_dry_run_over_all_that_is_due_tells_of_each_and_changes_nothing() {
    const COUNT: usize = 150;
    let dns = DnsServer::start(&[SERVER]);
    let many = host(COUNT, KeysAre::Generated, &dns, "");
    let before = fs::read(many.manifest("d3.test")).unwrap();
    let output = many.rotate(&["--dry-run", "--format", "json"]);
    let told: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!((told["dry_run"].as_bool(), told["due"].as_u64()), (Some(true), Some(COUNT as u64)));
    let domains = told["domains"].as_array().unwrap();
    let told: BTreeSet<_> = domains.iter().map(|domain| domain["domain"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, names(COUNT).collect());
    assert!(domains.iter().all(|domain| domain["actions"][0]["action"] == "publish"), "{:#}", domains[0]);
    assert_eq!(fs::read(many.manifest("d3.test")).unwrap(), before);
    assert!(!many.state("due.jsonl").exists());
}

#[test]
fn zones_whose_servers_are_silent_do_not_hold_up_the_others() {
    const COUNT: usize = 60;
    const SILENT: usize = 10;
    let dns = DnsServer::start(&[SERVER]);
    let many = host(COUNT, KeysAre::Generated, &dns, "halt = 100\nconcurrency = 4");
    for name in names(SILENT) {
        for name in [name.clone(), format!("_domainkey.{name}")] {
            dns.lie(SERVER, &name, Lie::Silence);
        }
    }
    text(&many.rotate(&["--servers", &dns.at(SERVER).to_string()]));
    let told = summary(&many);
    assert_eq!(
        (told["done"].as_u64(), told["keys"]["published"].as_u64()),
        (Some(COUNT as u64), Some(2 * COUNT as u64)),
        "{told:#}"
    );
}

#[test]
fn imported_domains_are_taken_over_as_they_are_enrolled() {
    let dns = DnsServer::start(&[SERVER]);
    let many = host(40, KeysAre::Active, &dns, "enrolled = []\nkey_age = \"1s\"");
    for name in names(40) {
        let manifest = fs::read_to_string(many.manifest(&name)).unwrap();
        assert!(manifest.contains("\"origin\": \"generated\""), "{manifest}");
        fs::write(many.manifest(&name), manifest.replace("\"origin\": \"generated\"", "\"origin\": \"imported\""))
            .unwrap();
    }
    let bindings = |name: &str| {
        let manifest: Value = serde_json::from_slice(&fs::read(many.manifest(name)).unwrap()).unwrap();
        manifest["bindings"].as_array().unwrap().len()
    };
    let taken_over = || names(40).filter(|name| bindings(name) > 2).collect::<Vec<_>>();
    many.rotate(&[]);
    assert_eq!((taken_over(), dns.asked()), (Vec::<String>::new(), Vec::new()));
    let config = fs::read_to_string(many.scratch().join("waxseal.toml")).unwrap();
    many.scratch().write("waxseal.toml", config.replace("enrolled = []", "enrolled = [\"d1.test\", \"d2.test\"]"));
    // What is enrolled is noticed when a domain is looked at: on its patrol, or when it is named.
    many.rotate(&["d1.test", "d2.test", "d3.test"]);
    assert_eq!(taken_over(), ["d1.test", "d2.test"]);
}
