//! The format of the file on disk, by its `version`.

pub mod v1;
