//! Exit codes: part of the interface, documented in docs/cli.md.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All well: 0.
    Clean,
    /// Something is wrong, and the output says what: 1.
    Findings,
    /// The command line or the configuration cannot be used: 2.
    Usage,
    /// It could not be found out, as when no DNS server answers: 3.
    Undetermined,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Undetermined => 3,
        })
    }
}
