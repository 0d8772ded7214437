//! PowerDNS' HTTP API (version 1 of its authoritative server's API).
//!
//! It has no prerequisites: what stands at the name is read, written if that allows it, and read again. Between reading and
//! writing somebody else may write; then the second reading shows another record than ours, or ours in the place of theirs.
//! No two runs of ours do that, since they hold the domain's lock.

use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::stream::connect;
use super::zones::{Source, Zones};
use super::{Operation, Outcome, PublishError, Publisher, Publishing, Record, Standing};
use crate::config::ApiUrl;
use crate::dns::name::{absolute, plain};
use crate::files::secret::Secret;
use crate::names::DomainName;
use crate::observation::{Txt, presentation};

/// Octets of an answer. Before 4.6, PowerDNS answers with the whole zone.
const MOST_OCTETS: usize = 64 << 20;

/// Requests that are under way at once. PowerDNS has a thread for each.
const MOST_REQUESTS: usize = 16;

/// Changes records by PowerDNS' API.
///
/// Each request has a connection of its own, since PowerDNS closes it with its answer. Zones that were found are remembered
/// for 5 minutes, or until the API does not know one any more.
#[derive(Debug)]
pub struct PowerDns {
    settings: PowerDnsSettings,
    requests: Semaphore,
    /// PowerDNS' ids of zones.
    zones: Zones<String>,
}

/// Where the API is and how to use it.
#[derive(Debug, Clone)]
pub struct PowerDnsSettings {
    /// Where it listens.
    pub api: ApiUrl,
    /// The zone; without one, the API is asked.
    pub zone: Option<DomainName>,
    /// X-API-Key. Wiped when dropped, but for the copy in each request: hyper's header values are not.
    pub key: Secret,
    /// How long each request may take.
    pub timeout: Duration,
}

impl PowerDns {
    /// A publisher that has asked nothing yet.
    pub fn new(settings: PowerDnsSettings) -> Self {
        Self { settings, requests: Semaphore::new(MOST_REQUESTS), zones: Zones::new() }
    }

    async fn perform(&self, operation: Operation<'_>) -> Result<Outcome, PublishError> {
        let (place, source) = self.place(operation.record()).await?;
        match self.perform_at(&place, operation).await {
            // The API does not know the zone any more, so that nothing was changed.
            Err(PublishError::Api { status: 404 | 422, .. }) if source == Source::Remembered => {
                self.zones.forget(&place.name);
                let (place, _) = self.place(operation.record()).await?;
                self.perform_at(&place, operation).await
            }
            result => result,
        }
    }

    async fn perform_at(&self, place: &Place, operation: Operation<'_>) -> Result<Outcome, PublishError> {
        match operation {
            Operation::Present(record) => self.add(place, record).await,
            Operation::Replace { old, new } => self.swap(place, old, new).await,
            Operation::Absent(record) => self.remove(place, record).await,
        }
    }

    async fn add(&self, place: &Place, record: &Record) -> Result<Outcome, PublishError> {
        let found = self.read(place).await?;
        if found.is_only(record) {
            return Ok(Outcome::AlreadySo);
        }
        if found.standing != Standing::Nothing {
            return Ok(Outcome::Conflict(found.standing));
        }
        self.write(place, record.ttl, vec![record.quoted()]).await?;
        self.read_back(place, |found| found.is_only(record)).await
    }

    async fn swap(&self, place: &Place, old: &Record, new: &Record) -> Result<Outcome, PublishError> {
        let found = self.read(place).await?;
        if found.is_only(new) {
            return Ok(Outcome::AlreadySo);
        }
        if !found.is_only(old) {
            return Ok(Outcome::Conflict(found.standing));
        }
        self.write(place, new.ttl, vec![new.quoted()]).await?;
        self.read_back(place, |found| found.is_only(new)).await
    }

    async fn remove(&self, place: &Place, record: &Record) -> Result<Outcome, PublishError> {
        let found = self.read(place).await?;
        let Standing::Txt(records) = &found.standing else {
            return Ok(match found.standing {
                Standing::Nothing => Outcome::AlreadySo,
                standing => Outcome::Conflict(standing),
            });
        };
        if found.has_disabled || !records.iter().any(|standing| record.has_value_of(standing)) {
            return Ok(Outcome::Conflict(found.standing));
        }
        // Those of others are written again as they were.
        let others = records.iter().zip(&found.contents).filter(|(standing, _)| !record.has_value_of(standing));
        let others: Vec<String> = others.map(|(_, content)| content.clone()).collect();
        self.write(place, records.first().map_or(record.ttl, |first| first.ttl), others).await?;
        self.read_back(place, |found| match &found.standing {
            Standing::Txt(records) => !records.iter().any(|standing| record.has_value_of(standing)),
            _ => true,
        })
        .await
    }

