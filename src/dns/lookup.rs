//! Recursive look-ups of TXT records.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::proto::serialize::txt::ParseError;
use hickory_resolver::{ResolverBuilder, TokioResolver};

/// Asks recursive resolvers. Cloning is cheap; clones share connections. Nothing is cached here, the resolvers do that.
#[derive(Clone)]
pub struct Lookup {
    resolver: TokioResolver,
}

/// How long to wait for resolvers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one answer of one resolver.
    pub timeout: Duration,
    /// Further rounds after the first.
    pub retries: usize,
}

impl Default for Patience {
    /// Five seconds, then once again: what stub resolvers do.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), retries: 1 }
    }
}

/// What the DNS says about TXT records at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxtAnswer {
    /// There are such records.
    Found {
        /// Each record's character-strings, joined without anything between them (RFC 6376 §3.6.2.2).
        records: Vec<Vec<u8>>,
        /// The shortest time to live among them, as the resolver counts it down.
        ttl: Duration,
    },
    /// The name exists and has no TXT record. A chain of CNAMEs that ends nowhere can look like this.
    NoRecord,
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
}

/// Why it is not known what the DNS says: asking again later may help.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Not a name that the DNS can hold; asking again does not help.
    #[error("{name:?} is no DNS name")]
    Name {
        /// The name as given.
        name: String,
        /// Why.
        source: ProtoError,
    },
    /// No resolver answered in time.
    #[error("no resolver answered for {name} in time")]
    Timeout {
        /// The name asked for.
        name: String,
    },
    /// The resolver answered that it has no answer.
    #[error("the resolver answered {code} for {name}")]
    ResponseCode {
        /// The name asked for.
        name: String,
        /// SERVFAIL, REFUSED and their kin.
        code: ResponseCode,
    },
    /// No resolver could be reached or understood.
    #[error("looking up {name} failed")]
    Network {
        /// The name asked for.
        name: String,
        /// Why.
        source: NetError,
    },
}

/// Why no resolver can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The system's configuration names none or cannot be read.
    #[error("the system's resolver configuration (/etc/resolv.conf) cannot be used")]
    System {
        /// Why.
        source: NetError,
    },
    /// The list is empty.
    #[error("the list of resolvers is empty")]
    NoServers,
    /// The trust anchor is no list of DNSKEY records.
    #[error("the DNSSEC trust anchor cannot be read; give DNSKEY records as in a zone file")]
    TrustAnchor {
        /// Why.
        source: ParseError,
    },
    /// The resolver's own set-up failed.
    #[error("setting up the resolver failed")]
    Resolver {
        /// Why.
        source: NetError,
    },
}

impl Lookup {
    /// Asks the resolvers of the system's configuration.
    pub fn system(patience: Patience) -> Result<Self, SetupError> {
        let builder = TokioResolver::builder_tokio().map_err(|source| SetupError::System { source })?;
        Self::build(builder, patience)
    }

