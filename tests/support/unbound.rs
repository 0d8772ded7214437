//! Unbound as a resolver on loopback, with its caches: what it once learned, that there is nothing too, it says until the
//! TTL is over.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use hickory_server::proto::op::{Message, Query, ResponseCode};
use hickory_server::proto::rr::{Name, RecordType};

use super::process::Server;
use super::scratch::{Scratch, free_port};
use super::tools;

/// A running Unbound that asks the servers it was given for one zone. It spreads its questions over those that answer.
pub(crate) struct Unbound {
    daemon: Server,
    address: SocketAddr,
    scratch: Scratch,
}

impl Unbound {
    /// Starts it and waits until it answers for the zone.
    pub(crate) fn start(apex: &str, servers: &[SocketAddr]) -> Self {
        let program = tools::installed(&["/usr/sbin/unbound"], "unbound");
        let scratch = Scratch::new("unbound");
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port());
        let stubs: String =
            servers.iter().map(|server| format!("  stub-addr: {}@{}\n", server.ip(), server.port())).collect();
        // Of everything else it says that there is none: nobody outside is asked.
        let configuration = format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  num-threads: 1\n  do-daemonize: no\n  chroot: \"\"\n  \
             username: \"\"\n  pidfile: \"\"\n  directory: \"{folder}\"\n  use-syslog: no\n  logfile: \"\"\n  \
             verbosity: 1\n  access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  \
             local-zone: \".\" static\n  local-zone: \"{apex}.\" transparent\nremote-control:\n  control-enable: no\n\
             stub-zone:\n  name: \"{apex}.\"\n{stubs}",
            port = address.port(),
            folder = scratch.path().display(),
        );
        let configuration = scratch.write("unbound.conf", configuration);
        let mut daemon =
            Server::start(Command::new(program).arg("-d").arg("-c").arg(configuration), &scratch.join("unbound.log"));
        daemon.wait_until("Unbound to answer", || answers(address, apex));
        Self { daemon, address, scratch }
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Whether a resolver finds a zone's SOA record.
fn answers(resolver: SocketAddr, apex: &str) -> bool {
    ask(resolver, apex, RecordType::SOA).is_some_and(|answer| !answer.answers.is_empty())
}

/// Whether a resolver says that there is no TXT record at a name.
pub(crate) fn is_absent(resolver: SocketAddr, name: &str) -> bool {
    let said = ask(resolver, name, RecordType::TXT);
    said.is_some_and(|answer| answer.metadata.response_code == ResponseCode::NXDomain)
}

fn ask(resolver: SocketAddr, name: &str, record_type: RecordType) -> Option<Message> {
    let socket = UdpSocket::bind((resolver.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), record_type));
    question.metadata.recursion_desired = true;
    socket.send_to(&question.to_vec().unwrap(), resolver).ok()?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Message::from_vec(&buffer[..length]).ok()
}
