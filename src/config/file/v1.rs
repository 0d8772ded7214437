//! Version 1 of `waxseal.toml`.
//!
//! Everything may be left out but `version`. The documentation of each setting is its entry in docs/configuration.md,
//! so it says what the setting does and why its default is what it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::http::Http;
pub use super::rotation::{DomainAutomation, Rotation};
pub use super::slots::Slots;
use crate::config::publisher::{ApiUrl, DomainPattern, NameServer, PublisherKind, TsigHash};
use crate::config::running::{LogFormat, LogLevel, LogTarget, Threads};
use crate::config::socket::ListenAddress;
use crate::config::values::{Account, Count, DnsServer, Expiry, Mode, Network, Period, Size};
use crate::dkim::CanonicalizationPair;
use crate::manifest::SelectorTemplate;
use crate::names::DomainName;
use crate::policy::{
    AddressPattern, EnvelopeMatch, HostPattern, Identity, LoginBinding, MacroCondition, OnFailure, OnUnsignable,
    PeerPattern, Signer,
};

/// The whole file.
#[expect(missing_docs, reason = "a section's documentation stands at its type, where the reference takes it from")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// The version of this format: 1. Required, so that a later version can change what a setting means.
    pub version: Option<u32>,
    pub listener: Option<Vec<Listener>>,
    pub daemon: Option<Daemon>,
    pub control: Option<Control>,
    pub recorder: Option<Recorder>,
    pub keys: Option<Keys>,
    pub trust: Option<Trust>,
    pub login: Option<BTreeMap<String, Login>>,
    pub rule: Option<Vec<Rule>>,
    pub signing: Option<Signing>,
    #[schemars(with = "Option<BTreeMap<String, Domain>>")]
    pub domain: Option<BTreeMap<DomainName, Domain>>,
    pub limits: Option<Limits>,
    pub timeouts: Option<Timeouts>,
    pub dns: Option<Dns>,
    pub verify: Option<Verify>,
    pub publisher: Option<Vec<Publisher>>,
    pub rotation: Option<Rotation>,
    pub slots: Option<Vec<Slots>>,
    pub log: Option<Log>,
    pub http: Option<Http>,
}

/// A socket where MTAs connect; one `[[listener]]` each. Without any, the daemon takes the sockets that systemd passes,
/// or else listens at `unix:/run/waxseal/milter.sock`. A change needs a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// Required. `unix:/path` (or `local:/path`), `inet:port@address`, `inet6:port@address`, `systemd` for all sockets
    /// that systemd passes, `systemd:name` for those with that `FileDescriptorName=`. Addresses are numbers or
    /// `localhost`, so that starting needs no DNS. A Unix socket costs least and needs no `allow`.
    #[schemars(example = &"unix:/run/waxseal/milter.sock")]
    pub socket: Option<ListenAddress>,
    /// What logs and metrics call this listener; the socket's address where unset.
    #[schemars(example = &"reinjection")]
    pub name: Option<String>,
    /// Permission bits of a Unix socket, in octal. The default lets the socket's group connect, and nobody else: whoever
    /// can connect can have mail signed.
    #[schemars(example = &"0660")]
    pub mode: Option<Mode>,
    /// The user a Unix socket is given to, by name or id; the daemon's own where unset. Giving it to another user takes
    /// a privilege the daemon does not have under the shipped unit.
    #[schemars(example = &"waxseal")]
    pub owner: Option<Account>,
    /// The group a Unix socket is given to, by name or id; the daemon's own where unset. The daemon's user must be a
    /// member of it, and so must the MTA's. Do not put the MTA's user into the daemon's own group instead: that one may
    /// read the keys.
    #[schemars(example = &"waxseal-milter")]
    pub group: Option<Account>,
    /// The networks that may connect over TCP. Where unset, only this machine may. An address that other machines can
    /// reach must have it, or the daemon refuses to start: whoever can connect can have mail signed.
    #[schemars(example = ["192.0.2.0/24"])]
    pub allow: Option<Vec<Network>>,
    /// Replaces `sign_relayed` of `[trust]` for mail that comes through this listener: set it on the listener of the
    /// smtpd to which a content filter returns your own outgoing mail, and have no inbound mail there. As in `[trust]`
    /// where unset.
    #[schemars(example = true)]
    pub sign_relayed: Option<bool>,
}

