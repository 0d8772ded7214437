//! Records in every form, read back to the same octets by those that the forms are for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::{Scratch, Server, free_port, installed, own, run, with_input};
use waxseal::dkim::Algorithm;
use waxseal::names::{DomainName, Selector};
use waxseal::record_format::{PublishedRecord, RecordFormat, Zones, write};

/// What is found at names: TTL and value, in hexadecimal.
type Found = BTreeMap<String, (u32, String)>;

fn record(domain: &str, selector: &str, value: &str) -> PublishedRecord {
    let (domain, selector) = (DomainName::parse(domain).unwrap(), Selector::parse(selector).unwrap());
    let strings = value.as_bytes().chunks(255).map(|string| String::from_utf8(string.to_vec()).unwrap()).collect();
    PublishedRecord {
        name: selector.record_name(&domain),
        rr_type: "TXT",
        ttl: 3600,
        value: value.to_owned(),
        domain,
        selector,
        alias: None,
        algorithm: Algorithm::RsaSha256,
        strings,
    }
}

/// The record of an RSA key of this many bits, as long as one that is.
fn rsa(domain: &str, selector: &str, bits: usize) -> PublishedRecord {
    let octets: Vec<u8> = (0..bits / 8 + 38).map(|at| (at * 151 % 256) as u8).collect();
    record(domain, selector, &format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(octets)))
}

/// Keys as they are: both algorithms, the longest, a revoked one, in zones and below, with selectors of several labels.
fn records() -> Vec<PublishedRecord> {
    let mut records = vec![
        rsa("example.test", "20261123r2", 2048),
        rsa("example.test", "20261123r10", 4096),
        record("example.test", "20261123e", "v=DKIM1; k=ed25519; p=Z7W+aK0R2+oHaX2M0QHcusjwih7soHALey2BZPAvn74="),
        rsa("mail.example.test", "a.b", 3072),
        record("xn--bcher-kva.test", "s_1", "v=DKIM1; k=rsa; p="),
    ];
    records[2].ttl = 86_400;
    records
}

/// Values that break out of whatever quotes badly.
fn hostile() -> Vec<PublishedRecord> {
    let values = [
        r#"a"b\c;d'e${f}%{g}$${h}:i#j`k"#,
        r#"\"; "#,
        r"ends with a backslash\",
        r#"" "" ("#,
        "\\034 \\; \\u0041 \\n *x &y !z ,",
        " blanks  at both ends ",
        "*/ </script> // {{ }} <%= %>",
        "=: - ? | > @",
    ];
    let mut records: Vec<_> =
        values.iter().zip(1..).map(|(value, at)| record("example.test", &format!("h{at}"), value)).collect();
    // Whose strings are cut at a backslash.
    records.push(record("example.test", "h9", &format!("{}{}", "x".repeat(254), "\\\";\\".repeat(70))));
    records
}

fn all() -> Vec<PublishedRecord> {
    [records(), hostile()].concat()
}

