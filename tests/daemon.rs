//! `waxseald` as its operator meets it: decisions, keys that come and break, sockets, and systemd.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use support::*;

const BODY: &[u8] = b"Hello.\r\n";

/// One message of this author from loopback, on a connection of its own.
fn from_author(socket: &Path, author: &str) -> Verdict {
    let from = format!(" {author}");
    with_fields(socket, "127.0.0.1", &[("From", from.as_str()), ("Subject", " x")])
}

fn with_fields(socket: &Path, client: &str, fields: &[(&str, &str)]) -> Verdict {
    let mut dialogue = Dialogue::open_from(socket, client);
    dialogue.mail("4TEST").unwrap();
    let verdict = dialogue.content("4TEST", fields, BODY).expect("the daemon closed the connection");
    dialogue.quit();
    verdict
}

fn reason_of_last(daemon: &Daemon, count: usize) -> String {
    eventually("the message's log line", Duration::from_secs(5), || {
        let messages = daemon.messages();
        (messages.len() >= count).then(|| messages[count - 1].reason.clone())
    })
}

fn signatures(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Signed(fields) => fields.len(),
        other => panic!("not signed: {other:?}"),
    }
}

fn key_file(scratch: &Scratch, domain: &str, letter: char) -> PathBuf {
    let folder = scratch.join("waxseal/keys/domains").join(domain);
    let mut paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".pem") && name.split('.').next().unwrap().ends_with(letter)
    };
    paths.find(is_wanted).unwrap()
}

/// Client, header fields, decision, reason.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, &'a str);

#[test]
fn every_message_ends_in_one_decision_with_its_reason() {
    let scratch = Scratch::new("decisions");
    let installation = Installation::new(&scratch);
    let generated = installation.command("generate").arg("inactive.test").output().unwrap();
    assert!(generated.status.success());
    let daemon = installation.start_listening(&scratch, "[signing]\non_unsignable = \"refuse\"\n");
    let socket = daemon.socket();
    let ada = " Ada <ada@example.test>";
    let from = |value| ("From", value);
    let received = ("Received", " from elsewhere by here; Mon, 23 Nov 2026 10:00:00 +0000");
    let local = ("Received", " (from ada@localhost)\n\tby here (8.17/Submit) id 1");
    let cases: Vec<Case<'_>> = vec![
        ("127.0.0.1", vec![from(ada)], "sign", "signed"),
        ("127.0.0.1", vec![local, from(ada)], "sign", "signed"),
        ("127.0.0.1", vec![received, from(ada)], "pass", "relayed"),
        ("203.0.113.9", vec![from(ada)], "pass", "not_trusted"),
        ("203.0.113.9", vec![], "pass", "not_trusted"),
        ("127.0.0.1", vec![from(" a@unknown.test")], "pass", "no_key"),
        ("127.0.0.1", vec![from(" a@sub.example.test")], "pass", "no_key"),
        ("127.0.0.1", vec![from(" a@inactive.test")], "pass", "no_active_key"),
        ("127.0.0.1", vec![("Subject", " x")], "refuse", "no_from"),
        ("127.0.0.1", vec![from(ada), from(ada)], "refuse", "several_from"),
        ("127.0.0.1", vec![from(" ada@example.test@other.test")], "refuse", "unparsable_from"),
        ("127.0.0.1", vec![from(" a@example.test, b@other.test")], "refuse", "several_domains"),
    ];
    for (number, (client, fields, decision, reason)) in cases.iter().enumerate() {
        let verdict = with_fields(socket, client, fields);
        let seen = reason_of_last(&daemon, number + 1);
        assert_eq!(seen, *reason, "{fields:?} {verdict:?}");
        match (*decision, &verdict) {
            ("sign", Verdict::Signed(fields)) => {
                assert_eq!(fields.len(), 2);
                // Each is inserted above the one before it, so RSA stands topmost.
                assert!(fields[0].contains("a=ed25519-sha256") && fields[1].contains("a=rsa-sha256"), "{fields:?}");
            }
            ("pass", Verdict::Passed) => {}
            ("refuse", Verdict::Refused(text)) => assert!(text.starts_with("550 5.6.0 "), "{text}"),
            other => panic!("{fields:?}: {other:?}"),
        }
    }
    assert_eq!(daemon.messages().len(), cases.len());
}

