//! Chance that repeats: the same seed, the same world.

use std::time::Duration;

/// A generator of numbers (SplitMix64). Good enough for faults, useless for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// One that gives the same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, independent of what is drawn from this one later.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of the items, of which there are some.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn happens(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A span from `least` to `most`, in whole seconds.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let width = most.as_secs().saturating_sub(least.as_secs());
        Duration::from_secs(least.as_secs() + self.below(width + 1))
    }

    /// A span from nothing to `most`, short ones more often: half of them below an eighth.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let shift = self.below(7);
        Duration::from_secs(self.below((most.as_secs() >> shift) + 1))
    }
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let draw = |seed| {
        let mut random = Random::new(seed);
        (0..100).map(|_| random.next()).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}
