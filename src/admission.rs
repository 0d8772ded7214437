//! Whether a new message of ours is begun, or deferred while that is cheap.
//!
//! ```text
//! load figures + bounds ─▶ Load::judge ─▶ go on, or busy: which bound, and whose
//! ```
//!
//! Three things are bounded: messages in progress, the octets of their headers, and the work that waits for the signing
//! threads. In the lower half of a bound everybody is taken. In the upper half only who holds less than an equal share,
//! a share of the bound for each who holds something and one for who may come: so one flood finds its half, and everybody
//! else finds room, though all come over the connections of one MTA.
//!
//! Architecture invariant: figures in, a verdict out; who counts them is `filter`.

use std::time::Duration;

/// Octets that a header may take of the bound before new messages are deferred, in eighths: the rest is for those in
/// progress, whose headers grow.
const HEADER_EIGHTHS: u64 = 6;

/// The part of the waiting time for which messages are taken on, in eighths. Those that are still on their way, and a
/// machine that does something else for a moment, need the rest.
const WAIT_EIGHTHS: u32 = 6;

/// What is bounded, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Messages of ours in progress, from MAIL to their answer.
    pub messages: usize,
    /// Octets of all headers held.
    pub header_octets: u64,
    /// Messages that wait for the signing threads, or will shortly: [`signable`] in time.
    pub signing: usize,
}

/// How it stands at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Messages of ours in progress.
    pub messages: Share,
    /// Octets of all headers held.
    pub header_octets: u64,
    /// Messages that wait for the signing threads, or will shortly.
    pub signing: Share,
}

/// How much of one bound is used, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// By all.
    pub used: usize,
    /// By the client that asks.
    pub own: usize,
    /// Other clients that use any.
    pub others: usize,
}

/// Why a message was deferred as overload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Busy {
    /// As many messages are in progress as may be.
    Messages,
    /// The headers of those in progress fill what is set aside for them.
    HeaderMemory,
    /// The signing threads have as much to do as they can in time.
    Signing,
    /// More than half of a bound is used, and this client has its share of it.
    ClientShare,
    /// It was taken on, and the signing threads did not come to it in time.
    Deadline,
}

impl Busy {
    /// All causes, in the order of their documentation.
    pub const ALL: [Self; 5] = [Self::Messages, Self::HeaderMemory, Self::Signing, Self::ClientShare, Self::Deadline];

    /// The cause's stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::HeaderMemory => "header_memory",
            Self::Signing => "signing",
            Self::ClientShare => "client_share",
            Self::Deadline => "deadline",
        }
    }
}

impl Load {
    /// Whether one more message of this client is begun.
    ///
    /// # Errors
    /// If a bound is reached, or half of it and the client has its share.
    pub fn judge(&self, bounds: &Bounds) -> Result<(), Busy> {
        self.messages.fits(bounds.messages, Busy::Messages)?;
        if self.header_octets >= bounds.header_octets / 8 * HEADER_EIGHTHS {
            return Err(Busy::HeaderMemory);
        }
        self.signing.fits(bounds.signing, Busy::Signing)
    }
}

impl Share {
    /// Whether there is room for one more of this client within `bound`.
    fn fits(&self, bound: usize, full: Busy) -> Result<(), Busy> {
        if self.used >= bound {
            return Err(full);
        }
        // Those who use any, the client itself, and one who may come.
        let share = bound / (self.others + 2);
        if self.used < bound.div_ceil(2) || self.own < share.max(1) { Ok(()) } else { Err(Busy::ClientShare) }
    }
}

/// How many messages may wait for `threads` that take `each` a message, those on their way to them included.
///
/// As many as are signed while one may wait; at least two for each thread, so that none is idle however short that is, and no more
/// than `places`. Beside them as many as are signed while one is `under_way`, from MAIL to its end: they keep the threads
/// busy, and are no queue yet.
pub fn signable(threads: usize, each: Duration, deadline: Duration, places: usize, under_way: Duration) -> usize {
    let signed_in = |nanoseconds: u128| {
        let signed = (nanoseconds / each.as_nanos().max(1)).saturating_mul(threads as u128);
        usize::try_from(signed).unwrap_or(usize::MAX)
    };
    let waiting = signed_in(deadline.as_nanos() / 8 * u128::from(WAIT_EIGHTHS));
    let waiting = waiting.max(threads.saturating_mul(2)).min(places.max(1));
    waiting.saturating_add(signed_in(under_way.as_nanos()))
}

