//! What is seen of records, against a server that lies, BIND and Knot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::net::{IpAddr, Ipv4Addr};

use support::*;

const fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

#[test]
#[ignore = "needs root and Debian's bind9: run tests/run-all"]
fn bind_starts_reloads_and_stops() {
    let zone = |serial: u32| ZoneText {
        apex: "example.test".into(),
        text: ZoneText::new("example.test", &[loopback(1)], "s._domainkey TXT \"v=DKIM1; p=\"")
            .text
            .replace(" 1 7200", &format!(" {serial} 7200")),
    };
    let signed = sign_zone(&ZoneText::new("signed.test", &[loopback(1)], ""), Signatures::Good);
    let bind = Bind::start(&[zone(1), signed.zone], &[loopback(1)]);
    assert!(is_authoritative(bind.servers()[0], "example.test"));
    assert!(is_authoritative(bind.servers()[0], "signed.test"));
    bind.reload(&[zone(2)]);
    let server = bind.servers()[0];
    bind.stop();
    assert!(!is_authoritative(server, "example.test"));
}

#[test]
#[ignore = "needs root and Debian's knot: run tests/run-all"]
fn knot_starts_and_signs() {
    let zone = ZoneText::new("example.test", &[loopback(1)], "s._domainkey TXT \"v=DKIM1; p=\"");
    let knot = Knot::start(&[zone], &[loopback(1)], KnotSigning::On);
    eprintln!("{} {}", knot.ds("example.test"), knot.trust_anchor("example.test"));
    assert!(knot.ds("example.test").contains(" DS "));
    assert!(knot.trust_anchor("example.test").contains(" IN DNSKEY "));
}

#[test]
fn liar_works() {
    let server = DnsServer::start(&[loopback(1)]);
    server.serve(&[loopback(1)], "example.test", "@ SOA ns1 h 1 1 1 1 60\n@ NS ns1\nns1 A 127.0.0.1");
    assert!(is_authoritative(server.servers()[0], "example.test"));
}
