//! Knot DNS as an authoritative server on loopback, which signs zones by itself.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use super::bind::ZoneText;
use super::dns_server::is_authoritative;
use super::process::Server;
use super::scratch::{Scratch, free_port};
use super::tools;

/// Whether Knot signs the zones it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnotSigning {
    /// It serves them as they are.
    Off,
    /// It makes keys and signs them.
    On,
}

/// What stands in its configuration beside its zones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sections {
    /// Whole sections: keys and rules of access, for example.
    pub(crate) before_zones: String,
    /// In each zone, four blanks deep: `acl`, for example.
    pub(crate) of_zones: String,
}

/// A running Knot, authoritative for the zones it was given, on the same port of each address.
pub(crate) struct Knot {
    daemon: Server,
    zones: PathBuf,
    configuration: PathBuf,
    servers: Vec<SocketAddr>,
    scratch: Scratch,
}

impl Knot {
    /// Starts it and waits until it answers for every zone.
    pub(crate) fn start(zones: &[ZoneText], addresses: &[IpAddr], signing: KnotSigning) -> Self {
        Self::start_with(zones, addresses, signing, &Sections::default())
    }

    /// The same with sections of its own configuration, for zones that are updated.
    pub(crate) fn start_with(zones: &[ZoneText], addresses: &[IpAddr], signing: KnotSigning, own: &Sections) -> Self {
        let program = tools::installed(&["/usr/sbin/knotd"], "knot");
        let scratch = Scratch::new("knot");
        let folder = scratch.folder("zones");
        let port = free_port();
        let listen: Vec<_> = addresses.iter().map(|address| format!("{address}@{port}")).collect();
        let mut configuration = format!(
            "server:\n  rundir: \"{run}\"\n  listen: [ {listen} ]\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\nlog:\n  - target: stdout\n    any: info\ndatabase:\n  storage: \"{database}\"\n\
             policy:\n  - id: automatic\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n\
             {sections}template:\n  - id: default\n    storage: \"{folder}\"\n    zonefile-sync: -1\n    zonefile-load: whole\n\
             zone:\n",
            run = scratch.path().display(),
            listen = listen.join(", "),
            database = scratch.folder("database").display(),
            folder = folder.display(),
            sections = own.before_zones,
        );
        for zone in zones {
            let file = format!("{}.zone", zone.apex);
            fs::write(folder.join(&file), &zone.text).unwrap();
            let _ = writeln!(configuration, "  - domain: \"{}\"\n    file: \"{file}\"", zone.apex);
            if signing == KnotSigning::On {
                configuration += "    dnssec-signing: on\n    dnssec-policy: automatic\n";
            }
            configuration += &own.of_zones;
        }
        let configuration = scratch.write("knot.conf", configuration);
        let mut daemon = Server::start(Command::new(program).arg("-c").arg(&configuration), &scratch.join("knot.log"));
        let servers: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
        daemon.wait_until("Knot to answer", || zones.iter().all(|zone| is_authoritative(servers[0], &zone.apex)));
        Self { daemon, zones: folder, configuration, servers, scratch }
    }

    /// Where it answers.
    pub(crate) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Its port, the same on each address.
    pub(crate) fn port(&self) -> u16 {
        self.servers[0].port()
    }

    /// The DS records of a zone that it signs, lines for the zone file of the parent.
    pub(crate) fn ds(&self, apex: &str) -> String {
        self.keymgr(apex, "ds")
    }

    /// The key of a zone that it signs, a DNSKEY record: a trust anchor.
    pub(crate) fn trust_anchor(&self, apex: &str) -> String {
        let line = self.keymgr(apex, "dnskey");
        // `name DNSKEY ...`; validators want the class as well.
        line.replacen(" DNSKEY ", " IN DNSKEY ", 1)
    }

    fn keymgr(&self, apex: &str, what: &str) -> String {
        let keymgr = tools::installed(&["/usr/sbin/keymgr"], "knot");
        let output = tools::run(Command::new(keymgr).arg("-c").arg(&self.configuration).args([apex, what]));
        String::from_utf8(output.stdout).unwrap()
    }
}
