//! Exit codes: part of the interface, documented in docs/cli.md.

use std::process::ExitCode;

use crate::report::NagiosState;

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
    /// As Nagios' plugin convention has it, which is another: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    Nagios(NagiosState),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Undetermined => 3,
            Exit::Nagios(state) => state.code(),
        })
    }
}