    async fn read_back(&self, place: &Place, is_so: impl Fn(&Found) -> bool) -> Result<Outcome, PublishError> {
        let found = self.read(place).await?;
        Ok(if is_so(&found) { Outcome::Done } else { Outcome::Conflict(found.standing) })
    }

    /// The zone that the record is in, by PowerDNS' id for it.
    async fn place(&self, record: &Record) -> Result<(Place, Source), PublishError> {
        let PowerDnsSettings { api, zone, .. } = &self.settings;
        let is_plain = |name: &str| name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
        let Some(name) = absolute(&record.name).filter(|_| is_plain(&record.name)) else {
            return Err(PublishError::Name { name: presentation(record.name.as_bytes()) });
        };
        if let Some(zone_id) = self.zones.of(&name, Instant::now()) {
            return Ok((Place { zone_id, name }, Source::Remembered));
        }
        let mut candidates = Vec::new();
        match zone {
            Some(zone) if absolute(zone.as_str()).is_some_and(|apex| apex.zone_of(&name)) => {
                candidates.push(zone.to_string());
            }
            Some(zone) => return Err(PublishError::OutsideZone { name: plain(&name), zone: zone.to_string() }),
            None => {
                let mut ancestor = name.base_name();
                while !ancestor.is_root() {
                    candidates.push(plain(&ancestor));
                    ancestor = ancestor.base_name();
                }
            }
        }
        for candidate in candidates {
            let target = format!("/zones?zone={candidate}.");
            let zones: Vec<ZoneEntry> = self.decode(&self.call(Method::GET, &target, None).await?)?;
            let same = |zone: &ZoneEntry| zone.name.trim_end_matches('.').eq_ignore_ascii_case(&candidate);
            if let Some(zone) = zones.into_iter().find(same) {
                self.zones.remember(&name, &zone.id, Instant::now());
                return Ok((Place { zone_id: zone.id, name }, Source::Certain));
            }
        }
        Err(PublishError::NoZone { server: api.to_string(), name: plain(&name) })
    }

    async fn read(&self, place: &Place) -> Result<Found, PublishError> {
        let name = place.owner();
        let target = format!("/zones/{}?rrset_name={name}", place.zone_id);
        let zone: Zone = self.decode(&self.call(Method::GET, &target, None).await?)?;
        let mut rrsets = zone.rrsets;
        rrsets.retain(|rrset| rrset.name.eq_ignore_ascii_case(&name) && !rrset.records.is_empty());
        let mut found = Found { standing: Standing::Nothing, contents: Vec::new(), has_disabled: false };
        if let Some(alias) = rrsets.iter().find(|rrset| rrset.rr_type == "CNAME") {
            let target =
                alias.records.first().map(|record| presentation(record.content.trim_end_matches('.').as_bytes()));
            found.standing = Standing::Cname { target: target.unwrap_or_default() };
        } else if let Some(texts) = rrsets.iter().find(|rrset| rrset.rr_type == "TXT") {
            let records = texts.records.iter().map(|record| Txt { strings: strings(&record.content), ttl: texts.ttl });
            found.standing = Standing::Txt(records.collect());
            found.has_disabled = texts.records.iter().any(|record| record.disabled);
            found.contents = texts.records.iter().map(|record| record.content.clone()).collect();
        } else if !rrsets.is_empty() {
            found.standing = Standing::OtherTypes;
        }
        Ok(found)
    }

    /// Makes these the TXT records at the name.
    async fn write(&self, place: &Place, ttl: u32, contents: Vec<String>) -> Result<(), PublishError> {
        let name = place.owner();
        let rrset = if contents.is_empty() {
            json!({ "name": name, "type": "TXT", "changetype": "DELETE" })
        } else {
            let record = |content| json!({ "content": content, "disabled": false });
            let records: Vec<_> = contents.into_iter().map(record).collect();
            json!({ "name": name, "type": "TXT", "ttl": ttl, "changetype": "REPLACE", "records": records })
        };
        let body = json!({ "rrsets": [rrset] }).to_string();
        self.call(Method::PATCH, &format!("/zones/{}", place.zone_id), Some(body)).await.map(drop)
    }

