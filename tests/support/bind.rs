//! BIND as an authoritative server on loopback, and its tools that sign zones.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::dns_server::is_authoritative;
use super::process::Server;
use super::scratch::{Scratch, eventually, free_port};
use super::tools;

/// What BIND logs when a reload is done.
const LOADED: &str = "all zones loaded";

/// A zone to be served.
#[derive(Debug, Clone)]
pub(crate) struct ZoneText {
    /// Its apex, without the final dot; `.` for the root.
    pub(crate) apex: String,
    /// Its zone file.
    pub(crate) text: String,
}

impl ZoneText {
    /// A zone of these lines below an SOA and NS records with A records: for each address a name server `ns1`, `ns2`
    /// and so on. Names in `lines` are relative to the apex.
    pub(crate) fn new(apex: &str, name_servers: &[IpAddr], lines: &str) -> Self {
        let mut text = format!("$ORIGIN {}.\n$TTL 3600\n", apex.trim_end_matches('.'));
        text += "@ IN SOA ns1 hostmaster 1 7200 900 1209600 3600\n";
        for (number, address) in name_servers.iter().enumerate() {
            let number = number + 1;
            let _ = writeln!(text, "@ IN NS ns{number}\nns{number} IN A {address}");
        }
        Self { apex: apex.to_owned(), text: text + lines + "\n" }
    }
}

/// What stands in its configuration beside its zones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statements {
    /// At its top: keys, for example.
    pub(crate) global: String,
    /// In each zone: `update-policy`, for example.
    pub(crate) of_zones: String,
}

/// A running BIND, authoritative for the zones it was given, on the same port of each address.
///
/// BIND listens on addresses that an interface has: on loopback 127.0.0.1 and `::1`, not 127.0.0.2, which Knot and
/// `DnsServer` take.
pub(crate) struct Bind {
    daemon: Server,
    zones: PathBuf,
    servers: Vec<SocketAddr>,
    scratch: Scratch,
}

impl Bind {
    /// Starts it and waits until it answers for the first zone and the last.
    pub(crate) fn start(zones: &[ZoneText], addresses: &[IpAddr]) -> Self {
        Self::start_with(zones, addresses, &Statements::default())
    }

    /// The same with statements of its own configuration, for zones that are updated.
    pub(crate) fn start_with(zones: &[ZoneText], addresses: &[IpAddr], statements: &Statements) -> Self {
        Self::start_threaded(zones, addresses, statements, 1)
    }

    /// The same with so many threads; by itself it takes one for each core.
    pub(crate) fn start_threaded(
        zones: &[ZoneText],
        addresses: &[IpAddr],
        statements: &Statements,
        threads: u32,
    ) -> Self {
        let scratch = Scratch::new("bind");
        let folder = scratch.folder("zones");
        let mut clauses = String::new();
        for zone in zones {
            let file = file_name(&zone.apex);
            fs::write(folder.join(&file), &zone.text).unwrap();
            let _ = writeln!(
                clauses,
                "zone \"{}\" {{ type primary; file \"{file}\"; check-names ignore; {} }};",
                zone.apex, statements.of_zones
            );
        }
        let apexes: Vec<&str> = zones.iter().map(|zone| zone.apex.as_str()).collect();
        Self::launch(scratch, &apexes, addresses, &format!("{}\n{clauses}", statements.global), threads)
    }

    /// Starts it as a secondary of the server at `primary`, which must allow it to transfer. It looks every second.
    pub(crate) fn secondary_of(primary: SocketAddr, apexes: &[&str], addresses: &[IpAddr]) -> Self {
        Self::slow_secondary_of(primary, apexes, addresses, Duration::from_secs(1))
    }

    /// The same; it looks so often, and is told nothing meanwhile.
    pub(crate) fn slow_secondary_of(
        primary: SocketAddr,
        apexes: &[&str],
        addresses: &[IpAddr],
        every: Duration,
    ) -> Self {
        let every = every.as_secs();
        let scratch = Scratch::new("bind-secondary");
        scratch.folder("zones");
        let mut clauses = String::new();
        for apex in apexes {
            let _ = writeln!(
                clauses,
                "zone \"{apex}\" {{ type secondary; file \"{}\"; primaries {{ {} port {}; }}; \
                 min-refresh-time {every}; max-refresh-time {every}; }};",
                file_name(apex),
                primary.ip(),
                primary.port()
            );
        }
        Self::launch(scratch, apexes, addresses, &clauses, 1)
    }

