//! A DNS server in process that can lie.
//!
//! ```text
//!  DnsServer ── one port on several addresses, UDP and TCP
//!     ├── zones: what each address answers for, honestly: records, referrals with glue, CNAMEs, wildcards
//!     ├── lies: what an address says to one name instead
//!     ├── resolver: an address that answers from the zones of all addresses, as a recursive server does
//!     └── questions: everything that it was asked
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::txt::Parser;

/// What an address says to one name.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// This response code, without records.
    Code(ResponseCode),
    /// SERVFAIL, unless checking is disabled (CD=1).
    ServFailUnlessUnchecked,
    /// The truth, without AA.
    Lame,
    /// TC over UDP; the truth over TCP.
    Truncated,
    /// TC over UDP; TCP connections are closed at once.
    TruncatedWithoutTcp,
    /// TC over UDP; TCP connections are taken, then nothing comes.
    TruncatedAndTcpHangs,
    /// Nothing, over UDP and TCP.
    Silence,
    /// Nothing over UDP; the truth over TCP.
    OnlyTcp,
    /// Nothing to the first so many questions, then the truth.
    SilenceAtFirst(usize),
    /// The truth under another id.
    WrongId,
    /// The answer to a question that was not asked.
    OtherName,
    /// These octets, after the right id.
    Octets(Vec<u8>),
    /// An answer whose compressed name points at itself.
    CompressionLoop,
    /// These records instead, as lines of a zone file with absolute names. None: NODATA.
    Records(String),
    /// FORMERR to questions with EDNS, the truth to others.
    NoEdns,
    /// A CNAME to the name of these labels.
    Alias(Vec<Vec<u8>>),
}

/// A question that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Which address it came to.
    pub(crate) at: IpAddr,
    /// The name, in lower case without the final dot.
    pub(crate) name: String,
    /// The type.
    pub(crate) record_type: RecordType,
    /// RD.
    pub(crate) recursion_desired: bool,
    /// CD.
    pub(crate) checking_disabled: bool,
    /// Over TCP.
    pub(crate) over_tcp: bool,
}

/// A running server. Its threads end when it is dropped.
pub(crate) struct DnsServer {
    state: Arc<State>,
    port: u16,
    addresses: Vec<IpAddr>,
}

#[derive(Default)]
struct State {
    data: Mutex<Data>,
    asked: Mutex<Vec<Asked>>,
    times: Mutex<HashMap<(IpAddr, String), usize>>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Data {
    zones: HashMap<IpAddr, BTreeMap<String, Zone>>,
    lies: HashMap<(IpAddr, String), Lie>,
    delays: HashMap<IpAddr, Duration>,
    resolvers: BTreeSet<IpAddr>,
}

/// Records of one zone by owner name (lower case, without the final dot).
#[derive(Debug, Clone, Default)]
struct Zone {
    records: BTreeMap<String, Vec<Record>>,
}

impl DnsServer {
    /// Starts it on one free port of these addresses of loopback.
    pub(crate) fn start(addresses: &[IpAddr]) -> Self {
        let state = Arc::new(State::default());
        let (port, sockets) = bind_all(addresses);
        for ((udp, tcp), address) in sockets.into_iter().zip(addresses) {
            serve_udp(udp, *address, &state);
            serve_tcp(tcp, *address, &state);
        }
        Self { state, port, addresses: addresses.to_vec() }
    }

    /// Its port, the same on each address.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it answers.
    pub(crate) fn servers(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port)).collect()
    }

    /// One of its addresses, with the port.
    pub(crate) fn at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.port)
    }

    /// Has these addresses answer for a zone: lines of a zone file relative to the apex; `$TTL` is 3600.
    pub(crate) fn serve(&self, addresses: &[IpAddr], apex: &str, lines: &str) {
        let zone = Zone { records: parse(apex, lines) };
        let mut data = self.state.data.lock().unwrap();
        for address in addresses {
            data.zones.entry(*address).or_default().insert(plain(apex), zone.clone());
        }
    }

    /// Has an address say something else about a name.
    pub(crate) fn lie(&self, address: IpAddr, name: &str, lie: Lie) {
        self.state.data.lock().unwrap().lies.insert((address, plain(name)), lie);
    }

    /// Has an address tell the truth about a name again.
    pub(crate) fn be_honest(&self, address: IpAddr, name: &str) {
        self.state.data.lock().unwrap().lies.remove(&(address, plain(name)));
    }

    /// Has an address wait before each answer over UDP.
    pub(crate) fn delay(&self, address: IpAddr, delay: Duration) {
        self.state.data.lock().unwrap().delays.insert(address, delay);
    }

    /// Has an address answer as a resolver that knows the zones of all addresses.
    pub(crate) fn resolve(&self, address: IpAddr) {
        self.state.data.lock().unwrap().resolvers.insert(address);
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
    }
}