    /// The body of a good answer.
    async fn call(&self, method: Method, target: &str, body: Option<String>) -> Result<Bytes, PublishError> {
        // An error would mean that the semaphore was closed, which nobody does.
        let _place = self.requests.acquire().await.ok();
        let exchange = self.exchange(method, target, body);
        let Ok(answer) = timeout(self.settings.timeout, exchange).await else {
            return Err(PublishError::Timeout { server: self.settings.api.to_string(), after: self.settings.timeout });
        };
        let (status, body) = answer?;
        match status {
            status if status.is_success() => Ok(body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(PublishError::ApiKey { server: self.settings.api.to_string(), status: status.as_u16() })
            }
            status => {
                let said = serde_json::from_slice::<ApiError>(&body).map(|error| error.error.into_bytes());
                let said = said.unwrap_or_else(|_| body.to_vec());
                let message = presentation(&said[..said.len().min(300)]);
                Err(PublishError::Api { server: self.settings.api.to_string(), status: status.as_u16(), message })
            }
        }
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Bytes), PublishError> {
        let PowerDnsSettings { api, key, timeout, .. } = &self.settings;
        let server = api.to_string();
        let stream = connect(&api.host, api.port, &server, *timeout).await?;
        let http = |source| PublishError::Http { server: server.clone(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
        // Ends with this call, whatever becomes of it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let malformed = |detail: String| PublishError::Malformed { server: server.clone(), detail };
        let Ok(mut key) = HeaderValue::from_bytes(key.expose()) else {
            return Err(PublishError::ApiKey { server: server.clone(), status: 0 });
        };
        key.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v1/servers/localhost{target}", api.path))
            .header(HOST, api.authority())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header("X-API-Key", key)
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| malformed(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(http)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_OCTETS).collect().await;
        let body = body.map_err(|error| malformed(error.to_string()))?;
        Ok((status, body.to_bytes()))
    }

    fn decode<'b, T: Deserialize<'b>>(&self, body: &'b [u8]) -> Result<T, PublishError> {
        serde_json::from_slice(body).map_err(|error| PublishError::Malformed {
            server: self.settings.api.to_string(),
            detail: error.to_string(),
        })
    }
}

impl Publisher for PowerDns {
    fn present<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        Box::pin(self.perform(Operation::Present(record)))
    }

    fn replace<'a>(&'a self, old: &'a Record, new: &'a Record) -> Publishing<'a> {
        Box::pin(self.perform(Operation::Replace { old, new }))
    }

    fn absent<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        Box::pin(self.perform(Operation::Absent(record)))
    }
}

/// A name in a zone.
struct Place {
    zone_id: String,
    name: Name,
}

impl Place {
    /// The name, with the final dot.
    fn owner(&self) -> String {
        format!("{}.", plain(&self.name))
    }
}

/// What the API has at a name.
struct Found {
    standing: Standing,
    /// Of TXT records, as the API has them.
    contents: Vec<String>,
    /// Records that are kept and not served: somebody switched them off.
    has_disabled: bool,
}

impl Found {
    fn is_only(&self, record: &Record) -> bool {
        let is_only = matches!(&self.standing, Standing::Txt(records) if matches!(records.as_slice(), [only] if record.has_value_of(only)));
        is_only && !self.has_disabled
    }
}

#[derive(Deserialize)]
struct ZoneEntry {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Zone {
    rrsets: Vec<RrSet>,
}

#[derive(Deserialize)]
struct RrSet {
    name: String,
    #[serde(rename = "type")]
    rr_type: String,
    #[serde(default)]
    ttl: u32,
    #[serde(default)]
    records: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
    #[serde(default)]
    disabled: bool,
}

#[derive(Deserialize)]
struct ApiError {
    error: String,
}

/// The strings of a TXT record in presentation format (RFC 1035 §5.1).
pub(super) fn strings(content: &str) -> Vec<Vec<u8>> {
    let mut strings = Vec::new();
    let mut rest = content.trim_ascii().as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut string = Vec::new();
        let is_quoted = *first == b'"';
        rest = if is_quoted { after } else { rest };
        while let Some((octet, after)) = rest.split_first() {
            rest = after;
            match (octet, after) {
                (b'"', _) if is_quoted => break,
                (b' ', _) if !is_quoted => break,
                (b'\\', [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..]) => {
                    let value = u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0');
                    string.push(u8::try_from(value).unwrap_or(b'?'));
                    rest = after;
                }
                (b'\\', [other, after @ ..]) => {
                    string.push(*other);
                    rest = after;
                }
                (other, _) => string.push(*other),
            }
        }
        strings.push(string);
        rest = rest.trim_ascii_start();
    }
    strings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let record = Record::new("s._domainkey.example.test", 60, format!("a\"b\\c{}", "d".repeat(300)));
        assert_eq!(strings(&record.quoted()).concat(), record.value.as_bytes());
        assert_eq!(strings("\"a b\"  \"c\\059\" d"), [b"a b".to_vec(), b"c;".to_vec(), b"d".to_vec()]);
        assert_eq!(strings("\"open\\"), [b"open\\".to_vec()]);
    }
}
