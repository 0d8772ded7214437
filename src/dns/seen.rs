//! Answers as observations: only what is of use, in values of our own.

use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use jiff::Timestamp;

use super::name::plain;
use super::wire::Reply;
use crate::observation::{Cname, Code, Response, Signature, Soa, Txt};

/// What a reply says of TXT at `name`.
pub(super) fn response(name: &Name, reply: &Reply, unchecked: Option<&Reply>, now: Timestamp) -> Response {
    let message = &reply.message;
    let at_name = || message.answers.iter().filter(|record| record.name == *name);
    Response {
        code: code(message.metadata.response_code),
        authoritative: message.metadata.authoritative,
        truncation: reply.truncation.clone(),
        txt: at_name().filter_map(txt).collect(),
        cname: cname_at(name, message),
        soa: soa_of(&message.authorities).map(|(_, soa)| soa),
        signatures: at_name().filter_map(|record| signature(record, now)).collect(),
        unchecked: unchecked.map(|reply| Box::new(response(name, reply, None, now))),
        took: reply.took,
    }
}

/// The CNAME at `name`.
pub(super) fn cname_at(name: &Name, message: &Message) -> Option<Cname> {
    message.answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(Cname { target: plain(target), ttl: record.ttl }),
        _ => None,
    })
}

/// TXT records at the end of the CNAMEs that begin at `name`.
pub(super) fn txt_along_chain(name: &Name, answers: &[Record]) -> Vec<Txt> {
    let mut name = name.clone();
    for _ in 0..answers.len() {
        let alias = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some(target.0.clone()),
            _ => None,
        });
        match alias {
            Some(target) => name = target,
            None => break,
        }
    }
    answers.iter().filter(|record| record.name == name).filter_map(txt).collect()
}

/// The first SOA record and its owner.
pub(super) fn soa_of(records: &[Record]) -> Option<(Name, Soa)> {
    records.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => {
            Some((record.name.clone(), Soa { serial: soa.serial, ttl: record.ttl, minimum: soa.minimum }))
        }
        _ => None,
    })
}

pub(super) fn code(code: ResponseCode) -> Code {
    match code {
        ResponseCode::NoError => Code::NoError,
        ResponseCode::NXDomain => Code::NxDomain,
        ResponseCode::ServFail => Code::ServFail,
        ResponseCode::Refused => Code::Refused,
        other => Code::Other(other.into()),
    }
}

pub(super) fn txt(record: &Record) -> Option<Txt> {
    match &record.data {
        RData::TXT(txt) => {
            Some(Txt { strings: txt.txt_data.iter().map(|string| string.to_vec()).collect(), ttl: record.ttl })
        }
        _ => None,
    }
}

fn signature(record: &Record, now: Timestamp) -> Option<Signature> {
    let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
    let input = signature.input();
    if !matches!(input.type_covered, RecordType::TXT | RecordType::CNAME) {
        return None;
    }
    Some(Signature { expires: near(input.sig_expiration.get(), now) })
}

/// RRSIG times are seconds modulo 2^32 (RFC 4034 §3.1.5): the point in time next to now.
fn near(seconds: u32, now: Timestamp) -> Timestamp {
    let now_seconds = now.as_second();
    let low = u32::try_from(now_seconds.rem_euclid(1 << 32)).unwrap_or(0);
    let distance = i64::from(seconds.wrapping_sub(low).cast_signed());
    Timestamp::from_second(now_seconds.saturating_add(distance)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_signatures_are_near_to_now() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let hour_ago = u32::try_from(now.as_second() - 3600).unwrap();
        assert_eq!(near(hour_ago, now).to_string(), "2026-11-23T11:00:00Z");
        let late: Timestamp = "2106-02-07T06:28:00Z".parse().unwrap();
        assert_eq!(near(100, late).as_second(), (1 << 32) + 100);
    }
}
