//! What stands between a publisher and its server, and meddles.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hickory_server::proto::op::{Message, OpCode};

use crate::common::LOOPBACK;

/// What becomes of a message and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Both pass.
    Pass,
    /// Both pass, and the connection is closed.
    Last,
    /// The server gets it; of the answer half passes, and the connection is closed.
    Half,
    /// The connection is closed at once; the server gets nothing.
    Refuse,
    /// The server gets it; the answer passes without its signature.
    Unsigned,
    /// The server gets it; the answer passes with one bit of its signature changed.
    Forged,
    /// The server gets it; the answer passes with the signature of the answer before it.
    Replayed,
}

/// Takes messages over TCP and passes them on, until it is dropped.
pub(crate) struct Between {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Between {
    /// In front of a server. `fate` decides over each message by whether it is an update, and how many of that kind came
    /// before it, over all connections.
    pub(crate) fn of(server: SocketAddr, fate: impl Fn(OpCode, usize) -> Fate + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ended) = (Arc::clone(&connections), Arc::clone(&is_over));
        let fate = Arc::new(fate);
        let asked = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let (fate, asked) = (Arc::clone(&fate), Arc::clone(&asked));
                // It ends with its connection.
                thread::spawn(move || relay(client.unwrap(), server, &*fate, &asked));
            }
        });
        Self { address, connections, is_over }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listening thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    fate: &dyn Fn(OpCode, usize) -> Fate,
    asked: &[AtomicUsize; 2],
) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut upstream = TcpStream::connect(server)?;
    upstream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut previous: Option<Message> = None;
    loop {
        let question = receive(&mut client)?;
        let op_code = Message::from_vec(&question).unwrap().metadata.op_code;
        let number = asked[usize::from(op_code == OpCode::Update)].fetch_add(1, Ordering::SeqCst);
        let fate = fate(op_code, number);
        if fate == Fate::Refuse {
            return client.shutdown(Shutdown::Both);
        }
        send(&mut upstream, &question)?;
        let mut octets = receive(&mut upstream)?;
        let answer = Message::from_vec(&octets).unwrap();
        let mut changed = answer.clone();
        match fate {
            Fate::Unsigned => {
                changed.take_signature().expect("the server signs");
                octets = changed.to_vec().unwrap();
            }
            Fate::Forged => {
                changed.signature.as_mut().unwrap().data.mac[0] ^= 1;
                octets = changed.to_vec().unwrap();
            }
            Fate::Replayed => {
                changed.signature = previous.expect("not the first").signature;
                octets = changed.to_vec().unwrap();
            }
            Fate::Half => {
                client.write_all(&u16::try_from(octets.len()).unwrap().to_be_bytes())?;
                client.write_all(&octets[..octets.len() / 2])?;
                return client.shutdown(Shutdown::Both);
            }
            Fate::Pass | Fate::Last | Fate::Refuse => {}
        }
        send(&mut client, &octets)?;
        if fate == Fate::Last {
            return client.shutdown(Shutdown::Both);
        }
        previous = Some(answer);
    }
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets)?;
    Ok(octets)
}

fn send(stream: &mut TcpStream, octets: &[u8]) -> io::Result<()> {
    stream.write_all(&[&u16::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat())
}

/// Passes connections on to one server, then to another.
pub(crate) struct Switch {
    address: SocketAddr,
    is_switched: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Switch {
    pub(crate) fn between(before: SocketAddr, after: SocketAddr) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (is_switched, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (switched, ended) = (Arc::clone(&is_switched), Arc::clone(&is_over));
        thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let server = if switched.load(Ordering::SeqCst) { after } else { before };
                let asked = [AtomicUsize::new(0), AtomicUsize::new(0)];
                thread::spawn(move || relay(client.unwrap(), server, &|_, _| Fate::Last, &asked));
            }
        });
        Self { address, is_switched, is_over }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on to the other.
    pub(crate) fn switch(&self) {
        self.is_switched.store(true, Ordering::SeqCst);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}
