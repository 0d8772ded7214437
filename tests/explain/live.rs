//! What people see, and what goes wrong between the program and a daemon.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;
use std::{fs, str};

use crate::support::{Installation, Scratch, with_input};

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn explain(installation: &Installation, arguments: &[&str]) -> Output {
    installation.command("explain").args(arguments).output().unwrap()
}

/// Nothing that a terminal takes for a command.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|letter| letter != '\n' && letter.is_control()) && !text.contains('\u{202e}')
}

#[test]
fn it_says_each_step_and_what_would_be_signed_or_what_to_change() {
    let scratch = Scratch::new("explain");
    let installation = Installation::new(&scratch);
    installation.configure(
        "[trust]\nbind_logins = \"own-domain\"\n[[rule]]\nname = \"news\"\nfrom = [\"news@example.test\"]\nidentity = \"author\"\nexpire_after = \"14d\"\n",
    );
    let signed = explain(
        &installation,
        &["--from", "News <news@example.test>", "--auth", "ada@example.test", "--header", "Subject: x"],
    );
    assert_eq!(signed.status.code(), Some(0), "{}", errors(&signed));
    let said = text(&signed);
    for part in [
        "news@example.test would be signed: signed",
        "the client logged in as ada@example.test",
        "news decides (news@example.test at ",
        "waxseal.toml:",
        "may write as the author (its own domain)",
        "i= news@example.test",
        "x= 14 d after it is made",
        "h= from ×2, subject ×2",
        "active since",
        "a=rsa-sha256 (2048 bits)",
        "a=ed25519-sha256",
    ] {
        assert!(said.contains(part), "{part:?} is missing in\n{said}");
    }

    let bound = explain(&installation, &["--from", "ada@example.test", "--auth", "joe@example.org"]);
    assert_eq!(bound.status.code(), Some(1));
    assert!(text(&bound).contains("login_not_bound") && text(&bound).contains("To change it:"), "{}", text(&bound));
    let unknown = explain(&installation, &["--from", "ada@unknown.test"]);
    assert!(text(&unknown).contains("waxseal generate unknown.test"), "{}", text(&unknown));

    for wrong in [
        &["--from", "ada@example.test", "--client", "mail.example"][..],
        &["--from", "ada@example.test", "--macro", "novalue"],
        &["--from", "ada@example.test", "--header", "no field"],
        &["--from", "ada@example.test\nBcc: x@example.org"],
        &["--from", "ada@example.test", "--listener", "nowhere"],
        &["--from", "ada@example.test", "--message", "x"],
        &["--message", "/nonexistent"],
        &["--queue-id", "X", "--from", "ada@example.test"],
    ] {
        let output = explain(&installation, wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?} {}", text(&output));
    }
}

#[test]
fn a_message_is_judged_by_its_header_and_warned_of_by_its_body() {
    let scratch = Scratch::new("explain");
    let installation = Installation::new(&scratch);
    let message = format!("From: ada@example.test\nTo: bob@sink.test\n\ngr\u{fc}n {}\n", "x".repeat(1200));
    let read = with_input(installation.command("explain").args(["--client", "127.0.0.1"]), message.as_bytes());
    let said = text(&read);
    assert_eq!(read.status.code(), Some(0), "{said}");
    assert!(said.contains("long_line") && said.contains("eight_bit") && said.contains("to ×2"), "{said}");
    let file = scratch.join("message");
    fs::write(&file, &message).unwrap();
    let announced = explain(&installation, &["--parameter", "BODY=8BITMIME", "--message", file.to_str().unwrap()]);
    assert!(!text(&announced).contains("eight_bit") && text(&announced).contains("long_line"), "{}", text(&announced));
}

