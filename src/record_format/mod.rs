//! A key record in the form that a DNS server, provider or tool takes.

mod bind;
mod published;

pub use bind::write_bind;
pub use published::PublishedRecord;
