//! How long `waxseal verify` takes for many domains, and with how much memory: two authoritative servers and a resolver on
//! loopback, each of which answers after 20 ms; every domain a zone of its own, with two keys. `cargo bench --bench verify
//! -- 10000` has so many domains.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{DnsServer, Scratch};

const DELAY: Duration = Duration::from_millis(20);

fn main() {
    let count: usize = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(10_000);
    let scratch = Scratch::new("verify-bench");
    let domains: Vec<String> = (0..count).map(|number| format!("d{number}.test")).collect();
    let list = scratch.write("domains", domains.join("\n"));
    let dir = scratch.join("waxseal");
    let config = dir.join("waxseal.toml");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        let output = command.arg("--config").arg(&config).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let list = list.to_str().unwrap();
    run(&["init", "--yes", "--dir", dir.to_str().unwrap(), "first.test"]);
    // What they hold makes no difference to the questions: one pair of keys for all is made quickly.
    run(&["generate", "--shared", "--no-dns-check", "--from", list]);
    let manifest = scratch.join("public.json");
    let mut export = vec!["export", "--public", "--output", manifest.to_str().unwrap()];
    export.extend(domains.iter().map(String::as_str));
    run(&export);

    let [first, second, resolver] = [1, 2, 3].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let server = DnsServer::start(&[first, second, resolver]);
    let records = run(&["record", "--format", "plain", &domains[0]]);
    let values: Vec<&str> = records.lines().filter_map(|line| line.strip_prefix("value")).map(str::trim).collect();
    let names: Vec<&str> = records.lines().filter_map(|line| line.strip_prefix("name")).map(str::trim).collect();
    let selectors: Vec<&str> = names.iter().map(|name| name.split('.').next().unwrap()).collect();
    assert_eq!((values.len(), selectors.len()), (2, 2), "{records}");
    let quoted = |value: &str| {
        let strings = value.as_bytes().chunks(250).map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk)));
        strings.collect::<Vec<_>>().join(" ")
    };
    let keys: String = selectors
        .iter()
        .zip(&values)
        .map(|(selector, value)| format!("{selector}._domainkey TXT {}\n", quoted(value)))
        .collect();
    // As a host has it: the same two name servers for all.
    let soa = "@ SOA ns1.host.test. h 1 7200 900 1209600 3600\n@ NS ns1.host.test.\n@ NS ns2.host.test.\n";
    server.serve(&[first, second], "host.test", &format!("{soa}ns1 A {first}\nns2 A {second}\n"));
    let zone = format!("{soa}{keys}");
    for domain in &domains {
        server.serve(&[first, second], domain, &zone);
    }
    server.resolve(resolver);
    for address in [first, second, resolver] {
        server.delay(address, DELAY);
    }

    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.args(["verify", "--manifest", manifest.to_str().unwrap(), "--port", &server.port().to_string()]);
    command.args(["--resolver", &server.at(resolver).to_string()]).stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(resident_kilobytes(child.id()).unwrap_or(0));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let took = start.elapsed().as_secs_f64();
    println!("domains     {count:>8}");
    println!("time        {took:>8.1} s  ({:.0} domains a second, exit code {:?})", count as f64 / took, status.code());
    println!("peak memory {:>8.1} MB", peak as f64 / 1000.0);
    println!("questions   {:>8}", server.asked().len());
}

fn resident_kilobytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