#[test]
fn a_running_daemon_explains_by_what_it_runs_not_by_what_the_file_says() {
    let scratch = Scratch::new("explain");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, "");
    let control = installation.configuration().with_file_name("control.sock");
    assert_eq!(fs::metadata(&control).unwrap().permissions().mode() & 0o777, 0o660);
    // Not yet reloaded.
    installation.configure("[[rule]]\nname = \"nobody\"\nnever = true\n");
    let ask = |arguments: &[&str]| {
        explain(&installation, &[&["--from", "ada@example.test", "--client", "127.0.0.1"], arguments].concat())
    };
    assert!(text(&ask(&[])).contains("rule_never"));
    let live = ask(&["--live"]);
    assert!(text(&live).contains("would be signed") && text(&live).contains("active since"), "{}", text(&live));
    let wrong = ask(&["--live", "--listener", "nowhere"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", errors(&wrong));
    assert!(errors(&wrong).contains("nowhere"), "{}", errors(&wrong));

    daemon.terminate();
    crate::support::eventually("the socket to go", Duration::from_secs(10), || (!control.exists()).then_some(()));
    let gone = ask(&["--live"]);
    assert_eq!(gone.status.code(), Some(3));
    assert!(errors(&gone).contains("is waxseald running"), "{}", errors(&gone));
    installation.configure_with_control("[control]\nsocket = \"off\"\n");
    let off = ask(&["--live"]);
    assert_eq!(off.status.code(), Some(3));
    assert!(errors(&off).contains("switches the control socket off"), "{}", errors(&off));
}

#[test]
fn what_strangers_write_never_reaches_a_terminal_raw() {
    let scratch = Scratch::new("explain");
    let installation = Installation::new(&scratch);
    let _daemon = installation
        .start_listening(&scratch, "[trust]\nbind_logins = \"own-domain\"\nmatch_envelope = \"same-domain\"\n");
    let escape = "\u{1b}[31m\u{202e}\u{9b}2J";
    for live in [&[][..], &["--live"]] {
        for from in [
            format!("{escape}@example.test"),
            format!("\"{escape}\"@example.test"),
            format!("ada@example.test{escape}"),
            format!("{escape} <ada@example.test>"),
            "x".repeat(100_000),
        ] {
            let macros = format!("--macro={{x{escape}}}={escape}");
            let sender = format!("--sender={escape}@{escape}");
            let host = format!("--host={escape}");
            for auth in [&[][..], &["--auth", escape]] {
                let options = [live, auth, &["--from", &from, &macros, &sender, &host]].concat();
                for format in ["text", "json"] {
                    let output = explain(&installation, &[&options[..], &["--format", format]].concat());
                    assert!(matches!(output.status.code(), Some(0 | 1)), "{options:?} {}", errors(&output));
                    assert!(is_plain(&text(&output)), "{:?}", text(&output));
                    assert!(is_plain(&errors(&output)), "{:?}", errors(&output));
                }
            }
        }
    }
    let output = explain(&installation, &["--queue-id", escape]);
    assert_eq!(output.status.code(), Some(3));
    assert!(is_plain(&errors(&output)), "{:?}", errors(&output));
}

/// A daemon that answers each connection with these octets, in place of the real one.
fn impostor(path: &Path, answer: &'static [u8]) -> thread::JoinHandle<()> {
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(answer).unwrap();
    })
}

