//! What every way of publishing must do, whatever stands behind it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use hickory_server::proto::op::{Message, Query};
use hickory_server::proto::rr::{Name, RData, RecordType};
use waxseal::dns::publish::{Outcome, Publisher, Record, Standing};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const ZONE: &str = "example.test";
/// Of a TSIG key, for tests only.
pub(crate) const SECRET: &str = "d2F4c2VhbCB0ZXN0cyB1c2UgdGhpcyBzZWNyZXQgb25seQ==";

/// A record as ours are: longer than one string can be.
pub(crate) fn record(selector: &str, filling: char) -> Record {
    Record {
        name: format!("{selector}._domainkey.{ZONE}"),
        ttl: 3600,
        value: format!("v=DKIM1; k=rsa; p={}", filling.to_string().repeat(392)),
    }
}

/// The same revoked.
pub(crate) fn revoked(record: &Record) -> Record {
    Record { value: "v=DKIM1; k=rsa; p=".into(), ..record.clone() }
}

/// Publishes, repeats, revokes, withdraws; and leaves everything alone that is somebody else's. `by_hand` puts a TXT record
/// where another administrator would.
pub(crate) fn does_what_it_must(publisher: &dyn Publisher, server: SocketAddr, by_hand: impl Fn(&str, &[&str])) {
    let key = record("k1", 'A');
    assert_eq!(txt_at(server, &key.name), Vec::<String>::new());
    assert_eq!(present(publisher, &key), Outcome::Done);
    assert_eq!(txt_at(server, &key.name), [key.value.as_str()]);
    assert_eq!(present(publisher, &key), Outcome::AlreadySo);

    // Another key's record at the same name: nothing of it is published, replaced or deleted.
    let other = record("k1", 'B');
    let conflict = |outcome: Outcome, value: &str| match outcome {
        Outcome::Conflict(Standing::Txt(records)) => {
            assert_eq!(records.iter().map(|txt| txt.joined()).collect::<Vec<_>>(), [value.as_bytes()]);
        }
        outcome => panic!("{outcome:?}"),
    };
    conflict(present(publisher, &other), &key.value);
    conflict(replace(publisher, &other, &revoked(&other)), &key.value);
    conflict(absent(publisher, &other), &key.value);
    assert_eq!(txt_at(server, &key.name), [key.value.as_str()]);

    let gone = revoked(&key);
    assert_eq!(replace(publisher, &key, &gone), Outcome::Done);
    assert_eq!(txt_at(server, &key.name), [gone.value.as_str()]);
    assert_eq!(replace(publisher, &key, &gone), Outcome::AlreadySo);
    assert_eq!(absent(publisher, &gone), Outcome::Done);
    assert_eq!(txt_at(server, &key.name), Vec::<String>::new());
    assert_eq!(absent(publisher, &gone), Outcome::AlreadySo);
    assert_eq!(replace(publisher, &key, &gone), Outcome::Conflict(Standing::Nothing));

    // Ours, but cut into other strings: by the value it is the same record.
    let by_them = record("k2", 'C');
    let (start, rest) = by_them.value.split_at(100);
    let (middle, end) = rest.split_at(100);
    by_hand(&by_them.name, &[start, middle, end]);
    assert_eq!(present(publisher, &by_them), Outcome::AlreadySo);
    assert_eq!(replace(publisher, &by_them, &revoked(&by_them)), Outcome::Done);
    assert_eq!(txt_at(server, &by_them.name), [revoked(&by_them).value]);
    let by_them = record("k3", 'D');
    by_hand(&by_them.name, &["v=DKIM1; k=rsa; ", "p="]);
    conflict(absent(publisher, &by_them), "v=DKIM1; k=rsa; p=");
}

pub(crate) fn present(publisher: &dyn Publisher, record: &Record) -> Outcome {
    wait(publisher.present(record)).unwrap()
}

pub(crate) fn replace(publisher: &dyn Publisher, old: &Record, new: &Record) -> Outcome {
    wait(publisher.replace(old, new)).unwrap()
}

pub(crate) fn absent(publisher: &dyn Publisher, record: &Record) -> Outcome {
    wait(publisher.absent(record)).unwrap()
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// One for several operations: connections are kept within one.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The TXT records that a server has at a name.
pub(crate) fn txt_at(server: SocketAddr, name: &str) -> Vec<String> {
    let answer = ask(server, name, RecordType::TXT);
    let texts = answer.answers.iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(String::from_utf8(txt.txt_data.concat()).unwrap()),
        _ => None,
    });
    texts.collect()
}

/// What a server says to a question over TCP.
pub(crate) fn ask(server: SocketAddr, name: &str, record_type: RecordType) -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), record_type));
    let octets = question.to_vec().unwrap();
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&u16::try_from(octets.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&octets).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}