/// Whether a server answers for a zone: SOA with AA.
pub(crate) fn is_authoritative(server: SocketAddr, apex: &str) -> bool {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut question = Message::query();
    question.add_query(Query::query(absolute(apex), RecordType::SOA));
    if socket.send_to(&question.to_vec().unwrap(), server).is_err() {
        return false;
    }
    let mut buffer = [0; 4096];
    let Ok(length) = socket.recv(&mut buffer) else { return false };
    Message::from_vec(&buffer[..length]).is_ok_and(|answer| answer.metadata.authoritative && !answer.answers.is_empty())
}

/// One port that is free for UDP and TCP on every address.
fn bind_all(addresses: &[IpAddr]) -> (u16, Vec<(UdpSocket, TcpListener)>) {
    for _ in 0..100 {
        let first = TcpListener::bind((addresses[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        drop(first);
        let bind = |address: &IpAddr| {
            Some((UdpSocket::bind((*address, port)).ok()?, TcpListener::bind((*address, port)).ok()?))
        };
        if let Some(sockets) = addresses.iter().map(bind).collect() {
            return (port, sockets);
        }
    }
    panic!("no port is free on all of {addresses:?}");
}

fn serve_udp(socket: UdpSocket, address: IpAddr, state: &Arc<State>) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let late = send_late(socket.try_clone().unwrap());
    let state = Arc::clone(state);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while !state.is_over.load(Ordering::Relaxed) {
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            let Some(answer) = state.answer(address, &buffer[..length], Transport::Udp) else { continue };
            let delay = state.data.lock().unwrap().delays.get(&address).copied();
            match delay {
                Some(delay) => late.send((Instant::now() + delay, answer, peer)).unwrap(),
                None => drop(socket.send_to(&answer, peer)),
            }
        }
    });
}

/// A thread that sends each answer when it is due, in their order.
fn send_late(socket: UdpSocket) -> Sender<(Instant, Vec<u8>, SocketAddr)> {
    let (sender, receiver): (_, Receiver<(Instant, Vec<u8>, SocketAddr)>) = channel();
    thread::spawn(move || {
        for (due, answer, peer) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            drop(socket.send_to(&answer, peer));
        }
    });
    sender
}

fn serve_tcp(listener: TcpListener, address: IpAddr, state: &Arc<State>) {
    listener.set_nonblocking(true).unwrap();
    let state = Arc::clone(state);
    thread::spawn(move || {
        while !state.is_over.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    let state = Arc::clone(&state);
                    thread::spawn(move || drop(converse(stream, address, &state)));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    });
}

/// Answers the questions of one connection.
fn converse(mut stream: TcpStream, address: IpAddr, state: &State) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        let Some(answer) = state.answer(address, &question, Transport::Tcp) else {
            if state.hangs(address, &question) {
                thread::sleep(Duration::from_secs(10));
            }
            return Ok(());
        };
        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

impl State {
    fn hangs(&self, address: IpAddr, question: &[u8]) -> bool {
        let Ok(question) = Message::from_vec(question) else { return false };
        let name = plain(&question.queries[0].name().to_ascii());
        matches!(self.data.lock().unwrap().lies.get(&(address, name)), Some(Lie::TruncatedAndTcpHangs | Lie::Silence))
    }

