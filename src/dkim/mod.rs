//! (to be written)

pub mod backend;
pub mod key;