#[test]
fn an_answer_of_another_release_or_of_nobody_we_know_is_said_to_be_one() {
    let scratch = Scratch::new("explain");
    let installation = Installation::new(&scratch);
    let control = installation.configuration().with_file_name("control.sock");
    let asked = |answer| {
        let impostor = impostor(&control, answer);
        let output = explain(&installation, &["--live", "--from", "ada@example.test"]);
        impostor.join().unwrap();
        output
    };
    for (answer, exit, said) in [
        (&b"{\"version\":2,\"answer\":{}}\n"[..], 3, "version 2"),
        (b"", 3, "no waxseald"),
        (b"220 mail ESMTP\r\n", 3, "no waxseald"),
        (b"{\"version\":1,\"answer\":\"moon\"}\n", 3, "no waxseald"),
        (b"{\"version\":1,\"answer\":\"recorder\",\"recorder\":{}}\n", 3, "another question"),
        (b"{\"version\":1,\"answer\":\"refused\",\"refusal\":\"tides\",\"text\":\"\\u001b[2J no\"}\n", 3, "no"),
    ] {
        let output = asked(answer);
        assert_eq!(output.status.code(), Some(exit), "{}", errors(&output));
        assert!(errors(&output).contains(said), "{}", errors(&output));
        assert!(is_plain(&errors(&output)), "{:?}", errors(&output));
    }
    // A later daemon of the same version says more, and other things.
    let newer = asked(
        b"{\"version\":1,\"answer\":\"explained\",\"mood\":1,\"explanation\":{\"decision\":\"ponder\\u001b[31m\",\"reason\":\"tides\",\
          \"moon\":[],\"steps\":[{\"step\":\"gaze\",\"text\":\"up\\u0007\"}],\"signatures\":[{\"domain\":\"\\u001b\",\"stars\":5}]}}\n",
    );
    assert_eq!(newer.status.code(), Some(1), "{}", errors(&newer));
    assert!(text(&newer).contains("tides") && is_plain(&text(&newer)), "{:?}", text(&newer));
}

/// One line to the control socket, and what comes back.
fn say(control: &Path, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(control).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // A daemon that has heard enough closes.
    let _ = stream.write_all(line).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn nonsense_on_the_control_socket_is_refused_and_silence_is_left() {
    let scratch = Scratch::new("explain");
    let installation = Installation::new(&scratch);
    let daemon = installation.start_listening(&scratch, "");
    let control = installation.configuration().with_file_name("control.sock");
    // Those who say nothing take all places, for a while.
    let silent: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(&control).unwrap()).collect();
    for (line, refusal) in [
        (&b"moon\n"[..], "unknown"),
        (b"{\"version\":1}\n", "unknown"),
        (b"{\"version\":1,\"ask\":\"moon\"}\n", "unknown"),
        (b"{\"version\":7,\"ask\":\"moon\"}\n", "version"),
        (b"{\"version\":1,\"ask\":\"explain\",\"question\":{\"client\":\"\\u001b\"}}\n", "unknown"),
        (b"{\"version\":1,\"ask\":\"explain\",\"question\":{\"listener\":\"x\"}}\n", "unfit"),
        (b"\xff\xfe\n", "unknown"),
    ] {
        let answer = say(&control, line);
        let answer: serde_json::Value = serde_json::from_str(answer.trim()).unwrap_or_else(|_| panic!("{answer:?}"));
        assert_eq!((&answer["answer"], &answer["refusal"]), (&"refused".into(), &refusal.into()), "{answer}");
    }
    drop(silent);
    let endless = vec![b'x'; 3 << 20];
    let answer = say(&control, &endless);
    assert!(answer.is_empty() || answer.contains("too_long"), "{answer:?}");
    // It signs all the while.
    let live = explain(&installation, &["--live", "--from", "ada@example.test"]);
    assert_eq!(live.status.code(), Some(0), "{}", errors(&live));
    assert!(!daemon.server.output().contains("panicked"));
}

#[test]
fn a_daemon_whose_control_socket_cannot_be_made_signs_all_the_same() {
    let scratch = Scratch::new("explain");
    let installation = Installation::new(&scratch);
    let path = installation.configuration().with_file_name("control.sock");
    fs::write(&path, "in the way").unwrap();
    let daemon = installation.start(&scratch);
    daemon.wait_for_log("the daemon cannot be asked", 1);
    let mut dialogue = crate::support::Dialogue::open(daemon.socket());
    dialogue.mail("Q1").unwrap();
    let verdict = dialogue.content("Q1", &crate::support::FIELDS, b"Hello.\r\n").unwrap();
    assert!(matches!(verdict, crate::support::Verdict::Signed(_)), "{verdict:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "in the way");
    let help = Command::new(env!("CARGO_BIN_EXE_waxseal")).args(["explain", "--help"]).output().unwrap();
    assert!(str::from_utf8(&help.stdout).unwrap().contains("--queue-id"));
}
