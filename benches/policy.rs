//! What a decision costs with a million exact lines and ten thousand globs, and what they take of memory.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::sync::LazyLock;

use divan::Bencher;
use waxseal::config::{Accounts, Config, parse};
use waxseal::message::{Headers, Spacing};
use waxseal::names::Selector;
use waxseal::policy::{Facts, Found, Header, MapSource, Peer, Policy, Recipients, Submission, Untraced};

const EXACT: usize = 1_000_000;
const GLOBS: usize = 10_000;

const CONFIG: &str = "version = 1\n[trust]\nbind_logins = \"own-domain\"\n\
    [[rule]]\nname = \"globs\"\nfrom_maps = [\"globs\"]\n\
    [[rule]]\nname = \"exact\"\nfrom_maps = [\"exact\"]\n\
    [[rule]]\nname = \"nobody else\"\nnever = true\n";

/// Authors, and what they are for.
const AUTHORS: [(&str, &str); 6] = [
    ("exact", "joe@customer777777.example.com"),
    ("address", "user500000@mail.example.net"),
    ("glob", "news-9999-of-today@shop.example.org"),
    ("none", "joe@elsewhere.example"),
    ("deep", "joe@a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.customer1.example.com"),
    (
        "hostile",
        "news-news-1-1-1-1-news-2-2-2-2-2-2-2-2-2-2-2-news-9-9-9-9-9-9-9-9@shop.shop.shop.shop.shop.shop.example.org",
    ),
];

struct NoAccounts;

impl Accounts for NoAccounts {
    fn user(&self, _: &str) -> Option<u32> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

struct Generated(String, String);

impl MapSource for Generated {
    fn read(&mut self, path: &Path, take: &mut dyn FnMut(&Path, usize, &str)) -> bool {
        let text = if path.ends_with("globs") { &self.0 } else { &self.1 };
        text.lines().enumerate().for_each(|(index, line)| take(path, index + 1, line));
        true
    }
}

static SETUP: LazyLock<(Config, Policy)> = LazyLock::new(|| {
    let (mut globs, mut exact) = (String::new(), String::new());
    for number in 0..GLOBS {
        // Half with a domain of their own, half that share theirs.
        let _ = match number % 2 {
            0 => writeln!(globs, "*@mail*.customer{number}.example.net"),
            _ => writeln!(globs, "news-{number}-*@shop.example.org"),
        };
    }
    for number in 0..EXACT {
        let _ = match number % 2 {
            0 => writeln!(exact, "user{number}@mail.example.net example.net"),
            _ => writeln!(exact, "customer{number}.example.com example.com"),
        };
    }
    let (config, _) = parse(Path::new("/etc/waxseal/waxseal.toml"), CONFIG, &NoAccounts).unwrap();
    let (policy, _) =
        Policy::compile(config.trust.clone(), config.rules.clone(), &mut Generated(globs, exact)).unwrap();
    eprintln!("{} entries take {} KB", policy.entries(), policy.memory() / 1000);
    (config, policy)
});

fn main() {
    LazyLock::force(&SETUP);
    divan::main();
}

/// All that is decided about one message, its keys found at once.
#[divan::bench(args = AUTHORS.map(|(name, _)| name))]
fn decision(bencher: Bencher<'_, '_>, name: &str) {
    let (config, policy) = &*SETUP;
    let author = AUTHORS.iter().find(|(other, _)| *other == name).map(|(_, author)| *author).unwrap();
    let mut headers = Headers::new();
    for field in ["Subject: x", "To: bob@sink.example", "Date: Mon, 23 Nov 2026 10:00:00 +0000", "Message-ID: <x@y>"] {
        let (name, value) = field.split_once(':').unwrap();
        headers.push(name.as_bytes(), value.as_bytes(), Spacing::AsReceived);
    }
    headers.push(b"From", format!(" Joe <{author}>").as_bytes(), Spacing::AsReceived);
    let login = author.rsplit_once('@').map(|(_, domain)| format!("joe@{domain}")).unwrap();
    let macros = BTreeMap::from([("auth_authen".to_owned(), login.into_bytes())]);
    let recipients = Recipients::default();
    bencher.bench(|| {
        let facts = Facts {
            submission: Submission { peer: Peer::Unknown, host: b"unknown", macros: black_box(&macros) },
            on_relayed: None,
            sender: b"<joe@example.com>",
            recipients: &recipients,
            header: Header::Whole(black_box(&headers)),
        };
        let keys = |_: &_| Found::Usable(Vec::<Selector>::new());
        policy.decide(&facts, |domain| config.domain(domain).subdomains, keys, &mut Untraced)
    });
}
