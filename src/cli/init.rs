//! `waxseal init`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::generate::{KeyArgs, command, join, unique};
use super::output::{Confirmation, STRONG, WARN, confirmed};
use super::{Exit, UsageError};
use crate::config::{Accounts, ListenAddress};
use crate::files::accounts::SystemAccounts;
use crate::files::configuration::DEFAULT_PATH;
use crate::keystore::{Access, Directory, KeyStore, Quoted, StoreError};
use crate::manifest::StateName;
use crate::names::DomainName;
use crate::policy::LoginBinding;
use crate::record_format::{PublishedRecord, write_bind};

/// Beside the port that OpenDKIM's examples use, so that both can run while mail moves over.
const PORT: u16 = 8892;

/// The user that writes to a store of two users, the group that reads it, and the group that may use the daemon's sockets:
/// systemd/waxseal.sysusers.conf makes them.
const KEY_OWNER: &str = "waxseal-keys";
const KEY_READERS: &str = "waxseal";
const SOCKET_USERS: &str = "waxseal-milter";

/// ListenStream= of systemd/waxseald.socket.
const UNIT_SOCKET: &str = "/run/waxseal/milter.sock";

/// Postfix' queue directory, where Debian's is chrooted.
const POSTFIX_QUEUE: &str = "/var/spool/postfix";

/// Set up: configuration, key store, first keys, and what to tell DNS and the MTA
///
/// Writes DIR/waxseal.toml and DIR/keys. As root, with the user waxseal-keys and the group waxseal present, the store is
/// made for two users: the CLI's, which writes, and the daemon's, which reads. Otherwise it is made for the user who runs
/// this. A key store that is there already is kept, and so are the keys of domains that have some: what was cut short
/// is completed by the same command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domains to make keys for, in A-labels or U-labels.
    #[arg(required = true)]
    domains: Vec<DomainName>,

    /// Where configuration and keys go.
    #[arg(long, value_name = "DIR", default_value = "/etc/waxseal")]
    dir: PathBuf,

    /// Where waxseald shall listen: unix:/path, inet:port@address, inet6:port@address or systemd. TCP on loopback
    /// (inet:8892@127.0.0.1) by default: it can be reached from Postfix's chroot and under Sendmail's rules for sockets,
    /// but also by every local user.
    #[arg(long, value_name = "SOCKET")]
    listen: Option<ListenAddress>,

    #[command(flatten)]
    keys: KeyArgs,

    /// As which authors a login may write, for their mail to be signed: off (any), own-domain (that behind its own @),
    /// own-registrable (any of that registrable domain). Asked for on a terminal where there are several domains; else off.
    #[arg(long, value_name = "WHICH", value_parser = login_binding)]
    bind_logins: Option<LoginBinding>,

    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, config_given: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let dir = std::path::absolute(&args.dir).context("the current directory cannot be found")?;
    let config = dir.join("waxseal.toml");
    let keys = dir.join("keys");
    let domains = unique(&args.domains);
    let listen = args.listen.clone().unwrap_or(ListenAddress::Inet((Ipv4Addr::LOCALHOST, PORT).into()));
    refuse_what_cannot_be(&config, config_given, &listen).map_err(UsageError)?;
    if config.exists() {
        bail!("{} exists; add domains with: {}", config.display(), command("generate", &config, &domains));
    }
    let access = access();
    let form = Form { access, has_store: Directory::open(&keys).is_ok() };

    writeln!(out, "{STRONG}waxseal init{STRONG:#} will write")?;
    writeln!(out, "  {}", config.display())?;
    writeln!(out, "  {}  {}", keys.display(), form.describe())?;
    writeln!(out, "  with new keys for {}", join(&domains))?;
    if form.is_roots_alone() {
        writeln!(
            out,
            "\n{WARN}No daemon of another user can read these keys:{WARN:#} there is no user {KEY_OWNER} or no group \
             {KEY_READERS}.\nTo run waxseald by its unit, make them first: systemd-sysusers, see docs/operating.md."
        )?;
    }
    out.flush()?;
    let binding = binding(args, &domains)?;
    if !confirmed("Go on?", Confirmation::from(args.yes))? {
        bail!("nothing was written; answer y on a terminal, or add --yes");
    }

    make_directory(&dir, access)
        .with_context(|| format!("{} cannot be made; run this as root, or choose another with --dir", dir.display()))?;
    let store = make_store(&keys, access)?;
    let mut records = Vec::new();
    for domain in &domains {
        let made = keys_of(domain, &store, &args.keys);
        records.extend(made.with_context(|| {
            format!("no keys were made for {domain}; mend this and run the same command again, it keeps what is done")
        })?);
    }
    // Last: with it the installation is complete, and what was cut short can be begun again.
    write_new(&config, &configuration(&listen, access, binding))?;

    writeln!(out, "\n{STRONG}1. Publish{STRONG:#} these records, on every name server of the zone:\n")?;
    write_bind(out, &records)?;
    writeln!(out, "\n{STRONG}2. Activate{STRONG:#} the keys when the records can be seen everywhere:\n")?;
    writeln!(out, "  {}", command("activate", &config, &domains))?;
    write_start(out, &config, &listen, access)?;
    write_mta_lines(out, &listen, access)?;
    if domains.len() > 1 && binding == LoginBinding::Off {
        writeln!(
            out,
            "\n{WARN}Whoever logs in can have mail signed as any of these domains.{WARN:#} If they are of several customers, set\n\
             bind_logins = \"own-domain\" in [trust]; docs/policy.md has more."
        )?;
    }
    Ok(Exit::Clean)
}

