//! The life of keys, held against its table and against chance.

mod life;
mod sightings;
mod slots;
mod table;
mod waits;
pub(crate) mod world;
