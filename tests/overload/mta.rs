//! The daemon ends in the middle of the load of a real Postfix, and comes back: every message arrives once, signed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::*;

/// By SMTP, over connections of their own.
const BY_SMTP: usize = 60;
/// By sendmail(1): Postfix has taken them before the daemon is asked, so that its own queue must keep them.
const LOCALLY: usize = 12;

fn message(number: usize) -> Vec<u8> {
    format!("From: Ada <ada@example.test>\r\nTo: bob@sink.test\r\nSubject: {number}\r\n\r\nHello.\r\n").into_bytes()
}

/// Sends one as a client does that is told to try again later.
fn submit(port: u16, number: usize) {
    let recipient = format!("smtp{number}@sink.test");
    eventually(&format!("message {number} to be taken"), Duration::from_secs(60), || {
        let reply = SmtpClient::connect(port).send("ada@example.test", &recipient, &message(number), Transfer::Data);
        assert!(reply.code < 500, "message {number}: {reply:?}");
        reply.is_positive().then_some(())
    });
}

#[test]
#[ignore = "needs root and Postfix; tests/run-all installs them"]
fn a_daemon_that_ends_and_starts_under_the_load_of_postfix_loses_nothing_and_leaves_its_queue_empty() {
    let scratch = Scratch::new("sigterm");
    let installation = Installation::new(&scratch);
    let mut daemon = installation.start(&scratch);
    let (sink, seven) = (Sink::start(SinkOptions::default()), Sink::start(SinkOptions::default()));
    let postfix = Postfix::start(&PostfixOptions {
        milter: format!("unix:{}", daemon.socket().display()),
        sink: sink.port(),
        seven_bit_sink: seven.port(),
        settings: "",
    });
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let number @ ..BY_SMTP = next.fetch_add(1, Ordering::Relaxed) {
                    submit(postfix.port(), number);
                }
            });
        }
        scope.spawn(|| {
            for number in 0..LOCALLY {
                let recipient = format!("local{number}@sink.test");
                let text = with_unix_line_ends(&message(number));
                postfix.submit_locally("ada@example.test", &recipient, &text);
            }
        });
        eventually("the first messages to arrive", Duration::from_secs(30), || {
            (next.load(Ordering::Relaxed) > BY_SMTP / 4).then_some(())
        });
        daemon.terminate();
        assert!(daemon.server.wait(Duration::from_secs(40)).success());
        thread::sleep(Duration::from_secs(1));
        daemon = installation.start(&scratch);
    });
    eventually("Postfix's queue to be empty", Duration::from_secs(90), || {
        postfix.try_again();
        thread::sleep(Duration::from_millis(500));
        let left: usize =
            ["maildrop", "incoming", "active", "deferred"].iter().map(|queue| postfix.queued(queue)).sum();
        (left == 0).then_some(())
    });
    let (smtp, local) = ((0..BY_SMTP).map(|n| format!("smtp{n}")), (0..LOCALLY).map(|n| format!("local{n}")));
    for name in smtp.chain(local) {
        let received = sink.sent_to(&name);
        assert_eq!(received.len(), 1, "{name} arrived {} times", received.len());
        assert_eq!(signatures_in(&received[0].octets), 2, "{name}");
    }
    assert!(!postfix.log().contains("status=bounced"), "{}", postfix.log());
}
