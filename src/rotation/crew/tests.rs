//! Waves in paused time: what is waited for takes none.

use std::sync::Mutex;

use tokio::time::sleep;

use super::*;

/// What one does, how long it takes, and whether it fails.
#[derive(Debug, Clone, Copy)]
struct Item {
    number: usize,
    seconds: u64,
    fails: Fails,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Never,
    Always,
    WithAPanic,
}

/// What happened: when each began and ended, in milliseconds.
#[derive(Debug, Default)]
struct Log {
    begun: Vec<(usize, u128)>,
    ended: Vec<(usize, u128)>,
    /// The most that were under way at once.
    most: usize,
}

fn item(number: usize) -> Item {
    Item { number, seconds: 1, fails: Fails::Never, standing: Standing::Well }
}

fn limits(at_once: usize) -> Limits {
    Limits { at_once, canary: Percent(5), halt: Percent(20) }
}

async fn work(limits: Limits, items: Vec<Item>) -> (Log, Result<(), Halt>) {
    let (log, start) = (Arc::new(Mutex::new(Log::default())), Instant::now());
    let at_work = {
        let log = Arc::clone(&log);
        move |item: Item| {
            let log = Arc::clone(&log);
            async move {
                {
                    let mut log = log.lock().unwrap();
                    log.begun.push((item.number, start.elapsed().as_millis()));
                    log.most = log.most.max(log.begun.len() - log.ended.len());
                }
                sleep(Duration::from_secs(item.seconds)).await;
                log.lock().unwrap().ended.push((item.number, start.elapsed().as_millis()));
                assert!(item.fails != Fails::WithAPanic, "as it is to");
                item
            }
        }
    };
    let crew = Crew { limits, work: at_work, is_failure: |item: &Item| item.fails == Fails::Always };
    let mut taken = 0;
    let result = crew.work_through(items, |item| item.standing, |_| taken += 1).await;
    drop(crew);
    let log = std::mem::take(&mut *log.lock().unwrap());
    assert_eq!(log.begun.len(), log.ended.len(), "what had begun is finished");
    assert!(taken <= log.ended.len());
    (log, result)
}

fn begun(log: &Log, number: usize) -> Option<u128> {
    log.begun.iter().find(|(of, _)| *of == number).map(|(_, at)| *at)
}

#[tokio::test(start_paused = true)]
async fn no_more_are_at_work_than_may_be() {
    let (log, result) = work(limits(8), (0..20).map(item).collect()).await;
    assert_eq!((log.most, log.ended.len(), result), (8, 20, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_few_go_first_and_the_rest_follows_when_they_went_well() {
    let (log, result) = work(limits(64), (0..100).map(item).collect()).await;
    assert_eq!(result, Ok(()));
    assert_eq!((begun(&log, 4), begun(&log, 5)), (Some(0), Some(1000)));
    assert_eq!(log.ended.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn when_the_first_few_fail_the_rest_is_not_begun() {
    let items = (0..100).map(|number| Item { fails: Fails::Always, ..item(number) });
    let (log, result) = work(limits(64), items.collect()).await;
    assert_eq!(result, Err(Halt { failed: 5, finished: 5, left: 95 }));
    assert_eq!(log.ended.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_panics_counts_as_failed() {
    let items = (0..100).map(|number| Item { fails: Fails::WithAPanic, ..item(number) });
    let (_, result) = work(limits(64), items.collect()).await;
    assert_eq!(result, Err(Halt { failed: 5, finished: 5, left: 95 }));
}

#[tokio::test(start_paused = true)]
async fn when_too_many_fail_later_the_run_halts_too() {
    let fails = |number| if number >= 50 { Fails::Always } else { Fails::Never };
    let items = (0..1000).map(|number| Item { fails: fails(number), ..item(number) });
    let (log, result) = work(limits(10), items.collect()).await;
    let Err(Halt { failed, finished, left }) = result else { panic!("{result:?}") };
    assert!(failed * 5 > finished && left == 1000 - log.ended.len(), "{failed} of {finished}, {left}");
    assert!((60..90).contains(&log.ended.len()), "{}", log.ended.len());
}

#[tokio::test(start_paused = true)]
async fn a_few_that_fail_among_many_halt_nothing() {
    let fails = |number: usize| if number.is_multiple_of(7) { Fails::Always } else { Fails::Never };
    let items = (1..=1000).map(|number| Item { fails: fails(number), ..item(number) });
    let (log, result) = work(limits(64), items.collect()).await;
    assert_eq!((log.ended.len(), result), (1000, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn those_that_failed_before_come_last_and_halt_nothing() {
    let failing = |number| Item { fails: Fails::Always, standing: Standing::Failed, ..item(number) };
    let items = (0..50).map(failing).chain((50..80).map(item));
    let (log, result) = work(limits(4), items.collect()).await;
    assert_eq!((log.ended.len(), result), (80, Ok(())));
    let last_well = (50..80).filter_map(|number| begun(&log, number)).max();
    let first_failing = (0..50).filter_map(|number| begun(&log, number)).min();
    assert!(last_well <= first_failing);
}

#[tokio::test(start_paused = true)]
async fn slow_ones_hold_up_no_others() {
    // Four places, and six that take ten minutes: dead servers, say.
    let slow = |number| Item { seconds: 600, ..item(number) };
    let items = (0..6).map(slow).chain((6..20).map(item));
    let (log, result) = work(limits(4), items.collect()).await;
    assert_eq!(result, Ok(()));
    let last = (6..20).filter_map(|number| begun(&log, number)).max().unwrap();
    assert!(last <= 15_000, "{last}");
    assert_eq!(log.ended.iter().map(|(_, at)| *at).max(), Some(605_000));
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_among_the_first_few_is_waited_for_only_so_long() {
    let items = (0..100).map(|number| Item { seconds: if number == 2 { 800 } else { 1 }, ..item(number) });
    let (log, result) = work(limits(64), items.collect()).await;
    assert_eq!((log.ended.len(), result), (100, Ok(())));
    assert_eq!(begun(&log, 5), Some(CANARY_PATIENCE.as_millis()));
    let items = (0..100).map(|number| Item { seconds: if number < 3 { 800 } else { 1 }, ..item(number) });
    let (_, result) = work(limits(64), items.collect()).await;
    assert_eq!(result, Err(Halt { failed: 3, finished: 5, left: 95 }));
}

#[tokio::test(start_paused = true)]
async fn slow_ones_do_not_pile_up_without_end() {
    let items = (0..20).map(|number| Item { seconds: 600, ..item(number) });
    let (log, _) = work(limits(1), items.collect()).await;
    assert_eq!(log.most, MOST_WITHOUT);
}
