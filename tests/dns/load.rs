//! Many domains at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use waxseal::dns::{Observer, Settings};
use waxseal::names::{DomainName, Selector};
use waxseal::observation::{Observation, RecursiveAnswer};

use crate::common::*;
use crate::support::*;

/// Domains of one zone each, on two servers, with two selectors.
fn many_zones(count: usize) -> (DnsServer, Vec<DomainName>) {
    let server = DnsServer::start(&[TEST, FIRST, SECOND, RESOLVER]);
    let domains: Vec<_> = (0..count).map(|n| DomainName::parse(&format!("d{n}.test")).unwrap()).collect();
    let mut test = "@ SOA ns.nic h 1 1 1 1 60\n@ NS ns.nic\nns.nic A 127.0.0.1\n\
                    ns1.nic A 127.0.0.2\nns2.nic A 127.0.0.3\n"
        .to_owned();
    for domain in &domains {
        let label = domain.as_str().strip_suffix(".test").unwrap();
        test += &format!("{label} NS ns1.nic\n{label} NS ns2.nic\n");
        server.serve(
            &[FIRST, SECOND],
            domain.as_str(),
            "@ SOA ns1.nic.test. h 1 1 1 1 60\n@ NS ns1.nic.test.\n@ NS ns2.nic.test.\n\
             r._domainkey TXT \"v=DKIM1; p=\"\ne._domainkey TXT \"v=DKIM1; p=\"\n",
        );
    }
    server.serve(&[TEST], "test", &test);
    server.resolve(RESOLVER);
    (server, domains)
}

/// Both records of each domain, 200 domains at once.
fn observe_all(settings: &Settings, domains: &[DomainName]) -> Vec<Observation> {
    block_on(async {
        let observer = Observer::new(settings).unwrap();
        let places = Arc::new(Semaphore::new(200));
        let mut tasks = JoinSet::new();
        for domain in domains {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let (observer, domain) = (observer.clone(), domain.clone());
            tasks.spawn(async move {
                let selectors = ["r", "e"].map(|selector| Selector::parse(selector).unwrap());
                let both =
                    tokio::join!(observer.observe(&domain, &selectors[0]), observer.observe(&domain, &selectors[1]));
                drop(place);
                [both.0, both.1]
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    })
}

#[test]
fn selectors_of_a_domain_share_what_is_found_out_of_their_zone() {
    let (server, domains) = many_zones(20);
    let seen = observe_all(&Settings { timeout: Duration::from_secs(2), ..settings(&server) }, &domains);
    assert_eq!(seen.len(), 40);
    for observation in &seen {
        assert!(matches!(observation.recursive.answer, RecursiveAnswer::Found { .. }), "{observation:#?}");
    }
    let asked = server.asked();
    let at = |address| asked.iter().filter(|asked| asked.at == address).count();
    // SOA, a sibling, two selectors; and NS at one of the two.
    assert_eq!(at(FIRST) + at(SECOND), 20 * (2 * 4 + 1));
    assert_eq!(at(TEST), 20);
    assert!(at(RESOLVER) <= 20 * 2 + 20, "{}", at(RESOLVER));
}

#[test]
fn the_rate_is_kept() {
    let (server, domains) = many_zones(20);
    let rate = NonZeroU32::new(100).unwrap();
    let begun = Instant::now();
    observe_all(&Settings { queries_per_second: rate, timeout: Duration::from_secs(2), ..settings(&server) }, &domains);
    // 80 or more questions to each of the two servers, 32 of them at once.
    assert!(begun.elapsed() > Duration::from_millis(450), "{:?}", begun.elapsed());
}

#[test]
fn a_thousand_domains_at_once_are_all_found_although_answers_are_late() {
    let (server, domains) = many_zones(1_000);
    for address in [FIRST, SECOND] {
        server.delay(address, Duration::from_millis(20));
    }
    let seen = observe_all(&Settings { timeout: Duration::from_secs(5), ..settings(&server) }, &domains);
    let good = seen.iter().filter(|seen| matches!(seen.recursive.answer, RecursiveAnswer::Found { .. })).count();
    assert_eq!(good, 2_000);
}
