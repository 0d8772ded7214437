//! Connections to one server that are kept for the next operation.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::stream::Stream;

/// How many connections there are at most. Enough to keep a server busy that is 80 ms away; PowerDNS takes 20 by default
/// (`max-tcp-connections`), from everybody.
const MOST_CONNECTIONS: usize = 16;

/// How long one is kept that nobody uses. Knot closes them after 10 s (`tcp-idle-timeout`), BIND after 30 s.
const IDLE: Duration = Duration::from_secs(5);

/// The connections of one publisher.
pub(super) struct Pool {
    places: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    stream: Stream,
    since: Instant,
    /// A connection lives in the runtime that opened it.
    runtime: tokio::runtime::Id,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self { places: Semaphore::new(MOST_CONNECTIONS), idle: Mutex::default() }
    }

    /// A place for a connection, and one that was kept, if there is one. Waits for a place, first come first served; every
    /// operation that has one is bounded by its timeouts.
    pub(super) async fn place(&self) -> Place<'_> {
        // An error would mean that the semaphore was closed, which nobody does.
        let permit = self.places.acquire().await.ok();
        Place { stream: self.kept(Instant::now()), pool: self, _permit: permit }
    }

    /// The connection that was used last, if it can be used again; those that were idle for too long are closed.
    fn kept(&self, now: Instant) -> Option<Stream> {
        let runtime = Handle::current().id();
        let mut idle = self.idle();
        idle.retain(|kept| now.duration_since(kept.since) < IDLE && kept.runtime == runtime);
        std::iter::from_fn(|| idle.pop()).map(|kept| kept.stream).find(Stream::is_at_rest)
    }

    fn keep(&self, stream: Stream) {
        // A place is left outside of any runtime when its operation was dropped there.
        let Ok(runtime) = Handle::try_current() else { return };
        self.idle().push(Idle { stream, since: Instant::now(), runtime: runtime.id() });
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it is held.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle().len()).finish_non_exhaustive()
    }
}

/// One operation's place, and its connection while nothing is outstanding on it: whoever asks something takes it out, and
/// puts it back with the whole answer. So a connection with half an answer in it, of an operation that failed or was dropped,
/// is closed, and any other is kept.
pub(super) struct Place<'a> {
    stream: Option<Stream>,
    pool: &'a Pool,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Place<'_> {
    pub(super) fn take(&mut self) -> Option<Stream> {
        self.stream.take()
    }

    pub(super) fn put(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.pool.keep(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    async fn open(listener: &TcpListener) -> Stream {
        Stream::open(&listener.local_addr().unwrap().into(), Duration::from_secs(5)).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_is_kept_only_at_rest_and_for_a_while() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let pool = Pool::new();
        let mut place = pool.place().await;
        assert!(place.take().is_none());
        place.put(open(&listener).await);
        drop(place);
        let mut place = pool.place().await;
        let stream = place.take().unwrap();
        // Taken out and not put back: something is outstanding on it.
        drop(place);
        assert!(pool.place().await.take().is_none());

        let mut place = pool.place().await;
        place.put(stream);
        drop(place);
        assert_eq!(pool.idle().len(), 1);
        assert!(pool.kept(Instant::now() + IDLE).is_none());
        assert_eq!(pool.idle().len(), 0);
    }

    #[tokio::test]
    async fn what_the_server_closed_or_sent_unasked_is_not_used_again() {
        use std::io::Write as _;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for is_closed in [true, false] {
            let pool = Pool::new();
            let mut place = pool.place().await;
            let stream = open(&listener).await;
            let (mut theirs, _) = listener.accept().unwrap();
            if !is_closed {
                theirs.write_all(b"unasked").unwrap();
            }
            let _open = (!is_closed).then_some(theirs);
            stream.wait_until_readable().await;
            place.put(stream);
            drop(place);
            assert!(pool.place().await.take().is_none(), "closed: {is_closed}");
        }
    }

    #[tokio::test]
    async fn there_are_only_so_many_places() {
        let pool = Pool::new();
        let mut places = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            places.push(pool.place().await);
        }
        let one_more = pool.place();
        tokio::pin!(one_more);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut one_more).await.is_err());
        places.pop();
        one_more.await;
    }

    #[test]
    fn another_runtime_gets_a_connection_of_its_own() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let pool = Pool::new();
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (first, second) = (runtime(), runtime());
        first.block_on(async {
            let mut place = pool.place().await;
            place.put(open(&listener).await);
        });
        second.block_on(async { assert!(pool.place().await.take().is_none()) });
    }
}
