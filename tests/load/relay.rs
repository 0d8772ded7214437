//! Stands between `waxseal rotate` and a server, and can lose what passes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// A question by UDP.
    Question,
    /// A request that is to change something: a dynamic update, or PATCH.
    Change,
    /// The answer to such a request.
    Answer,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    IsLost,
}

type Judge = Arc<dyn Fn(Passing) -> Fate + Send + Sync>;

/// A relay on loopback, for UDP and TCP. Its threads end with it, or with their connections.
pub(crate) struct Relay {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) fn start(target: SocketAddr, judge: Judge) -> Self {
        let (listener, socket) = bind();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, udp_judge) = (Arc::clone(&is_over), Arc::clone(&judge));
        thread::spawn(move || relay_udp(&socket, target, &udp_judge, &over));
        let over = Arc::clone(&is_over);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let judge = Arc::clone(&judge);
                thread::spawn(move || relay_tcp(connection, target, judge));
            }
        });
        Self { address, is_over }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes who listens.
        TcpStream::connect(self.address).ok();
    }
}

/// The same port for both.
fn bind() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (listener, socket);
        }
    }
    panic!("no port is free for UDP and TCP");
}

fn relay_udp(socket: &UdpSocket, target: SocketAddr, judge: &Judge, is_over: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 65535];
    while !is_over.load(Ordering::Relaxed) {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
        if judge(Passing::Question) == Fate::IsLost {
            continue;
        }
        let onward = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        onward.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        onward.send_to(&buffer[..length], target).ok();
        if let Ok(length) = onward.recv(&mut buffer) {
            socket.send_to(&buffer[..length], client).ok();
        }
    }
}

fn relay_tcp(client: TcpStream, target: SocketAddr, judge: Judge) {
    let Ok(server) = TcpStream::connect(target) else { return };
    // Set while a change waits for its answer.
    let changing = Arc::new(AtomicBool::new(false));
    let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (answers, waiting) = (Arc::clone(&judge), Arc::clone(&changing));
    let back = thread::spawn(move || {
        pump(from_server, to_client, |_| {
            if waiting.swap(false, Ordering::Relaxed) { answers(Passing::Answer) } else { Fate::Passes }
        });
    });
    pump(client, server, |octets| {
        if is_change(octets) {
            changing.store(true, Ordering::Relaxed);
            return judge(Passing::Change);
        }
        Fate::Passes
    });
    back.join().unwrap();
}

/// Passes on what comes until either side ends or something is lost, which ends both.
fn pump(mut from: TcpStream, mut to: TcpStream, mut judge: impl FnMut(&[u8]) -> Fate) {
    from.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut buffer = [0; 65535];
    let mut length = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer[length..]) {
        length += read;
        // Too short to tell what it is.
        if length < 5 {
            continue;
        }
        if judge(&buffer[..length]) == Fate::IsLost || to.write_all(&buffer[..length]).is_err() {
            break;
        }
        length = 0;
    }
    for stream in [from, to] {
        stream.shutdown(Shutdown::Both).ok();
    }
}

/// A dynamic update (RFC 2136 §2.2: opcode 5) behind the two octets of its length, or PATCH.
fn is_change(octets: &[u8]) -> bool {
    octets.starts_with(b"PATCH") || (!octets[0].is_ascii_uppercase() && octets[4] >> 3 & 0xf == 5)
}
