//! `waxseal doctor`, beside a real waxseald and settings as real Postfix and Sendmail read them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::*;
use waxseal::doctor::RULES;

const MASTER: &str = "smtp      inet  n       -       n       -       -       smtpd\n\
                      cleanup   unix  n       -       n       -       0       cleanup\n";

/// A directory with Postfix's settings, for postconf(1) to read.
fn postfix(scratch: &Scratch, main: &str, master: &str) -> PathBuf {
    assert!(Path::new("/usr/sbin/postconf").exists(), "tests/run-all installs Postfix");
    let directory = scratch.join("postfix");
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let queue = scratch.join("queue");
    fs::create_dir_all(&queue).unwrap();
    fs::write(
        directory.join("main.cf"),
        format!("compatibility_level = 3.6\nqueue_directory = {}\n{main}", queue.display()),
    )
    .unwrap();
    fs::write(directory.join("master.cf"), master).unwrap();
    directory
}

fn doctor(installation: &Installation, postfix: &Path, sendmail: &Path, more: &[&str]) -> Output {
    let mut command = installation.command("doctor");
    command.arg("--offline").arg("--postfix").arg(postfix).arg("--sendmail").arg(sendmail).args(more);
    command.output().unwrap()
}

/// The identifiers of the rules that were found broken; but for the mode of the tests' own sockets, which are open to all.
fn rules(output: &Output) -> BTreeSet<String> {
    let examined: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let parts = examined["parts"].as_array().unwrap();
    let findings = parts.iter().flat_map(|part| part["findings"].as_array().unwrap());
    let names = findings.map(|finding| finding["rule"].as_str().unwrap().to_owned());
    names.filter(|name| name != "config.listener_mode").collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const BOUND: &str = "[trust]\nbind_logins = \"own-domain\"\n";

#[test]
#[ignore = "needs Postfix; tests/run-all installs it"]
fn nothing_is_said_of_what_is_right() {
    let scratch = Scratch::new("doctor-right");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, BOUND);
    let address = format!("unix:{}", daemon.socket().display());
    let main = format!("smtpd_milters = {address}\nnon_smtpd_milters = {address}\nmilter_default_action = tempfail\n");
    let postfix = postfix(&scratch, &main, MASTER);
    let output = doctor(&installation, &postfix, &scratch.join("none"), &["--format", "json"]);
    assert_eq!(rules(&output), set(&[]));
    let output = doctor(&installation, &postfix, &scratch.join("none"), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("0 errors, 1 warning") && text.contains("answers at unix:"), "{text}");
}

#[test]
#[ignore = "needs Postfix; tests/run-all installs it"]
fn a_postfix_with_common_mistakes_is_told_all_of_them() {
    let scratch = Scratch::new("doctor-mistakes");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, BOUND);
    let address = format!("unix:{}", daemon.socket().display());
    let main = format!(
        "smtpd_milters = {address}\nmilter_default_action = accept\nmilter_mail_macros = i\n\
         content_filter = smtp-amavis:[127.0.0.1]:10024\nsmtp_generic_maps = hash:/etc/postfix/generic\n"
    );
    // Chrooted, as on Debian; a submission service that lost its milters; a content filter's way back that has them.
    let master = "smtp      inet  n       -       y       -       -       smtpd\n\
                  submission inet n       -       y       -       -       smtpd\n  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_milters=\n  -o content_filter=\n\
                  127.0.0.1:10025 inet n  -       n       -       -       smtpd\n  -o content_filter=\n\
                  cleanup   unix  n       -       y       -       0       cleanup\n";
    let postfix = postfix(&scratch, &main, master);
    let output = doctor(&installation, &postfix, &scratch.join("none"), &["--format", "json"]);
    let expected = [
        "postfix.chroot",
        "postfix.default-action",
        "postfix.local",
        "postfix.macros",
        "postfix.rewritten",
        "postfix.submission",
        "postfix.twice",
    ];
    assert_eq!(rules(&output), set(&expected));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(doctor(&installation, &postfix, &scratch.join("none"), &[]).stdout).unwrap();
    for remedy in ["postconf -e milter_default_action=tempfail", "postconf -X milter_mail_macros", "non_smtpd_milters="]
    {
        assert!(text.contains(remedy), "{remedy}: {text}");
    }
}

