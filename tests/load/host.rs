//! A mail host whose zone has two name servers, the second of them slow, and an installation that rotates its keys.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::load::hooks::Hooks;
use crate::support::{
    Bind, Knot, KnotSigning, PowerDns, Scratch, Sections, Server, Statements, Unbound, ZoneText, run,
};

/// The domain of the dialogue's sender.
pub(crate) const ZONE: &str = "example.test";
/// Of a TSIG key, for tests only.
const SECRET: &str = "d2F4c2VhbCB0ZXN0cyB1c2UgdGhpcyBzZWNyZXQgb25seQ==";
/// Of the zone's records and of what it does not have, in seconds.
const TTL: u32 = 2;
/// The secondary looks so often for something new, and BIND takes up to a quarter off that.
const SECONDARY_LOOKS: Duration = Duration::from_secs(3);
/// Signed mail is verified so long, at the least.
pub(crate) const MAIL_LIFE: Duration = Duration::from_secs(3);
/// How long a server must have been silent.
pub(crate) const EXCUSE_AFTER: Duration = Duration::from_secs(4);

/// What the zone's primary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bind,
    Knot,
    PowerDns,
}

enum Primary {
    Bind { _server: Bind },
    Knot { _server: Knot },
    PowerDns(PowerDns),
}

/// The zone's servers and a resolver that asks them.
pub(crate) struct Zone {
    primary: Primary,
    secondary: Option<Bind>,
    /// In the place of the secondary, when it is dead: takes questions and says nothing.
    _grave: Option<UdpSocket>,
    servers: [SocketAddr; 2],
    resolver: Unbound,
}

impl Zone {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, SECONDARY_LOOKS)
    }

    /// The secondary looks so often for something new.
    pub(crate) fn start_with(kind: Kind, secondary_looks: Duration) -> Self {
        let loopback = ["127.0.0.1".parse().unwrap()];
        let text = format!(
            "$ORIGIN {ZONE}.\n$TTL {TTL}\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 {TTL}\n@ IN NS ns1\n@ IN NS ns2\n\
             ns1 IN A 127.0.0.1\nns2 IN A 127.0.0.1\n"
        );
        let zone = [ZoneText { apex: ZONE.into(), text }];
        let (primary, address) = match kind {
            Kind::Bind => {
                let statements = Statements {
                    global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
                    of_zones: format!(
                        "update-policy {{ grant waxseal wildcard *._domainkey.{ZONE}. TXT; }}; \
                         allow-transfer {{ 127.0.0.1; }};"
                    ),
                };
                let bind = Bind::start_with(&zone, &loopback, &statements);
                let address = bind.servers()[0];
                (Primary::Bind { _server: bind }, address)
            }
            Kind::Knot => {
                let sections = Sections {
                    before_zones: format!(
                        "key:\n  - id: waxseal\n    algorithm: hmac-sha256\n    secret: \"{SECRET}\"\n\
                         acl:\n  - id: waxseal\n    key: waxseal\n    action: update\n    update-type: [ TXT ]\n    \
                         update-owner: name\n    update-owner-match: sub\n    update-owner-name: [ _domainkey ]\n  \
                         - id: secondary\n    address: 127.0.0.1\n    action: transfer\n"
                    ),
                    of_zones: "    acl: [ waxseal, secondary ]\n".into(),
                };
                let knot = Knot::start_with(&zone, &loopback, KnotSigning::Off, &sections);
                let address = knot.servers()[0];
                (Primary::Knot { _server: knot }, address)
            }
            Kind::PowerDns => {
                let pdns = PowerDns::start(ZONE, "waxseal", SECRET);
                let soa = format!("ns1.{ZONE}. hostmaster.{ZONE}. 1 7200 900 1209600 {TTL}");
                let ttl = TTL.to_string();
                pdns.util(&["replace-rrset", ZONE, "@", "SOA", &ttl, &soa]);
                // Else changes by its API do not raise the serial, and no secondary ever has them.
                pdns.util(&["set-meta", ZONE, "SOA-EDIT-API", "DEFAULT"]);
                let address = pdns.server();
                (Primary::PowerDns(pdns), address)
            }
        };
        let secondary = Bind::slow_secondary_of(address, &[ZONE], &loopback, secondary_looks);
        let servers = [address, secondary.servers()[0]];
        let resolver = Unbound::start(ZONE, &servers);
        Self { primary, secondary: Some(secondary), _grave: None, servers, resolver }
    }

    /// Both name servers, the primary first.
    pub(crate) fn servers(&self) -> [SocketAddr; 2] {
        self.servers
    }

    pub(crate) fn resolver(&self) -> SocketAddr {
        self.resolver.address()
    }

    /// Where PowerDNS' API is.
    pub(crate) fn api(&self) -> Option<SocketAddr> {
        let Primary::PowerDns(server) = &self.primary else { return None };
        server.api_url().strip_prefix("http://").map(|address| address.parse().unwrap())
    }

    /// From now on the secondary takes questions and says nothing.
    pub(crate) fn kill_secondary(&mut self) {
        if let Some(secondary) = self.secondary.take() {
            secondary.stop();
            self._grave = Some(UdpSocket::bind(self.servers[1]).unwrap());
        }
    }
}

/// How the zone is reached: the servers themselves, or something between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paths {
    pub(crate) primary: SocketAddr,
    pub(crate) secondary: SocketAddr,
    pub(crate) api: Option<SocketAddr>,
}