    /// Asks these resolvers, over UDP and, where an answer is cut off, TCP.
    pub fn of_servers(servers: &[SocketAddr], patience: Patience) -> Result<Self, SetupError> {
        if servers.is_empty() {
            return Err(SetupError::NoServers);
        }
        let servers = servers.iter().map(|server| name_server(*server)).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        Self::build(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()), patience)
    }

    /// TXT records at `name`, which is taken as complete: no search list applies.
    ///
    /// # Errors
    /// When it could not be found out.
    pub async fn txt(&self, name: &str) -> Result<TxtAnswer, LookupError> {
        let mut query = Name::from_ascii(name).map_err(|source| LookupError::Name { name: name.into(), source })?;
        query.set_fqdn(true);
        let lookup = match self.resolver.txt_lookup(query).await {
            Ok(lookup) => lookup,
            Err(error) => return negative(name, error),
        };
        let mut records = Vec::new();
        let mut ttl = u32::MAX;
        for record in lookup.answers() {
            if let RData::TXT(txt) = &record.data {
                records.push(txt.txt_data.concat());
                ttl = ttl.min(record.ttl);
            }
        }
        if records.is_empty() {
            return Ok(TxtAnswer::NoRecord);
        }
        Ok(TxtAnswer::Found { records, ttl: Duration::from_secs(ttl.into()) })
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>, patience: Patience) -> Result<Self, SetupError> {
        set(builder.options_mut(), patience);
        let resolver = builder.build().map_err(|source| SetupError::Resolver { source })?;
        Ok(Self { resolver })
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

fn set(options: &mut ResolverOpts, patience: Patience) {
    options.timeout = patience.timeout;
    options.attempts = patience.retries;
    options.edns0 = true;
    options.cache_size = 0;
    options.try_tcp_on_error = true;
}

/// A resolver that is asked over UDP and, where an answer is cut off, TCP.
pub(super) fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

fn negative(name: &str, error: NetError) -> Result<TxtAnswer, LookupError> {
    let name = name.to_owned();
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Ok(TxtAnswer::NoSuchName),
            ResponseCode::NoError => Ok(TxtAnswer::NoRecord),
            code => Err(LookupError::ResponseCode { name, code }),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Err(LookupError::ResponseCode { name, code }),
        NetError::Timeout => Err(LookupError::Timeout { name }),
        source => Err(LookupError::Network { name, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA, TXT};
    use hickory_resolver::proto::rr::{LowerName, Record};
    use hickory_server::Server;
    use hickory_server::store::in_memory::InMemoryZoneHandler;
    use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;

    const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn name(text: &str) -> Name {
        let mut name = Name::from_ascii(text).unwrap();
        name.set_fqdn(true);
        name
    }

    /// A server for example.test, on one port for UDP and TCP.
    async fn serve() -> (Server<Catalog>, SocketAddr) {
        let origin = name("example.test");
        let mut zone =
            InMemoryZoneHandler::<TokioRuntimeProvider>::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(name("ns.example.test"), name("admin.example.test"), 1, 3600, 600, 86400, 60);
        let long = "x".repeat(250);
        let texts = |strings: &[&str]| RData::TXT(TXT::new(strings.iter().map(|text| (*text).to_owned()).collect()));
        for (owner, ttl, data) in [
            ("example.test", 3600, RData::SOA(soa)),
            ("s._domainkey.example.test", 1800, texts(&["v=DKIM1; ", "p="])),
            ("two._domainkey.example.test", 600, texts(&["v=DKIM1; p="])),
            ("two._domainkey.example.test", 600, texts(&["another"])),
            ("alias._domainkey.example.test", 60, RData::CNAME(CNAME(name("s._domainkey.example.test")))),
            ("long._domainkey.example.test", 60, texts(&[long.as_str(); 20])),
            ("host.example.test", 60, RData::A(A(Ipv4Addr::LOCALHOST))),
        ] {
            zone.upsert_mut(Record::from_rdata(name(owner), ttl, data), 1);
        }
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone)]);
        let mut server = Server::new(catalog);
        let tcp = TcpListener::bind(HERE).await.unwrap();
        let address = tcp.local_addr().unwrap();
        server.register_socket(UdpSocket::bind(address).await.unwrap());
        server.register_listener(tcp, Duration::from_secs(5), 4096);
        (server, address)
    }

    /// A server that answers every question with this response code, or not at all.
    async fn serve_failure(code: Option<u8>) -> SocketAddr {
        let socket = UdpSocket::bind(HERE).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                if let Some(code) = code {
                    buffer[2] |= 0x80;
                    buffer[3] = 0x80 | code;
                    let _ = socket.send_to(&buffer[..length], peer).await;
                }
            }
        });
        address
    }

    fn lookup(server: SocketAddr) -> Lookup {
        Lookup::of_servers(&[server], Patience { timeout: Duration::from_millis(300), retries: 0 }).unwrap()
    }

    #[tokio::test]
    async fn strings_of_a_record_are_joined() {
        let (_server, address) = serve().await;
        let answer = lookup(address).txt("s._domainkey.example.test").await.unwrap();
        assert_eq!(answer, TxtAnswer::Found { records: vec![b"v=DKIM1; p=".to_vec()], ttl: Duration::from_secs(1800) });
    }

    #[tokio::test]
    async fn every_record_of_a_name_is_given() {
        let (_server, address) = serve().await;
        let TxtAnswer::Found { mut records, .. } = lookup(address).txt("two._domainkey.example.test").await.unwrap()
        else {
            panic!("the name has records");
        };
        records.sort();
        assert_eq!(records, [b"another".to_vec(), b"v=DKIM1; p=".to_vec()]);
    }

    #[tokio::test]
    async fn aliases_are_followed() {
        let (_server, address) = serve().await;
        let answer = lookup(address).txt("alias._domainkey.example.test").await.unwrap();
        assert!(matches!(answer, TxtAnswer::Found { records, .. } if records == [b"v=DKIM1; p="]));
    }

    #[tokio::test]
    async fn an_answer_too_long_for_udp_comes_over_tcp() {
        let (_server, address) = serve().await;
        let answer = lookup(address).txt("long._domainkey.example.test").await.unwrap();
        assert!(matches!(answer, TxtAnswer::Found { records, .. } if records[0].len() == 5000));
    }

    #[tokio::test]
    async fn no_name_and_no_record_are_told_apart() {
        let (_server, address) = serve().await;
        let lookup = lookup(address);
        assert_eq!(lookup.txt("absent._domainkey.example.test").await.unwrap(), TxtAnswer::NoSuchName);
        assert_eq!(lookup.txt("host.example.test.").await.unwrap(), TxtAnswer::NoRecord);
    }

    #[tokio::test]
    async fn failures_are_no_answers() {
        let lookup_of = async |code| lookup(serve_failure(code).await).txt("a.example.test").await.unwrap_err();
        assert!(matches!(lookup_of(Some(2)).await, LookupError::ResponseCode { code: ResponseCode::ServFail, .. }));
        assert!(matches!(lookup_of(Some(5)).await, LookupError::ResponseCode { code: ResponseCode::Refused, .. }));
        assert!(matches!(lookup_of(None).await, LookupError::Timeout { .. }));
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_asked() {
        let (_server, address) = serve().await;
        let long = "a".repeat(64);
        assert!(matches!(lookup(address).txt(&long).await, Err(LookupError::Name { .. })));
        assert!(matches!(Lookup::of_servers(&[], Patience::default()), Err(SetupError::NoServers)));
    }
}
