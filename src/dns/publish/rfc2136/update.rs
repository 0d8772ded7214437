//! Update messages and what stands at a name, as octets of the protocol.

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::super::{Record as Ours, Refusal, Standing};
use crate::dns::seen::{cname_at, txt};
use crate::observation::Txt;

/// The strings of a TXT record, as they stand or are to stand.
pub(super) fn rdata(strings: &[&[u8]]) -> RData {
    RData::TXT(TXT::from_bytes(strings.to_vec()))
}

/// The strings that a record of ours would have.
pub(super) fn own_rdata(record: &Ours) -> RData {
    rdata(&record.strings())
}

/// The strings that a record has now.
pub(super) fn standing_rdata(txt: &Txt) -> RData {
    let strings: Vec<&[u8]> = txt.strings.iter().map(Vec::as_slice).collect();
    rdata(&strings)
}

/// Adds a record where the name is not in use (RFC 2136 §2.4.5): not by another TXT record, nor by an alias, below which
/// the record would silently not appear.
pub(super) fn add(zone: &Name, name: &Name, ttl: u32, new: RData) -> Message {
    let mut message = update(zone);
    let mut unused = Record::update0(name.clone(), 0, RecordType::ANY).into_record_of_rdata();
    unused.dns_class = DNSClass::NONE;
    message.add_answer(unused);
    message.add_authority(Record::from_rdata(name.clone(), ttl, new));
    message
}

/// Puts a record in the place of another, if that is the only one of its type (§2.4.2).
pub(super) fn swap(zone: &Name, name: &Name, old: RData, ttl: u32, new: RData) -> Message {
    let mut message = remove(zone, name, old);
    message.add_authority(Record::from_rdata(name.clone(), ttl, new));
    message
}

/// Deletes a record (§2.5.4), if it is the only one of its type (§2.4.2).
pub(super) fn remove(zone: &Name, name: &Name, old: RData) -> Message {
    let mut message = update(zone);
    message.add_answer(Record::from_rdata(name.clone(), 0, old.clone()));
    message.add_authority(deletion(name, old));
    message
}

/// Deletes a record and leaves others of its name and type (§2.5.4).
pub(super) fn remove_among_others(zone: &Name, name: &Name, old: RData) -> Message {
    let mut message = update(zone);
    message.add_answer(Record::update0(name.clone(), 0, RecordType::TXT).into_record_of_rdata());
    if let Some(exists) = message.answers.last_mut() {
        exists.dns_class = DNSClass::ANY;
    }
    message.add_authority(deletion(name, old));
    message
}

fn deletion(name: &Name, old: RData) -> Record {
    let mut deletion = Record::from_rdata(name.clone(), 0, old);
    deletion.dns_class = DNSClass::NONE;
    deletion
}

/// The zone, prerequisite and update sections stand where a query has its question, answer and authority (§2).
fn update(zone: &Name) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(zone.clone(), RecordType::SOA));
    message
}

/// A question to the server that takes updates.
pub(super) fn question(name: &Name, record_type: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.clone(), record_type));
    message
}

/// What an answer to a question for TXT says of the name.
pub(super) fn standing(name: &Name, answer: &Message) -> Standing {
    if let Some(cname) = cname_at(name, answer) {
        return Standing::Cname { target: cname.target };
    }
    let records: Vec<Txt> = answer.answers.iter().filter(|record| record.name == *name).filter_map(txt).collect();
    if records.is_empty() { Standing::Nothing } else { Standing::Txt(records) }
}

/// Why an answer to an update or a question is none.
pub(super) fn refusal(code: ResponseCode) -> Refusal {
    match code {
        ResponseCode::Refused => Refusal::Refused,
        ResponseCode::NotAuth => Refusal::NotAuthoritative,
        ResponseCode::NotZone => Refusal::NotInZone,
        ResponseCode::ServFail => Refusal::ServerFailure,
        ResponseCode::FormErr | ResponseCode::NotImp => Refusal::NotImplemented,
        other => Refusal::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::absolute;

    const ZONE: &str = "example.test";
    const NAME: &str = "s._domainkey.example.test";

    /// Class, type, TTL and length of the data of each record of a section, as they travel.
    fn shapes(records: &[Record]) -> Vec<(DNSClass, RecordType, u32, bool)> {
        let shape = |record: &Record| {
            let is_empty = matches!(record.data, RData::Update0(_));
            (record.dns_class, record.record_type(), record.ttl, is_empty)
        };
        records.iter().map(shape).collect()
    }

    fn sent(message: &Message) -> Message {
        Message::from_vec(&message.to_vec().unwrap()).unwrap()
    }

    #[test]
    fn each_change_has_its_prerequisite() {
        let (zone, name) = (absolute(ZONE).unwrap(), absolute(NAME).unwrap());
        let (old, new) = (rdata(&[b"old"]), rdata(&[b"new"]));
        let (txt, any) = (RecordType::TXT, RecordType::ANY);

        let add = sent(&add(&zone, &name, 60, new.clone()));
        assert_eq!((add.metadata.op_code, add.queries[0].query_type()), (OpCode::Update, RecordType::SOA));
        assert_eq!(shapes(&add.answers), [(DNSClass::NONE, any, 0, true)]);
        assert_eq!(shapes(&add.authorities), [(DNSClass::IN, txt, 60, false)]);

        let swap = sent(&swap(&zone, &name, old.clone(), 60, new));
        assert_eq!(shapes(&swap.answers), [(DNSClass::IN, txt, 0, false)]);
        assert_eq!(shapes(&swap.authorities), [(DNSClass::NONE, txt, 0, false), (DNSClass::IN, txt, 60, false)]);
        assert_eq!(swap.answers[0].data, old);

        let remove = sent(&remove(&zone, &name, old.clone()));
        assert_eq!(shapes(&remove.answers), [(DNSClass::IN, txt, 0, false)]);
        assert_eq!(shapes(&remove.authorities), [(DNSClass::NONE, txt, 0, false)]);

        let among = sent(&remove_among_others(&zone, &name, old));
        assert_eq!(shapes(&among.answers), [(DNSClass::ANY, txt, 0, true)]);
        assert_eq!(shapes(&among.authorities), [(DNSClass::NONE, txt, 0, false)]);
    }
}