#[test]
fn a_key_signs_within_two_seconds_of_its_activation() {
    let scratch = Scratch::new("activation");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let author = "a@new.test";
    assert_eq!(from_author(daemon.socket(), author), Verdict::Passed);
    assert!(installation.command("generate").arg("new.test").output().unwrap().status.success());
    assert!(installation.command("activate").args(["--yes", "new.test"]).output().unwrap().status.success());
    let signed =
        eventually("the new key's signature", Duration::from_secs(2), || match from_author(daemon.socket(), author) {
            Verdict::Signed(fields) => Some(fields.len()),
            _ => None,
        });
    assert_eq!(signed, 2);
}

#[test]
fn a_broken_key_costs_its_own_domain_only_and_heals_by_itself() {
    let scratch = Scratch::new("broken");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let socket = daemon.socket();
    let (rsa, ed25519) = (key_file(&scratch, "example.test", 'r'), key_file(&scratch, "example.test", 'e'));
    let good = fs::read(&rsa).unwrap();

    fs::write(&rsa, "broken").unwrap();
    assert_eq!(signatures(&from_author(socket, "a@example.test")), 1);
    assert_eq!(reason_of_last(&daemon, 1), "signed_in_part");
    daemon.wait_for_log(rsa.file_name().unwrap().to_str().unwrap(), 1);

    let away = scratch.join("away.pem");
    fs::rename(&ed25519, &away).unwrap();
    // A key that is parsed stays in memory: the daemon must be told that something changed, or forget it.
    drop(daemon);
    let daemon = installation.start(&scratch);
    let socket = daemon.socket();
    let Verdict::Deferred(text) = from_author(socket, "a@example.test") else { panic!("not deferred") };
    assert!(text.starts_with("451 4.3.0 "), "{text}");
    assert_eq!(reason_of_last(&daemon, 1), "keys_unusable");
    assert_eq!(signatures(&from_author(socket, "a@xn--bcher-kva.test")), 2);

    fs::rename(&away, &ed25519).unwrap();
    fs::write(&rsa, good).unwrap();
    fs::set_permissions(&rsa, Permissions::from_mode(0o600)).unwrap();
    eventually("both signatures again", Duration::from_secs(5), || match from_author(socket, "a@example.test") {
        Verdict::Signed(fields) if fields.len() == 2 => Some(()),
        _ => None,
    });
}

#[test]
fn without_usable_keys_mail_goes_unsigned_only_by_choice() {
    let scratch = Scratch::new("choice");
    let installation = Installation::new(&scratch);
    for letter in ['r', 'e'] {
        fs::write(key_file(&scratch, "example.test", letter), "broken").unwrap();
    }
    let daemon = installation.start_listening(&scratch, "[signing]\non_failure = \"accept-unsigned\"\n");
    assert_eq!(from_author(daemon.socket(), "a@example.test"), Verdict::Passed);
    assert_eq!(reason_of_last(&daemon, 1), "keys_unusable");
}

#[test]
fn while_the_store_is_away_known_keys_sign_and_the_rest_is_deferred() {
    let scratch = Scratch::new("away");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let socket = daemon.socket();
    assert_eq!(signatures(&from_author(socket, "a@example.test")), 2);
    fs::rename(scratch.join("waxseal/keys"), scratch.join("waxseal/elsewhere")).unwrap();
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(signatures(&from_author(socket, "a@example.test")), 2);
    let unknown = from_author(socket, "a@xn--bcher-kva.test");
    assert!(matches!(unknown, Verdict::Deferred(_)), "{unknown:?}");
    let not_ours = with_fields(socket, "203.0.113.9", &[("From", " a@unknown.test")]);
    assert_eq!(not_ours, Verdict::Passed);
}