    fn launch(scratch: Scratch, apexes: &[&str], addresses: &[IpAddr], statements: &str, threads: u32) -> Self {
        let program = tools::installed(&["/usr/sbin/named"], "bind9");
        let folder = scratch.folder("zones");
        let port = free_port();
        let listen = |is_ipv4: bool| -> String {
            let of_family = addresses.iter().filter(|address| address.is_ipv4() == is_ipv4);
            let listed: String = of_family.map(|address| format!("{address}; ")).collect();
            if listed.is_empty() { "none; ".to_owned() } else { listed }
        };
        let configuration = format!(
            "options {{ directory \"{folder}\"; pid-file none; session-keyfile none; recursion no;\n\
             listen-on port {port} {{ {ipv4}}}; listen-on-v6 port {port} {{ {ipv6}}};\n\
             dnssec-validation no; notify no; allow-transfer {{ none; }}; empty-zones-enable no;\n\
             minimal-responses yes; tcp-clients 1000; }};\ncontrols {{ }};\n{statements}",
            folder = folder.display(),
            ipv4 = listen(true),
            ipv6 = listen(false),
        );
        let configuration = scratch.write("named.conf", configuration);
        let mut daemon = Server::start(
            Command::new(program).args(["-g", "-n", &threads.to_string(), "-c"]).arg(configuration),
            &scratch.join("named.log"),
        );
        let servers: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
        daemon.wait_until("BIND to answer", || {
            let answers = |apex: &&str| servers.iter().all(|server| is_authoritative(*server, apex));
            apexes.first().is_some_and(answers) && apexes.last().is_some_and(answers)
        });
        Self { daemon, zones: folder, servers, scratch }
    }

    /// Its process, to be told to reload.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The directory of its zone files.
    pub(crate) fn zones(&self) -> &Path {
        &self.zones
    }

    /// Where it answers.
    pub(crate) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Its port, the same on each address.
    pub(crate) fn port(&self) -> u16 {
        self.servers[0].port()
    }

    /// Writes other zone files and has them loaded; the serial numbers must have changed. The zones must be among
    /// those it was started with.
    pub(crate) fn reload(&self, zones: &[ZoneText]) {
        for zone in zones {
            let file = self.zones.join(file_name(&zone.apex));
            assert!(file.exists(), "BIND does not know the zone {}", zone.apex);
            fs::write(file, &zone.text).unwrap();
        }
        let loads = || self.daemon.output().matches(LOADED).count();
        let before = loads();
        self.daemon.signal(Signal::HUP);
        eventually("BIND to reload", Duration::from_secs(20), || (loads() > before).then_some(()));
    }

    /// Stops it; its port answers no more.
    pub(crate) fn stop(mut self) {
        self.daemon.signal(Signal::TERM);
        self.daemon.wait(Duration::from_secs(20));
    }
}

/// A signed zone, with what its parent and its validators need.
#[derive(Debug, Clone)]
pub(crate) struct SignedZone {
    /// The zone, ready to be served.
    pub(crate) zone: ZoneText,
    /// Its DS record, a line for the zone file of the parent.
    pub(crate) ds: String,
    /// Its key-signing key, a DNSKEY record: a trust anchor.
    pub(crate) trust_anchor: String,
}

/// How long signatures are valid from now, as dnssec-signzone takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signatures {
    /// For a month.
    Good,
    /// For another three hours.
    ExpireSoon,
    /// They are over.
    Expired,
}

/// Signs a zone with ECDSA keys of its own (BIND's tools).
pub(crate) fn sign_zone(zone: &ZoneText, signatures: Signatures) -> SignedZone {
    let keygen = tools::installed(&["/usr/bin/dnssec-keygen", "/usr/sbin/dnssec-keygen"], "bind9-utils");
    let signzone = tools::installed(&["/usr/bin/dnssec-signzone", "/usr/sbin/dnssec-signzone"], "bind9-utils");
    let scratch = Scratch::new("sign");
    let generate = |flags: &[&str]| {
        let mut command = Command::new(&keygen);
        let output = tools::run(
            command.args(["-q", "-a", "ECDSAP256SHA256"]).args(flags).arg("-K").arg(scratch.path()).arg(&zone.apex),
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let key_signing_key = generate(&["-f", "KSK"]);
    let zone_signing_key = generate(&[]);
    let (from, until) = match signatures {
        Signatures::Good => ("now-3600", "now+2592000"),
        Signatures::ExpireSoon => ("now-864000", "now+10800"),
        Signatures::Expired => ("now-864000", "now-3600"),
    };
    let unsigned = scratch.write("zone", &zone.text);
    let signed = scratch.join("zone.signed");
    tools::run(
        Command::new(signzone)
            .current_dir(scratch.path())
            .args(["-q", "-P", "-S", "-K", ".", "-s", from, "-e", until, "-o", &zone.apex, "-f"])
            .args([&signed, &unsigned]),
    );
    let dsset = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("dsset-"))
        .expect("dnssec-signzone writes a dsset file");
    let key = fs::read_to_string(scratch.join(&format!("{key_signing_key}.key"))).unwrap();
    assert!(scratch.join(&format!("{zone_signing_key}.key")).exists());
    SignedZone {
        zone: ZoneText { apex: zone.apex.clone(), text: fs::read_to_string(signed).unwrap() },
        ds: fs::read_to_string(dsset).unwrap(),
        trust_anchor: key.lines().filter(|line| !line.starts_with(';')).map(|line| format!("{line}\n")).collect(),
    }
}

fn file_name(apex: &str) -> String {
    if apex == "." { "root.zone".to_owned() } else { format!("{apex}.zone") }
}
