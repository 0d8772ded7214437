//! OpenDKIM as a signing milter: it proves the harness, for its signatures are known to be good; and it is who we take over
//! from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::messages::DOMAINS;
use super::process::Server;
use super::scratch::Scratch;
use super::tools;

/// A running OpenDKIM that signs for some domains with one RSA key, whose selector is `od`.
pub(crate) struct OpenDkim {
    daemon: Server,
    records: String,
    key: PathBuf,
    socket: PathBuf,
}

impl OpenDkim {
    /// Starts it for the message set's domains in `scratch`, listening on `milter.sock` there.
    pub(crate) fn start(scratch: &Scratch) -> Self {
        Self::start_for(scratch.path(), &DOMAINS, "Canonicalization relaxed/relaxed\n")
    }

    /// Starts it for these domains in a folder, listening on `milter.sock` there, with more lines of its configuration.
    pub(crate) fn start_for(folder: &Path, domains: &[&str], settings: &str) -> Self {
        let program = tools::installed(&["/usr/sbin/opendkim"], "opendkim");
        let genkey = tools::installed(&["/usr/sbin/opendkim-genkey", "/usr/bin/opendkim-genkey"], "opendkim-tools");
        tools::run(Command::new(genkey).args(["-b", "2048", "-s", "od", "-d", domains[0], "-D"]).arg(folder));
        let printed = fs::read_to_string(folder.join("od.txt")).unwrap();
        let record: String = printed.split('"').skip(1).step_by(2).collect();
        let lines = |line: &dyn Fn(&str) -> String| domains.iter().map(|domain| line(domain)).collect::<String>();
        let records = lines(&|domain| format!("od._domainkey.{domain} {record}\n"));
        let (socket, key) = (folder.join("milter.sock"), folder.join("od.private"));
        let file = |name: &str, text: String| {
            fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        let key_table = file("key.table", lines(&|domain| format!("{domain} {domain}:od:{}\n", key.display())));
        let signing_table = file("signing.table", lines(&|domain| format!("*@{domain} {domain}\n")));
        let configuration = file(
            "opendkim.conf",
            format!(
                "Mode s\nSyslog no\nBackground no\nUMask 000\nRequireSafeKeys no\nKeyTable {}\nSigningTable refile:{}\n\
                 Socket local:{}\n{settings}",
                key_table.display(),
                signing_table.display(),
                socket.display()
            ),
        );
        let mut daemon =
            Server::start(Command::new(program).arg("-f").arg("-x").arg(configuration), &folder.join("opendkim.log"));
        daemon.wait_until("OpenDKIM to listen", || socket.exists());
        fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
        Self { daemon, records, key, socket }
    }

    /// The records to verify against, one a line.
    pub(crate) fn records(&self) -> &str {
        &self.records
    }

    /// The file with its private key.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    pub(crate) fn socket(&self) -> &PathBuf {
        &self.socket
    }
}