#[test]
fn a_parent_signs_for_its_subdomains_where_it_says_so() {
    let scratch = Scratch::new("subdomains");
    let installation = Installation::new(&scratch);
    let settings =
        "[domain.\"example.test\"]\nsubdomains = true\nidentity = \"@news.example.test\"\nexpire_after = \"14d\"\n";
    let daemon = installation.start_listening(&scratch, settings);
    let Verdict::Signed(fields) = from_author(daemon.socket(), "a@news.example.test") else { panic!("not signed") };
    for field in fields {
        let dense: String = field.split_whitespace().collect();
        assert!(dense.contains("d=example.test;") && dense.contains("i=@news.example.test;"), "{field}");
        let seconds = |tag: &str| dense.split(tag).nth(1).unwrap().split(';').next().unwrap().parse::<u64>().unwrap();
        assert_eq!(seconds(";x=") - seconds(";t="), 14 * 86_400);
    }
}

#[test]
fn a_named_listener_signs_what_comes_back_from_a_filter() {
    let scratch = Scratch::new("reinjection");
    let installation = Installation::new(&scratch);
    let second = scratch.join("reinjection.sock");
    let listener = format!(
        "[[listener]]\nname = \"reinjection\"\nsocket = \"unix:{}\"\nmode = \"0600\"\nsign_relayed = true\n",
        second.display()
    );
    let daemon = installation.start_listening(&scratch, &listener);
    let fields = [("Received", " from here by here; x"), ("From", " a@example.test")];
    assert_eq!(with_fields(daemon.socket(), "127.0.0.1", &fields), Verdict::Passed);
    assert_eq!(signatures(&with_fields(&second, "127.0.0.1", &fields)), 2);
    assert_eq!(fs::metadata(&second).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Runs the daemon with a socket it cannot use; what it says, and its exit code.
fn refuses(installation: &Installation, socket: &str) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_waxseald"))
        .arg("--config")
        .arg(installation.configuration())
        .args(["--listen", socket])
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[test]
fn sockets_that_cannot_be_used_are_refused_with_the_remedy() {
    let scratch = Scratch::new("sockets");
    let installation = Installation::new(&scratch);
    let (said, code) = refuses(&installation, "inet:8892@0.0.0.0");
    assert!(said.contains("allow") && code == Some(2), "{said} {code:?}");

    let file = scratch.write("file", "precious");
    let (said, code) = refuses(&installation, &format!("unix:{}", file.display()));
    assert!(said.contains("no socket") && code == Some(1), "{said} {code:?}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    let busy = scratch.join("busy.sock");
    let _listener = UnixListener::bind(&busy).unwrap();
    let (said, code) = refuses(&installation, &format!("unix:{}", busy.display()));
    assert!(said.contains("another process listens") && code == Some(1), "{said} {code:?}");
    assert!(busy.exists());

    let (said, code) = refuses(&installation, "unix:/nonexistent/milter.sock");
    assert!(said.contains("the directory of the socket is missing") && code == Some(1), "{said} {code:?}");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");

    installation.write_configuration("version = 1\n[limits]\nconnections = 0\n");
    let (said, code) = refuses(&installation, "inet:1@localhost");
    assert!(said.contains("waxseal.toml:3") && code == Some(2), "{said} {code:?}");
}

#[test]
fn a_socket_path_may_be_as_long_as_the_system_allows() {
    let scratch = Scratch::new("long");
    let installation = Installation::new(&scratch);
    let longest = 107 - scratch.join("").as_os_str().len();
    let path = scratch.join(&"s".repeat(longest));
    assert_eq!(path.as_os_str().len(), 107);
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseald"));
    command.arg("--config").arg(installation.configuration()).arg("--listen").arg(format!("unix:{}", path.display()));
    let mut server = Server::start(&mut command, &scratch.join("log"));
    eventually("the socket", Duration::from_secs(20), || path.exists().then_some(()));
    assert_eq!(signatures(&from_author(&path, "a@example.test")), 2);
    server.signal(Signal::TERM);
    assert!(server.wait(Duration::from_secs(10)).success());
}

#[test]
fn a_stale_socket_is_replaced_and_ours_is_taken_away_at_the_end() {
    let scratch = Scratch::new("stale");
    let installation = Installation::new(&scratch);
    drop(UnixListener::bind(scratch.join("milter.sock")).unwrap());
    let mut daemon = installation.start(&scratch);
    daemon.wait_for_log("started", 1);
    assert_eq!(signatures(&from_author(daemon.socket(), "a@example.test")), 2);
    daemon.terminate();
    assert!(daemon.server.wait(Duration::from_secs(10)).success());
    assert!(!daemon.socket().exists());
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_stop() {
    let scratch = Scratch::new("notify");
    let installation = Installation::new(&scratch);
    let notify = UnixDatagram::bind(scratch.join("notify")).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut words = [0; 4096];
        let length = notify.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..length]).into_owned()
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseald"));
    command.arg("--config").arg(installation.configuration());
    command.arg("--listen").arg(format!("unix:{}", scratch.join("m.sock").display()));
    let mut server = Server::start(command.env("NOTIFY_SOCKET", scratch.join("notify")), &scratch.join("log"));
    let ready = told();
    assert!(ready.contains("READY=1") && ready.contains("STATUS=signing on 1 socket"), "{ready}");
    server.signal(Signal::HUP);
    let reloading = told();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let done = told();
    assert!(done.contains("READY=1") && done.contains("STATUS=reloaded"), "{done}");
    installation.write_configuration("nonsense");
    server.signal(Signal::HUP);
    assert!(told().contains("RELOADING=1"));
    let refused = told();
    assert!(refused.contains("READY=1") && refused.contains("STATUS=not reloaded"), "{refused}");
    server.signal(Signal::TERM);
    assert!(told().contains("STOPPING=1"));
    assert!(server.wait(Duration::from_secs(10)).success());
}

#[test]
fn sockets_passed_by_the_service_manager_are_served() {
    let scratch = Scratch::new("passed");
    let installation = Installation::new(&scratch);
    let path = scratch.join("passed.sock");
    let socket = UnixListener::bind(&path).unwrap();
    // The shell puts the socket where sd_listen_fds(3) says it is; without LISTEN_PID it is for whoever is started.
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=milter exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_waxseald"), "--config"])
        .arg(installation.configuration())
        .args(["--listen", "systemd:milter"])
        .stdin(std::os::fd::OwnedFd::from(socket))
        .stderr(fs::File::create(scratch.join("log")).unwrap())
        .spawn()
        .unwrap();
    eventually("the daemon", Duration::from_secs(20), || {
        fs::read_to_string(scratch.join("log")).unwrap().contains("started").then_some(())
    });
    let verdict = from_author(&path, "a@example.test");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(signatures(&verdict), 2);
    let log = fs::read_to_string(scratch.join("log")).unwrap();
    assert!(log.contains(&format!("\"listening\",\"listener\":\"unix:{}\"", path.display())), "{log}");
    assert!(UnixStream::connect(&path).is_err());
}

#[test]
fn who_connects_and_says_nothing_or_half_a_word_is_let_go() {
    let scratch = Scratch::new("silent");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, "[timeouts]\nframe = \"300ms\"\n");
    let mut silent = Dialogue::silent(daemon.socket());
    silent.wait_for_close();
    daemon.wait_for_log("did not negotiate", 1);
    let mut halting = Dialogue::open(daemon.socket());
    halting.raw(b"\0\0\0");
    halting.wait_for_close();
    daemon.wait_for_log("nothing more of a frame", 1);
    // One that is only idle stays.
    let mut idle = Dialogue::open(daemon.socket());
    thread::sleep(Duration::from_millis(600));
    assert_eq!(signatures(&idle.message("4IDLE")), 2);
}
