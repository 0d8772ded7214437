//! How many records a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waxseal::clock::Clock;
use waxseal::config::TsigHash;
use waxseal::dns::publish::{Outcome, Publisher, Record, Rfc2136, Rfc2136Settings, TsigKey};

use crate::common::{LOOPBACK, SECRET, record, txt_at};
use crate::support::{Bind, Statements, ZoneText};

/// Each a zone of its own.
const DOMAINS: usize = 2_000;

/// As `dns.concurrency` has it by default.
const SIDE_BY_SIDE: usize = 64;

/// BIND writes each update to the disk before it answers, one at a time in each thread.
const THREADS: u32 = 4;

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn many_domains_are_published_at_once() {
    let zones: Vec<ZoneText> =
        (0..DOMAINS).map(|number| ZoneText::new(&format!("d{number}.test"), &[LOOPBACK], "")).collect();
    let statements = Statements {
        global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
        of_zones: "update-policy { grant waxseal zonesub TXT; };".into(),
    };
    let bind = Bind::start_threaded(&zones, &[LOOPBACK], &statements, THREADS);
    let server = bind.servers()[0];
    let publisher = Arc::new(Rfc2136::new(Rfc2136Settings {
        server: server.into(),
        zone: None,
        key: TsigKey::new("waxseal", TsigHash::Sha256, SECRET.as_bytes()).unwrap(),
        timeout: Duration::from_secs(30),
        clock: Clock::System,
    }));
    let names: Vec<String> = ["rsa", "ed"]
        .iter()
        .flat_map(|selector| (0..DOMAINS).map(move |number| format!("{selector}._domainkey.d{number}.test")))
        .collect();
    let records = |half: usize| -> Vec<Record> {
        let names = &names[half * DOMAINS..(half + 1) * DOMAINS];
        names.iter().map(|name| Record { name: name.clone(), ..record("k", 'A') }).collect()
    };
    // The first of a domain has its zone looked for, the second knows it.
    for (half, what) in [(0, "to zones not known yet"), (1, "to zones known")] {
        let begun = Instant::now();
        let outcomes = publish_all(&publisher, records(half));
        let took = begun.elapsed();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        eprintln!("{DOMAINS} records {what}: {:.0} a second", DOMAINS as f64 / took.as_secs_f64());
    }
    for name in names.iter().step_by(97) {
        assert_eq!(txt_at(server, name).len(), 1, "{name}");
    }
}

fn publish_all(publisher: &Arc<Rfc2136>, records: Vec<Record>) -> Vec<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut running = JoinSet::new();
        let mut outcomes = Vec::new();
        for record in records {
            if running.len() == SIDE_BY_SIDE {
                outcomes.extend(running.join_next().await.map(Result::unwrap));
            }
            let publisher = Arc::clone(publisher);
            running.spawn(async move { publisher.present(&record).await.unwrap() });
        }
        outcomes.extend(running.join_all().await);
        outcomes
    })
}
