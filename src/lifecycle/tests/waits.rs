use std::time::Duration;

use super::world::{DAY, at, later};
use crate::lifecycle::Witnessed;

fn rebooted(from: &Witnessed, wall_seconds: i64) -> Witnessed {
    let wall = from.wall.saturating_add(jiff::SignedDuration::from_secs(wall_seconds)).unwrap();
    Witnessed { wall, boot_id: "b".into(), boot_time: Duration::from_secs(10) }
}

#[test]
fn within_a_boot_the_boot_clock_counts_and_across_one_a_day_of_the_wall_clock_at_most() {
    let start = at(0);
    assert_eq!(later(&start, 30 * DAY).since(&start).seconds, 30 * 86400);
    assert_eq!(rebooted(&start, 3600).since(&start).seconds, 3600);
    assert_eq!(rebooted(&start, 30 * DAY).since(&start).seconds, 86400);
    assert_eq!(rebooted(&start, -3600).since(&start).seconds, 0);
}

#[test]
fn a_wall_clock_that_was_set_counts_for_nothing_and_is_said() {
    let start = at(0);
    let mut set = later(&start, 3600);
    set.wall = later(&start, 400 * DAY).wall;
    let elapsed = set.since(&start);
    assert_eq!(elapsed.seconds, 3600);
    assert_eq!(elapsed.trouble.unwrap().by.as_secs(), 400 * DAY - 3600);
    set.wall = later(&start, 3600 + 299).wall;
    assert_eq!(set.since(&start).trouble, None);
    set.wall = start.wall;
    assert!(set.since(&start).trouble.unwrap().by.is_negative());
}

#[test]
fn a_wait_is_counted_on_over_many_runs() {
    let mut now = at(0);
    let mut witness = now.begin();
    for _ in 0..10 {
        now = later(&now, 3600);
        witness = now.count(Some(&witness));
    }
    now = rebooted(&now, 10 * DAY);
    assert_eq!(now.waited(Some(&witness)), 36000 + 86400);
    assert_eq!(now.waited(None), 0);
}
