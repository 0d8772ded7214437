//! The milter daemon: arguments to `daemon::run` to an exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use waxseal::config::ListenAddress;
use waxseal::daemon::{self, Arguments};
use waxseal::finding::Chain;

/// Signs outgoing mail with DKIM, as a milter for Postfix and Sendmail.
///
/// Runs in the foreground and as whoever starts it. SIGHUP reads the configuration again; SIGTERM lets messages in
/// progress finish and ends.
#[derive(Debug, Parser)]
#[command(
    name = "waxseald",
    version,
    after_help = "Exit codes: 0 stopped by a signal, 1 cannot run, 2 usage or configuration."
)]
struct CommandLine {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/waxseal/waxseal.toml")]
    config: PathBuf,

    /// Listen here instead of where the configuration says: unix:/path, inet:port@address, inet6:port@address or
    /// systemd. May be given several times.
    #[arg(long, short, value_name = "SOCKET")]
    listen: Vec<ListenAddress>,
}

fn main() -> ExitCode {
    let CommandLine { config, listen } = CommandLine::parse();
    let Err(error) = daemon::run(Arguments { config, listen }) else { return ExitCode::SUCCESS };
    let code = if error.is_configuration() { 2 } else { 1 };
    anstream::eprintln!("waxseald: {}", Chain(&error));
    ExitCode::from(code)
}
