//! How much of what the cores can do reaches the key store: `waxseal generate` for many domains, beside raw RSA key
//! generation on as many threads, in turns. `cargo bench --bench generate -- 10000` makes so many keys of each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench"
)]

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use waxseal::dkim::key::{KeyKind, PrivateKey};

const TURNS: usize = 10;

fn main() {
    let keys: usize = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(1000);
    let each = keys.div_ceil(TURNS);
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("waxseal.toml");
    let dir = scratch.path().to_str().unwrap();
    waxseal(&["init", "--dir", dir, "--yes", "--algorithm", "ed25519", "example.com"]);
    let (mut raw, mut whole) = (Duration::ZERO, Duration::ZERO);
    for turn in 0..TURNS {
        raw += generate_raw(each);
        whole += generate_for_domains(&config, turn, each);
    }
    let rate = |time: Duration| (each * TURNS) as f64 / time.as_secs_f64();
    println!("raw RSA-2048 keys      {:8.1} per second", rate(raw));
    println!("waxseal generate       {:8.1} per second", rate(whole));
    println!("of what the cores do   {:8.1} %", 100.0 * rate(whole) / rate(raw));
}

fn generate_raw(count: usize) -> Duration {
    let (start, next) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    PrivateKey::generate(KeyKind::default()).unwrap();
                }
            });
        }
    });
    start.elapsed()
}

fn generate_for_domains(config: &Path, turn: usize, count: usize) -> Duration {
    let list = config.with_file_name(format!("list{turn}"));
    let domains: String = (0..count).map(|number| format!("d{turn}-{number}.example\n")).collect();
    fs::write(&list, domains).unwrap();
    let start = Instant::now();
    let (config, list) = (config.to_str().unwrap(), list.to_str().unwrap());
    waxseal(&["--config", config, "generate", "--no-dns-check", "--algorithm", "rsa", "--from", list]);
    start.elapsed()
}

fn waxseal(args: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_waxseal")).args(args).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{args:?}");
}
