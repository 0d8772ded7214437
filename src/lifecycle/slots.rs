//! When a fixed slot is free again.

use jiff::{SignedDuration, Timestamp};

use super::change::Domain;
use super::step::{cached_for, has_signed, remaining};
use super::waits::seconds;
use crate::dkim::Algorithm;
use crate::manifest::{Binding, Slots, State};

impl Domain<'_> {
    /// When the first slot of an algorithm is free again, at the earliest: none if nothing tells yet.
    pub(super) fn slot_free_at(&self, slots: &Slots, algorithm: Algorithm) -> Option<Timestamp> {
        let ends = slots.of(algorithm).iter().filter_map(|slot| match self.manifest.binding(&slot.selector) {
            Some(binding) => {
                let left = i64::try_from(self.left(binding)?).unwrap_or(i64::MAX);
                Some(self.now.wall.saturating_add(SignedDuration::from_secs(left)).unwrap_or(Timestamp::MAX))
            }
            None => self.manifest.tombstone(&slot.selector)?.rests_until(),
        });
        ends.min()
    }

    /// How many more witnessed seconds a key on its way out has before it, at least; none for one that is not.
    fn left(&self, binding: &Binding) -> Option<u64> {
        let ttl = cached_for(binding.record_ttl, binding.state.largest_ttl());
        let revoked_for = seconds(self.schedule.revoked_for);
        let later = match &binding.state {
            State::Withdrawn(_) => 0,
            State::Revoked(_) => ttl,
            State::Retiring(state) if has_signed(state) => revoked_for.saturating_add(ttl),
            State::Retiring(_) => ttl,
            State::Generated(_) | State::Published(_) | State::Ready(_) | State::Active(_) => return None,
        };
        Some(remaining(binding, &self.circumstances(binding)).saturating_add(later))
    }
}