    /// The octets to send back, if any.
    fn answer(&self, address: IpAddr, octets: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let question = Message::from_vec(octets).ok()?;
        let query = question.queries.first()?.clone();
        let name = plain(&query.name().to_ascii());
        let asked = Asked {
            at: address,
            name: name.clone(),
            record_type: query.query_type(),
            recursion_desired: question.metadata.recursion_desired,
            checking_disabled: question.metadata.checking_disabled,
            over_tcp: transport == Transport::Tcp,
        };
        self.asked.lock().unwrap().push(asked.clone());
        let times = {
            let mut times = self.times.lock().unwrap();
            let times = times.entry((address, name.clone())).or_default();
            *times += 1;
            *times
        };
        let data = self.data.lock().unwrap();
        let mut answer = data.honest(address, &question);
        let udp = transport == Transport::Udp;
        match data.lies.get(&(address, name)) {
            None => {}
            Some(Lie::Code(code)) => strip(&mut answer, *code),
            Some(Lie::ServFailUnlessUnchecked) if asked.checking_disabled => {}
            Some(Lie::ServFailUnlessUnchecked) => strip(&mut answer, ResponseCode::ServFail),
            Some(Lie::Lame) => answer.metadata.authoritative = false,
            Some(Lie::Truncated | Lie::TruncatedWithoutTcp | Lie::TruncatedAndTcpHangs) if udp => {
                return Some(cut(&answer));
            }
            Some(Lie::TruncatedWithoutTcp | Lie::TruncatedAndTcpHangs | Lie::Silence) => return None,
            Some(Lie::Truncated) => {}
            Some(Lie::OnlyTcp) if udp => return None,
            Some(Lie::OnlyTcp) => {}
            Some(Lie::SilenceAtFirst(first)) if times <= *first => return None,
            Some(Lie::SilenceAtFirst(_)) => {}
            Some(Lie::WrongId) => answer.metadata.id ^= 0x5555,
            Some(Lie::OtherName) => {
                answer.queries = vec![Query::query(absolute("other.example"), query.query_type())];
            }
            Some(Lie::Octets(octets)) => {
                return Some([&question.metadata.id.to_be_bytes(), octets.as_slice()].concat());
            }
            Some(Lie::CompressionLoop) => return Some(compression_loop(&answer)),
            Some(Lie::NoEdns) if question.edns.is_some() => {
                strip(&mut answer, ResponseCode::FormErr);
                answer.queries.clear();
                answer.edns = None;
            }
            Some(Lie::NoEdns) => {}
            Some(Lie::Alias(labels)) => {
                strip(&mut answer, ResponseCode::NoError);
                let target = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
                answer.add_answer(Record::from_rdata(query.name().clone(), 60, RData::CNAME(CNAME(target))));
            }
            Some(Lie::Records(lines)) => {
                let qname = plain(&query.name().to_ascii());
                answer.answers.clear();
                answer.authorities.clear();
                answer.metadata.response_code = ResponseCode::NoError;
                answer.metadata.authoritative = true;
                let records = parse(".", lines).remove(&qname).unwrap_or_default();
                answer.answers = records.into_iter().filter(|record| fits(record, query.query_type())).collect();
            }
        }
        let octets = answer.to_vec().unwrap();
        let limit = usize::from(question.edns.as_ref().map_or(512, Edns::max_payload));
        if udp && octets.len() > limit { Some(cut(&answer)) } else { Some(octets) }
    }
}

impl Data {
    /// The truth, as far as this address knows it.
    fn honest(&self, address: IpAddr, question: &Message) -> Message {
        let query = question.queries[0].clone();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.add_query(query.clone());
        if question.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            answer.set_edns(edns);
        }
        let name = plain(&query.name().to_ascii());
        if self.resolvers.contains(&address) {
            self.resolve(&name, query.query_type(), &mut answer);
        } else {
            let zones = self.zones.get(&address);
            match zones.and_then(|zones| zone_of(zones, &name)) {
                Some((apex, zone)) => zone.answer(apex, &name, query.query_type(), &mut answer),
                None => answer.metadata.response_code = ResponseCode::Refused,
            }
        }
        answer
    }

    /// Follows CNAMEs through the zones of all addresses.
    fn resolve(&self, name: &str, record_type: RecordType, answer: &mut Message) {
        let mut name = name.to_owned();
        for _ in 0..10 {
            answer.authorities.clear();
            let is_ds = record_type == RecordType::DS;
            let searched = if is_ds { name.split_once('.').map_or("", |(_, parent)| parent) } else { &name };
            let known = self.zones.values().filter_map(|zones| zone_of(zones, searched));
            let Some((apex, zone)) = known.max_by_key(|(apex, _)| apex.len()) else {
                answer.metadata.response_code = ResponseCode::ServFail;
                break;
            };
            zone.answer(apex, &name, record_type, answer);
            let alias = answer.answers.last().and_then(|record| match &record.data {
                RData::CNAME(target) if record_type != RecordType::CNAME => Some(plain(&target.to_ascii())),
                _ => None,
            });
            match alias {
                Some(target) => name = target,
                None => break,
            }
        }
        answer.additionals.clear();
        answer.metadata.authoritative = false;
        answer.metadata.recursion_available = true;
    }
}

