//! The format of the file on disk, by its `version`.

pub(super) mod rotation;
pub mod v1;