#[test]
#[ignore = "needs Postfix; tests/run-all installs it"]
fn a_postfix_that_knows_nothing_of_us_is_told_the_line_to_add() {
    let scratch = Scratch::new("doctor-none");
    let installation = Installation::new(&scratch);
    let _daemon = installation.start_listening(&scratch, BOUND);
    let postfix = postfix(&scratch, "smtpd_milters = inet:127.0.0.1:8891\n", MASTER);
    let output = doctor(&installation, &postfix, &scratch.join("none"), &["--format", "json"]);
    assert_eq!(rules(&output), set(&["postfix.local", "postfix.milters"]));
    let line = format!("postconf -e smtpd_milters=unix:{}", scratch.join("milter.sock").display());
    assert!(String::from_utf8(output.stdout).unwrap().contains(&line));
}

#[test]
#[ignore = "needs Postfix; tests/run-all installs it"]
fn settings_of_one_filter_in_braces_are_read() {
    let scratch = Scratch::new("doctor-braces");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, BOUND);
    let address = format!("unix:{}", daemon.socket().display());
    let main = format!(
        "smtpd_milters = {{ {address}, connect_timeout = 5s, default_action = accept }}, inet:127.0.0.1:11332\n\
         non_smtpd_milters = {{ {address}, default_action=tempfail }}\nmilter_default_action = reject\n\
         milter_content_timeout = 4s\nmilter_protocol = 2\n"
    );
    let postfix = postfix(&scratch, &main, MASTER);
    let output = doctor(&installation, &postfix, &scratch.join("none"), &["--format", "json"]);
    let expected = ["postfix.default-action", "postfix.order", "postfix.protocol", "postfix.timeouts"];
    assert_eq!(rules(&output), set(&expected), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "needs Postfix; tests/run-all installs it"]
fn a_daemon_that_is_away_or_mute_is_noticed() {
    let scratch = Scratch::new("doctor-away");
    let installation = Installation::new(&scratch);
    let socket = scratch.join("milter.sock");
    let listener = format!("[[listener]]\nsocket = \"unix:{}\"\n{BOUND}", socket.display());
    installation.configure(&listener);
    let main = format!(
        "smtpd_milters = unix:{0}\nnon_smtpd_milters = unix:{0}\nmilter_default_action = tempfail\n",
        socket.display()
    );
    let postfix = postfix(&scratch, &main, MASTER);
    let output = doctor(&installation, &postfix, &scratch.join("none"), &["--format", "json"]);
    assert_eq!(rules(&output), set(&["daemon.milter", "postfix.socket"]));
    let _mute = UnixListener::bind(&socket).unwrap();
    let output = doctor(&installation, &postfix, &scratch.join("none"), &["--format", "json"]);
    assert_eq!(rules(&output), set(&["daemon.milter", "postfix.socket"]));
    assert!(String::from_utf8(output.stdout).unwrap().contains("does not answer"));
}

#[test]
#[ignore = "needs Postfix; tests/run-all installs it"]
fn a_socket_that_postfix_may_not_open_is_noticed() {
    let scratch = Scratch::new("doctor-closed");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, BOUND);
    fs::set_permissions(daemon.socket(), fs::Permissions::from_mode(0o660)).unwrap();
    let address = format!("unix:{}", daemon.socket().display());
    let main = format!("smtpd_milters = {address}\nnon_smtpd_milters = {address}\nmilter_default_action = tempfail\n");
    let postfix = postfix(&scratch, &main, MASTER);
    let output = doctor(&installation, &postfix, &scratch.join("none"), &["--format", "json"]);
    assert_eq!(rules(&output), set(&["postfix.socket"]));
    assert!(String::from_utf8(output.stdout).unwrap().contains("of which postfix is no member"));
}