impl Zone {
    fn answer(&self, apex: &str, name: &str, record_type: RecordType, answer: &mut Message) {
        answer.metadata.authoritative = true;
        answer.metadata.response_code = ResponseCode::NoError;
        if let Some(cut) = self.cut(apex, name, record_type) {
            answer.metadata.authoritative = false;
            let records = &self.records[&cut];
            for record in
                records.iter().filter(|record| matches!(record.record_type(), RecordType::NS | RecordType::DS))
            {
                answer.add_authority(record.clone());
                if let RData::NS(server) = &record.data {
                    let glue = self.records.get(&plain(&server.to_ascii())).into_iter().flatten();
                    answer.add_additionals(glue.filter(|glue| glue.record_type().is_ip_addr()).cloned());
                }
            }
            return;
        }
        let found = self.records.get(name).cloned().or_else(|| self.wildcard(apex, name));
        let exists = found.is_some() || self.records.keys().any(|owner| owner.ends_with(&format!(".{name}")));
        let answers = found.into_iter().flatten().filter(|record| fits(record, record_type));
        let before = answer.answers.len();
        answer.add_answers(answers);
        if answer.answers.len() == before {
            if !exists {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            answer.add_authorities(
                self.records[apex].iter().filter(|record| record.record_type() == RecordType::SOA).cloned(),
            );
        }
    }

    /// The topmost delegation at or above `name`.
    fn cut(&self, apex: &str, name: &str, record_type: RecordType) -> Option<String> {
        let mut found = None;
        let mut owner = name;
        while owner != apex {
            let has_servers = self
                .records
                .get(owner)
                .is_some_and(|records| records.iter().any(|record| record.record_type() == RecordType::NS));
            if has_servers && !(owner == name && record_type == RecordType::DS) {
                found = Some(owner.to_owned());
            }
            owner = owner.split_once('.').map_or("", |(_, parent)| parent);
        }
        found
    }

    /// Records of the closest wildcard, under `name`.
    fn wildcard(&self, apex: &str, name: &str) -> Option<Vec<Record>> {
        let mut parent = name;
        while parent != apex {
            parent = parent.split_once('.').map_or("", |(_, parent)| parent);
            let owner = if parent.is_empty() { "*".to_owned() } else { format!("*.{parent}") };
            if let Some(records) = self.records.get(&owner) {
                let named = |record: &Record| Record::from_rdata(absolute(name), record.ttl, record.data.clone());
                return Some(records.iter().map(named).collect());
            }
            if self.records.contains_key(parent) || parent.is_empty() {
                return None;
            }
        }
        None
    }
}

fn fits(record: &Record, record_type: RecordType) -> bool {
    record.record_type() == record_type || record.record_type() == RecordType::CNAME
}

/// The deepest zone that `name` can be in.
fn zone_of<'z>(zones: &'z BTreeMap<String, Zone>, name: &str) -> Option<(&'z String, &'z Zone)> {
    let mut name = name;
    loop {
        if let Some(found) = zones.get_key_value(name) {
            return Some(found);
        }
        if name.is_empty() {
            return None;
        }
        name = name.split_once('.').map_or("", |(_, parent)| parent);
    }
}

fn is_within(name: &str, ancestor: &str) -> bool {
    ancestor.is_empty() || name.strip_suffix(ancestor).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn strip(answer: &mut Message, code: ResponseCode) {
    answer.metadata.response_code = code;
    answer.answers.clear();
    answer.authorities.clear();
    answer.additionals.clear();
}

fn cut(answer: &Message) -> Vec<u8> {
    let mut answer = answer.clone();
    let code = answer.metadata.response_code;
    strip(&mut answer, code);
    answer.metadata.truncation = true;
    answer.to_vec().unwrap()
}

/// The question, then a record whose name is a pointer to itself.
fn compression_loop(answer: &Message) -> Vec<u8> {
    let mut empty = answer.clone();
    strip(&mut empty, ResponseCode::NoError);
    empty.edns = None;
    let mut octets = empty.to_vec().unwrap();
    octets[7] = 1;
    let here = 0xc000 | u16::try_from(octets.len()).unwrap();
    octets.extend(here.to_be_bytes());
    octets.extend([0, 16, 0, 1, 0, 0, 0, 60, 0, 1, 0]);
    octets
}

/// Records of a zone file by owner name.
fn parse(apex: &str, lines: &str) -> BTreeMap<String, Vec<Record>> {
    let text = format!("$TTL 3600\n{lines}\n");
    let (_, sets) = Parser::new(text, None, Some(absolute(apex))).parse().unwrap();
    let mut records: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for set in sets.values() {
        records.entry(plain(&set.name().to_ascii())).or_default().extend(set.records_without_rrsigs().cloned());
    }
    records
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
