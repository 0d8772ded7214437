//! Counts what [`crate::admission`] judges: messages of ours in progress, by client, and the octets of all headers.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;

use crate::admission::{self, Bounds, Busy, Load, Share};
use crate::config::Limits;
use crate::policy::{Peer, Submission};

/// For so long a message that was begun counts as one that will need a signature shortly. One that is not whole by then is
/// slow, as those of far clients are: it should keep nobody out, and counts again when it is whole.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// Of the time that a message was under way, a sixteenth counts towards the mean.
const MEMORY: u32 = 16;

/// Of an IPv6 client, the network that it may choose addresses from counts.
const IPV6_CLIENT_BITS: u32 = 64;

/// Who is in progress with how much. Shared by all connections.
#[derive(Debug)]
pub struct Admission {
    /// Clients are known by the hash of what they are called: their names need not be kept.
    names: RandomState,
    ledger: Mutex<Ledger>,
    header_octets: AtomicU64,
    deferred: [AtomicU64; Busy::ALL.len()],
}

/// How fast messages are signed.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Threads that sign.
    pub threads: usize,
    /// What all signatures of one message take, of late.
    pub each: Duration,
}

/// A client, by the hash of its login or address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

/// What one message holds of what is bounded; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    admission: Arc<Admission>,
    ticket: Option<u64>,
    header_octets: u64,
}

/// How much is in progress, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InProgress {
    /// Messages of ours.
    pub messages: usize,
    /// Of these, those that wait for the signing threads, or will shortly.
    pub signing: usize,
    /// Clients with messages in progress.
    pub clients: usize,
    /// Octets of all headers held.
    pub header_octets: u64,
}

#[derive(Debug, Default)]
struct Ledger {
    clients: HashMap<ClientId, Holding, RandomState>,
    tickets: HashMap<u64, Ticket, RandomState>,
    /// Those begun, oldest first, until they count as slow.
    on_their_way: VecDeque<(Instant, u64)>,
    next: u64,
    /// Messages that wait for the signing threads, or will shortly, and how many clients they are of.
    signing: usize,
    signing_clients: usize,
    /// Messages that were handed to the signing threads.
    queued: usize,
    /// How long messages were under way of late, from MAIL to the signing threads; slow ones for [`ON_ITS_WAY`].
    under_way: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    messages: usize,
    signing: usize,
}

#[derive(Debug, Clone, Copy)]
struct Ticket {
    client: ClientId,
    begun: Instant,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    OnItsWay,
    Slow,
    Queued,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            names: RandomState::new(),
            ledger: Mutex::default(),
            header_octets: AtomicU64::new(0),
            deferred: Default::default(),
        }
    }
}

impl Admission {
    /// Who submits: the login, or else where the client is.
    pub fn client(&self, submission: &Submission<'_>) -> ClientId {
        ClientId(match (submission.login(), submission.peer) {
            (Some(login @ [_, ..]), _) => self.names.hash_one((1_u8, login)),
            (_, Peer::Address(address)) => self.names.hash_one((2_u8, network_of(address))),
            (_, Peer::Local | Peer::Unknown) => self.names.hash_one(3_u8),
        })
    }

    /// What a message holds that was not taken on: nothing yet.
    pub fn outside(self: &Arc<Self>) -> Held {
        Held { admission: Arc::clone(self), ticket: None, header_octets: 0 }
    }

    /// Takes a message on, if there is room for it.
    ///
    /// # Errors
    /// What there is no room in.
    pub fn admit(
        &self,
        held: &mut Held,
        client: ClientId,
        limits: &Limits,
        speed: Speed,
        now: Instant,
    ) -> Result<(), Busy> {
        let (deadline, places) = (limits.queue_deadline, limits.signing_queue.get());
        let header_octets = self.header_octets.load(Ordering::Relaxed);
        let mut ledger = self.ledger();
        ledger.let_the_slow_be(now);
        let bounds = Bounds {
            messages: limits.messages.get(),
            header_octets: limits.header_memory,
            signing: admission::signable(speed.threads, speed.each, deadline, places, ledger.under_way),
        };
        let verdict = ledger.load(client, header_octets).judge(&bounds);
        match verdict {
            Ok(()) => held.ticket = Some(ledger.begin(client, now)),
            Err(busy) => {
                drop(ledger);
                self.count(busy);
            }
        }
        verdict
    }

