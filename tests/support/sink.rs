//! An SMTP server that accepts everything and keeps the octets as they came.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::scratch::eventually;

/// What the server says it can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinkOptions {
    pub(crate) eight_bit_mime: bool,
    pub(crate) smtputf8: bool,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self { eight_bit_mime: true, smtputf8: true }
    }
}

/// One message as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    /// The message with its CRLFs, dot-stuffing undone.
    pub(crate) octets: Vec<u8>,
}

/// The running server. Only CR LF ends a line for it, so that a stray CR or LF stays visible.
pub(crate) struct Sink {
    port: u16,
    messages: Arc<Mutex<Vec<Received>>>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Sink {
    pub(crate) fn start(options: SinkOptions) -> Self {
        Self::start_at(0, options)
    }

    /// On that port of loopback; 0 for a free one.
    pub(crate) fn start_at(port: u16, options: SinkOptions) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let acceptor = thread::spawn({
            let (messages, stop) = (Arc::clone(&messages), Arc::clone(&stop));
            move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let messages = Arc::clone(&messages);
                    // Ends with the connection, which ends with the MTA.
                    thread::spawn(move || serve(stream, options, &messages));
                }
            }
        });
        Self { port, messages, stop, acceptor: Some(acceptor) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// All messages so far.
    pub(crate) fn messages(&self) -> Vec<Received> {
        self.messages.lock().unwrap().clone()
    }

    /// Messages so far to recipients with this local part.
    pub(crate) fn sent_to(&self, local_part: &str) -> Vec<Received> {
        let is_meant = |address: &String| address.rsplit_once('@').is_some_and(|(local, _)| local == local_part);
        let messages = self.messages.lock().unwrap();
        messages.iter().filter(|message| message.recipients.iter().any(is_meant)).cloned().collect()
    }

    /// Waits until there are at least `count` messages.
    pub(crate) fn wait_for(&self, count: usize) {
        eventually(&format!("{count} messages at the sink"), Duration::from_secs(90), || {
            (self.messages.lock().unwrap().len() >= count).then_some(())
        });
    }

    /// Waits until there is a message for each of these local parts.
    pub(crate) fn wait_for_recipients<'a>(&self, local_parts: impl Iterator<Item = &'a str>) {
        for local_part in local_parts {
            eventually(&format!("the message {local_part:?} at the sink"), Duration::from_secs(60), || {
                (!self.sent_to(local_part).is_empty()).then_some(())
            });
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.acceptor.take().map(JoinHandle::join);
    }
}

fn serve(stream: TcpStream, options: SinkOptions, messages: &Mutex<Vec<Received>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let say = |reader: &mut BufReader<TcpStream>, text: &str| reader.get_mut().write_all(text.as_bytes()).ok();
    say(&mut reader, "220 sink.test ESMTP\r\n")?;
    let mut sender = String::new();
    let mut recipients = Vec::new();
    loop {
        let line = String::from_utf8_lossy(&line(&mut reader)?).into_owned();
        let verb = line.trim_end().split([' ', ':']).next()?.to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => {
                let eight_bit = if options.eight_bit_mime { "250-8BITMIME\r\n" } else { "" };
                let utf8 = if options.smtputf8 { "250-SMTPUTF8\r\n" } else { "" };
                format!("250-sink.test\r\n{eight_bit}{utf8}250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n")
            }
            "MAIL" => {
                sender = address(&line);
                recipients.clear();
                "250 2.1.0 Ok\r\n".to_owned()
            }
            "RCPT" => {
                recipients.push(address(&line));
                "250 2.1.5 Ok\r\n".to_owned()
            }
            "DATA" => {
                say(&mut reader, "354 Go on\r\n")?;
                let octets = data(&mut reader)?;
                let recipients = std::mem::take(&mut recipients);
                messages.lock().unwrap().push(Received { sender: sender.clone(), recipients, octets });
                "250 2.0.0 Ok\r\n".to_owned()
            }
            "QUIT" => {
                say(&mut reader, "221 2.0.0 Bye\r\n")?;
                return None;
            }
            "RSET" | "NOOP" | "HELO" => "250 2.0.0 Ok\r\n".to_owned(),
            _ => "500 5.5.2 What?\r\n".to_owned(),
        };
        say(&mut reader, &reply)?;
    }
}

/// The octets up to and with the next CR LF; none at the end of the connection.
fn line(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
    }
    Some(line)
}

/// A message up to its final dot, dot-stuffing undone.
fn data(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    loop {
        let line = line(reader)?;
        if line == b".\r\n" {
            return Some(octets);
        }
        octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let Some((_, rest)) = line.split_once('<') else { return String::new() };
    rest.split_once('>').map_or(String::new(), |(address, _)| address.to_owned())
}
