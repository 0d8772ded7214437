//! Other people's readers of key records, each asked whether it takes them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;

use super::process::Server;
use super::scratch::{Scratch, free_port};
use super::tools;
use super::waxseal::with_input;

/// Whether a record was taken; if not, why.
pub(crate) type Taken = Result<(), String>;

/// dkimpy, which reads what it is given.
pub(crate) fn dkimpy_reads(records: &[Vec<u8>]) -> Vec<Taken> {
    let mut lines = String::new();
    for record in records {
        record.iter().for_each(|octet| write!(lines, "{octet:02x}").unwrap());
        lines.push('\n');
    }
    let python = tools::own("venv/bin/python");
    let output = with_input(Command::new(python).arg(tools::support_file("records.py")), lines.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines()
        .map(|line| match line.split_once('\t') {
            Some(("accepted", _)) => Ok(()),
            Some(("rejected", why)) => Err(why.to_owned()),
            _ => panic!("records.py said {line:?}"),
        })
        .collect()
}

/// `opendkim-testkey`, which asks the DNS: a BIND on loopback serves the records, as the strings they are cut into.
/// With a private key in PEM it also compares.
pub(crate) fn opendkim_reads(records: &[Vec<Vec<u8>>], private_key: Option<&str>) -> Vec<Taken> {
    let program = tools::installed(&["/usr/sbin/opendkim-testkey", "/usr/bin/opendkim-testkey"], "opendkim-tools");
    let scratch = Scratch::new("testkey");
    let (port, _named) = serve(&scratch, records);
    let config = scratch.write("opendkim.conf", format!("Syslog no\nNameservers 127.0.0.1@{port}\n"));
    let key = private_key.map(|pem| scratch.write("key.pem", pem));
    if let Some(key) = &key {
        tools::run(Command::new("chmod").arg("600").arg(key));
    }
    (0..records.len())
        .map(|number| {
            let mut command = Command::new(&program);
            command.arg("-x").arg(&config).args(["-d", "example.com", "-vv", "-s"]).arg(format!("s{number}"));
            if let Some(key) = &key {
                command.arg("-k").arg(key);
            }
            let output = command.output().unwrap();
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let why =
                said.lines().map(|line| line.trim_start_matches("opendkim-testkey: ")).collect::<Vec<_>>().join("; ");
            assert!(!why.contains("query timed out"), "BIND does not answer: {said}");
            Err(why)
        })
        .collect()
}

/// A BIND that has each record at `s<number>._domainkey.example.com`.
fn serve(scratch: &Scratch, records: &[Vec<Vec<u8>>]) -> (u16, Server) {
    let program = tools::installed(&["/usr/sbin/named"], "bind9");
    let mut zone =
        String::from("$ORIGIN example.com.\n$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n");
    for (number, strings) in records.iter().enumerate() {
        let _ = write!(zone, "s{number}._domainkey TXT");
        for string in strings {
            zone += " \"";
            string.iter().for_each(|octet| write!(zone, "\\{octet:03}").unwrap());
            zone.push('"');
        }
        zone.push('\n');
    }
    let zone = scratch.write("zone", zone);
    let port = free_port();
    let address = Ipv4Addr::LOCALHOST;
    let config = scratch.write(
        "named.conf",
        format!(
            "options {{ directory \"{}\"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;\n\
             listen-on port {port} {{ {address}; }}; listen-on-v6 {{ none; }}; }};\ncontrols {{ }};\n\
             zone \"example.com\" {{ type primary; file \"{}\"; }};\n",
            scratch.path().display(),
            zone.display()
        ),
    );
    let log = scratch.join("named.log");
    let mut named = Server::start(Command::new(program).args(["-g", "-n", "1", "-c"]).arg(config), &log);
    let is_running =
        || std::fs::read_to_string(&log).is_ok_and(|said| said.lines().any(|line| line.ends_with(" running")));
    named.wait_until("BIND to load the zone", is_running);
    assert!(named.output().contains("zone example.com/IN: loaded"), "{}", named.output());
    (port, named)
}