    /// Hands a message over to the signing threads, unless they are certain to be late.
    ///
    /// # Errors
    /// [`Busy::Deadline`] if so many wait already that its turn would come too late.
    pub fn queue(&self, held: &Held, limits: &Limits, speed: Speed, now: Instant) -> Result<(), Busy> {
        let mut ledger = self.ledger();
        if admission::is_late(ledger.queued, speed.threads, speed.each, limits.queue_deadline) {
            return Err(Busy::Deadline);
        }
        if let Some(ticket) = held.ticket {
            ledger.arrived(ticket, now);
            ledger.set_stage(ticket, Stage::Queued);
        }
        Ok(())
    }

    /// Counts a message that was deferred.
    pub fn count(&self, busy: Busy) {
        self.deferred[busy as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Messages deferred for this cause since the start.
    pub fn deferred(&self, busy: Busy) -> u64 {
        self.deferred[busy as usize].load(Ordering::Relaxed)
    }

    /// How much is in progress.
    pub fn in_progress(&self) -> InProgress {
        let header_octets = self.header_octets.load(Ordering::Relaxed);
        let ledger = self.ledger();
        let (messages, clients) = (ledger.tickets.len(), ledger.clients.len());
        InProgress { messages, signing: ledger.signing, clients, header_octets }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Who submits; see [`Admission::client`].
    pub fn client(&self, submission: &Submission<'_>) -> ClientId {
        self.admission.client(submission)
    }

    /// Counts a message that was deferred.
    pub fn count(&self, busy: Busy) {
        self.admission.count(busy);
    }

    /// Whether the message was taken on.
    pub fn is_admitted(&self) -> bool {
        self.ticket.is_some()
    }

    /// Makes room for octets of the header, unless all headers together would pass `bound`.
    ///
    /// # Errors
    /// [`Busy::HeaderMemory`] if they would; nothing is held then.
    pub fn grow(&mut self, octets: u64, bound: u64) -> Result<(), Busy> {
        let before = self.admission.header_octets.fetch_add(octets, Ordering::Relaxed);
        if before.saturating_add(octets) > bound {
            self.admission.header_octets.fetch_sub(octets, Ordering::Relaxed);
            return Err(Busy::HeaderMemory);
        }
        self.header_octets += octets;
        Ok(())
    }

    /// Gives back what the header held.
    pub fn forget_header(&mut self) {
        self.admission.header_octets.fetch_sub(std::mem::take(&mut self.header_octets), Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.forget_header();
        if let Some(ticket) = self.ticket {
            self.admission.ledger().end(ticket);
        }
    }
}

impl Ledger {
    fn load(&self, client: ClientId, header_octets: u64) -> Load {
        let own = self.clients.get(&client).copied().unwrap_or_default();
        let others = |all: usize, own: usize| all - usize::from(own > 0);
        Load {
            messages: Share {
                used: self.tickets.len(),
                own: own.messages,
                others: others(self.clients.len(), own.messages),
            },
            header_octets,
            signing: Share { used: self.signing, own: own.signing, others: others(self.signing_clients, own.signing) },
        }
    }

    fn begin(&mut self, client: ClientId, now: Instant) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.tickets.insert(ticket, Ticket { client, begun: now, stage: Stage::Slow });
        self.clients.entry(client).or_default().messages += 1;
        self.set_stage(ticket, Stage::OnItsWay);
        self.on_their_way.push_back((now, ticket));
        ticket
    }

    /// Messages that were begun some time ago and are not whole keep nobody out any more.
    fn let_the_slow_be(&mut self, now: Instant) {
        while let Some(&(begun, ticket)) = self.on_their_way.front() {
            if now.saturating_duration_since(begun) < ON_ITS_WAY {
                return;
            }
            self.on_their_way.pop_front();
            if self.tickets.get(&ticket).is_some_and(|ticket| ticket.stage == Stage::OnItsWay) {
                self.set_stage(ticket, Stage::Slow);
            }
        }
    }

    fn arrived(&mut self, ticket: u64, now: Instant) {
        let Some(ticket) = self.tickets.get(&ticket) else { return };
        let took = now.saturating_duration_since(ticket.begun).min(ON_ITS_WAY);
        self.under_way = self.under_way - self.under_way / MEMORY + took / MEMORY;
    }

    fn set_stage(&mut self, ticket: u64, stage: Stage) {
        let Some(ticket) = self.tickets.get_mut(&ticket) else { return };
        let before = std::mem::replace(&mut ticket.stage, stage);
        let Some(holding) = self.clients.get_mut(&ticket.client) else { return };
        self.queued = self.queued + usize::from(stage == Stage::Queued) - usize::from(before == Stage::Queued);
        match (before == Stage::Slow, stage == Stage::Slow) {
            (true, false) => {
                self.signing += 1;
                self.signing_clients += usize::from(holding.signing == 0);
                holding.signing += 1;
            }
            (false, true) => {
                self.signing -= 1;
                holding.signing -= 1;
                self.signing_clients -= usize::from(holding.signing == 0);
            }
            _ => {}
        }
    }

    fn end(&mut self, ticket: u64) {
        self.set_stage(ticket, Stage::Slow);
        let Some(Ticket { client, .. }) = self.tickets.remove(&ticket) else { return };
        if let Some(holding) = self.clients.get_mut(&client) {
            holding.messages -= 1;
            if holding.messages == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

/// The address, or of IPv6 the network that one client has.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let kept = u128::MAX << (u128::BITS - IPV6_CLIENT_BITS);
            IpAddr::V6((address.to_bits() & kept).into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::clock::Clock;

    const SPEED: Speed = Speed { threads: 1, each: Duration::from_millis(1) };

    fn limits(messages: usize, signing: usize) -> Limits {
        let count = |n| NonZeroUsize::new(n).unwrap();
        Limits { messages: count(messages), signing_queue: count(signing), ..Limits::default() }
    }

    fn client(admission: &Admission, login: &str, address: &str) -> ClientId {
        let macros = BTreeMap::from([("auth_authen".to_owned(), login.as_bytes().to_vec())]);
        let peer = Peer::Address(address.parse().unwrap());
        admission.client(&Submission { peer, host: b"", macros: &macros })
    }

    #[test]
    fn a_client_is_its_login_or_else_its_place() {
        let admission = Admission::default();
        let of = |login, address| client(&admission, login, address);
        assert_eq!(of("anna", "192.0.2.1"), of("anna", "192.0.2.2"));
        assert_ne!(of("anna", "192.0.2.1"), of("bert", "192.0.2.1"));
        assert_ne!(of("", "192.0.2.1"), of("", "192.0.2.2"));
        assert_eq!(of("", "192.0.2.1"), of("", "::ffff:192.0.2.1"));
        assert_eq!(of("", "2001:db8::1"), of("", "2001:db8::ffff:1:2"));
        assert_ne!(of("", "2001:db8::1"), of("", "2001:db8:0:1::1"));
    }

    #[test]
    fn what_a_message_holds_is_given_back_when_it_ends() {
        let admission = Arc::new(Admission::default());
        let (anna, now) = (client(&admission, "anna", "192.0.2.1"), Clock::System.monotonic());
        let limits = limits(4, 1_000);
        let mut all = Vec::new();
        for expected in [Ok(()), Ok(()), Err(Busy::ClientShare)] {
            let mut held = admission.outside();
            assert_eq!(admission.admit(&mut held, anna, &limits, SPEED, now), expected);
            held.grow(100, 1_000).unwrap();
            all.push(held);
        }
        assert_eq!(admission.queue(&all[0], &limits, SPEED, now), Ok(()));
        let expected = InProgress { messages: 2, signing: 2, clients: 1, header_octets: 300 };
        assert_eq!(admission.in_progress(), expected);
        assert_eq!(admission.deferred(Busy::ClientShare), 1);
        drop(all);
        let nothing = InProgress { messages: 0, signing: 0, clients: 0, header_octets: 0 };
        assert_eq!(admission.in_progress(), nothing);
    }

    #[test]
    fn messages_that_stall_keep_nobody_from_the_signing_threads() {
        let admission = Arc::new(Admission::default());
        let (anna, begun) = (client(&admission, "anna", "192.0.2.1"), Clock::System.monotonic());
        let limits = limits(1_000, 10);
        let mut stalled = Vec::new();
        let admit = |now| {
            let mut held = admission.outside();
            admission.admit(&mut held, anna, &limits, SPEED, now).map(|()| held)
        };
        while let Ok(held) = admit(begun) {
            stalled.push(held);
        }
        assert_eq!(stalled.len(), 5);
        assert!(admit(begun + ON_ITS_WAY / 2).is_err());
        stalled.push(admit(begun + ON_ITS_WAY).unwrap());
        assert_eq!(admission.in_progress().signing, 1);
        // One that stalled and is whole at last counts again.
        admission.queue(&stalled[0], &limits, SPEED, begun + 2 * ON_ITS_WAY).unwrap();
        assert_eq!(admission.in_progress().signing, 2);
    }

    #[test]
    fn messages_that_take_long_to_come_do_not_leave_the_signing_threads_waiting() {
        let admission = Arc::new(Admission::default());
        let (anna, mut now) = (client(&admission, "anna", "192.0.2.1"), Clock::System.monotonic());
        let limits = limits(1_000, 10);
        let admitted = |now| {
            let mut all = Vec::new();
            loop {
                let mut held = admission.outside();
                if admission.admit(&mut held, anna, &limits, SPEED, now).is_err() {
                    return all;
                }
                all.push(held);
            }
        };
        assert_eq!(admitted(now).len(), 5);
        for _ in 0..200 {
            let mut held = admission.outside();
            admission.admit(&mut held, anna, &limits, SPEED, now).unwrap();
            now += Duration::from_millis(100);
            admission.queue(&held, &limits, SPEED, now).unwrap();
        }
        // A hundred are signed while one is under way: as many again, and half of that is one client's.
        let taken = admitted(now).len();
        assert!((50..=55).contains(&taken), "{taken}");
    }

    #[test]
    fn what_would_come_too_late_is_not_queued() {
        let admission = Arc::new(Admission::default());
        let limits = Limits { queue_deadline: Duration::from_millis(2), ..limits(1_000, 1_000) };
        let now = Clock::System.monotonic();
        let queued: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .map(|login| {
                let mut held = admission.outside();
                let speed = Speed { each: Duration::from_micros(1), ..SPEED };
                admission.admit(&mut held, client(&admission, login, "192.0.2.1"), &limits, speed, now).unwrap();
                let answer = admission.queue(&held, &limits, SPEED, now);
                (held, answer)
            })
            .collect();
        let answers: Vec<_> = queued.iter().map(|(_, answer)| *answer).collect();
        assert_eq!(answers, [Ok(()), Ok(()), Ok(()), Err(Busy::Deadline)]);
    }

    #[test]
    fn headers_never_hold_more_than_their_bound() {
        let admission = Arc::new(Admission::default());
        let (mut one, mut other) = (admission.outside(), admission.outside());
        one.grow(60, 100).unwrap();
        assert_eq!(other.grow(41, 100), Err(Busy::HeaderMemory));
        other.grow(40, 100).unwrap();
        one.forget_header();
        assert_eq!(admission.in_progress().header_octets, 40);
    }
}