/// What the daemon writes down for rotation: when it last signed with each key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Daemon {
    /// The daemon's own directory, relative to the directory of this file; the user who rotates keys must be able to read it.
    /// Unset: the one that systemd gives (`StateDirectory=`), `/var/lib/waxseal` with the shipped unit. Without any
    /// the daemon says so and writes nothing down, and rotation waits longer. A change needs a restart.
    #[schemars(example = &"/var/lib/waxseal")]
    pub state: Option<PathBuf>,
    /// How often it is written. A minute: what a crash loses is far less than rotation waits in any case, and the file is
    /// written whole each time. A change needs a restart.
    pub evidence_interval: Option<Period>,
}

/// Where `waxseal explain --live`, `waxseal explain --queue-id` and `waxseal status --recorder` ask the daemon. What is asked
/// there changes nothing, and no key and no content of messages is told. Without the socket the daemon signs all the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// The path of a Unix socket, relative to the directory of this file, or `off`. `/run/waxseal/control.sock`, in the
    /// directory that the shipped unit makes for the daemon. Its mode is 0660: who is not of its group learns nothing of your
    /// senders. A change needs a restart.
    #[schemars(example = &"/run/waxseal/control.sock")]
    pub socket: Option<PathBuf>,
    /// The group the socket is given to, by name or id; the daemon's own where unset. The daemon's user must be a member of
    /// it. A change needs a restart.
    #[schemars(example = &"waxseal-milter")]
    pub group: Option<Account>,
}

/// What the daemon remembers of the messages it decided about, for `waxseal explain --queue-id`. It is kept in memory alone:
/// decision and reason, times, the client's address, the author's domain, the rule, domains and selectors of signatures; no
/// content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recorder {
    /// At most so many messages. 10,000: a busy server's last minutes, a small one's last days. Older ones are in the log. A
    /// change needs a restart.
    pub messages: Option<Count>,
    /// In at most so much memory. 8 MiB hold 10,000 messages with two signatures and a rule. A change needs a restart.
    pub memory: Option<Size>,
}

/// Where keys are, and how they are kept at hand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The key store's directory, relative to the directory of this file: configuration and keys move together. A change needs
    /// a restart.
    pub store: Option<PathBuf>,
    /// Memory for parsed keys. An RSA key costs about 6 KB once used, so the default holds some 40,000 and is what a
    /// small server can spare. Keys beyond it are read and parsed again, which costs under a millisecond each. A change
    /// needs a restart.
    pub cache: Option<Size>,
    /// How old what is known of a domain may be before it is compared with the store. One second: a new or withdrawn
    /// key takes hold as fast as an operator looks, and a busy domain costs one `stat` a second. A change needs a restart.
    pub revalidate_after: Option<Period>,
    /// How long a message waits for that comparison before the known key signs. A local disk answers in microseconds; a
    /// store that hangs must not hold up mail.
    pub revalidate_wait: Option<Period>,
    /// How long a domain may go on signing while the store cannot be read. Then it defers, since a key could have been
    /// withdrawn meanwhile. An hour survives a reboot of a file server; rotation adds it to the time a key is kept. A change
    /// needs a restart.
    pub max_staleness: Option<Period>,
    /// Threads that read the store. Two, so that one slow read does not stop all others. A change needs a restart.
    pub threads: Option<Count>,
}

