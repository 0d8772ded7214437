//! Questions to recursive servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::lookup::{SetupError, name_server};
use super::seen;
use super::transport::{Failure, Transport};
use super::wire::{Question, Reply};
use super::{AskedServers, Recursion, Resolvers, Settings};
use crate::observation::{Code, Recursive, RecursiveAnswer, Security};

/// Answers of a validating look-up that are kept: keys and delegations of the zones above.
const CACHED: u64 = 4096;
/// A validating look-up asks for the keys of each zone on the way.
const VALIDATION_PATIENCE: u32 = 10;

/// Recursive servers, asked one after the other until one is of use.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    /// Which of them answered last.
    preferred: AtomicUsize,
    validating: TokioResolver,
    patience: Duration,
}

/// Nobody could say.
#[derive(Debug, Clone)]
pub(super) struct NoAnswer {
    pub(super) detail: String,
    /// SERVFAIL, where the same question had an answer with checking disabled.
    pub(super) is_bogus: bool,
}

/// An answer and who gave it.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) server: SocketAddr,
}

impl Resolver {
    pub(super) fn new(settings: &Settings) -> Result<Self, SetupError> {
        // Servers that were given and nothing else: nobody else need be known.
        let is_needed = settings.recursion != Recursion::Never || settings.servers == AskedServers::OfTheZone;
        let servers = match &settings.resolvers {
            Resolvers::Servers(servers) => servers.clone(),
            Resolvers::System if is_needed => system_servers()?,
            Resolvers::System => system_servers().unwrap_or_default(),
        };
        if servers.is_empty() && is_needed {
            return Err(SetupError::NoServers);
        }
        let validating = validating(&servers, settings)?;
        let patience = settings.timeout.saturating_mul(VALIDATION_PATIENCE);
        Ok(Self { servers, preferred: AtomicUsize::new(0), validating, patience })
    }

    /// NOERROR or NXDOMAIN of the first server that says so.
    pub(super) async fn ask(
        &self,
        transport: &Transport,
        name: &Name,
        record_type: RecordType,
    ) -> Result<Answer, NoAnswer> {
        let question = Question::recursive(name, record_type);
        let mut worst = NoAnswer { detail: "there is no resolver".into(), is_bogus: false };
        for (number, server) in self.in_order() {
            match transport.ask(server, &question).await {
                Ok(reply) => match reply.message.metadata.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => {
                        self.preferred.store(number, Ordering::Relaxed);
                        return Ok(Answer { reply, server });
                    }
                    ResponseCode::ServFail => {
                        let is_bogus = self.is_bogus(transport, server, &question).await;
                        worst = NoAnswer { detail: format!("{server} says SERVFAIL"), is_bogus };
                    }
                    code => {
                        let detail = format!("{server} says {}", seen::code(code));
                        worst = NoAnswer { detail, is_bogus: false };
                    }
                },
                Err(Failure::NoRoute) => {
                    worst = NoAnswer { detail: format!("no route to {server}"), is_bogus: false };
                }
                Err(Failure::Silent(silence)) => {
                    worst = NoAnswer { detail: format!("{server}: {silence}"), is_bogus: false };
                }
            }
        }
        Err(worst)
    }

    /// TXT at a name, as a verifier of mail sees it, without validation of our own.
    pub(super) async fn txt(&self, transport: &Transport, name: &Name, security: Security) -> Recursive {
        match self.ask(transport, name, RecordType::TXT).await {
            Ok(Answer { reply, server }) => {
                let txt = seen::txt_along_chain(name, &reply.message.answers);
                let answer = if txt.is_empty() {
                    let ttl = seen::soa_of(&reply.message.authorities).map(|(_, soa)| soa.negative_ttl());
                    RecursiveAnswer::Absent { code: seen::code(reply.message.metadata.response_code), ttl }
                } else {
                    RecursiveAnswer::Found { txt, security }
                };
                Recursive { resolver: server.to_string(), answer }
            }
            Err(NoAnswer { detail, is_bogus }) => {
                let answer =
                    if is_bogus { RecursiveAnswer::Bogus { detail } } else { RecursiveAnswer::Failed { detail } };
                Recursive { resolver: self.to_string(), answer }
            }
        }
    }

    /// TXT at a name, validated here from the trust anchor down.
    pub(super) async fn validated_txt(&self, transport: &Transport, name: &Name) -> Recursive {
        self.validating.clear_lookup_cache(name.clone(), RecordType::TXT);
        let looked_up =
            tokio::time::timeout(self.patience, self.validating.lookup(name.clone(), RecordType::TXT)).await;
        let answer = match looked_up {
            Err(_) => RecursiveAnswer::Failed { detail: "no answer in time".into() },
            Ok(Ok(lookup)) => validated(name, &lookup),
            Ok(Err(error)) => refused(&error),
        };
        if let RecursiveAnswer::Failed { .. } = answer {
            // A resolver that validates by itself says SERVFAIL; whether validation is the cause, CD=1 tells.
            let own = self.txt(transport, name, Security::Unknown).await;
            if let RecursiveAnswer::Bogus { .. } = own.answer {
                return own;
            }
        }
        Recursive { resolver: self.to_string(), answer }
    }

    /// The servers, beginning with the one that was of use last.
    fn in_order(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        let first = self.preferred.load(Ordering::Relaxed);
        let numbered = self.servers.iter().copied().enumerate();
        numbered.clone().skip(first).chain(numbered.take(first))
    }

    async fn is_bogus(&self, transport: &Transport, server: SocketAddr, question: &Question) -> bool {
        let unchecked = transport.ask(server, &question.unchecked()).await;
        unchecked.is_ok_and(|reply| {
            matches!(reply.message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        })
    }
}

