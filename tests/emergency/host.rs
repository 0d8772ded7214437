//! An installation, its BIND and, if wanted, its daemon.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{LOOPBACK, SECRET, txt_at};
use crate::support::{Bind, Dialogue, Scratch, Server, Statements, Verdict, ZoneText, run};

/// Everything that takes days takes seconds, but the life of a key, which is the default.
const SCHEDULE: &str = "state = \"state\"\nsettle = \"1s\"\nrounds = 2\nrounds_over = \"1s\"\n\
                        mail_life = \"2s\"\nrevoked_for = \"2s\"\nexcuse_after = \"2s\"\n";

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Host {
    pub(crate) scratch: Scratch,
    pub(crate) bind: Bind,
    settings: Settings,
}

/// What a configuration has beside its basis.
#[derive(Default, Clone)]
pub(crate) struct Settings {
    /// Lines of `[rotation]`.
    pub(crate) rotation: String,
    /// Lines of `[dns]`.
    pub(crate) dns: String,
    /// Instead of all.
    pub(crate) published: Option<String>,
    /// Instead of `[daemon] state`'s default place: nowhere.
    pub(crate) no_evidence: bool,
}

impl Host {
    /// Keys that nobody published yet, and a BIND that lets us; zones of a second's TTL.
    pub(crate) fn new(domains: &[&str], settings: Settings) -> Self {
        Self::with_keys(domains, &[], settings)
    }

    /// The same, the keys made by `waxseal generate` with these options.
    pub(crate) fn with_keys(domains: &[&str], generate: &[&str], settings: Settings) -> Self {
        let statements = Statements {
            global: format!("key \"waxseal\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
            of_zones: "update-policy { grant waxseal zonesub TXT; };".into(),
        };
        let zone = |apex: &&str| ZoneText {
            apex: (*apex).to_owned(),
            text: format!(
                "$ORIGIN {apex}.\n$TTL 1\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 1\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"
            ),
        };
        let zones: Vec<_> = domains.iter().map(zone).collect();
        let bind = Bind::start_with(&zones, &[LOOPBACK], &statements);
        let scratch = Scratch::new("emergency");
        let host = Self { scratch, bind, settings };
        run(host.waxseal(&["init", "--yes", "unused.test"]).arg("--dir").arg(host.scratch.path()));
        fs::remove_dir_all(host.scratch.join("keys/domains/unused.test")).unwrap();
        let secret = host.scratch.write("dns.secret", SECRET);
        fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
        host.configure(|settings| settings);
        run(host.waxseal(&["generate"]).args(generate).args(domains));
        for domain in domains {
            let path = host.scratch.join(&format!("keys/domains/{domain}/manifest.json"));
            let manifest = fs::read_to_string(&path).unwrap();
            fs::write(&path, manifest.replace("\"record_ttl\": 3600", "\"record_ttl\": 1")).unwrap();
        }
        host
    }

    /// Writes the configuration, with settings that may be others than those it began with.
    pub(crate) fn configure(&self, change: impl FnOnce(Settings) -> Settings) {
        let Settings { rotation, dns, published, no_evidence } = change(self.settings.clone());
        let server = self.server();
        let domains = published.unwrap_or_else(|| "\"*\"".into());
        let evidence = self.scratch.folder("evidence");
        let evidence = if no_evidence { self.scratch.join("nowhere") } else { evidence };
        let socket = self.socket();
        let text = format!(
            "version = 1\n[keys]\nstore = \"keys\"\nmax_staleness = \"2s\"\n\
             [dns]\nresolvers = [\"{server}\"]\ntimeout = \"500ms\"\nattempts = 1\n{dns}\n\
             [daemon]\nstate = \"{}\"\nevidence_interval = \"1s\"\n[log]\ntarget = \"stderr\"\nformat = \"json\"\n\
             [[listener]]\nsocket = \"unix:{}\"\nmode = \"0666\"\n\
             [rotation]\n{SCHEDULE}{rotation}\n\
             [[publisher]]\nname = \"primary\"\nkind = \"rfc2136\"\ndomains = [{domains}]\nserver = \"{server}\"\n\
             key_name = \"waxseal\"\nsecret_file = \"dns.secret\"\n",
            evidence.display(),
            socket.display(),
        );
        self.scratch.write("waxseal.toml", text);
    }

    fn socket(&self) -> PathBuf {
        self.scratch.join("milter.sock")
    }

    pub(crate) fn server(&self) -> String {
        self.bind.servers()[0].to_string()
    }

    pub(crate) fn waxseal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["--color", "never"]).arg("--config").arg(self.scratch.join("waxseal.toml")).args(arguments);
        command.env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    /// The same, with the one server that is to be asked.
    pub(crate) fn asking(&self, arguments: &[&str]) -> Output {
        self.waxseal(arguments).args(["--servers", &self.server()]).output().unwrap()
    }

