//! (to be written)

pub mod backend;
pub mod key;
pub mod key_record;
mod tag_list;
