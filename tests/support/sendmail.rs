//! A real Sendmail in a scratch folder.
//!
//! Its packages conflict with Postfix's, so it runs from a folder they were unpacked into. It asks DNS for its own name
//! before it reads any configuration, and refuses a milter socket below a world-writable folder; so it runs in UTS
//! and mount namespaces of its own, where the scratch folder is `/mnt` and /etc/hosts is the test's.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::Server;
use super::scratch::{Scratch, eventually, free_port};
use super::tools;

/// The running Sendmail. Its milter's socket is `milter.sock` in the folder it was given.
pub(crate) struct Sendmail {
    daemon: Server,
    port: u16,
    submission_port: u16,
    scratch: Scratch,
}

impl Sendmail {
    /// Starts it with `scratch`, in which a milter listens already on `milter.sock`, and another, if there is the folder, on
    /// `first/milter.sock`, which is shown messages first. Mail goes to the port `sink`,
    /// that for the domain `seven.test` to `seven_bit_sink`.
    pub(crate) fn start(scratch: Scratch, sink: u16, seven_bit_sink: u16) -> Self {
        tools::need_root();
        let unpacked = tools::own("sendmail/usr/libexec/sendmail/sendmail").ancestors().nth(4).unwrap().to_owned();
        let m4 = tools::installed(&["/usr/bin/m4"], "m4");
        let unshare = tools::installed(&["/usr/bin/unshare"], "util-linux");
        let (port, submission_port) = (free_port(), free_port());
        let first = if scratch.join("first").exists() { FIRST_FILTER } else { "" };
        for folder in ["mqueue", "clientmqueue", "run", "sendmail"] {
            scratch.folder(folder);
        }
        tools::run(Command::new("chown").arg("mail:mail").arg(scratch.join("clientmqueue")));
        tools::run(Command::new("chmod").arg("0770").arg(scratch.join("clientmqueue")));
        scratch.write("hosts", "127.0.0.1 mta.example.test localhost\n");
        scratch.write("nsswitch.conf", "hosts: files\npasswd: files\ngroup: files\n");
        scratch.write("service.switch", "hosts files\naliases files\n");
        for (name, source) in [
            ("mta", daemon_configuration(port, submission_port, sink, seven_bit_sink, first)),
            ("msp", submission_configuration(port)),
        ] {
            let source = scratch.write(&format!("{name}.mc"), source);
            let compiled = tools::run(
                Command::new(&m4).arg(format!("-D_CF_DIR_={}/usr/share/sendmail/cf/", unpacked.display())).arg(source),
            );
            scratch.write(&format!("{name}.cf"), compiled.stdout);
        }
        let script = scratch.write(
            "start.sh",
            format!(
                "set -e\n\
                 hostname mta.example.test\n\
                 mount --bind '{unpacked}' '{scratch}/sendmail'\n\
                 mount --rbind '{scratch}' /mnt\n\
                 mount --bind /mnt/hosts /etc/hosts\n\
                 mount --bind /mnt/nsswitch.conf /etc/nsswitch.conf\n\
                 exec /mnt/sendmail/usr/libexec/sendmail/sendmail -C /mnt/mta.cf -bD -X /mnt/traffic\n",
                unpacked = unpacked.display(),
                scratch = scratch.path().display(),
            ),
        );
        let mut daemon =
            Server::start(Command::new(unshare).args(["--uts", "--mount", "sh"]).arg(script), &scratch.join("output"));
        daemon
            .wait_until("Sendmail to listen", || std::net::TcpStream::connect(("127.0.0.1", submission_port)).is_ok());
        Self { daemon, port, submission_port, scratch }
    }

    /// The port of the daemon named MTA.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The port of the daemon named ORIGINATING.
    pub(crate) fn submission_port(&self) -> u16 {
        self.submission_port
    }