    pub(crate) fn rotate(&self, domains: &[&str]) -> Output {
        self.waxseal(&["rotate", "--servers", &self.server()]).args(domains).output().unwrap()
    }

    /// Rotates until something is so.
    pub(crate) fn rotate_until(&self, domain: &str, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "in vain for {what}: {:#}", self.status(domain));
            self.rotate(&[domain]);
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Publishes and activates what there is.
    pub(crate) fn sign_with_all(&self, domains: &[&str]) {
        let published =
            self.waxseal(&["publish", "--yes", "--servers", &self.server()]).args(domains).output().unwrap();
        assert!(published.status.success(), "{}{}", text(&published.stdout), text(&published.stderr));
        run(self.waxseal(&["activate", "--yes"]).args(domains));
    }

    /// Until RSA and Ed25519 sign and have a standby that is Ready.
    pub(crate) fn with_standby(&self, domain: &str) {
        self.sign_with_all(&[domain]);
        self.rotate_until(domain, "standby keys", |host| host.keys(domain, "ready").len() == 2);
    }

    pub(crate) fn status(&self, domain: &str) -> Value {
        let status = self.waxseal(&["status", domain, "--format", "json"]).output().unwrap();
        serde_json::from_slice::<Value>(&status.stdout).unwrap()[0].take()
    }

    /// The keys in a state, as selectors.
    pub(crate) fn keys(&self, domain: &str, state: &str) -> Vec<String> {
        let status = self.status(domain);
        let keys = status["keys"].as_array().unwrap().iter().filter(|key| key["state"] == state);
        keys.map(|key| key["selector"].as_str().unwrap().to_owned()).collect()
    }

    /// The one key of an algorithm in a state: `r` RSA, `e` Ed25519.
    pub(crate) fn key(&self, domain: &str, state: &str, algorithm: char) -> String {
        let keys = self.keys(domain, state);
        let mut found = keys.iter().filter(|selector| selector.contains(algorithm));
        let one = found.next().unwrap_or_else(|| panic!("no {state} {algorithm} key: {:#}", self.status(domain)));
        assert_eq!(found.next(), None, "{keys:?}");
        one.clone()
    }

    /// What stands in DNS for a key.
    pub(crate) fn standing(&self, domain: &str, selector: &str) -> Vec<String> {
        txt_at(self.bind.servers()[0], &format!("{selector}._domainkey.{domain}"))
    }

    pub(crate) fn is_revoked(&self, domain: &str, selector: &str) -> bool {
        matches!(&self.standing(domain, selector)[..], [one] if one.ends_with("p="))
    }

    /// The lines of the audit log about a key.
    pub(crate) fn audit(&self, selector: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.scratch.join("state/audit.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["selector"] == selector).collect()
    }

    /// Starts `waxseald`.
    pub(crate) fn daemon(&self) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseald"));
        command.arg("--config").arg(self.scratch.join("waxseal.toml"));
        let socket = self.socket();
        fs::remove_file(&socket).ok();
        let mut server = Server::start(&mut command, &self.scratch.join("waxseald.log"));
        server.wait_until("waxseald to listen", || socket.exists());
        server
    }

    /// The selectors that a message of example.test is signed with; none if it is not.
    pub(crate) fn signs_with(&self) -> Vec<String> {
        let Verdict::Signed(fields) = Dialogue::open(&self.socket()).message("4EMERG") else { return Vec::new() };
        let selector = |field: &String| {
            let tag = field.split(';').find_map(|tag| tag.trim().strip_prefix("s=").map(str::to_owned));
            tag.unwrap_or_else(|| panic!("{field}"))
        };
        fields.iter().map(selector).collect()
    }
}

/// A line of the audit log that says so.
pub(crate) fn has_line(log: &[Value], what: &str, before: &str, after: &str) -> bool {
    let ends_with = |value: &Value, end: &str| value.as_str().map_or(end.is_empty(), |text| text.ends_with(end));
    log.iter()
        .any(|line| line["what"] == what && ends_with(&line["before"], before) && ends_with(&line["after"], after))
}

pub(crate) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}