/// Whose mail is ours to sign. Mail is signed if any of these holds; everything else passes untouched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Clients that logged in with SASL. On: they are your users.
    pub authenticated: Option<bool>,
    /// Clients in these networks. Only loopback: which other machines send your users' mail, only you know. Write the
    /// network's own address (`127.0.0.0/8`, not `127.0.0.1/8`); a lone address stands for itself.
    pub networks: Option<Vec<Network>>,
    /// Clients with these names, as the MTA found and verified them in DNS: `mail.example.com`, or `*.example.com` for all
    /// below. None: whoever runs the DNS of a name decides who is trusted.
    #[schemars(example = ["mail.example.com", "*.example.net"])]
    pub hosts: Option<Vec<HostPattern>>,
    /// Clients never trusted for their address or name, whatever `networks` and `hosts` say, as networks or names: proxies
    /// and load balancers whose address the MTA takes for the client's, since anybody may be behind it; machines within a
    /// trusted network that relay for others. A login still counts. None: which these are, only you know.
    #[schemars(example = ["192.0.2.7", "proxy.example.com"])]
    pub except: Option<Vec<PeerPattern>>,
    /// Mail that came in through a listener of the MTA with one of these names (the macro `{daemon_name}`). The default
    /// is what Postfix' `master.cf` and others conventionally call the submission service of signing milters.
    pub daemon_names: Option<Vec<String>>,
    /// Mail for which the MTA has one of these macros: `{name}` for any value that is not empty, `{name}=value` for that
    /// one, compared octet by octet. The MTA is asked for them. None: what a macro means, only its administrator knows.
    /// `{auth_author}` cannot be among them, since clients set it.
    #[schemars(example = ["{tls_version}=TLSv1.3", "{cert_subject}"])]
    pub macros: Option<Vec<MacroCondition>>,
    /// Mail handed in by programs on this machine (`sendmail`, cron, web applications). On: they are yours.
    pub local_submission: Option<bool>,
    /// Also mail that is trusted only for coming from loopback or a local program and already carries a Received
    /// field. Off: it may be inbound mail on its way back from a content filter, a redirect or a list, and signing
    /// it would vouch for strangers.
    pub sign_relayed: Option<bool>,
    /// Clients, as networks or names, whose mail is accepted at once, before anything is looked at, even of those who log in:
    /// monitoring, a filter that hands in what was signed already. None.
    #[schemars(example = ["192.0.2.25", "*.monitoring.example.com"])]
    pub ignore: Option<Vec<PeerPattern>>,
    /// Which authors a login may write as: `off` (any), `own-domain` (the domain behind its own `@`, and what is listed for
    /// it), `own-registrable` (any domain of the same registrable domain, and what is listed) or `listed` (only that).
    /// Other mail of that login passes unsigned. Off, since logins need not look like addresses; but then every customer can
    /// have mail signed as every other, so with more than one of them turn it on.
    pub bind_logins: Option<LoginBinding>,
    /// Files with what is listed for logins, relative to the directory of this file: each line a login and the authors it may
    /// write as, as patterns, with blanks between; docs/policy.md has the form. Reread when they change. Beside
    /// `[login."..."]`.
    #[schemars(example = ["logins.map"])]
    pub login_maps: Option<Vec<PathBuf>>,
    /// How the envelope sender must fit the author, for mail to be signed: `off`, `same-domain`, or `same-registrable` (domain).
    /// The null sender always fits. Off: bounces, lists and newsletters have senders of their own.
    pub match_envelope: Option<EnvelopeMatch>,
}

/// What one login may do, in `[login."joe@example.com"]`, when `bind_logins` of `[trust]` is on. Upper and lower case of a
/// login are the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// The authors it may write as, beside those that `bind_logins` gives it: `joe@example.com`, `example.com` for everybody
    /// there, `*.example.com` for everybody below, `*` for all.
    #[schemars(example = ["example.com", "*.example.net"])]
    pub may_send: Option<Vec<AddressPattern>>,
}

