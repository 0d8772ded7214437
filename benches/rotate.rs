//! How long `waxseal rotate` takes for many domains, and with how much memory: the first run and one with nothing due over
//! 100,000 domains, and publishing for 10,000 that are due at once, to a BIND on loopback with a zone for each.
//! `cargo bench --bench rotate -- 100000 10000` has so many. Domains share two keys, for making as many would take hours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use support::{Bind, KeysAre, Many, Statements, ZoneText};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Of a TSIG key, for tests only.
const SECRET: &str = "d2F4c2VhbCB0ZXN0cyB1c2UgdGhpcyBzZWNyZXQgb25seQ==";

fn main() {
    let mut counts = std::env::args().filter_map(|word| word.parse().ok());
    let (all, due) = (counts.next().unwrap_or(100_000), counts.next().unwrap_or(10_000));
    nothing_due(all);
    publishing(due);
}

fn nothing_due(count: usize) {
    let names = (0..count).map(|number| format!("d{number}.test"));
    let config = "[rotation]\nstate = \"state\"\nstandby = false\n[dns]\nresolvers = [\"127.0.0.1:1\"]\n\
                  [[publisher]]\nname = \"program\"\nkind = \"exec\"\nprogram = [\"/bin/false\"]\n";
    let many = Many::new(names, KeysAre::Active, config);
    println!("{count} domains, {} lines of audit log", 2 * count);
    measured("first run", &many, &[]);
    measured("nothing due", &many, &[]);
    fs::remove_file(many.state("due.jsonl")).unwrap();
    measured("index lost", &many, &[]);
}

fn publishing(count: usize) {
    let statements = Statements {
        global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
        of_zones: "allow-update { key \"waxseal\"; };".into(),
    };
    let zones: Vec<_> = (0..count).map(|number| ZoneText::new(&format!("d{number}.test"), &[LOOPBACK], "")).collect();
    let bind = Bind::start_with(&zones, &[LOOPBACK], &statements);
    let server = bind.servers()[0];
    let config = format!(
        "[rotation]\nstate = \"state\"\nstandby = false\n[dns]\nresolvers = [\"{server}\"]\n\
         [[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\nserver = \"{server}\"\nkey_name = \"waxseal\"\n\
         secret_file = \"dns.secret\"\n"
    );
    let many = Many::new(zones.into_iter().map(|zone| zone.apex), KeysAre::Generated, &config);
    let secret = many.scratch().write("dns.secret", SECRET);
    fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    println!("{count} domains due at once, two records each");
    measured("publishing", &many, &["--servers", &server.to_string()]);
    let log = fs::read_to_string(many.state("audit.jsonl")).unwrap();
    let mut published: Vec<Timestamp> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["what"] == "published")
        .map(|line| line["at"].as_str().unwrap().parse().unwrap())
        .collect();
    published.sort();
    let (Some(first), Some(last)) = (published.first(), published.last()) else { panic!("nothing was published") };
    let seconds = last.duration_since(*first).as_secs_f64();
    println!("  {} records in {seconds:.1} s: {:.0} a second", published.len(), published.len() as f64 / seconds);
    bind.stop();
}

fn measured(what: &str, many: &Many, arguments: &[&str]) {
    let mut command = many.waxseal(&["rotate"]);
    let start = Instant::now();
    let mut child = command.args(arguments).stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(resident_kilobytes(child.id()).unwrap_or(0));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let took = start.elapsed().as_secs_f64();
    let summary: Value = serde_json::from_slice(&fs::read(many.state("summary.json")).unwrap()).unwrap();
    let figures: Vec<_> =
        ["due", "done", "failed"].iter().map(|field| format!("{field} {}", summary[*field])).collect();
    let (megabytes, figures) = (peak as f64 / 1000.0, figures.join(", "));
    println!("  {what:<12} {took:>7.1} s {megabytes:>7.1} MB  {figures} ({status})");
}

fn resident_kilobytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