fn written(records: &[PublishedRecord], format: RecordFormat) -> String {
    let mut out = Vec::new();
    write(records, format, &Zones::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn expected(records: &[PublishedRecord]) -> Found {
    records.iter().map(|record| (record.name.clone(), (record.ttl, hex(record.value.as_bytes())))).collect()
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record_formats").join(name)
}

fn found(output: &Output) -> Found {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `read.py` finds.
fn read<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Found {
    found(&run(Command::new(own("venv/bin/python")).arg(program("read.py")).args(arguments)))
}

/// What `read.py` finds in a file of this form.
fn read_file(records: &[PublishedRecord], format: RecordFormat) -> Found {
    let scratch = Scratch::new("records");
    let path = scratch.write("file", written(records, format));
    read(&[format.name().as_ref(), path.as_os_str()])
}

#[test]
fn every_form_is_as_it_was() {
    for format in RecordFormat::ALL {
        insta::assert_snapshot!(format.name(), written(&records(), format));
    }
}

#[test]
fn plain_and_json_hold_the_value_as_it_is() {
    let json: Vec<serde_json::Value> = serde_json::from_str(&written(&all(), RecordFormat::Json)).unwrap();
    let plain = written(&all(), RecordFormat::Plain);
    let values: Vec<_> = plain.lines().filter_map(|line| line.strip_prefix("value  ")).collect();
    for ((record, object), line) in all().iter().zip(&json).zip(&values) {
        assert_eq!(object["value"], record.value);
        assert_eq!(*line, record.value);
    }
    assert_eq!((json.len(), values.len()), (all().len(), all().len()));
}

#[test]
fn named_zones_win_over_the_registrable_domain_and_the_longest_over_others() {
    let zones = ["test", "mail.example.test", "elsewhere.test"].map(|zone| DomainName::parse(zone).unwrap());
    let mut out = Vec::new();
    write(&records(), RecordFormat::Nsupdate, &Zones::named(zones.into()), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let named: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("zone ")).collect();
    assert_eq!(named, ["test.", "mail.example.test.", "test."]);
    assert_eq!(text.lines().filter(|line| *line == "send").count(), 3);
}

#[test]
fn no_records_are_a_document_too() {
    for format in [RecordFormat::Json, RecordFormat::Powerdns, RecordFormat::Cloudflare, RecordFormat::Route53] {
        assert_eq!(written(&[], format), "[]\n");
    }
    for format in [RecordFormat::Bind, RecordFormat::Nsupdate, RecordFormat::Octodns, RecordFormat::Dnscontrol] {
        assert_eq!(written(&[], format), "");
    }
}

/// `waxseal record` with these arguments, in an installation with keys of these domains.
fn waxseal(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("--config").arg(folder.join("waxseal.toml")).args(arguments).output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn records_of_all_domains_or_of_some_states_are_printed() {
    let scratch = Scratch::new("record");
    let folder = scratch.join("w");
    let init = ["init", "--dir", folder.to_str().unwrap(), "--yes", "--algorithm", "ed25519", "b.example", "a.example"];
    assert!(waxseal(&folder, &init).status.success());
    assert!(waxseal(&folder, &["activate", "--yes", "b.example"]).status.success());
    let all = waxseal(&folder, &["record", "--all"]);
    assert_eq!(lines(&all).len(), 2);
    assert!(lines(&all)[0].ends_with("._domainkey.a.example."), "{:?}", lines(&all));
    let active = waxseal(&folder, &["record", "--all", "--state", "active"]);
    assert_eq!(lines(&active), lines(&all)[1..]);
    assert_eq!(lines(&waxseal(&folder, &["record", "--state", "active", "a.example"])), [""; 0]);
    for format in RecordFormat::ALL {
        let output = waxseal(&folder, &["record", "--all", "--format", format.name()]);
        assert!(
            output.status.success() && String::from_utf8(output.stdout).unwrap().contains("_domainkey"),
            "{format}"
        );
    }
    // Either domains or all of them; and one that is broken hides no other.
    assert_eq!(waxseal(&folder, &["record", "--all", "a.example"]).status.code(), Some(2));
    assert_eq!(waxseal(&folder, &["record"]).status.code(), Some(2));
    fs::write(folder.join("keys/domains/a.example/manifest.json"), "{").unwrap();
    let rest = waxseal(&folder, &["record", "--all"]);
    assert_eq!((rest.status.code(), lines(&rest)), (Some(1), lines(&active)));
    assert!(String::from_utf8(rest.stderr).unwrap().contains("a.example"));
}

#[test]
fn what_is_too_much_for_one_request_becomes_several() {
    let many: Vec<_> = (0..450).map(|at| rsa("example.test", &format!("s{at}"), 4096)).collect();
    let bodies = |format, list: &str| -> Vec<usize> {
        let requests: Vec<serde_json::Value> = serde_json::from_str(&written(&many, format)).unwrap();
        requests.iter().map(|request| request["body"][list].as_array().unwrap().len()).collect()
    };
    assert_eq!(bodies(RecordFormat::Cloudflare, "posts"), [200, 200, 50]);
    let batches = bodies(RecordFormat::Route53, "Changes");
    assert_eq!(batches.iter().sum::<usize>(), 450);
    assert!(batches.iter().all(|changes| (1..=21).contains(changes)), "{batches:?}");
}

#[test]
#[ignore = "needs named-checkzone and Python: run tests/run-all"]
fn bind_loads_its_lines() {
    let scratch = Scratch::new("checkzone");
    let soa = "test. 3600 IN SOA ns.test. admin.test. 1 7200 900 1209600 3600\ntest. 3600 IN NS ns.test.\nns.test. IN A 127.0.0.1\n";
    let zone = scratch.write("zone", format!("{soa}{}", written(&all(), RecordFormat::Bind)));
    let dump = scratch.join("dump");
    let checkzone = installed(&["/usr/bin/named-checkzone", "/usr/sbin/named-checkzone"], "bind9-utils");
    run(Command::new(checkzone).args(["-k", "ignore", "-D", "-o"]).arg(&dump).arg("test").arg(zone));
    assert_eq!(read(&["bind".as_ref(), dump.as_os_str(), "test".as_ref()]), expected(&all()));
}

#[test]
#[ignore = "needs BIND, nsupdate and Python: run tests/run-all"]
fn nsupdate_sends_its_commands() {
    let scratch = Scratch::new("nsupdate");
    let port = free_port();
    let zone = "$TTL 3600\n@ IN SOA ns admin 1 7200 900 1209600 3600\n@ IN NS ns\nns IN A 127.0.0.1\n";
    // One that stands there already, which the update replaces.
    scratch.write("example.test.zone", format!("{zone}20261123e._domainkey 60 IN TXT \"old\"\n"));
    scratch.write("xn--bcher-kva.test.zone", zone);
    let mut configuration = format!(
        "options {{ directory \"{}\"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;\n\
         listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; notify no; }};\ncontrols {{ }};\n",
        scratch.path().display()
    );
    for apex in ["example.test", "xn--bcher-kva.test"] {
        configuration +=
            &format!("zone \"{apex}\" {{ type primary; file \"{apex}.zone\"; allow-update {{ 127.0.0.1; }}; }};\n");
    }
    let configuration = scratch.write("named.conf", configuration);
    let named = installed(&["/usr/sbin/named"], "bind9");
    let mut server =
        Server::start(Command::new(named).args(["-g", "-n", "1", "-c"]).arg(configuration), &scratch.join("named.log"));
    server.wait_until("BIND to run", || fs::read_to_string(scratch.join("named.log")).unwrap().contains("running"));
    let nsupdate = installed(&["/usr/bin/nsupdate"], "bind9-dnsutils");
    // Twice: the second time nothing changes.
    let commands = format!("server 127.0.0.1 {port}\n{}", written(&all(), RecordFormat::Nsupdate));
    for _ in 0..2 {
        let output = with_input(Command::new(&nsupdate).arg("-v"), commands.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(ask(port), expected(&all()));
}

/// What a server on loopback says to all names.
fn ask(port: u16) -> Found {
    let mut arguments = vec!["ask".to_owned(), "127.0.0.1".to_owned(), port.to_string()];
    arguments.extend(all().into_iter().map(|record| record.name));
    read(&arguments)
}

#[test]
#[ignore = "needs tinydns: run tests/run-all"]
fn tinydns_reads_its_lines() {
    let scratch = Scratch::new("tinydns");
    scratch.write("data", format!(".test::ns.test\n{}", written(&all(), RecordFormat::Tinydns)));
    let tool = |name: &str| {
        let mut command =
            Command::new(installed(&[&format!("/usr/sbin/{name}"), &format!("/usr/bin/{name}")], "tinydns"));
        command.current_dir(scratch.path());
        command
    };
    run(&mut tool("tinydns-data"));
    let mut found = Found::new();
    for record in all() {
        let output = run(tool("tinydns-get").args(["txt", &record.name]));
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("answer: ")).unwrap();
        let mut words = line.splitn(4, ' ');
        let (name, ttl) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        assert_eq!(words.next(), Some("16"));
        found.insert(name.to_owned(), (ttl, hex(&joined(&without_octal(words.next().unwrap())))));
    }
    assert_eq!(found, expected(&all()));
}

/// tinydns-get writes what it would not read itself as `\` and three octal digits.
fn without_octal(text: &str) -> Vec<u8> {
    let (mut octets, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        if *first == b'\\' {
            let digits = std::str::from_utf8(&after[..3]).unwrap();
            octets.push(u8::from_str_radix(digits, 8).unwrap());
            rest = &after[3..];
        } else {
            octets.push(*first);
            rest = after;
        }
    }
    octets
}

/// The strings of TXT data, joined.
fn joined(mut data: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    while let Some((length, after)) = data.split_first() {
        let (string, rest) = after.split_at(usize::from(*length));
        octets.extend_from_slice(string);
        data = rest;
    }
    octets
}

#[test]
#[ignore = "needs PowerDNS and Python: run tests/run-all"]
fn powerdns_takes_its_bodies() {
    let scratch = Scratch::new("powerdns");
    let (port, api) = (free_port(), free_port());
    let database = scratch.join("pdns.sqlite3");
    let schema = installed(
        &[
            "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
            "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql",
        ],
        "pdns-backend-sqlite3",
    );
    let sqlite3 = installed(&["/usr/bin/sqlite3"], "sqlite3");
    with_input(Command::new(sqlite3).arg(&database), &fs::read(schema).unwrap());
    let configuration = format!(
        "launch=gsqlite3\ngsqlite3-database={}\nlocal-address=127.0.0.1\nlocal-port={port}\nsocket-dir={}\n\
         api=yes\napi-key=k\nwebserver=yes\nwebserver-address=127.0.0.1\nwebserver-port={api}\ndaemon=no\nguardian=no\n",
        database.display(),
        scratch.path().display()
    );
    scratch.write("pdns.conf", configuration);
    let options = format!("--config-dir={}", scratch.path().display());
    let pdnsutil = installed(&["/usr/bin/pdnsutil"], "pdns-server");
    for zone in ["example.test", "xn--bcher-kva.test"] {
        run(Command::new(&pdnsutil).arg(&options).args(["create-zone", zone]));
    }
    let pdns = installed(&["/usr/sbin/pdns_server"], "pdns-server");
    let mut server = Server::start(Command::new(pdns).arg(&options), &scratch.join("pdns.log"));
    let listens = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    server.wait_until("PowerDNS to listen", || listens(port) && listens(api));
    let bodies = scratch.write("bodies", written(&all(), RecordFormat::Powerdns));
    let url = format!("http://127.0.0.1:{api}/api/v1/servers/localhost/zones");
    read(&["patch".as_ref(), bodies.as_os_str(), url.as_ref(), "k".as_ref()]);
    assert_eq!(ask(port), expected(&all()));
}

#[test]
#[ignore = "needs Python: run tests/run-all"]
fn cloudflare_gets_quoted_strings() {
    assert_eq!(read_file(&all(), RecordFormat::Cloudflare), expected(&all()));
}

#[test]
#[ignore = "needs botocore: run tests/run-all"]
fn route_53_s_own_model_accepts_the_batches() {
    assert_eq!(read_file(&all(), RecordFormat::Route53), expected(&all()));
}

#[test]
#[ignore = "needs python-hcl2: run tests/run-all"]
fn hcl_parses_to_the_same() {
    assert_eq!(read_file(&all(), RecordFormat::Terraform), expected(&all()));
}

#[test]
#[ignore = "needs octoDNS: run tests/run-all"]
fn octodns_populates_its_zones() {
    let mut found = Found::new();
    for zone in ["example.test", "xn--bcher-kva.test"] {
        let scratch = Scratch::new("octodns");
        let name = DomainName::parse(zone).unwrap();
        let of_zone: Vec<_> = records().into_iter().filter(|record| record.domain.is_within(&name)).collect();
        scratch.write(&format!("{zone}.yaml"), written(&of_zone, RecordFormat::Octodns));
        found.extend(read(&["octodns".as_ref(), scratch.path().as_os_str(), zone.as_ref()]));
    }
    assert_eq!(found, expected(&records()));
}

#[test]
#[ignore = "needs PyYAML: run tests/run-all"]
fn yaml_of_several_zones_is_one_stream() {
    let scratch = Scratch::new("yaml");
    let path = scratch.write("zones.yaml", written(&all(), RecordFormat::Octodns));
    let below = |name: &str| name.trim_end_matches(".example.test").trim_end_matches(".xn--bcher-kva.test").to_owned();
    let expected: Found = expected(&all()).into_iter().map(|(name, found)| (below(&name), found)).collect();
    assert_eq!(read(&["yaml".as_ref(), path.as_os_str()]), expected);
}

#[test]
#[ignore = "needs Node.js: run tests/run-all"]
fn javascript_says_the_same_to_dnscontrol() {
    let scratch = Scratch::new("dnscontrol");
    let path = scratch.write("dkim.js", written(&all(), RecordFormat::Dnscontrol));
    let node = installed(&["/usr/bin/node", "/usr/bin/nodejs"], "nodejs");
    assert_eq!(found(&run(Command::new(node).arg(program("dnscontrol.js")).arg(path))), expected(&all()));
}
