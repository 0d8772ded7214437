//! Newer daemons take over the listening sockets under load: no connection is refused or dropped, no message is lost.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::bench::Bench;
use crate::support::*;

fn started(installation: &Installation, scratch: &Scratch, number: usize) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseald"));
    let mut server = Server::start(
        command.arg("--config").arg(installation.configuration()),
        &scratch.join(&format!("waxseald-{number}.log")),
    );
    let log = scratch.join(&format!("waxseald-{number}.log"));
    server.wait_until("waxseald to have started", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"event\":\"started\""))
    });
    server
}

#[test]
fn hand_overs_and_reloads_under_load_lose_no_message_and_drop_no_connection() {
    let scratch = Scratch::new("hand-over");
    let installation = Installation::new(&scratch);
    let (socket, asked) = (scratch.join("milter.sock"), scratch.join("hand-over.sock"));
    installation.configure(&format!(
        "[[listener]]\nsocket = \"unix:{}\"\nmode = \"0666\"\n[daemon]\nhand_over = \"{}\"\n",
        socket.display(),
        asked.display()
    ));
    let mut current = started(&installation, &scratch, 0);
    let arguments = "--rate 150 --duration 9 --connections 30 --per-connection 7 --auth anna";
    let load = Bench::start(&socket, arguments);
    for number in 1..=5 {
        thread::sleep(Duration::from_millis(600));
        current.signal(rustix::process::Signal::HUP);
        let newer = started(&installation, &scratch, number);
        let mut older = std::mem::replace(&mut current, newer);
        // Its connections end by themselves: each has seven messages.
        assert!(older.wait(Duration::from_secs(40)).success());
        assert!(older.output().contains("handed over to a newer daemon"), "{}", older.output());
    }
    let figures = load.finish();
    figures.assert_accounted();
    assert_eq!(figures.deferred, 0, "{figures:#?}");
    assert!(socket.exists() && asked.exists());
    // The last one is a daemon like any other: it takes its files away.
    current.signal(rustix::process::Signal::TERM);
    assert!(current.wait(Duration::from_secs(20)).success());
    assert!(!socket.exists() && !asked.exists());
}

#[test]
fn a_connection_is_kept_by_the_older_daemon_and_closed_at_its_drain_limit() {
    let scratch = Scratch::new("hand-over");
    let installation = Installation::new(&scratch);
    let (socket, asked) = (scratch.join("milter.sock"), scratch.join("hand-over.sock"));
    installation.configure(&format!(
        "[[listener]]\nsocket = \"unix:{}\"\n[daemon]\nhand_over = \"{}\"\n[timeouts]\ndrain = \"4s\"\n",
        socket.display(),
        asked.display()
    ));
    let mut older = started(&installation, &scratch, 0);
    let (mut idle, mut ending) = (Dialogue::open(&socket), Dialogue::open(&socket));
    assert!(matches!(ending.message("BEFORE"), Verdict::Signed(_)));
    let newer = started(&installation, &scratch, 1);
    assert!(matches!(ending.message("BETWEEN"), Verdict::Signed(_)));
    ending.quit();
    assert!(matches!(Dialogue::open(&socket).message("AFTER"), Verdict::Signed(_)));
    idle.wait_for_close();
    assert!(older.wait(Duration::from_secs(20)).success());
    assert!(older.output().contains("BETWEEN") && newer.output().contains("AFTER"));
}
