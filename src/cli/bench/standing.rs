//! Connections that stand open while the load runs: idle ones, and such as have stalled within a message.

use anyhow::Context;
use socket2::Socket;

use super::load::{Connection, Load, LoadError};
use super::sample::set_author;
use crate::milter::mta::{Delivery, Step};

/// How often the progress is told, in connections.
const PROGRESS: u32 = 64;

/// Connections as they stand most of the time: greeted and silent.
pub(super) struct IdleConnections {
    _sockets: Vec<Socket>,
}

/// Connections on which a message was begun and goes no further.
pub(super) struct StalledConnections {
    _sockets: Vec<Socket>,
}

impl IdleConnections {
    pub(super) fn open(load: &Load, count: u32, progress: &dyn Fn(u64)) -> anyhow::Result<Self> {
        let sockets = open_many(count, progress, "idle", |_| {
            let mut connection = Connection::open(load)?;
            connection.flush(connection.out.len())?;
            Ok(connection.socket)
        })?;
        Ok(Self { _sockets: sockets })
    }
}

impl StalledConnections {
    pub(super) fn open(load: &Load, count: u32, progress: &dyn Fn(u64)) -> anyhow::Result<Self> {
        let sockets = open_many(count, progress, "stalled", |number| stall(load, number))?;
        Ok(Self { _sockets: sockets })
    }
}

fn open_many(
    count: u32,
    progress: &dyn Fn(u64),
    kind: &str,
    open: impl Fn(u32) -> Result<Socket, LoadError>,
) -> anyhow::Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(count as usize);
    for number in 1..=count {
        let opened = open(number).map_err(anyhow::Error::from);
        sockets.push(opened.with_context(|| format!("cannot open {kind} connection {number} of {count}"))?);
        if number % PROGRESS == 0 {
            progress(u64::from(number));
        }
    }
    Ok(sockets)
}

/// Begins a message and stops after as many octets as the connection's number says: another place for each, the same in
/// each run. Where the message was answered before that, the connection is idle.
fn stall(load: &Load, number: u32) -> Result<Socket, LoadError> {
    let mut connection = Connection::open(load)?;
    let mut message = load.sample.message();
    let sender = &load.senders[number as usize % load.senders.len()];
    set_author(&mut message, sender);
    let envelope = connection.envelope(sender, u64::from(number));
    // About what the header's frames take in octets, and the body.
    let whole = 2_000 + load.sample.body_size() as u64;
    let mut left = usize::try_from(scattered(u64::from(number)) % whole).unwrap_or_default();
    let (mut delivery, mut signatures) = (Delivery::new(), 0);
    loop {
        let step = delivery.step(&mut connection.mta, &envelope, &message, &mut connection.out);
        let now = connection.out.len().min(left);
        let is_over = now < connection.out.len() || matches!(step, Step::Finished(_));
        connection.flush(now)?;
        left -= now;
        if is_over {
            return Ok(connection.socket);
        }
        if step == Step::Await {
            connection.answers(&mut delivery, &mut signatures)?;
        }
    }
}

/// Numbers that follow each other, far apart (the finalizer of splitmix64).
fn scattered(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