/// With one domain there is nobody to write as else.
fn binding(args: &Args, domains: &[DomainName]) -> std::io::Result<LoginBinding> {
    const QUESTION: &str = "Shall a login have mail signed only as the domain behind its own @? (For several customers; logins must \
                            look like joe@example.com.)";
    match args.bind_logins {
        Some(binding) => Ok(binding),
        None if domains.len() > 1 && !args.yes && confirmed(QUESTION, Confirmation::Wanted)? => {
            Ok(LoginBinding::OwnDomain)
        }
        None => Ok(LoginBinding::Off),
    }
}

fn login_binding(text: &str) -> Result<LoginBinding, &'static str> {
    match text {
        "off" => Ok(LoginBinding::Off),
        "own-domain" => Ok(LoginBinding::OwnDomain),
        "own-registrable" => Ok(LoginBinding::OwnRegistrable),
        _ => Err("off, own-domain or own-registrable; \"listed\" needs a list, which the configuration is to name"),
    }
}

fn refuse_what_cannot_be(config: &Path, config_given: &Path, listen: &ListenAddress) -> anyhow::Result<()> {
    if config_given != Path::new(DEFAULT_PATH) && std::path::absolute(config_given).is_ok_and(|given| given != config) {
        bail!("init writes {}, not {}; name the directory with --dir", config.display(), config_given.display());
    }
    if listen.is_beyond_loopback() {
        bail!(
            "{listen}: other machines can reach it, and whoever connects can have mail signed; let init take a socket of \
             this machine, and then write this [[listener]] with the MTAs' networks in allow into the configuration"
        );
    }
    Ok(())
}

/// What is to be made, and for whom.
struct Form {
    access: Access,
    has_store: bool,
}

impl Form {
    fn describe(&self) -> &'static str {
        match self.access {
            _ if self.has_store => "there already, and kept as it is",
            Access::OneUser => "for this user alone (0700)",
            Access::TwoUsers { .. } => "owner waxseal-keys, group waxseal (2750)",
        }
    }

    fn is_roots_alone(&self) -> bool {
        !self.has_store && self.access == Access::OneUser && rustix::process::geteuid().is_root()
    }
}

pub(super) fn access() -> Access {
    let accounts = (SystemAccounts.user(KEY_OWNER), SystemAccounts.group(KEY_READERS));
    match accounts {
        (Some(owner), Some(group)) if rustix::process::geteuid().is_root() => Access::TwoUsers { owner, group },
        _ => Access::OneUser,
    }
}

/// Makes the directory of configuration and store. One of two users can be entered by the daemon's, whatever the umask.
pub(super) fn make_directory(dir: &Path, access: Access) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    match access {
        Access::OneUser => Ok(()),
        Access::TwoUsers { .. } => fs::set_permissions(dir, fs::Permissions::from_mode(0o755)),
    }
}

/// Makes the store, or takes the one that is there: systemd-tmpfiles made it, or an init that was cut short.
pub(super) fn make_store(keys: &Path, access: Access) -> Result<Directory, StoreError> {
    match Directory::create(keys, access) {
        Err(StoreError::NotEmpty { path }) => match Directory::open(keys) {
            Err(StoreError::Missing { .. }) => Err(StoreError::NotEmpty { path }),
            opened => opened,
        },
        made => made,
    }
}