/// Whether a message that comes behind `waiting` others is certain to wait longer than it may.
pub fn is_late(waiting: usize, threads: usize, each: Duration, deadline: Duration) -> bool {
    let wait = (waiting as u128).saturating_mul(each.as_nanos()) / threads.max(1) as u128;
    wait > deadline.as_nanos()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { messages: 100, header_octets: 8_000, signing: 10 };

    fn share(used: usize, own: usize, others: usize) -> Share {
        Share { used, own, others }
    }

    #[test]
    fn what_is_deferred_and_why() {
        let calm = Load { messages: share(10, 10, 0), header_octets: 100, signing: share(2, 2, 0) };
        let table = [
            (calm, Ok(())),
            // Half of a bound is everybody's.
            (Load { messages: share(49, 49, 3), ..calm }, Ok(())),
            (Load { messages: share(50, 50, 0), ..calm }, Err(Busy::ClientShare)),
            (Load { messages: share(99, 0, 2), ..calm }, Ok(())),
            (Load { messages: share(100, 0, 2), ..calm }, Err(Busy::Messages)),
            (Load { header_octets: 5_999, ..calm }, Ok(())),
            (Load { header_octets: 6_000, ..calm }, Err(Busy::HeaderMemory)),
            (Load { signing: share(4, 4, 0), ..calm }, Ok(())),
            (Load { signing: share(5, 5, 0), ..calm }, Err(Busy::ClientShare)),
            (Load { signing: share(7, 2, 1), ..calm }, Ok(())),
            (Load { signing: share(7, 3, 1), ..calm }, Err(Busy::ClientShare)),
            (Load { signing: share(9, 0, 50), ..calm }, Ok(())),
            (Load { signing: share(10, 0, 1), ..calm }, Err(Busy::Signing)),
        ];
        for (load, expected) in table {
            assert_eq!(load.judge(&BOUNDS), expected, "{load:?}");
        }
    }

    #[test]
    fn what_can_be_signed_in_time_follows_the_speed_of_the_threads() {
        let (half, ms, none) = (Duration::from_millis(500), Duration::from_millis(1), Duration::ZERO);
        assert_eq!(signable(1, ms, half, 1_000, none), 375);
        assert_eq!(signable(4, ms, half, 1_000, none), 1_000);
        assert_eq!(signable(4, ms, half, 10_000, none), 1_500);
        assert_eq!(signable(2, 100 * ms, ms, 1_000, none), 4, "no thread is left idle");
        assert_eq!(signable(1, none, half, 50, none), 50);
        assert_eq!(signable(1, ms, Duration::MAX, 7, none), 7);
        // What takes long to come must not keep the threads waiting for it.
        assert_eq!(signable(4, ms, half, 1_000, half / 2), 2_000);
        assert_eq!(signable(1, ms, half, usize::MAX, Duration::MAX).min(1 << 40), 1 << 40);
        assert!(!is_late(500, 1, ms, half));
        assert!(is_late(501, 1, ms, half));
        assert!(!is_late(501, 2, ms, half));
    }

    #[test]
    fn codes_are_unique() {
        let mut codes = Busy::ALL.map(Busy::code);
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    }

    /// Clients who come in any order and leave in any order, each asking as often as it likes.
    #[derive(Debug, Clone, Copy)]
    enum Turn {
        Asks(usize),
        Ends(usize),
    }

    fn turn() -> impl Strategy<Value = Turn> {
        prop_oneof![4 => (0..4_usize).prop_map(Turn::Asks), 1 => (0..4_usize).prop_map(Turn::Ends)]
    }

    fn load_of(held: &[usize; 5], client: usize) -> Load {
        let others = held.iter().enumerate().filter(|(other, held)| *other != client && **held > 0).count();
        let messages = share(held.iter().sum(), held[client], others);
        Load { messages, header_octets: 0, signing: messages }
    }

    proptest! {
        #[test]
        fn no_bound_is_ever_passed(turns in prop::collection::vec(turn(), 0..400), signing in 1..40_usize) {
            let bounds = Bounds { signing, ..BOUNDS };
            let mut held = [0; 5];
            for turn in turns {
                match turn {
                    Turn::Asks(client) if load_of(&held, client).judge(&bounds).is_ok() => held[client] += 1,
                    Turn::Asks(_) => {}
                    Turn::Ends(client) => held[client] -= usize::from(held[client] > 0),
                }
                prop_assert!(held.iter().sum::<usize>() <= signing);
            }
        }

        #[test]
        fn one_flood_leaves_room_for_everybody_else(asked in 0..1_000_usize, signing in 2..40_usize) {
            let bounds = Bounds { signing, ..BOUNDS };
            let mut held = [0; 5];
            for _ in 0..asked {
                held[0] += usize::from(load_of(&held, 0).judge(&bounds).is_ok());
            }
            prop_assert!(held[0] <= signing.div_ceil(2).max(1));
            prop_assert_eq!(load_of(&held, 4).judge(&bounds), Ok(()));
        }

        #[test]
        fn a_thread_is_never_left_idle_by_a_lone_client(threads in 1..64_usize, each in 1..10_000_u64, wait in 1..10_000_u64) {
            let signing = signable(threads, Duration::from_micros(each), Duration::from_millis(wait), 1_000, Duration::ZERO);
            prop_assert!(signing >= 1);
            let bounds = Bounds { messages: 5_000, header_octets: 1 << 20, signing };
            let nothing = Load { messages: Share::default(), header_octets: 0, signing: Share::default() };
            prop_assert_eq!(nothing.judge(&bounds), Ok(()));
        }
    }
}
