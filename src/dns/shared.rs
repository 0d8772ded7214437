//! What many look-ups need and one finds out: single-flight, and bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Values by name; the oldest go when there are too many. Whoever still holds a value keeps it.
pub(super) struct Shared<V> {
    capacity: usize,
    state: Mutex<State<V>>,
}

struct State<V> {
    cells: HashMap<String, Arc<OnceCell<V>>>,
    order: VecDeque<String>,
}

impl<V: Clone> Shared<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::new(State { cells: HashMap::new(), order: VecDeque::new() }) }
    }

    /// The value of this name; the first who asks makes it, the others wait.
    pub(super) async fn value<F: Future<Output = V>>(&self, name: &str, make: impl FnOnce() -> F) -> V {
        self.cell(name).get_or_init(make).await.clone()
    }

    fn cell(&self, name: &str) -> Arc<OnceCell<V>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = state.cells.get(name) {
            return Arc::clone(cell);
        }
        if state.order.len() >= self.capacity
            && let Some(oldest) = state.order.pop_front()
        {
            state.cells.remove(&oldest);
        }
        let cell = Arc::new(OnceCell::new());
        state.cells.insert(name.to_owned(), Arc::clone(&cell));
        state.order.push_back(name.to_owned());
        cell
    }
}

/// The values of all these futures, which run together.
pub(super) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (future, output) in &mut waiting {
            let Some(running) = future else { continue };
            match running.as_mut().poll(context) {
                std::task::Poll::Ready(value) => (*future, *output) = (None, Some(value)),
                std::task::Poll::Pending => is_ready = false,
            }
        }
        if is_ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_finds_out_for_all() {
        let made = AtomicU32::new(0);
        let shared = Shared::new(4);
        let make = || async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            made.fetch_add(1, Ordering::Relaxed)
        };
        assert_eq!(all((0..10).map(|_| shared.value("a", make))).await, [0; 10]);
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_oldest_goes_first() {
        let shared = Shared::new(2);
        for name in ["a", "b", "c"] {
            shared.value(name, || async { 1 }).await;
        }
        assert_eq!(shared.value("c", || async { 2 }).await, 1);
        assert_eq!(shared.value("a", || async { 2 }).await, 2);
    }
}
