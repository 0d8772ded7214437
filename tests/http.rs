//! Metrics, health and the status page over HTTP: what they say, to whom, and what strangers cannot do to them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use support::*;

/// A daemon with its status page on loopback, and `settings` besides, whole tables of TOML.
fn start(purpose: &str, settings: &str) -> (Scratch, Installation, Daemon, Site) {
    let scratch = Scratch::new(purpose);
    let installation = Installation::new(&scratch);
    let port = free_port();
    let http = format!("[http]\nlisten = \"inet:{port}@127.0.0.1\"\n{settings}");
    let daemon = installation.start_listening(&scratch, &http);
    let site = Site::at_port(port);
    site.wait();
    (scratch, installation, daemon, site)
}

fn send(daemon: &Daemon, client: &str, author: &str, queue_id: &str) -> Verdict {
    let mut dialogue = Dialogue::open_from(daemon.socket(), client);
    dialogue.mail(queue_id).unwrap();
    let from = format!(" {author}");
    let verdict = dialogue.content(queue_id, &[("From", from.as_str()), ("Subject", " x")], b"Hello.\r\n").unwrap();
    dialogue.quit();
    verdict
}

/// An author whose domain has keys.
fn signed_author() -> String {
    let from = FIELDS.iter().find(|(name, _)| *name == "From").unwrap().1;
    from.trim().to_owned()
}

/// Inodes of listening TCP sockets that the process has.
fn listening_tcp(pid: u32) -> BTreeSet<String> {
    let of_process: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let mut listening = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A is LISTEN.
            if fields[3] == "0A" && of_process.contains(fields[9]) {
                listening.insert(fields[9].to_owned());
            }
        }
    }
    listening
}

#[test]
fn nothing_listens_for_http_unless_it_is_configured() {
    let scratch = Scratch::new("http-off");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    assert!(matches!(send(&daemon, "127.0.0.1", &signed_author(), "4OFF"), Verdict::Signed(_)));
    assert_eq!(listening_tcp(daemon.server.pid()), BTreeSet::new());
    let (_scratch, _installation, daemon, _site) = start("http-on", "");
    assert_eq!(listening_tcp(daemon.server.pid()).len(), 1);
}

