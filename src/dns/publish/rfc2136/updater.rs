//! The operations of a publisher as exchanges with one server.

use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use tokio::time::Instant;

use super::super::pool::Pool;
use super::super::zones::{Source, Zones};
use super::super::{Operation, Outcome, PublishError, Publisher, Publishing, Record, Refusal, Standing};
use super::connection::Connection;
use super::tsig::TsigKey;
use super::update;
use crate::clock::Clock;
use crate::config::NameServer;
use crate::dns::name::{absolute, plain};
use crate::dns::seen::soa_of;
use crate::names::DomainName;
use crate::observation::Txt;

/// Updates are tried with the strings of our own and with those that stand; more would be a race that nobody wins.
const ATTEMPTS: u32 = 3;

/// Changes records by dynamic update on a primary name server.
///
/// Connections are kept for some seconds and used again, 16 at most; further operations wait for one of them. Zones that were
/// found are remembered for 5 minutes, or until the server refuses an update of one.
#[derive(Debug)]
pub struct Rfc2136 {
    settings: Rfc2136Settings,
    pool: Pool,
    zones: Zones<Name>,
}

/// Where and how to send updates.
#[derive(Debug, Clone)]
pub struct Rfc2136Settings {
    /// The server that takes them.
    pub server: NameServer,
    /// The zone to update; without one the server is asked in which zone the name is.
    pub zone: Option<DomainName>,
    /// The key that signs them.
    pub key: TsigKey,
    /// How long to wait for the connection, and then for each answer.
    pub timeout: Duration,
    /// The time in signatures.
    pub clock: Clock,
}

impl Rfc2136 {
    /// A publisher that has not connected yet.
    pub fn new(settings: Rfc2136Settings) -> Self {
        Self { settings, pool: Pool::new(), zones: Zones::new() }
    }

    async fn perform(&self, operation: Operation<'_>) -> Result<Outcome, PublishError> {
        let mut session = self.open(operation.record()).await?;
        match session.perform(operation).await {
            Err(PublishError::Refused { refusal, .. })
                if session.zone_from == Source::Remembered && refusal.may_mean_another_zone() =>
            {
                // Refused, so that nothing was changed. Perhaps there is another zone by now.
                self.zones.forget(&session.name);
                session.zone = self.discover(&mut session.connection, &session.name).await?;
                session.zone_from = Source::Certain;
                session.perform(operation).await
            }
            result => result,
        }
    }

    async fn open(&self, record: &Record) -> Result<Session<'_>, PublishError> {
        let Some(name) = absolute(&record.name) else { return Err(PublishError::Name { name: record.name.clone() }) };
        let given = match &self.settings.zone {
            Some(zone) => match absolute(zone.as_str()) {
                Some(apex) if apex.zone_of(&name) => Some(apex),
                _ => return Err(PublishError::OutsideZone { name: plain(&name), zone: zone.to_string() }),
            },
            None => None,
        };
        let mut connection = Connection::new(&self.settings, &self.pool).await;
        let (zone, zone_from) = match (given, self.zones.of(&name, Instant::now())) {
            (Some(apex), _) => (apex, Source::Certain),
            (None, Some(apex)) => (apex, Source::Remembered),
            (None, None) => (self.discover(&mut connection, &name).await?, Source::Certain),
        };
        Ok(Session { connection, zone, zone_from, name })
    }

    /// The zone that a name is in, as the server sees it: the owner of the SOA record that it gives for the name's parent.
    /// The name itself may be an alias.
    async fn discover(&self, connection: &mut Connection<'_>, name: &Name) -> Result<Name, PublishError> {
        let mut asked = name.base_name();
        while !asked.is_root() {
            let answer = connection.ask(update::question(&asked, RecordType::SOA)).await?;
            let records = if answer.answers.is_empty() { &answer.authorities } else { &answer.answers };
            if answer.metadata.authoritative
                && let Some((apex, _)) = soa_of(records)
                && apex.zone_of(&asked)
            {
                self.zones.remember(name, &apex, Instant::now());
                return Ok(apex);
            }
            asked = asked.base_name();
        }
        Err(PublishError::NoZone { server: connection.server(), name: plain(name) })
    }
}

impl Publisher for Rfc2136 {
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

/// One operation on one name.
struct Session<'a> {
    connection: Connection<'a>,
    zone: Name,
    zone_from: Source,
    name: Name,
}

/// What became of an update's prerequisites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prerequisites {
    Met,
    Failed,
}