/// What to do with mail of some authors, in place of what holds for all; one `[[rule]]` each. The first rule that fits
/// decides, in the order of the file. A rule is about mail that is ours to sign: it makes nobody trusted. Patterns are
/// `joe@example.com`, `example.com` (everybody there), `*.example.com` (everybody below), `news-*@example.com`, `*`;
/// docs/policy.md has examples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// What logs and explanations call it; `rule` and its number where unset.
    #[schemars(example = &"newsletters")]
    pub name: Option<String>,
    /// The authors it is for, as patterns. Without `from` and `from_maps` it is for all.
    #[schemars(example = ["example.com", "*.example.net", "news-*@example.org"])]
    pub from: Option<Vec<AddressPattern>>,
    /// Files with more of them, relative to the directory of this file, a line each: a pattern, and behind it, where it
    /// differs from the rule's, who signs, and i=. docs/policy.md has the form. Reread when they change. A million exact
    /// lines cost a message as much as one.
    #[schemars(example = ["customers.map"])]
    pub from_maps: Option<Vec<PathBuf>>,
    /// It is only for messages to at least one of these recipients, as patterns. Without `to` and `to_maps` it is for all.
    #[schemars(example = ["*@lists.example.com"])]
    pub to: Option<Vec<AddressPattern>>,
    /// Files with more of them, relative to the directory of this file, a line each. Reread when they change.
    #[schemars(example = ["unsigned-recipients.map"])]
    pub to_maps: Option<Vec<PathBuf>>,
    /// Whether such mail passes unsigned. Then the rule can say nothing else.
    pub never: Option<bool>,
    /// Who signs in place of the author's domain: domains, or one key of a domain as `selector._domainkey.example.com`.
    /// Unset: the author's domain, or a parent that signs for its subdomains.
    #[schemars(example = ["example.com"])]
    pub sign: Option<Vec<Signer>>,
    /// Who signs as well: a provider's own domain beside the customer's. None.
    #[schemars(example = ["mail.example.net"])]
    pub also: Option<Vec<Signer>>,
    /// i= of these signatures: `@example.com`, `joe@example.com`, `author` (the author's address) or `author-domain`. It is
    /// left out of signatures whose domain it is not in. As the signing domain has it where unset.
    #[schemars(example = &"author-domain")]
    pub identity: Option<Identity>,
    /// As in `[signing]`, for these messages; as the signing domain has it where unset.
    #[schemars(example = &"relaxed/simple")]
    pub canonicalization: Option<CanonicalizationPair>,
    /// As in `[signing]`, for these messages; as the signing domain has it where unset.
    #[schemars(example = &"14d")]
    pub expire_after: Option<Expiry>,
    /// As in `[signing]`, for these messages; that of `[signing]` where unset.
    #[schemars(example = ["from", "to", "subject", "date"])]
    pub oversign: Option<Vec<String>>,
    /// As in `[signing]`, for these messages; that of `[signing]` where unset.
    #[schemars(example = ["list-*"])]
    pub sign_present: Option<Vec<String>>,
    /// As in `[signing]`, for these messages; that of `[signing]` where unset.
    #[schemars(example = ["reply-to"])]
    pub oversign_absent: Option<Vec<String>>,
    /// Header fields not signed in these messages, beside those of `[signing]` and of the signing domain.
    #[schemars(example = ["reply-to"])]
    pub leave_out: Option<Vec<String>>,
    /// Replaces `sign_relayed` of `[trust]` and of the listener for these messages.
    #[schemars(example = true)]
    pub sign_relayed: Option<bool>,
}

/// How mail is signed, and what happens when it cannot be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signing {
    /// c= (RFC 6376, section 3.4): header, then body. Relaxed for both survives what MTAs do to white space.
    pub canonicalization: Option<CanonicalizationPair>,
    /// Whether domains sign mail from subdomains that have no keys of their own, up to the registrable domain; the setting of
    /// that name in `[domain."..."]` goes before. Off: a subdomain may be somebody else's.
    pub subdomains: Option<bool>,
    /// How long signatures are valid (x=), or `never`. Never: a message may wait for days in queues, and verifiers
    /// that read it late would take it for forged. Less than 7 days warns.
    #[schemars(example = &"14d")]
    pub expire_after: Option<Expiry>,
    /// Header fields signed where present, and once more, so that nobody can add another. From is always among them.
    /// The default: the fields that people and programs act on, and that occur once. A name that ends in `*` stands
    /// for all that begin so.
    pub oversign: Option<Vec<String>>,
    /// Header fields signed where present, while others may be added. The default: fields that resenders and lists may
    /// add.
    pub sign_present: Option<Vec<String>>,
    /// Header fields that nobody may add where the message has none. None: Sendmail adds Date and Message-ID after its
    /// milters, and the signature would break.
    pub oversign_absent: Option<Vec<String>>,
    /// Header fields never signed, whatever the other lists say: those your MTA rewrites after its milters.
    pub leave_out: Option<Vec<String>>,
    /// When none of a domain's active keys can be used, or the store is away and nothing is known of the domain:
    /// `defer` (451, the client tries again) or `accept-unsigned`. Defer: mail late is better than mail rejected for
    /// lack of a signature.
    pub on_failure: Option<OnFailure>,
    /// When a message cannot be signed whatever the keys are (no From, several author domains, a header over
    /// its bounds): `pass` it unsigned, or `refuse` it with 550. Pass: signing does not make mail policy unless told to.
    pub on_unsignable: Option<OnUnsignable>,
}

