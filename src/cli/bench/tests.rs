use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use clap::Parser;

use super::*;
use crate::milter::{Event, Reply, Session, SessionOptions};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// What the filter of these tests says at end of header and end of message.
#[derive(Debug, Clone, Copy)]
enum Filter {
    Signs,
    Passes,
    Defers,
    HangsUp,
}

impl Filter {
    fn serve<S: Read + Write>(self, mut stream: S) {
        let mut session = Session::new(SessionOptions::default());
        let (mut scratch, mut out) = ([0; 8192], Vec::new());
        while let Ok(read @ 1..) = stream.read(&mut scratch) {
            let mut rest = &scratch[..read];
            loop {
                let received = session.receive(rest, &mut out).unwrap();
                rest = &rest[received.consumed..];
                match (received.event, self) {
                    (None | Some(Event::Quit), _) => break,
                    (Some(Event::EndOfMessage), Self::HangsUp) => return,
                    (Some(Event::EndOfHeader), Self::Passes) => session.reply(Reply::Accept, &mut out).unwrap(),
                    (Some(Event::EndOfMessage), Self::Defers) => {
                        let busy = Reply::Code { code: 451, enhanced: "4.3.2", text: "busy" };
                        session.reply(busy, &mut out).unwrap();
                    }
                    (Some(Event::EndOfMessage), _) => {
                        let signature = Reply::InsertHeader { index: 0, name: "DKIM-Signature", value: b" v=1" };
                        session.reply(signature, &mut out).unwrap();
                        session.reply(Reply::Accept, &mut out).unwrap();
                    }
                    (Some(Event::Mail { .. } | Event::EndOfHeader), _) => {
                        session.reply(Reply::Continue, &mut out).unwrap();
                    }
                    _ => {}
                }
            }
            stream.write_all(&out).unwrap();
            out.clear();
        }
    }

    fn listen(self, path: &Path) -> String {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || self.serve(stream.unwrap()));
            }
        });
        format!("unix:{}", path.display())
    }
}

fn bench(socket: &str, more: &[&str]) -> anyhow::Result<(Exit, serde_json::Value)> {
    let words = ["bench", "milter", "--connect", socket, "--format", "json"];
    let cli = Cli::try_parse_from(words.iter().chain(more)).unwrap();
    let mut out = Vec::new();
    let code = run(&cli.args, &mut out)?;
    Ok((code, serde_json::from_slice(&out).unwrap()))
}

fn with_filter(filter: Filter, more: &[&str]) -> (Exit, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let socket = filter.listen(&folder.path().join("socket"));
    bench(&socket, more).unwrap()
}

#[test]
fn signed_messages_are_counted_and_timed() {
    let pid = std::process::id().to_string();
    let more = ["--messages", "57", "--connections", "3", "--per-connection", "4", "--pid", &pid, "--idle", "5"];
    let (code, report) = with_filter(Filter::Signs, &more);
    assert_eq!(code, Exit::Clean);
    assert_eq!(report["signed"], 57);
    assert_eq!(report["lost"], 0);
    assert_eq!(report["idle"]["connections"], 5);
    for key in ["end_of_message", "whole_message"] {
        let (p50, max) = (report[key]["p50"].as_f64().unwrap(), report[key]["max"].as_f64().unwrap());
        assert!(p50 > 0.0 && p50 <= max);
    }
    assert!(report["process"]["cpu_microseconds_per_message"].as_f64().unwrap() > 0.0);
}

#[test]
fn messages_that_are_passed_or_deferred_are_told_apart() {
    let (code, report) = with_filter(Filter::Passes, &["--messages", "20", "--not-ours"]);
    assert_eq!((code, &report["unsigned"]), (Exit::Clean, &20.into()));
    assert_eq!(report["end_of_message"], serde_json::Value::Null);
    let (code, report) = with_filter(Filter::Defers, &["--messages", "20", "--auth", "anna"]);
    assert_eq!((code, &report["deferred"]), (Exit::Clean, &20.into()));
    assert_eq!(report["first_reply"], "451 4.3.2 busy");
}

#[test]
fn messages_without_an_answer_are_lost() {
    let (code, report) = with_filter(Filter::HangsUp, &["--messages", "5", "--connections", "1"]);
    assert_eq!(code, Exit::Findings);
    assert_eq!(report["lost"], 5);
    assert_eq!(report["first_problem"], "the milter closed the connection");
}

#[test]
fn held_messages_are_all_there_before_the_first_ends() {
    let (code, report) = with_filter(Filter::Signs, &["--hold", "--connections", "8", "--size", "300000"]);
    assert_eq!((code, &report["signed"]), (Exit::Clean, &8.into()));
}

#[test]
fn stalled_connections_stop_somewhere_in_a_message_and_hinder_nobody() {
    let more = ["--messages", "30", "--stall", "40", "--size", "300"];
    let (code, report) = with_filter(Filter::Signs, &more);
    assert_eq!((code, &report["signed"], &report["lost"]), (Exit::Clean, &30.into(), &0.into()));
}

#[test]
fn what_was_offered_and_signed_is_told_by_rate() {
    let (code, report) = with_filter(Filter::Defers, &["--rate", "40", "--duration", "1", "--auth", "anna"]);
    assert_eq!((code, &report["deferred"], &report["messages"]), (Exit::Clean, &40.into(), &40.into()));
    assert_eq!((&report["signed_per_second"], &report["signed_message"]), (&0.0.into(), &serde_json::Value::Null));
    assert!(report["offered_per_second"].as_f64().unwrap() > 0.0);
    assert!(report["deferred_message"]["p99"].as_f64().unwrap() > 0.0);
    assert!(report["late"]["p50"].as_f64().is_some());
}

#[test]
fn a_rate_is_kept() {
    let (_, report) = with_filter(Filter::Signs, &["--messages", "20", "--rate", "100"]);
    let elapsed = report["elapsed_seconds"].as_f64().unwrap();
    assert!(elapsed >= 0.19, "{elapsed}");
}

#[test]
fn authors_come_from_a_file_and_sockets_may_be_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authors");
    std::fs::write(&file, "a@one.example\n\nb@two.example\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = format!("inet:{}@127.0.0.1", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || Filter::Signs.serve(stream.unwrap()));
        }
    });
    let file = file.to_str().unwrap();
    let (_, report) =
        bench(&socket, &["--messages", "10", "--from-file", file, "--body", "html", "--size", "70000"]).unwrap();
    assert_eq!(report["signed"], 10);
    assert_eq!(report["body_octets"], 70_000);
}

#[test]
fn what_cannot_begin_says_why() {
    let error = bench("unix:/does/not/exist", &[]).unwrap_err();
    assert!(format!("{error:#}").contains("there is no milter at"));
    let error = bench("inet:25@192.0.2.1", &[]).unwrap_err();
    assert!(error.to_string().contains("--allow-remote"));
    assert!(bench("unix:/x", &["--from", "nobody"]).unwrap_err().to_string().contains("no address"));
    assert!(bench("unix:/x", &["--from-file", "/does/not/exist"]).is_err());
    assert!(bench("unix:/x", &["--pid", "4294967295"]).is_err());
}
