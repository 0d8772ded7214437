//! A real Postfix in a scratch folder, with its own configuration and queue.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::Server;
use super::scratch::{Scratch, eventually, free_port};
use super::tools;

/// What differs between the tests.
#[derive(Clone, Debug)]
pub(crate) struct PostfixOptions {
    /// The milter as Postfix writes it: `unix:/path` or `inet:host:port`.
    pub(crate) milter: String,
    /// Where all mail goes, but for the domain `seven.test`.
    pub(crate) sink: u16,
    /// Where mail for `seven.test` goes.
    pub(crate) seven_bit_sink: u16,
    /// More lines of main.cf.
    pub(crate) settings: &'static str,
}

/// The running Postfix.
pub(crate) struct Postfix {
    master: Server,
    port: u16,
    submission_port: u16,
    scratch: Scratch,
}

/// A port that was free may be another's by the time that Postfix binds it; then it ends.
const PORTS_TRIED: usize = 3;

impl Postfix {
    pub(crate) fn start(options: &PostfixOptions) -> Self {
        tools::need_root();
        let postfix = tools::installed(&["/usr/sbin/postfix"], "postfix");
        let scratch = Scratch::new("postfix");
        let (configuration, queue, state) = (scratch.folder("etc"), scratch.folder("spool"), scratch.folder("state"));
        tools::run(Command::new("chown").arg("postfix").arg(&state));
        scratch.write(
            "etc/main.cf",
            format!(
                "compatibility_level = 3.7\n\
                 config_directory = {configuration}\n\
                 queue_directory = {queue}\n\
                 data_directory = {state}\n\
                 maillog_file = {log}\n\
                 maillog_file_prefixes = {root}\n\
                 myhostname = mta.example.test\n\
                 mydestination =\n\
                 mynetworks = 127.0.0.0/8\n\
                 inet_interfaces = 127.0.0.1\n\
                 inet_protocols = ipv4\n\
                 alias_maps =\n\
                 alias_database =\n\
                 smtp_dns_support_level = disabled\n\
                 smtpd_peername_lookup = no\n\
                 relay_domains = sink.test, seven.test\n\
                 smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
                 smtpd_authorized_xclient_hosts = 127.0.0.1\n\
                 relayhost = [127.0.0.1]:{sink}\n\
                 transport_maps = inline:{{seven.test=smtp:[127.0.0.1]:{seven_bit_sink}}}\n\
                 notify_classes =\n\
                 message_size_limit = 60000000\n\
                 mailbox_size_limit = 0\n\
                 smtpd_client_connection_count_limit = 0\n\
                 milter_default_action = tempfail\n\
                 smtpd_milters = {milter}\n\
                 non_smtpd_milters = {milter}\n\
                 {settings}\n",
                configuration = configuration.display(),
                queue = queue.display(),
                state = state.display(),
                log = scratch.join("maillog").display(),
                root = scratch.path().display(),
                sink = options.sink,
                seven_bit_sink = options.seven_bit_sink,
                milter = options.milter,
                settings = options.settings,
            ),
        );
        let log = scratch.join("maillog");
        for _ in 0..PORTS_TRIED {
            let (port, submission_port) = (free_port(), free_port());
            scratch.write("etc/master.cf", master_cf(port, submission_port));
            let mut command = Command::new(&postfix);
            let mut master =
                Server::start(command.arg("-c").arg(&configuration).arg("start-fg"), &scratch.join("output"));
            let is_listening = || {
                fs::read_to_string(&log).is_ok_and(|log| log.contains("daemon started"))
                    && std::net::TcpStream::connect(("127.0.0.1", submission_port)).is_ok()
            };
            let listens = eventually("Postfix to listen", Duration::from_secs(20), || match is_listening() {
                true => Some(true),
                false => master.has_ended().then_some(false),
            });
            if listens {
                return Self { master, port, submission_port, scratch };
            }
        }
        panic!("Postfix does not start: {}", fs::read_to_string(&log).unwrap_or_default());
    }

    /// The port mail from other hosts comes to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The port with `milter_macro_daemon_name=ORIGINATING`.
    pub(crate) fn submission_port(&self) -> u16 {
        self.submission_port
    }

    /// Submits a message as a local program does; line ends may be LF.
    pub(crate) fn submit_locally(&self, sender: &str, recipient: &str, message: &[u8]) {
        let mut sendmail = Command::new(tools::installed(&["/usr/sbin/sendmail"], "postfix"))
            .arg("-C")
            .arg(self.scratch.join("etc"))
            .args(["-i", "-f", sender, "--", recipient])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        sendmail.stdin.take().unwrap().write_all(message).unwrap();
        assert!(sendmail.wait().unwrap().success(), "sendmail failed:\n{}", self.log());
    }

    /// Has what was submitted locally and the deferred queue looked at again now.
    pub(crate) fn try_again(&self) {
        let etc = self.scratch.join("etc");
        tools::run(Command::new("/usr/sbin/postkick").arg("-c").arg(&etc).args(["public", "pickup", "W"]));
        tools::run(Command::new("/usr/sbin/postqueue").arg("-c").arg(&etc).arg("-f"));
    }

    /// All Postfix has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("maillog")).unwrap_or_default()
    }

    /// Waits until the log has this text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in Postfix's log"), Duration::from_secs(20), || {
            self.log().contains(text).then_some(())
        });
    }

    /// Files in the queue of this name: "deferred", "maildrop", "hold".
    pub(crate) fn queued(&self, queue: &str) -> usize {
        fn files(folder: PathBuf) -> usize {
            fs::read_dir(folder).map_or(0, |entries| {
                entries.flatten().map(|entry| if entry.path().is_dir() { files(entry.path()) } else { 1 }).sum()
            })
        }
        files(self.scratch.join("spool").join(queue))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        Command::new("/usr/sbin/postfix").arg("-c").arg(self.scratch.join("etc")).arg("stop").output().ok();
        if std::thread::panicking() {
            let log = self.log();
            for line in log.lines().rev().take(40).collect::<Vec<_>>().iter().rev() {
                eprintln!("postfix: {line}");
            }
        }
    }
}

fn master_cf(port: u16, submission_port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n\
         127.0.0.1:{submission_port} inet n - n - - smtpd -o milter_macro_daemon_name=ORIGINATING\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\n\
         proxymap unix - - n - - proxymap\n\
         proxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\n\
         relay unix - - n - - smtp\n\
         showq unix n - n - - showq\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         discard unix - - n - - discard\n\
         local unix - n n - - local\n\
         anvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}