/// Settings of one signing domain, in `[domain."example.com"]`. A domain needs no such table to be signed: having keys is
/// enough. Names are compared in A-labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Domain {
    /// Whether mail from subdomains that have no keys of their own is signed with this domain's; that of `[signing]` where
    /// unset.
    #[schemars(example = true)]
    pub subdomains: Option<bool>,
    /// i= of its signatures: `@example.com` or `user@example.com`, in this domain or below it. Unset: none is written,
    /// which means `@` and the signing domain.
    #[schemars(example = &"@example.com")]
    pub identity: Option<String>,
    /// As in `[signing]`, for this domain; that of `[signing]` where unset.
    #[schemars(example = &"14d")]
    pub expire_after: Option<Expiry>,
    /// As in `[signing]`, for this domain; that of `[signing]` where unset.
    #[schemars(example = &"relaxed/relaxed")]
    pub canonicalization: Option<CanonicalizationPair>,
    /// Header fields this domain does not sign, beside those of `[signing]`.
    #[schemars(example = ["reply-to"])]
    pub leave_out: Option<Vec<String>>,
    /// How much rotation does for this domain: `automatic`, `by-hand` (everything but DNS) or `reminders`. Unset: automatic where
    /// a publisher can write its records, by hand where its publisher is `manual`, reminders where it has none, and where it
    /// was imported and is not `enrolled`.
    pub rotation: Option<DomainAutomation>,
    /// As in `[rotation]`, for this domain; that of `[rotation]` where unset.
    #[schemars(example = &"90d")]
    pub key_age: Option<Period>,
    /// As in `[rotation]`, for this domain; that of `[rotation]` where unset.
    #[schemars(example = &"14d")]
    pub mail_life: Option<Period>,
    /// As in `[rotation]`, for this domain; that of `[rotation]` where unset.
    #[schemars(example = &"1d")]
    pub settle: Option<Period>,
    /// As in `[rotation]`, for this domain; that of `[rotation]` where unset.
    #[schemars(example = &"k{date}{algorithm}")]
    pub selector: Option<SelectorTemplate>,
    /// As in `[rotation]`, for this domain; that of `[rotation]` where unset.
    #[schemars(example = &"1h")]
    pub record_ttl: Option<Period>,
}

