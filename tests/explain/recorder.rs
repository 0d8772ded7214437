//! What the daemon remembers of messages, and tells.

use serde_json::Value;

use crate::live::text;
use crate::support::{Dialogue, FIELDS, Installation, Scratch, frame, macros};

fn send(dialogue: &mut Dialogue, queue_id: &str) {
    dialogue.mail(queue_id).unwrap();
    dialogue.content(queue_id, &FIELDS, b"Hello, secret-word.\r\n").unwrap();
}

#[test]
fn a_message_that_the_daemon_saw_is_found_by_its_queue_id() {
    let scratch = Scratch::new("recorder");
    let installation = Installation::new(&scratch);
    let settings = "[recorder]\nmessages = 5\n[[rule]]\nname = \"lists\"\nfrom = [\"nobody@example.test\"]\nto = [\"*@lists.test\"]\nnever = true\n\
         [[rule]]\nname = \"ours\"\nfrom = [\"example.test\"]\n";
    let daemon = installation.start_listening(&scratch, settings);
    let ask = |arguments: &[&str]| installation.command("explain").args(arguments).output().unwrap();

    let none = ask(&["--queue-id", "4XYZ"]);
    assert_eq!(none.status.code(), Some(3));
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(said.contains("the last 0 of at most 5") && said.contains("[recorder]"), "{said}");

    let mut dialogue = Dialogue::open(daemon.socket());
    send(&mut dialogue, "4XYZ");
    daemon.message("4XYZ");
    let found = ask(&["--queue-id", "4XYZ"]);
    assert_eq!(found.status.code(), Some(0));
    for part in [
        "4XYZ was signed",
        "client 127.0.0.1",
        "ours decided",
        "waxseal.toml:",
        "d=example.test",
        "reading from the MTA",
    ] {
        assert!(text(&found).contains(part), "{part:?} is missing in\n{}", text(&found));
    }
    let said: Value = serde_json::from_slice(&ask(&["--queue-id", "4XYZ", "--format", "json"]).stdout).unwrap();
    assert_eq!(said.as_array().unwrap().len(), 1);
    let spent = |name: &str| said[0]["spent"][name].as_u64().unwrap();
    assert_eq!(spent("total"), said[0]["spent"]["total"].as_u64().unwrap());
    assert!(spent("reading") + spent("keys") + spent("signing") + spent("other") <= spent("total") + 4, "{said}");

    // Not ours: another client.
    let mut stranger = Dialogue::open_from(daemon.socket(), "203.0.113.9");
    stranger.mail("STRANGER").unwrap();
    stranger.content("STRANGER", &FIELDS, b"").unwrap();
    daemon.message("STRANGER");
    let passed = ask(&["--queue-id", "STRANGER"]);
    assert_eq!(passed.status.code(), Some(1));
    assert!(text(&passed).contains("passed unsigned: not_trusted"), "{}", text(&passed));
    assert!(text(&passed).contains("To change it:"), "{}", text(&passed));

    // The oldest is forgotten; a queue id that was used twice is found twice.
    for number in 0..4 {
        send(&mut dialogue, if number % 2 == 0 { "EVEN" } else { "ODD" });
    }
    daemon.server.output();
    let recorder = |arguments: &[&str]| {
        installation.command("status").args(["--recorder", "--format", "json"]).args(arguments).output().unwrap()
    };
    let told: Value = serde_json::from_slice(&recorder(&[]).stdout).unwrap();
    assert_eq!((&told["remembered"], &told["capacity"]), (&5.into(), &5.into()));
    assert_eq!(told["last"].as_array().unwrap().len(), 5);
    assert!(told["slowest"].as_array().unwrap().len() >= 5);
    assert_eq!(ask(&["--queue-id", "4XYZ"]).status.code(), Some(3));
    let twice: Value = serde_json::from_slice(&ask(&["--queue-id", "EVEN", "--format", "json"]).stdout).unwrap();
    assert_eq!(twice.as_array().unwrap().len(), 2);
    let one: Value = serde_json::from_slice(&recorder(&["--limit", "1"]).stdout).unwrap();
    assert_eq!(one["last"][0]["queue_id"], "ODD");

    // Nothing of the content, and no address of people.
    let everything = String::from_utf8(recorder(&["--limit", "0"]).stdout).unwrap();
    for word in ["secret-word", "ada@", "bob@", "Subject", FIELDS[1].1.trim()] {
        assert!(!everything.contains(word), "{word}: {everything}");
    }
    let table = installation.command("status").arg("--recorder").output().unwrap();
    let table = text(&table);
    assert!(table.contains("Slowest of the last hour") && table.contains("SLOW BECAUSE"), "{table}");
}

#[test]
fn a_hostile_queue_id_is_found_by_what_is_made_of_it() {
    let scratch = Scratch::new("recorder");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let mut dialogue = Dialogue::open(daemon.socket());
    let hostile = "4F\u{1b}[31m\n";
    dialogue.raw(&macros(b'M', &[("i", hostile)]));
    dialogue.raw(&frame(b'M', b"<ada@example.test>\0"));
    dialogue.reply().unwrap();
    dialogue.content(hostile, &FIELDS, b"").unwrap();
    daemon.message("4F?[31m?");
    for asked in [hostile, "4F?[31m?"] {
        let found = installation.command("explain").args(["--queue-id", asked]).output().unwrap();
        assert_eq!(found.status.code(), Some(0), "{}", String::from_utf8_lossy(&found.stderr));
        assert!(!text(&found).contains('\u{1b}'));
    }
}

#[test]
fn a_signal_has_the_daemon_log_what_it_remembers() {
    let scratch = Scratch::new("recorder");
    let installation = Installation::new(&scratch);
    let daemon = installation.start(&scratch);
    let mut dialogue = Dialogue::open(daemon.socket());
    send(&mut dialogue, "LOGGED");
    daemon.message("LOGGED");
    daemon.server.signal(rustix::process::Signal::USR1);
    daemon.wait_for_log("\"event\":\"remembered\"", 3);
    let output = daemon.server.output();
    assert!(output.contains("\"why\":\"slowest_by_us\"") && output.contains("slow_because"), "{output}");
    send(&mut dialogue, "AFTER");
    assert_eq!(daemon.message("AFTER").decision, "sign");
}