    /// Submits a message as a local program does, as the user mail (root may not); line ends may be LF.
    pub(crate) fn submit_locally(&self, sender: &str, recipient: &str, message: &[u8]) {
        let mut sendmail = Command::new(tools::installed(&["/usr/bin/nsenter"], "util-linux"))
            .arg(format!("--target={}", self.daemon.pid()))
            .args(["--uts", "--mount", "setpriv", "--reuid=mail", "--regid=mail", "--clear-groups", "--"])
            .args([
                "/mnt/sendmail/usr/libexec/sendmail/sendmail",
                "-C",
                "/mnt/msp.cf",
                "-i",
                "-f",
                sender,
                "--",
                recipient,
            ])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        sendmail.stdin.take().unwrap().write_all(message).unwrap();
        assert!(sendmail.wait().unwrap().success(), "sendmail failed:\n{}", self.traffic());
    }

    /// The SMTP dialogues so far.
    pub(crate) fn traffic(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.scratch.join("traffic")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Sendmail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let traffic = self.traffic();
            let replies = traffic.lines().filter(|line| line.contains("<<<"));
            for line in replies.collect::<Vec<_>>().iter().rev().take(60).collect::<Vec<_>>().iter().rev() {
                eprintln!("sendmail: {line:.300}");
            }
        }
    }
}

/// What both configurations begin with. All names are resolved from the files given.
const COMMON: &str = "divert(0)dnl
define(`_USE_ETC_MAIL_')dnl
include(_CF_DIR_`m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mta.example.test')dnl
define(`ALIAS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confCW_FILE', `-o /mnt/none')dnl
define(`confCT_FILE', `-o /mnt/none')dnl
define(`confSERVICE_SWITCH_FILE', `/mnt/service.switch')dnl
define(`confBIND_OPTS', `-DNSRCH -DEFNAMES')dnl
define(`confTO_IDENT', `0')dnl
define(`confMIN_FREE_BLOCKS', `0')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confDELAY_LA', `0')dnl
";

/// A milter before ours.
const FIRST_FILTER: &str = "INPUT_MAIL_FILTER(`first', `S=unix:/mnt/first/milter.sock, F=T')dnl\n";

fn daemon_configuration(port: u16, submission_port: u16, sink: u16, seven_bit_sink: u16, first: &str) -> String {
    format!(
        "{COMMON}\
define(`QUEUE_DIR', `/mnt/mqueue')dnl
define(`confPID_FILE', `/mnt/run/mta.pid')dnl
define(`STATUS_FILE', `/mnt/run/status')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confDEF_USER_ID', `mail:mail')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`no_default_msa')dnl
define(`SMTP_MAILER_ARGS', `TCP $h {seven_bit_sink}')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {sink}')dnl
define(`SMART_HOST', `esmtp:[127.0.0.1]')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA, Port={port}, Addr=127.0.0.1')dnl
DAEMON_OPTIONS(`Family=inet, Name=ORIGINATING, Port={submission_port}, Addr=127.0.0.1')dnl
{first}INPUT_MAIL_FILTER(`waxseal', `S=unix:/mnt/milter.sock, F=T')dnl
MAILER(`smtp')dnl
LOCAL_RULE_0
R$+ < @ seven.test . >\t$#smtp $@ [127.0.0.1] $: $1 < @ seven.test . >
R$+ < @ seven.test >\t$#smtp $@ [127.0.0.1] $: $1 < @ seven.test >
"
    )
}

/// As it comes with Sendmail: local mail goes to the daemon's ordinary port, with a Received field of the submission
/// program's own, `(from user@host)`, by which it can be told from mail that was relayed.
fn submission_configuration(port: u16) -> String {
    format!(
        "{COMMON}\
define(`confRUN_AS_USER', `mail:mail')dnl
define(`confTRUSTED_USER', `mail')dnl
define(`MSP_QUEUE_DIR', `/mnt/clientmqueue')dnl
define(`STATUS_FILE', `/mnt/clientmqueue/status')dnl
define(`confPID_FILE', `/mnt/clientmqueue/msp.pid')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {port}')dnl
FEATURE(`msp', `[127.0.0.1]')dnl
"
    )
}