/// Bounds on what is held and done at once. Overload is answered with 451, so that mail is late and never lost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections open at once, over all listeners; more wait to be accepted. An idle one costs 4 KB, so the default
    /// is 40 MB, and more than the processes of any one MTA. The unit's `LimitNOFILE=` must be higher.
    /// A change needs a restart.
    pub connections: Option<Count>,
    /// Octets of one message's header; what exceeds it cannot be signed (`on_unsignable`). Sendmail allows 32 KiB in
    /// all, Postfix 100 KiB for one field; 256 KiB holds both and keeps 1,000 hostile messages at 256 MB.
    pub header_bytes: Option<Size>,
    /// Fields of one message's header. Mail that has travelled far has a hundred.
    pub header_fields: Option<Count>,
    /// Octets of one milter frame, at least 64 KiB. MTAs send 64 KiB at most, or 1 MiB where both sides agree to; a longer
    /// one is not the milter protocol, and its connection is closed.
    pub frame: Option<Size>,
    /// Messages waiting for a signing thread. A core makes some 3,000 RSA-2048 signatures a second, so 1,000 are a third of a
    /// second's work for one core. A change needs a restart.
    pub signing_queue: Option<Count>,
    /// How long a message waits in that queue before it is answered 451 "busy". 5 seconds are far below the 30 seconds
    /// and more that MTAs wait, so they hear of it from us.
    pub queue_deadline: Option<Period>,
    /// Threads that make RSA signatures; 0 for as many as there are cores. They do nothing but compute, so more gain
    /// nothing. A change needs a restart.
    pub signing_threads: Option<Threads>,
    /// Threads that talk to MTAs; 0 for a quarter of the cores, at least one. To take a message costs a tenth of what an RSA
    /// signature costs, and threads that wait cost switches. A change needs a restart.
    pub runtime_threads: Option<Threads>,
}

/// How long to wait for MTAs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For the rest of a frame that has begun, and for the negotiation that begins a connection. MTAs write both at once.
    pub frame: Option<Period>,
    /// For the next command. Sendmail waits an hour for its own client's next command and keeps us waiting as
    /// long, and libmilter waits 7210 seconds; less warns.
    pub command: Option<Period>,
    /// For the MTA to take a reply. It is waiting for it.
    pub write: Option<Period>,
    /// For messages in progress when the daemon is told to stop; the rest are cut off, and the MTA does with them as it is
    /// told for a filter that fails (`milter_default_action`): tempfail keeps them. Less than the unit's
    /// `TimeoutStopSec=`.
    pub drain: Option<Period>,
}

/// How the DNS is asked, by `waxseal verify` and whatever else looks at published records. The daemon's signing asks
/// no DNS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// The recursive resolvers, as addresses, with a port behind a colon where it is not 53. Those of the system
    /// (`/etc/resolv.conf`) where unset: they know the way out.
    #[schemars(example = ["192.0.2.53", "[2001:db8::53]:5353"])]
    pub resolvers: Option<Vec<DnsServer>>,
    /// Name servers that are asked beside those that the zones name: hidden primaries, as addresses. None: what resolvers
    /// see is what the zones name.
    #[schemars(example = ["192.0.2.1"])]
    pub extra_servers: Option<Vec<DnsServer>>,
    /// Resolvers elsewhere, as addresses, that `waxseal rotate` asks for a new record before its key signs, when all servers
    /// and our own resolver have it: they see what receivers see. None: which ones you trust with the names, only you
    /// know.
    #[schemars(example = ["203.0.113.53"])]
    pub outside_resolvers: Option<Vec<DnsServer>>,
    /// How long to wait for one answer of one server. Name servers answer within milliseconds, from the far side of
    /// the earth within 300; two seconds leave room for a lost packet on the way.
    pub timeout: Option<Period>,
    /// How often a server is asked over UDP before TCP is tried, and then once more after a pause. Two: a packet may be lost,
    /// and rate limiting shows itself only over UDP.
    pub attempts: Option<Count>,
    /// Questions a second to one server's address. Beyond their own bound servers drop questions, which looks as if they
    /// were dead; 2,000 are a small part of what a name server takes, and verify 10,000 domains within half a minute.
    pub queries_per_second: Option<Count>,
    /// Domains that are looked at together. Most of the time is waiting, so 64 cost little memory and keep even slow
    /// servers busy.
    pub concurrency: Option<Count>,
}