impl std::fmt::Display for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, server) in self.servers.iter().enumerate() {
            write!(f, "{}{server}", if number == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn validated(name: &Name, lookup: &Lookup) -> RecursiveAnswer {
    let txt = seen::txt_along_chain(name, lookup.answers());
    let proofs = || lookup.answers().iter().map(|record| record.proof);
    if proofs().any(|proof| proof == Proof::Bogus) {
        return RecursiveAnswer::Bogus { detail: "a signature does not verify, or is missing".into() };
    }
    if txt.is_empty() {
        let ttl = seen::soa_of(lookup.authorities()).map(|(_, soa)| soa.negative_ttl());
        return RecursiveAnswer::Absent { code: Code::NoError, ttl };
    }
    let security = if proofs().all(|proof| proof == Proof::Secure) {
        Security::Secure
    } else if proofs().any(|proof| proof == Proof::Insecure) {
        Security::Insecure
    } else {
        Security::Unknown
    };
    RecursiveAnswer::Found { txt, security }
}

fn refused(error: &NetError) -> RecursiveAnswer {
    let bogus = |detail: &str| RecursiveAnswer::Bogus { detail: detail.to_owned() };
    match error {
        NetError::Dns(DnsError::DnssecBogus) => bogus("validation failed"),
        NetError::Dns(DnsError::Nsec { proof: Proof::Bogus, .. }) => {
            bogus("the denial of existence does not verify, or is missing")
        }
        NetError::Dns(DnsError::Nsec { response, .. }) => RecursiveAnswer::Absent {
            code: seen::code(response.metadata.response_code),
            ttl: seen::soa_of(&response.authorities).map(|(_, soa)| soa.negative_ttl()),
        },
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {
                RecursiveAnswer::Absent { code: seen::code(none.response_code), ttl: none.negative_ttl }
            }
            code => RecursiveAnswer::Failed { detail: format!("the resolver says {}", seen::code(code)) },
        },
        error => RecursiveAnswer::Failed { detail: error.to_string() },
    }
}

fn system_servers() -> Result<Vec<SocketAddr>, SetupError> {
    let (config, _) = read_system_conf().map_err(|source| SetupError::System { source })?;
    let address = |server: &NameServerConfig| {
        let port = server.connections.first().map_or(53, |connection| connection.port);
        SocketAddr::new(server.ip, port)
    };
    let mut servers: Vec<_> = config.name_servers.iter().map(address).collect();
    servers.dedup();
    Ok(servers)
}

fn validating(servers: &[SocketAddr], settings: &Settings) -> Result<TokioResolver, SetupError> {
    let servers = servers.iter().map(|server| name_server(*server));
    let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = settings.timeout;
    options.attempts = 1;
    options.edns0 = true;
    options.validate = true;
    options.cache_size = CACHED;
    options.try_tcp_on_error = true;
    options.preserve_intermediates = true;
    options.max_active_requests = settings.in_flight.get();
    if let Some(anchor) = &settings.trust_anchor {
        let anchors: TrustAnchors = anchor.dnskeys.parse().map_err(|source| SetupError::TrustAnchor { source })?;
        builder = builder.with_trust_anchor(Arc::new(anchors));
    }
    builder.build().map_err(|source| SetupError::Resolver { source })
}
