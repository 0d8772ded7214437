//! Connections of MTAs, what goes over them, and the messages in progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a connection ended otherwise than by the MTA's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// The client broke the protocol, or no reply could be given.
    Protocol,
    /// The client did not negotiate in time.
    NegotiationTimeout,
    /// The rest of a frame did not come in time.
    FrameTimeout,
    /// The next command did not come in time.
    CommandTimeout,
    /// A reply was not taken in time.
    WriteTimeout,
    /// The connection was lost.
    Lost,
}

impl Breakage {
    /// All, in the order of their documentation.
    pub const ALL: [Self; 6] = [
        Self::Protocol,
        Self::NegotiationTimeout,
        Self::FrameTimeout,
        Self::CommandTimeout,
        Self::WriteTimeout,
        Self::Lost,
    ];

    /// The cause as metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::NegotiationTimeout => "negotiation_timeout",
            Self::FrameTimeout => "frame_timeout",
            Self::CommandTimeout => "command_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Lost => "lost",
        }
    }
}

/// Counts since the start, and what there is now; shared by all connections.
#[derive(Debug, Default)]
pub struct Traffic {
    accepted: AtomicU64,
    refused: AtomicU64,
    broken: [AtomicU64; Breakage::ALL.len()],
    received: AtomicU64,
    sent: AtomicU64,
    connections: Arc<AtomicU64>,
    connections_allowed: AtomicU64,
    messages: Arc<AtomicU64>,
}

/// What [`Traffic`] held at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once, since their address is in no `allow` list.
    pub refused: u64,
    /// Connections that broke, in the order of [`Breakage::ALL`].
    pub broken: [u64; Breakage::ALL.len()],
    /// Octets received from MTAs.
    pub received: u64,
    /// Octets sent to MTAs.
    pub sent: u64,
    /// Connections open now.
    pub connections: u64,
    /// Connections that may be open.
    pub connections_allowed: u64,
    /// Messages between MAIL and their decision now.
    pub messages: u64,
}

/// Something that is there until this is dropped.
#[derive(Debug)]
pub struct Present(Arc<AtomicU64>);

impl Present {
    fn one_more(of: &Arc<AtomicU64>) -> Self {
        of.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(of))
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Traffic {
    /// Says how many connections may be open.
    pub fn allow_connections(&self, allowed: usize) {
        self.connections_allowed.store(allowed as u64, Ordering::Relaxed);
    }

    /// Counts a connection, which is open until the value is dropped.
    pub fn connection(&self) -> Present {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Present::one_more(&self.connections)
    }

    /// Counts a connection that was closed at once.
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that broke.
    pub fn count_broken(&self, breakage: Breakage) {
        self.broken[breakage as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts octets received.
    pub fn count_received(&self, octets: usize) {
        self.received.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Counts octets sent.
    pub fn count_sent(&self, octets: usize) {
        self.sent.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Counts a message, which is in progress until the value is dropped.
    pub fn message(&self) -> Present {
        Present::one_more(&self.messages)
    }

    /// What there is now.
    pub fn counts(&self) -> TrafficCounts {
        let value = |of: &AtomicU64| of.load(Ordering::Relaxed);
        TrafficCounts {
            accepted: value(&self.accepted),
            refused: value(&self.refused),
            broken: std::array::from_fn(|at| value(&self.broken[at])),
            received: value(&self.received),
            sent: value(&self.sent),
            connections: value(&self.connections),
            connections_allowed: value(&self.connections_allowed),
            messages: value(&self.messages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_present_is_counted_until_it_is_dropped() {
        let traffic = Traffic::default();
        let connection = traffic.connection();
        let message = traffic.message();
        assert_eq!((traffic.counts().connections, traffic.counts().messages), (1, 1));
        drop((connection, message));
        let counts = traffic.counts();
        assert_eq!((counts.connections, counts.messages, counts.accepted), (0, 0, 1));
    }

    #[test]
    fn every_breakage_has_its_own_counter() {
        let traffic = Traffic::default();
        for breakage in Breakage::ALL {
            traffic.count_broken(breakage);
        }
        assert_eq!(traffic.counts().broken, [1; Breakage::ALL.len()]);
    }
}