#[test]
fn sendmails_settings_are_judged() {
    let scratch = Scratch::new("doctor-sendmail");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, BOUND);
    let address = format!("local:{}", daemon.socket().display());
    let right = format!(
        "O InputMailFilters=greylist, waxseal\nXgreylist, S=unix:/run/grey.sock, F=T\n\
         Xwaxseal, S={address}, F=T, T=S:10s;R:10s\nO Milter.macros.envfrom=i, {{auth_type}}, {{auth_authen}}\n"
    );
    let wrong = format!(
        "O InputMailFilters=waxseal, greylist\nXwaxseal, S={address}\nXgreylist, S=unix:/run/grey.sock, F=T\n\
         O Milter.macros.envfrom=i\nDMexample.com\nO SevenBitInput=True\n"
    );
    let unlisted = format!("O InputMailFilters=\nXwaxseal, S={address}, F=T\n");
    let wrong_rules =
        ["sendmail.converted", "sendmail.default-action", "sendmail.macros", "sendmail.masquerade", "sendmail.order"];
    for (text, expected) in [
        (right, &[][..]),
        (wrong, &wrong_rules[..]),
        (unlisted, &["sendmail.milters"][..]),
        ("\0\u{fffd}".into(), &["sendmail.milters"]),
    ] {
        let path = scratch.write("sendmail.cf", text.as_bytes());
        let output = doctor(&installation, &scratch.join("none"), &path, &["--format", "json"]);
        assert_eq!(rules(&output), set(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_within_is_told_with_the_rest() {
    let scratch = Scratch::new("doctor-within");
    let installation = Installation::new(&scratch);
    let _daemon = installation.start_listening(&scratch, "");
    let none = scratch.join("none");
    let output = doctor(&installation, &none, &none, &["--format", "json"]);
    assert_eq!(rules(&output), set(&["policy.logins"]), "two domains, and any login may write as both");
    let state = scratch.join("rotate");
    fs::create_dir(&state).unwrap();
    fs::write(
        state.join("summary.json"),
        r#"{"version":1,"begun":"2100-01-01T00:00:00Z","ended":"2100-01-01T00:00:01Z","domains":2,"due":2,"patrolled":0,"done":0,
            "changed":0,"failed":2,"halted":null,"failing":2,"alarmed":1,"next_due":null,"keys":{}}"#,
    )
    .unwrap();
    let listener = format!("[[listener]]\nsocket = \"unix:{}\"\n", scratch.join("milter.sock").display());
    installation.configure(&format!("{listener}{BOUND}[rotation]\nstate = \"{}\"\n", state.display()));
    let output = doctor(&installation, &none, &none, &["--format", "json"]);
    assert_eq!(rules(&output), set(&["clock.behind", "rotation.alarm", "rotation.failing"]));
    fs::write(state.join("summary.json"), "{").unwrap();
    assert_eq!(rules(&doctor(&installation, &none, &none, &["--format", "json"])), set(&["rotation.summary"]));
    installation.write_configuration("version = 1\nnonsense = true\n");
    let output = doctor(&installation, &none, &none, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("nonsense"));
    fs::remove_file(installation.configuration()).unwrap();
    assert_eq!(doctor(&installation, &none, &none, &[]).status.code(), Some(2));
}

#[test]
fn a_dead_dns_is_no_missing_record() {
    let scratch = Scratch::new("doctor-dns");
    let installation = Installation::new(&scratch);
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = format!("[dns]\nresolvers = [\"{}\"]\ntimeout = \"200ms\"\n", nobody.local_addr().unwrap());
    let _daemon = installation.start_listening(&scratch, &format!("{BOUND}{dns}"));
    let none = scratch.join("none");
    let mut command = installation.command("doctor");
    command.args(["--format", "json", "example.test", "--postfix"]).arg(&none).arg("--sendmail").arg(&none);
    let output = command.output().unwrap();
    assert!(rules(&output).contains("dns.undetermined"), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_documentation_has_each_rule() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).unwrap();
    let documented: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let actual: Vec<String> = RULES
        .iter()
        .map(|rule| format!("| `{}` | {} | {}: {} |", rule.id, rule.severity, rule.title, rule.explanation))
        .collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let head = page.split("| rule |").next().unwrap();
        let table = format!("| rule | | what it is, and what it does |\n| --- | --- | --- |\n{}\n", actual.join("\n"));
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md"), format!("{head}{table}")).unwrap();
        return;
    }
    assert_eq!(documented, actual, "UPDATE_DOCS=1 writes it");
}