/// A way to put key records into DNS; one `[[publisher]]` each. A domain's publisher is the one with the closest of the
/// patterns that fit it, and of equal ones the first. Without one, its records are published by hand. docs/publishing.md has
/// an example for each kind. The daemon uses none of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Publisher {
    /// What messages and the audit log call it; its kind where unset. Each needs its own.
    #[schemars(example = &"primary")]
    pub name: Option<String>,
    /// Required. `rfc2136` (dynamic updates, signed with TSIG), `powerdns` (its HTTP API), `zone-include` (a file that a zone file
    /// includes), `exec` (a program of yours) or `manual` (you).
    #[schemars(example = &"rfc2136")]
    pub kind: Option<PublisherKind>,
    /// The domains it publishes for: `example.com` is that domain, `*.example.com` are all below it, `*` are all.
    #[schemars(example = ["example.com", "*.example.net"])]
    pub domains: Option<Vec<DomainPattern>>,
    /// For `rfc2136`, the server that takes updates; for `zone-include`, the one that is asked whether the zone's serial rose.
    /// An address or a host name, with its port behind a colon where that is not 53.
    #[schemars(example = &"192.0.2.1")]
    pub server: Option<NameServer>,
    /// The zone that the records are in. Where unset, the server is asked; `zone-include` needs it, and `exec` passes it on.
    #[schemars(with = "Option<String>", example = &"example.com")]
    pub zone: Option<DomainName>,
    /// For `rfc2136`: the name of the TSIG key, as the server has it.
    #[schemars(example = &"waxseal")]
    pub key_name: Option<String>,
    /// For `rfc2136`: the algorithm of the TSIG key.
    #[schemars(example = &"hmac-sha256")]
    pub algorithm: Option<TsigHash>,
    /// For `rfc2136`, a file with the secret of the TSIG key in base64; for `powerdns`, one with the key of its API. Relative to
    /// the directory of this file. It must not be readable by others.
    #[schemars(example = &"secrets/dns")]
    pub secret_file: Option<PathBuf>,
    /// Instead of `secret_file`: the name of a credential that systemd passes to the unit (`LoadCredential=dns:/path`).
    #[schemars(example = &"dns")]
    pub credential: Option<String>,
    /// For `powerdns`: where its webserver listens. Without TLS, which it has none of.
    #[schemars(example = &"http://127.0.0.1:8081")]
    pub api_url: Option<ApiUrl>,
    /// For `zone-include`: the file, which is ours alone, relative to the directory of this file. Its directory must be
    /// writable for us.
    #[schemars(example = &"/var/lib/waxseal/example.com.include")]
    pub path: Option<PathBuf>,
    /// For `zone-include`: a program, by its path, and its arguments, that raises the zone's serial and has the zone loaded.
    #[schemars(example = ["/usr/local/sbin/reload-zone", "example.com"])]
    pub reload: Option<Vec<String>>,
    /// For `exec`: a program, by its path, and its arguments. docs/publishing.md says what it is told and how it answers.
    #[schemars(example = ["/usr/local/lib/waxseal/publish"])]
    pub program: Option<Vec<String>>,
    /// How long to wait for each answer, or for a program to end. 30 seconds are far above what servers need, and enough
    /// to load a large zone.
    pub timeout: Option<Period>,
}

/// What `waxseal verify` wants beyond the standards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// Keys that sign for longer are warned of (P07). Half a year: long enough to be no burden, short enough that a key
    /// copied unnoticed does not serve for years.
    pub max_key_age: Option<Period>,
    /// Whether a zone without DNSSEC is warned of (D13), instead of only noted. Off: most zones have none, and DKIM works
    /// without.
    pub want_dnssec: Option<bool>,
}

/// Where log lines go, and which: one line a message, and what the daemon does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `auto` (the journal where stderr is connected to it, else stderr), `stderr` or `journald`. A change needs a
    /// restart.
    pub target: Option<LogTarget>,
    /// How a line looks on stderr: `text` or `json`. The journal gets every field as one of its own. A change
    /// needs a restart.
    pub format: Option<LogFormat>,
    /// The least important lines that are written: `error`, `warn`, `info`, `debug` or `trace`. Info has the line
    /// for each message, without which no cause is found. A change needs a restart.
    pub level: Option<LogLevel>,
    /// Lines waiting to be written. Signing never waits for the log: what finds the queue full is dropped and counted.
    /// 10,000 lines are a second or two of a busy server, and some MB. A change needs a restart.
    pub queue: Option<Count>,
}