#[test]
fn metrics_count_what_happens() {
    let (_scratch, installation, daemon, site) = start("http-metrics", "");
    for number in 0..3 {
        assert!(matches!(send(&daemon, "127.0.0.1", &signed_author(), &format!("4S{number}")), Verdict::Signed(_)));
    }
    assert_eq!(send(&daemon, "192.0.2.1", &signed_author(), "4N"), Verdict::Passed);
    let export = site.get("/metrics");
    assert_eq!(export.status, 200);
    assert!(export.field("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    let metric = |series: &str| value(&export.body, series).unwrap_or_else(|| panic!("{series}\n{}", export.body));
    assert_eq!(metric("waxseal_messages_total{action=\"sign\",reason=\"signed\"}"), 3.0);
    assert_eq!(metric("waxseal_messages_total{action=\"pass\",reason=\"not_trusted\"}"), 1.0);
    assert_eq!(metric("waxseal_messages_total{action=\"defer\",reason=\"overload\"}"), 0.0);
    assert_eq!(metric("waxseal_signatures_total{algorithm=\"rsa-sha256\"}"), 3.0);
    assert_eq!(metric("waxseal_signatures_total{algorithm=\"ed25519-sha256\"}"), 3.0);
    assert_eq!(metric("waxseal_answer_seconds_count"), 4.0);
    assert_eq!(metric("waxseal_signing_seconds_count"), 3.0);
    assert_eq!(metric("waxseal_signing_queue_seconds_bucket{le=\"+Inf\"}"), 3.0);
    assert_eq!(metric("waxseal_connections_accepted_total"), 4.0);
    assert_eq!(metric("waxseal_in_use{resource=\"messages\"}"), 0.0);
    assert!(metric("waxseal_received_bytes_total") > 100.0 && metric("waxseal_sent_bytes_total") > 100.0);
    assert!(metric("waxseal_limit{resource=\"connections\"}") >= 1.0);
    assert!(metric("waxseal_key_cache_keys_parsed_total") >= 2.0);
    assert!(export.body.ends_with("# EOF\n"));

    installation.configure("[trust]\nnonsense = 1\n");
    daemon.reload();
    site.wait_for_metric("waxseal_config_reloads_total{result=\"refused\"}", 1.0);
    assert!(site.metric("waxseal_log_lines_total{level=\"error\"}").unwrap() >= 1.0);
    assert!(site.get("/").body.contains("onfiguration not reloaded; the old one stays"));
}

#[test]
fn a_message_in_progress_is_a_gauge_and_a_daemon_that_drains_is_alive_but_not_ready() {
    let (_scratch, _installation, daemon, site) = start("http-drain", "[timeouts]\ndrain = \"20s\"\n");
    assert_eq!((site.get("/healthz").status, site.get("/readyz").status), (200, 200));
    let mut dialogue = Dialogue::open(daemon.socket());
    dialogue.mail("4DRAIN").unwrap();
    assert_eq!(site.metric("waxseal_in_use{resource=\"messages\"}"), Some(1.0));
    assert_eq!(site.metric("waxseal_in_use{resource=\"connections\"}"), Some(1.0));
    daemon.terminate();
    let not_ready = eventually("/readyz to say no", Duration::from_secs(10), || {
        Some(site.get("/readyz")).filter(|answer| answer.status == 503)
    });
    assert!(not_ready.body.starts_with("draining: "), "{}", not_ready.body);
    assert_eq!(site.get("/healthz").status, 200);
    assert_eq!(site.metric("waxseal_ready"), Some(0.0));
    assert!(site.get("/").body.contains("Stopping"));
    let verdict = dialogue.content("4DRAIN", &FIELDS, b"Hello.\r\n");
    assert!(matches!(verdict, Some(Verdict::Signed(_))), "{verdict:?}");
}

#[test]
fn pages_may_do_nothing_and_nobody_may_do_anything_to_them() {
    let (_scratch, _installation, _daemon, site) = start("http-headers", "");
    for path in ["/", "/search?q=x", "/metrics", "/healthz", "/nothing"] {
        let answer = site.get(path);
        assert_eq!(answer.status, if path == "/nothing" { 404 } else { 200 }, "{path}");
        let policy = answer.field("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{path}");
        }
    }
    let page = site.get("/").body;
    for foreign in ["<script", "http://", "https://", "<img", "<link", "style=\"", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let refused = site.request(method, "/", "Content-Length: 0\r\n");
        assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let head = site.request("HEAD", "/", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn what_is_searched_for_is_shown_and_never_obeyed() {
    let (_scratch, _installation, daemon, site) = start("http-search", "");
    let domain = signed_author().rsplit_once('@').unwrap().1.trim_end_matches('>').to_owned();
    let found = site.get(&format!("/search?q={domain}")).body;
    assert!(found.contains("Signed for, with 2 keys.") && found.contains("ed25519-sha256"), "{found}");
    assert!(found.contains(&domain) && found.contains("Active"), "{found}");
    assert!(site.get("/search?q=nowhere.example").body.contains("does not know this domain"));
    assert!(site.get("/search?q=4F1B2C").body.contains("WAXSEAL_QUEUE_ID=4F1B2C"));
    assert!(matches!(send(&daemon, "127.0.0.1", &signed_author(), "4SEARCH"), Verdict::Signed(_)));
    let message = site.get("/search?q=4SEARCH").body;
    assert!(
        message.contains("<b>Signed. </b>") && message.contains("rsa-sha256") && message.contains(&domain),
        "{message}"
    );
    for (query, shown) in [
        ("%3Cscript%3Ealert(1)%3C/script%3E", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E", "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;"),
        ("'%22%00%0d%0aSet-Cookie:x", "&quot;"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("..%2f..%2fetc.passwd", "../../etc.passwd"),
        ("%ff%fe", "\u{fffd}"),
    ] {
        let answer = site.get(&format!("/search?q={query}"));
        assert_eq!(answer.status, 200, "{query}");
        assert!(answer.body.contains(shown), "{query}: {}", answer.body);
        assert!(!answer.body.contains("<script") && !answer.body.contains("<img"), "{query}");
        assert!(answer.field("set-cookie").is_none());
    }
    for path in ["/../../etc/passwd", "//", "/%2e%2e/", "/search%00", "/metrics/", "/%3Cscript%3E"] {
        let answer = site.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("script"), "{path}");
    }
}

#[test]
fn who_sends_too_much_or_nothing_holds_up_nobody() {
    let (_scratch, _installation, daemon, site) = start("http-bounds", "");
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    assert!(site.raw(long.as_bytes()).is_none_or(|answer| (400..500).contains(&answer.status)));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert!(site.raw(many.as_bytes()).is_none_or(|answer| (400..500).contains(&answer.status)));
    let path = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100 << 10));
    assert!(site.raw(path.as_bytes()).is_none_or(|answer| (400..500).contains(&answer.status)));
    for broken in ["\0\0\0", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n", "\u{16}\u{3}\u{1}"] {
        assert!(site.raw(broken.as_bytes()).is_none_or(|answer| answer.status >= 400), "{broken:?}");
    }
    // More connections than there are places say nothing, or half a request; then the next is served all the same.
    let mut silent: Vec<_> = (0..40).map(|_| site.connect().unwrap()).collect();
    for stream in silent.iter_mut().take(20) {
        stream.write_all(b"GET / HT").unwrap();
    }
    assert_eq!(site.get("/healthz").status, 200);
    let mut rest = Vec::new();
    let _ = silent[0].read_to_end(&mut rest);
    assert!(matches!(send(&daemon, "127.0.0.1", &signed_author(), "4BUSY"), Verdict::Signed(_)));
}

#[test]
fn a_foreign_name_is_not_answered_and_a_token_is_asked_for_where_there_is_one() {
    let (_scratch, _installation, _daemon, site) = start("http-host", "");
    let rebound = site.request("GET", "/", "Host: evil.example\r\n");
    assert_eq!(rebound.status, 421);
    assert!(!rebound.body.contains("Signing"));

    let scratch = Scratch::new("http-token");
    let installation = Installation::new(&scratch);
    let (port, token) = (free_port(), "0123456789abcdef0123456789abcdef");
    let file = scratch.write("token", format!("{token}\n"));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let http = format!("[http]\nlisten = \"inet:{port}@127.0.0.1\"\ntoken_file = \"{}\"\n", file.display());
    let _daemon = installation.start_listening(&scratch, &http);
    let site = Site::at_port(port);
    site.wait();
    for path in ["/", "/metrics", "/search?q=example.com", "/nothing"] {
        let refused = site.get(path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.field("www-authenticate").unwrap().starts_with("Basic realm="));
        assert_eq!(site.request("GET", path, "Authorization: Bearer wrong\r\n").status, 401, "{path}");
    }
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(site.request("GET", "/metrics", &bearer).status, 200);
    // A proxy asks by whatever name; the token is proof enough.
    assert_eq!(site.request("GET", "/", &format!("Host: status.example\r\n{bearer}")).status, 200);
    assert_eq!((site.get("/healthz").status, site.get("/readyz").status), (200, 200));
}

#[test]
fn a_token_that_others_can_read_keeps_the_page_shut_until_it_is_mended_and_mail_is_signed_meanwhile() {
    let scratch = Scratch::new("http-exposed");
    let installation = Installation::new(&scratch);
    let file = scratch.write("token", "0123456789abcdef\n");
    let socket = scratch.join("http.sock");
    let http = format!("[http]\nlisten = \"unix:{}\"\ntoken_file = \"{}\"\n", socket.display(), file.display());
    let daemon = installation.start_listening(&scratch, &http);
    daemon.wait_for_log("chmod 0640", 1);
    assert!(!socket.exists());
    assert!(matches!(send(&daemon, "127.0.0.1", &signed_author(), "4EXP"), Verdict::Signed(_)));
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let site = Site::Unix(socket.clone());
    site.wait();
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(site.get("/").status, 401);
    assert_eq!(site.request("GET", "/", "Authorization: Bearer 0123456789abcdef\r\n").status, 200);
}