impl Session<'_> {
    async fn perform(&mut self, operation: Operation<'_>) -> Result<Outcome, PublishError> {
        match operation {
            Operation::Present(record) => self.add(record).await,
            Operation::Replace { old, new } => self.swap(old, new).await,
            Operation::Absent(record) => self.remove(record).await,
        }
    }

    async fn add(&mut self, record: &Record) -> Result<Outcome, PublishError> {
        for _ in 0..ATTEMPTS {
            let add = update::add(&self.zone, &self.name, record.ttl, update::own_rdata(record));
            if self.update(add).await? == Prerequisites::Met {
                return Ok(Outcome::Done);
            }
            match self.standing().await? {
                // Gone in the meantime.
                Standing::Nothing => {}
                Standing::Txt(records) if is_only(&records, record) => return Ok(Outcome::AlreadySo),
                standing => return Ok(Outcome::Conflict(standing)),
            }
        }
        Err(self.unsettled())
    }

    async fn swap(&mut self, old: &Record, new: &Record) -> Result<Outcome, PublishError> {
        let mut old_rdata = update::own_rdata(old);
        for _ in 0..ATTEMPTS {
            let swap = update::swap(&self.zone, &self.name, old_rdata, new.ttl, update::own_rdata(new));
            if self.update(swap).await? == Prerequisites::Met {
                return Ok(Outcome::Done);
            }
            match self.standing().await? {
                Standing::Txt(records) if is_only(&records, new) => return Ok(Outcome::AlreadySo),
                Standing::Txt(records) if is_only(&records, old) => old_rdata = strings_of(&records, old),
                standing => return Ok(Outcome::Conflict(standing)),
            }
        }
        Err(self.unsettled())
    }

    async fn remove(&mut self, record: &Record) -> Result<Outcome, PublishError> {
        let mut message = update::remove(&self.zone, &self.name, update::own_rdata(record));
        for _ in 0..ATTEMPTS {
            if self.update(message).await? == Prerequisites::Met {
                return Ok(Outcome::Done);
            }
            message = match self.standing().await? {
                Standing::Nothing => return Ok(Outcome::AlreadySo),
                Standing::Txt(records) if is_only(&records, record) => {
                    update::remove(&self.zone, &self.name, strings_of(&records, record))
                }
                Standing::Txt(records) if records.iter().any(|standing| record.has_value_of(standing)) => {
                    update::remove_among_others(&self.zone, &self.name, strings_of(&records, record))
                }
                standing => return Ok(Outcome::Conflict(standing)),
            };
        }
        Err(self.unsettled())
    }

    async fn update(&mut self, message: Message) -> Result<Prerequisites, PublishError> {
        let answer = self.connection.ask(message).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(Prerequisites::Met),
            ResponseCode::YXDomain | ResponseCode::YXRRSet | ResponseCode::NXRRSet | ResponseCode::NXDomain => {
                Ok(Prerequisites::Failed)
            }
            code => Err(self.refused(update::refusal(code))),
        }
    }

    /// What stands at the name now. Asked with the same signature as the update, so that a server with several views
    /// shows the one that it updates.
    async fn standing(&mut self) -> Result<Standing, PublishError> {
        let answer = self.connection.ask(update::question(&self.name, RecordType::TXT)).await?;
        match answer.metadata.response_code {
            ResponseCode::NXDomain => return Ok(Standing::Nothing),
            ResponseCode::NoError => {}
            code => return Err(self.refused(update::refusal(code))),
        }
        match update::standing(&self.name, &answer) {
            Standing::Nothing => {
                // Other types would make the name one that is in use.
                let answer = self.connection.ask(update::question(&self.name, RecordType::ANY)).await?;
                let is_used = answer.answers.iter().any(|record| record.name == self.name);
                Ok(if is_used { Standing::OtherTypes } else { Standing::Nothing })
            }
            standing => Ok(standing),
        }
    }

    fn refused(&self, refusal: Refusal) -> PublishError {
        let (name, zone) = (plain(&self.name), plain(&self.zone));
        PublishError::Refused { server: self.connection.server(), name, zone, refusal }
    }

    fn unsettled(&self) -> PublishError {
        self.refused(Refusal::Unsettled)
    }
}

fn is_only(standing: &[Txt], record: &Record) -> bool {
    matches!(standing, [only] if record.has_value_of(only))
}

/// The strings of the record that stands and has our value.
fn strings_of(standing: &[Txt], record: &Record) -> RData {
    let same = standing.iter().find(|standing| record.has_value_of(standing));
    same.map_or_else(|| update::own_rdata(record), update::standing_rdata)
}
