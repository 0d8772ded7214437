//! `waxseal init`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::generate::{KeyArgs, join};
use super::output::{Confirmation, STRONG, confirmed};
use super::{Exit, record};
use crate::config::{Accounts, ListenAddress};
use crate::files::accounts::SystemAccounts;
use crate::keystore::{Access, Directory};
use crate::names::DomainName;

/// Beside the port that OpenDKIM's examples use, so that both can run while mail moves over.
const PORT: u16 = 8892;

/// Set up: configuration, key store, first keys, and what to tell DNS and the MTA
///
/// Writes DIR/waxseal.toml and DIR/keys. As root, with the user waxseal-keys and the group waxseal present, the store is
/// made for two users: the CLI's, which writes, and the daemon's, which reads. Otherwise it is made for the user who runs
/// this.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains to make keys for.
    #[arg(required = true)]
    domains: Vec<DomainName>,

    /// Where configuration and keys go.
    #[arg(long, value_name = "DIR", default_value = "/etc/waxseal")]
    dir: PathBuf,

    /// Where waxseald shall listen. TCP on loopback by default: it can be reached from Postfix's chroot and under
    /// Sendmail's rules for sockets, but also by every local user.
    #[arg(long, value_name = "SOCKET")]
    listen: Option<ListenAddress>,

    #[command(flatten)]
    keys: KeyArgs,

    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let dir = std::path::absolute(&args.dir).context("the current directory cannot be found")?;
    let config = dir.join("waxseal.toml");
    let keys = dir.join("keys");
    let listen = args.listen.clone().unwrap_or(ListenAddress::Inet((Ipv4Addr::LOCALHOST, PORT).into()));
    if config.exists() {
        bail!(
            "{} exists; add domains with: waxseal --config {} generate {}",
            config.display(),
            config.display(),
            join(&args.domains)
        );
    }
    let access = access();

    writeln!(out, "{STRONG}waxseal init{STRONG:#} will write")?;
    writeln!(out, "  {}", config.display())?;
    writeln!(out, "  {}  {}", keys.display(), describe(access))?;
    writeln!(out, "  with new keys for {}", join(&args.domains))?;
    out.flush()?;
    if !confirmed("Go on?", Confirmation::from(args.yes))? {
        bail!("nothing was written; answer y on a terminal, or add --yes");
    }

    fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let store = Directory::create(&keys, access)?;
    let mut records = Vec::new();
    for domain in &args.domains {
        let made = args.keys.make(&store, domain);
        records.extend(made.with_context(|| format!("no keys were made for {domain}"))?);
    }
    // Last: with it the installation is complete, and what was cut short can be begun again.
    write_new(&config, &configuration(&listen))?;

    writeln!(out, "\n{STRONG}1. Publish{STRONG:#} these records, on every name server of the zone:\n")?;
    record::write_bind(out, &records)?;
    let config = config.display();
    writeln!(out, "\n{STRONG}2. Activate{STRONG:#} the keys when the records can be seen everywhere:\n")?;
    writeln!(out, "  waxseal --config {config} activate {}", join(&args.domains))?;
    writeln!(out, "\n{STRONG}3. Start{STRONG:#} the daemon:\n\n  waxseald --config {config}")?;
    write_mta_lines(out, &listen)?;
    Ok(Exit::Clean)
}

fn access() -> Access {
    match (rustix::process::geteuid().is_root(), SystemAccounts.user("waxseal-keys"), SystemAccounts.group("waxseal")) {
        (true, Some(owner), Some(group)) => Access::TwoUsers { owner, group },
        _ => Access::OneUser,
    }
}

fn describe(access: Access) -> &'static str {
    match access {
        Access::OneUser => "for this user alone (0700)",
        Access::TwoUsers { .. } => "owner waxseal-keys, group waxseal (2750)",
    }
}

fn configuration(listen: &ListenAddress) -> String {
    format!(
        "# Waxseal's configuration. Every setting, with its default and the reason for it, is in\n\
         # docs/configuration.md; `waxseal config check` says what is wrong.\n\
         version = 1\n\
         \n\
         [[listener]]\n\
         socket = \"{listen}\"\n\
         \n\
         [keys]\n\
         store = \"keys\"\n"
    )
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        // It holds no secret, and the daemon's user must read it.
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        Ok(())
    };
    match write() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} was written by somebody else meanwhile", path.display())
        }
        written => written.with_context(|| format!("{} cannot be written", path.display())),
    }
}

/// The two MTAs write the same socket in three ways.
fn write_mta_lines(out: &mut dyn Write, listen: &ListenAddress) -> std::io::Result<()> {
    let (postfix, sendmail) = match listen {
        ListenAddress::Inet(address) if address.is_ipv4() => {
            (format!("inet:{address}"), format!("inet:{}@{}", address.port(), address.ip()))
        }
        ListenAddress::Inet(address) => {
            (format!("inet:{address}"), format!("inet6:{}@{}", address.port(), address.ip()))
        }
        ListenAddress::Unix(path) => (format!("unix:{}", path.display()), format!("local:{}", path.display())),
        ListenAddress::Systemd(_) => {
            return writeln!(
                out,
                "\n{STRONG}4. Tell the MTA{STRONG:#} the socket of waxseald.socket; see docs/operating.md"
            );
        }
    };
    writeln!(out, "\n{STRONG}4. Tell the MTA.{STRONG:#} Postfix, in main.cf (then: postfix reload):\n")?;
    writeln!(out, "  smtpd_milters = {postfix}")?;
    writeln!(out, "  non_smtpd_milters = {postfix}")?;
    writeln!(out, "  milter_default_action = tempfail")?;
    if matches!(listen, ListenAddress::Unix(_)) {
        writeln!(out, "\n  (smtpd may be chrooted: the path is then as seen from its queue directory)")?;
    }
    writeln!(out, "\n  Sendmail, in sendmail.mc:\n")?;
    writeln!(out, "  INPUT_MAIL_FILTER(`waxseal', `S={sendmail}, F=T, T=S:30s;R:30s;E:5m')dnl")
}
