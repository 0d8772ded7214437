//! The format of the file on disk, by its `version`.

pub(super) mod http;
pub(super) mod rotation;
pub(super) mod slots;
pub mod v1;