/// The records of a domain's keys, which are made unless it has some.
fn keys_of(domain: &DomainName, store: &Directory, keys: &KeyArgs) -> anyhow::Result<Vec<PublishedRecord>> {
    let manifest = store.manifest(domain)?;
    let kept = manifest.iter().flat_map(|manifest| manifest.bindings());
    let kept: Vec<_> = kept
        .filter(|binding| binding.state.name() != StateName::Withdrawn)
        .map(|binding| PublishedRecord::of(domain, binding))
        .collect();
    if kept.is_empty() { keys.make(store, domain) } else { Ok(kept) }
}

fn configuration(listen: &ListenAddress, access: Access, binding: LoginBinding) -> String {
    let group = match (listen, access) {
        (ListenAddress::Unix(_), Access::TwoUsers { .. }) if SystemAccounts.group(SOCKET_USERS).is_some() => {
            format!("# Who may connect: the MTA's user must be a member.\ngroup = \"{SOCKET_USERS}\"\n")
        }
        _ => String::new(),
    };
    let trust = match binding {
        LoginBinding::OwnDomain => {
            "\n[trust]\n# As whom a login may write: docs/policy.md.\nbind_logins = \"own-domain\"\n"
        }
        LoginBinding::OwnRegistrable => {
            "\n[trust]\n# As whom a login may write: docs/policy.md.\nbind_logins = \"own-registrable\"\n"
        }
        LoginBinding::Off | LoginBinding::Listed => "",
    };
    format!(
        "# Waxseal's configuration. Every setting, with its default and the reason for it, is in\n\
         # docs/configuration.md; `waxseal config check` says what is wrong.\n\
         version = 1\n\
         \n\
         [[listener]]\n\
         socket = \"{listen}\"\n\
         {group}\
         \n\
         [keys]\n\
         store = \"keys\"\n\
         {trust}"
    )
}

pub(super) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        // It holds no secret, and the daemon's user must read it.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
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

/// By its unit where that is made for this installation, else by hand.
fn write_start(out: &mut dyn Write, config: &Path, listen: &ListenAddress, access: Access) -> std::io::Result<()> {
    let is_units = config == Path::new(DEFAULT_PATH) && matches!(access, Access::TwoUsers { .. });
    writeln!(out, "\n{STRONG}3. Start{STRONG:#} the daemon:\n")?;
    match listen {
        ListenAddress::Systemd(_) => writeln!(out, "  systemctl enable --now waxseald.socket waxseald.service"),
        _ if is_units => writeln!(out, "  systemctl enable --now waxseald.service"),
        _ => writeln!(out, "  waxseald --config {}", Quoted(config)),
    }
}

/// The two MTAs write the same socket in three ways.
fn write_mta_lines(out: &mut dyn Write, listen: &ListenAddress, access: Access) -> std::io::Result<()> {
    let (postfix, sendmail) = match listen {
        ListenAddress::Inet(address) if address.is_ipv4() => {
            (format!("inet:{address}"), format!("inet:{}@{}", address.port(), address.ip()))
        }
        ListenAddress::Inet(address) => {
            (format!("inet:{address}"), format!("inet6:{}@{}", address.port(), address.ip()))
        }
        ListenAddress::Unix(path) => {
            // As seen by its chrooted processes, and by the others, which stand there.
            let seen = path.strip_prefix(POSTFIX_QUEUE).unwrap_or(path);
            (format!("unix:{}", seen.display()), format!("local:{}", path.display()))
        }
        // Where the shipped waxseald.socket listens.
        ListenAddress::Systemd(_) => return write_mta_lines(out, &ListenAddress::Unix(UNIT_SOCKET.into()), access),
    };
    writeln!(out, "\n{STRONG}4. Tell the MTA.{STRONG:#} Postfix, in main.cf (then: postfix reload):\n")?;
    writeln!(out, "  smtpd_milters = {postfix}")?;
    writeln!(out, "  non_smtpd_milters = {postfix}")?;
    writeln!(out, "  milter_default_action = tempfail")?;
    if let ListenAddress::Unix(path) = listen {
        if let Access::TwoUsers { .. } = access {
            writeln!(
                out,
                "\n  Its user must be let in: usermod -aG {SOCKET_USERS} postfix (then: postfix stop, postfix start)"
            )?;
        }
        if !path.starts_with(POSTFIX_QUEUE) {
            writeln!(
                out,
                "\n  Debian's Postfix is chrooted and cannot see this path; docs/operating.md has what to do."
            )?;
        }
    }
    writeln!(out, "\n  Sendmail, in sendmail.mc:\n")?;
    writeln!(out, "  INPUT_MAIL_FILTER(`waxseal', `S={sendmail}, F=T, T=S:30s;R:30s;E:5m')dnl")
}
