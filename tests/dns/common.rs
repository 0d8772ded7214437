//! A small Internet: `test.` and example.test, the latter on two servers, and a resolver.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use waxseal::dns::{AskedServers, Observer, Resolvers, Settings, Taken};
use waxseal::names::{DomainName, Selector};
use waxseal::observation::{Dmarc, Hop, Observation, Outcome, Response};

use crate::support::*;

/// Answers for `test.`
pub(crate) const TEST: IpAddr = loopback(1);
/// Answer for example.test.
pub(crate) const FIRST: IpAddr = loopback(2);
pub(crate) const SECOND: IpAddr = loopback(3);
/// Answers for example.net.
pub(crate) const OTHER: IpAddr = loopback(4);
/// The resolver.
pub(crate) const RESOLVER: IpAddr = loopback(9);

/// The record's name.
pub(crate) const RECORD: &str = "s._domainkey.example.test";
/// Zones' own records.
pub(crate) const APEX: &str = "@ SOA ns1 hostmaster 7 7200 900 1209600 600\n@ NS ns1\n@ NS ns2\n\
                               ns1 A 127.0.0.2\nns2 A 127.0.0.3\n";
/// A record that is as it should be.
pub(crate) const GOOD: &str = "s._domainkey 1800 TXT \"v=DKIM1; \" \"p=AAAA\"\n";

pub(crate) const fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// The small Internet with this zone example.test below its apex.
pub(crate) fn world(lines: &str) -> DnsServer {
    let server = DnsServer::start(&[TEST, FIRST, SECOND, OTHER, RESOLVER]);
    let root = "@ SOA a.root hostmaster 1 1 1 1 60\n@ NS a.root\na.root A 127.0.0.1\ntest NS ns.nic.test\n";
    server.serve(&[TEST], ".", root);
    server.serve(
        &[TEST],
        "test",
        "@ SOA ns.nic hostmaster 1 1 1 1 60\n@ NS ns.nic\nns.nic A 127.0.0.1\n\
         example NS ns1.example\nexample NS ns2.example\n\
         ns1.example A 127.0.0.2\nns2.example A 127.0.0.3\n",
    );
    server.serve(
        &[TEST],
        "net",
        "@ SOA ns.nic hostmaster 1 1 1 1 60\n@ NS ns.nic\nns.nic A 127.0.0.1\nexample NS ns1.example\nns1.example A 127.0.0.4\n",
    );
    server.serve(
        &[OTHER],
        "example.net",
        "@ SOA ns1 hostmaster 3 1 1 1 60\n@ NS ns1\nns1 A 127.0.0.4\nkeys 300 TXT \"v=DKIM1; p=BBBB\"\n",
    );
    server.serve(&[FIRST, SECOND], "example.test", &format!("{APEX}{lines}"));
    server.resolve(RESOLVER);
    server
}

/// Settings that ask the small Internet, with little patience.
pub(crate) fn settings(server: &DnsServer) -> Settings {
    Settings {
        resolvers: Resolvers::Servers(vec![server.at(RESOLVER)]),
        port: server.port(),
        timeout: Duration::from_millis(250),
        ..Settings::default()
    }
}

/// The same that ask only the servers of example.test, without looking for them.
pub(crate) fn exactly(server: &DnsServer) -> Settings {
    let servers = AskedServers::Exactly(vec![server.at(FIRST), server.at(SECOND)]);
    Settings { servers, ..settings(server) }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What is seen of s._domainkey.example.test.
pub(crate) fn observe(settings: &Settings) -> Observation {
    observe_at(settings, "example.test", "s")
}

pub(crate) fn observe_at(settings: &Settings, domain: &str, selector: &str) -> Observation {
    let (domain, selector) = (DomainName::parse(domain).unwrap(), Selector::parse(selector).unwrap());
    block_on(async { Observer::new(settings).unwrap().observe(&domain, &selector).await })
}

pub(crate) fn is_taken(settings: &Settings, domain: &str, selector: &str) -> Taken {
    let (domain, selector) = (DomainName::parse(domain).unwrap(), Selector::parse(selector).unwrap());
    block_on(async { Observer::new(settings).unwrap().is_taken(&domain, &selector).await })
}

pub(crate) fn dmarc(settings: &Settings, domain: &str) -> Dmarc {
    let domain = DomainName::parse(domain).unwrap();
    block_on(async { Observer::new(settings).unwrap().dmarc(&domain).await })
}

/// What one server said at a hop.
pub(crate) fn outcome(hop: &Hop, server: IpAddr) -> &Outcome {
    let answer = hop.answers.iter().find(|answer| answer.server.address.ip() == server);
    &answer.unwrap_or_else(|| panic!("{server} was not asked: {hop:#?}")).outcome
}

/// The answer of one server at a hop.
pub(crate) fn answered(hop: &Hop, server: IpAddr) -> &Response {
    match outcome(hop, server) {
        Outcome::Answered(response) => response,
        other => panic!("{server}: {other:?}"),
    }
}

/// Whether the resolver was asked for anything that is not yet published.
pub(crate) fn was_poisoned(server: &DnsServer) -> bool {
    let is_private = |asked: &Asked| asked.name.contains("_domainkey") || asked.name == "keys.example.net";
    server.asked().iter().any(|asked| asked.at == RESOLVER && is_private(asked))
}
