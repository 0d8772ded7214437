//! PowerDNS as an authoritative server on loopback, with its API and dynamic updates, over SQLite.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::dns_server::is_authoritative;
use super::process::Server;
use super::scratch::{Scratch, free_port};
use super::tools;

/// A running PowerDNS with one zone.
pub(crate) struct PowerDns {
    apex: String,
    server: SocketAddr,
    api_port: u16,
    scratch: Scratch,
    daemon: Server,
}

impl PowerDns {
    /// The key of its API.
    pub(crate) const API_KEY: &str = "the tests' own key";

    /// Starts it with an almost empty zone. A TSIG key of this name and secret (HMAC-SHA256) may update it.
    pub(crate) fn start(apex: &str, key_name: &str, secret: &str) -> Self {
        let program = tools::installed(&["/usr/sbin/pdns_server"], "pdns-server");
        let sqlite = tools::installed(&["/usr/bin/sqlite3"], "sqlite3");
        let schema = tools::installed(
            &[
                "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
                "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql",
            ],
            "pdns-backend-sqlite3",
        );
        let scratch = Scratch::new("powerdns");
        let database = scratch.join("pdns.sqlite3");
        tools::run(Command::new(sqlite).arg(&database).stdin(std::fs::File::open(schema).map(Stdio::from).unwrap()));
        let (port, api_port) = (free_port(), free_port());
        scratch.write(
            "pdns.conf",
            format!(
                "launch=gsqlite3\ngsqlite3-database={database}\nlocal-address=127.0.0.1\nlocal-port={port}\n\
                 api=yes\napi-key={key}\nwebserver=yes\nwebserver-address=127.0.0.1\nwebserver-port={api_port}\n\
                 webserver-allow-from=127.0.0.1\nsocket-dir={folder}\ndaemon=no\nguardian=no\n\
                 dnsupdate=yes\nallow-dnsupdate-from=127.0.0.0/8\ncache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\n",
                database = database.display(),
                key = Self::API_KEY,
                folder = scratch.path().display(),
            ),
        );
        let util = |arguments: &[&str]| pdnsutil(&scratch, arguments);
        util(&["create-zone", apex, &format!("ns1.{apex}")]);
        util(&["import-tsig-key", key_name, "hmac-sha256", secret]);
        util(&["set-meta", apex, "TSIG-ALLOW-DNSUPDATE", key_name]);
        let mut daemon = Server::start(
            Command::new(program).arg(format!("--config-dir={}", scratch.path().display())),
            &scratch.join("pdns.log"),
        );
        let server = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        daemon.wait_until("PowerDNS to answer", || {
            is_authoritative(server, apex) && std::net::TcpStream::connect(("127.0.0.1", api_port)).is_ok()
        });
        Self { apex: apex.to_owned(), server, api_port, scratch, daemon }
    }

    /// Where it answers.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// Where its API is.
    pub(crate) fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// Runs pdnsutil.
    pub(crate) fn administer(&self, arguments: &[&str]) {
        pdnsutil(&self.scratch, arguments);
    }

    /// Adds a record as an administrator would; `name` is complete.
    pub(crate) fn add(&self, name: &str, record_type: &str, content: &str) {
        let relative = name.strip_suffix(&format!(".{}", self.apex)).unwrap();
        pdnsutil(&self.scratch, &["add-record", &self.apex, relative, record_type, "300", content]);
    }
}

fn pdnsutil(scratch: &Scratch, arguments: &[&str]) {
    let program: PathBuf = tools::installed(&["/usr/bin/pdnsutil"], "pdns-server");
    tools::run(Command::new(program).arg(format!("--config-dir={}", scratch.path().display())).args(arguments));
}
