//! OpenDKIM as a signing milter: it proves the harness, for its signatures are known to be good.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::messages::DOMAINS;
use super::process::Server;
use super::scratch::Scratch;
use super::tools;

/// A running OpenDKIM that signs for the message set's domains with one RSA key.
pub(crate) struct OpenDkim {
    daemon: Server,
    records: String,
    socket: PathBuf,
}

impl OpenDkim {
    /// Starts it in `scratch`, listening on `milter.sock` there.
    pub(crate) fn start(scratch: &Scratch) -> Self {
        let program = tools::installed(&["/usr/sbin/opendkim"], "opendkim");
        let genkey = tools::installed(&["/usr/sbin/opendkim-genkey", "/usr/bin/opendkim-genkey"], "opendkim-tools");
        tools::run(Command::new(genkey).args(["-b", "2048", "-s", "od", "-d", DOMAINS[0], "-D"]).arg(scratch.path()));
        let printed = fs::read_to_string(scratch.join("od.txt")).unwrap();
        let record: String = printed.split('"').skip(1).step_by(2).collect();
        let records = DOMAINS.map(|domain| format!("od._domainkey.{domain} {record}\n")).concat();
        let socket = scratch.join("milter.sock");
        let key = scratch.join("od.private");
        let key_table = DOMAINS.map(|domain| format!("{domain} {domain}:od:{}\n", key.display())).concat();
        let signing_table = DOMAINS.map(|domain| format!("*@{domain} {domain}\n")).concat();
        let configuration = scratch.write(
            "opendkim.conf",
            format!(
                "Mode s\nSyslog no\nBackground no\nUMask 000\nRequireSafeKeys no\nCanonicalization relaxed/relaxed\n\
                 KeyTable {}\nSigningTable refile:{}\nSocket local:{}\n",
                scratch.write("key.table", key_table).display(),
                scratch.write("signing.table", signing_table).display(),
                socket.display()
            ),
        );
        let mut daemon =
            Server::start(Command::new(program).arg("-f").arg("-x").arg(configuration), &scratch.join("opendkim.log"));
        daemon.wait_until("OpenDKIM to listen", || socket.exists());
        fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
        Self { daemon, records, socket }
    }

    /// The records to verify against, one a line.
    pub(crate) fn records(&self) -> &str {
        &self.records
    }

    pub(crate) fn socket(&self) -> &PathBuf {
        &self.socket
    }
}