impl Paths {
    pub(crate) fn straight(zone: &Zone) -> Self {
        let [primary, secondary] = zone.servers();
        Self { primary, secondary, api: zone.api() }
    }
}

/// How long looks take: where a server does not answer, each is as long as that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    Quick,
    Slow,
}

/// The daemon, its configuration and its key store.
pub(crate) struct Host {
    // Stopped before its files go.
    _daemon: Server,
    servers: String,
    scratch: Scratch,
}

impl Host {
    /// Keys that nobody published yet, and a daemon. All four hooks run the program `hook`.
    pub(crate) fn new(zone: &Zone, paths: Paths, looks: Looks) -> (Self, Hooks) {
        let scratch = Scratch::new("load");
        let (hooks, hook) = Hooks::new(&scratch);
        run(waxseal().args(["init", "--yes", ZONE, "--dir"]).arg(scratch.path()));
        let publisher = match paths.api {
            Some(api) => format!("kind = \"powerdns\"\napi_url = \"http://{api}\"\n"),
            None => format!("kind = \"rfc2136\"\nserver = \"{}\"\nkey_name = \"waxseal\"\n", paths.primary),
        };
        let secret = if paths.api.is_some() { PowerDns::API_KEY } else { SECRET };
        let secret = scratch.write("dns.secret", secret);
        fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
        let programs: String = ["pre_publish", "post_ready", "post_activate", "pre_withdraw"]
            .map(|name| format!("{name} = [\"{}\", \"{name}\"]\n", hook.display()))
            .concat();
        // What was seen counts for as long as rounds are apart.
        let (timeout, attempts, rounds_over) = match looks {
            Looks::Quick => ("500ms", 2, "2s"),
            Looks::Slow => ("250ms", 1, "4s"),
        };
        // The daemon looks every second, and rotation reckons with three.
        scratch.write(
            "waxseal.toml",
            format!(
                "version = 1\n[keys]\nstore = \"keys\"\nmax_staleness = \"3s\"\n\
                 [log]\nformat = \"json\"\ntarget = \"stderr\"\n\
                 [[listener]]\nsocket = \"unix:{socket}\"\nmode = \"0666\"\n\
                 [dns]\nresolvers = [\"{resolver}\"]\ntimeout = \"{timeout}\"\nattempts = {attempts}\n\
                 [daemon]\nstate = \"evidence\"\nevidence_interval = \"1s\"\n\
                 [rotation]\nstate = \"state\"\nkey_age = \"6s\"\nsettle = \"2s\"\nrounds = 2\nrounds_over = \"{rounds_over}\"\n\
                 mail_life = \"{mail_life}s\"\nrevoked_for = \"2s\"\nexcuse_after = \"{excuse_after}s\"\nhook_timeout = \"10m\"\n{programs}\
                 [[publisher]]\nname = \"zone\"\nsecret_file = \"dns.secret\"\n{publisher}",
                socket = scratch.join("milter.sock").display(),
                resolver = zone.resolver(),
                mail_life = MAIL_LIFE.as_secs(),
                excuse_after = EXCUSE_AFTER.as_secs(),
            ),
        );
        let path = scratch.join(&format!("keys/domains/{ZONE}/manifest.json"));
        let manifest = fs::read_to_string(&path).unwrap();
        fs::write(&path, manifest.replace("\"record_ttl\": 3600", &format!("\"record_ttl\": {TTL}"))).unwrap();
        scratch.folder("evidence");
        scratch.folder("state");
        let mut daemon = Server::start(
            Command::new(env!("CARGO_BIN_EXE_waxseald")).arg("--config").arg(scratch.join("waxseal.toml")),
            &scratch.join("waxseald.log"),
        );
        let socket = scratch.join("milter.sock");
        daemon.wait_until("waxseald to listen", || socket.exists());
        let servers = format!("{},{}", paths.primary, paths.secondary);
        (Self { _daemon: daemon, servers, scratch }, hooks)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.scratch.join("milter.sock")
    }

    /// The directory of the domain's keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.scratch.join(&format!("keys/domains/{ZONE}"))
    }

    /// Where rotation keeps its audit log.
    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// These servers alone are asked for records.
    pub(crate) fn asks(&mut self, servers: &[SocketAddr]) {
        self.servers = servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    }

    /// `waxseal rotate` for the domain. Named, it is looked after at each run; the timer's run would do so every ten
    /// minutes while a server is slow, however short the schedule.
    pub(crate) fn rotate(&self) -> Command {
        let mut command = waxseal();
        command.arg("--config").arg(self.scratch.join("waxseal.toml")).args(["rotate", ZONE, "--servers"]);
        command.arg(&self.servers).env_remove("CREDENTIALS_DIRECTORY").stdin(Stdio::null());
        command
    }

    /// The manifest as it is now.
    pub(crate) fn manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.keys().join("manifest.json")).unwrap()).unwrap()
    }

    /// The selectors of keys in a state.
    pub(crate) fn selectors(&self, state: &str) -> Vec<String> {
        let manifest = self.manifest();
        let bindings = manifest["bindings"].as_array().unwrap().iter().filter(|key| key["state"].get(state).is_some());
        bindings.map(|key| key["selector"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.state().join("audit.jsonl")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn waxseal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.args(["--color", "never"]);
    command
}
