//! A zone and the servers that answer for it, with their faults.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::random::Random;
use super::time::{HOUR, MINUTE, Moment};

/// A TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its character-strings, joined.
    pub(crate) text: Arc<str>,
    /// In seconds.
    pub(crate) ttl: u32,
}

/// Who changed the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// Our publisher.
    Publisher,
    /// Somebody else.
    Other,
}

/// What stands at a name from a version of the zone on.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The zone's version that brought it.
    pub(crate) version: u64,
    /// When.
    pub(crate) at: Moment,
    /// Who did it.
    pub(crate) author: Author,
    /// All TXT records of the name; none if it is absent.
    pub(crate) records: Vec<Record>,
}

/// How long resolvers may remember that something is absent: the smaller of the SOA's TTL and MINIMUM (RFC 2308 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NegativeTtl {
    /// TTL of the SOA record.
    pub(crate) ttl: u32,
    /// Its MINIMUM.
    pub(crate) minimum: u32,
}

impl NegativeTtl {
    /// In seconds.
    pub(crate) fn seconds(self) -> u32 {
        self.ttl.min(self.minimum)
    }
}

/// What a server says to a TXT question.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It answers, with records or without.
    Said {
        /// The records; none is NXDOMAIN.
        records: Vec<Record>,
        /// The SOA of the authority section.
        negative: NegativeTtl,
        /// Whether this contradicts what the server had confirmed in three rounds. No server knows this: the
        /// simulation does.
        is_broken_word: bool,
    },
    /// SERVFAIL.
    ServFail,
    /// Nothing comes back.
    Silence,
}

/// A wrong answer that a server gives until it converges.
#[derive(Debug, Clone)]
struct Wrong {
    records: Vec<Record>,
    until: Moment,
    /// Of ten answers, so many are wrong: some servers are several behind one address.
    of_ten: u64,
}

/// What keeps a server from answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Nothing comes back.
    Down,
    /// It answers SERVFAIL.
    ServFail,
}

/// What the runner has seen of a name on a server.
#[derive(Debug, Clone, Default)]
struct Word {
    /// What it saw last, how many rounds in a row, and since when.
    records: Vec<Record>,
    rounds: u32,
    first: Moment,
    last: Moment,
    /// How many rounds saw what our publisher put there, since when, and when they were three over five minutes. What was
    /// seen in between counts for nothing here: the run that saw it may have been killed.
    right: u32,
    first_right: Moment,
    settling: Option<Moment>,
    /// What our publisher put there and the server confirmed: the same in three rounds over five minutes.
    confirmed: Option<(Vec<Record>, u64)>,
}

/// An authoritative server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether resolvers do not know it: a hidden primary.
    pub(crate) is_hidden: bool,
    /// Which version of the zone it has.
    version: u64,
    /// How long a transfer takes it, usually.
    delay: Duration,
    /// When it has the version that it is fetching.
    fetching: Option<Moment>,
    outage: Option<(Outage, Moment)>,
    /// Until when it fetches nothing.
    lags_until: Moment,
    wrong: HashMap<String, Wrong>,
    words: HashMap<String, Word>,
    /// When the runner last had an answer from it, and when it had one after a silence for which it had given it up.
    last_answered: Moment,
    returned: Option<Moment>,
}

/// A zone with its servers; the first is the primary.
#[derive(Debug)]
pub(crate) struct Zone {
    names: HashMap<String, Vec<Change>>,
    negative: Vec<(u64, NegativeTtl)>,
    version: u64,
    /// The servers.
    pub(crate) servers: Vec<Server>,
}

/// How long the runner waits before it goes on without a server that is silent: 24 h, as designed. Servers that were
/// silent for so long transfer the zone before they answer again.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(86_400);

impl Zone {
    /// An empty zone with a primary and so many secondaries; the primary may be hidden from resolvers.
    pub(crate) fn new(secondaries: usize, is_primary_hidden: bool, negative: NegativeTtl, random: &mut Random) -> Self {
        const NAMES: [&str; 5] = ["ns0.example", "ns1.example", "ns2.example", "ns3.example", "ns4.example"];
        let server = |index: usize, delay: Duration| Server {
            name: NAMES[index],
            is_hidden: index == 0 && is_primary_hidden,
            version: 0,
            delay,
            fetching: None,
            outage: None,
            lags_until: Moment(0),
            wrong: HashMap::new(),
            words: HashMap::new(),
            last_answered: Moment(0),
            returned: None,
        };
        let mut servers = vec![server(0, Duration::ZERO)];
        for index in 1..=secondaries.min(NAMES.len() - 1) {
            // Most are notified; some look only when their refresh interval is over.
            let slowest = if random.happens(200) { 6 * HOUR } else { MINUTE };
            servers.push(server(index, random.between(Duration::from_secs(1), slowest)));
        }
        Self { names: HashMap::new(), negative: vec![(0, negative)], version: 0, servers }
    }

    /// What the primary has at a name.
    pub(crate) fn at_primary(&self, name: &str) -> &[Record] {
        self.names.get(name).and_then(|changes| changes.last()).map_or(&[], |change| &change.records)
    }

    /// Puts records at a name, in place of what was there.
    pub(crate) fn change(&mut self, name: &str, records: Vec<Record>, author: Author, now: Moment) {
        if self.at_primary(name) == records {
            return;
        }
        self.version += 1;
        let change = Change { version: self.version, at: now, author, records };
        self.names.entry(name.to_owned()).or_default().push(change);
        self.notify(now);
    }

    /// Sets the SOA's numbers.
    pub(crate) fn set_negative(&mut self, negative: NegativeTtl, now: Moment) {
        self.version += 1;
        self.negative.push((self.version, negative));
        self.notify(now);
    }

    fn notify(&mut self, now: Moment) {
        for (index, server) in self.servers.iter_mut().enumerate() {
            if index == 0 {
                server.version = self.version;
            } else if server.fetching.is_none() {
                server.fetching = Some((now + server.delay).max(server.lags_until));
            }
        }
    }

    /// Makes a server silent or failing for a time.
    pub(crate) fn fail(&mut self, server: usize, outage: Outage, until: Moment) {
        self.servers[server].outage = Some((outage, until));
    }

    /// Makes a server fetch nothing for a time.
    pub(crate) fn lag(&mut self, server: usize, until: Moment) {
        let server = &mut self.servers[server];
        server.lags_until = server.lags_until.max(until);
        server.fetching = server.fetching.map(|at| at.max(until));
    }

    /// Makes a server answer wrongly at a name, `of_ten` times of ten, until it converges.
    pub(crate) fn lie(&mut self, server: usize, name: &str, records: Vec<Record>, of_ten: u64, until: Moment) {
        self.servers[server].wrong.insert(name.to_owned(), Wrong { records, until, of_ten });
    }

    /// What a server says to whoever asks now.
    pub(crate) fn ask(&mut self, server: usize, name: &str, now: Moment, random: &mut Random) -> Answer {
        self.advance(server, now);
        let of_server = &self.servers[server];
        match of_server.outage {
            Some((Outage::Down, _)) => return Answer::Silence,
            Some((Outage::ServFail, _)) => return Answer::ServFail,
            None => {}
        }
        let version = of_server.version;
        let change = self.names.get(name).and_then(|changes| changes.iter().rev().find(|at| at.version <= version));
        let negative = self
            .negative
            .iter()
            .rev()
            .find(|(from, _)| *from <= version)
            .map_or_else(|| self.negative[0].1, |(_, negative)| *negative);
        let wrong = of_server.wrong.get(name).filter(|wrong| now < wrong.until && random.below(10) < wrong.of_ten);
        let records = match (wrong, change) {
            (Some(wrong), _) => wrong.records.clone(),
            (None, Some(change)) => change.records.clone(),
            (None, None) => Vec::new(),
        };
        // An edit of the zone breaks the word of all its servers, also that of one that was silent till now.
        let is_edit = wrong.is_none() && change.is_some_and(|change| change.author == Author::Other);
        let confirmed = self.servers.iter().enumerate().filter(|(index, _)| *index == server || is_edit);
        let confirmed = confirmed.filter_map(|(_, server)| server.words.get(name)?.confirmed.as_ref());
        let confirmed = confirmed.max_by_key(|(_, version)| *version);
        let is_broken_word = confirmed.is_some_and(|(word, since)| {
            let is_news = |change: &Change| change.author == Author::Publisher && change.version > *since;
            let is_by_us = wrong.is_none() && change.is_some_and(is_news);
            !have_same_texts(word, &records) && !is_by_us
        });
        Answer::Said { records, negative, is_broken_word }
    }

    /// The same for the runner, whose rounds are what a server's word is made of.
    pub(crate) fn ask_as_runner(&mut self, server: usize, name: &str, now: Moment, random: &mut Random) -> Answer {
        let answer = self.ask(server, name, now, random);
        let Answer::Said { records, .. } = &answer else { return answer };
        let of_server = &mut self.servers[server];
        if now - of_server.last_answered >= GIVEN_UP_AFTER {
            of_server.returned = Some(now);
        }
        of_server.last_answered = now;
        let version = of_server.version;
        let word = of_server.words.entry(name.to_owned()).or_default();
        if word.rounds == 0 || !have_same_texts(&word.records, records) {
            (word.records, word.rounds, word.first) = (records.clone(), 1, now);
        } else {
            word.rounds += 1;
        }
        word.last = now;
        let is_ours = |change: &&Change| change.author == Author::Publisher && change.version <= version;
        let change = self.names.get(name).and_then(|changes| changes.iter().rev().find(is_ours));
        if change.is_some_and(|change| !records.is_empty() && have_same_texts(&change.records, records)) {
            word.first_right = if word.right == 0 { now } else { word.first_right };
            word.right += 1;
            let is_settling = word.right >= 3 && now - word.first_right >= 5 * MINUTE;
            word.settling = word.settling.or(is_settling.then_some(now));
        }
        if word.rounds >= 3
            && now - word.first >= 5 * MINUTE
            && let Some(change) = change
            && have_same_texts(&change.records, &word.records)
        {
            word.confirmed = Some((word.records.clone(), change.version));
        }
        answer
    }

    /// Every server has given its word for what a name has now: it has stood there for long.
    pub(crate) fn confirm(&mut self, name: &str) {
        let Some(change) = self.names.get(name).and_then(|changes| changes.last()) else { return };
        for server in &mut self.servers {
            server.version = self.version;
            let word = server.words.entry(name.to_owned()).or_default();
            word.confirmed = Some((change.records.clone(), change.version));
        }
    }

    /// A server that the runner did not see with a record for so long, and did not give up either.
    pub(crate) fn not_seen(
        &self,
        name: &str,
        now: Moment,
        within: Duration,
        is_right: impl Fn(&str) -> bool,
    ) -> Option<&'static str> {
        let is_seen = |server: &&Server| {
            let is_given_up = now - server.last_answered >= GIVEN_UP_AFTER;
            is_given_up
                || server.returned.is_some_and(|returned| now - returned <= within)
                || server.words.get(name).is_some_and(|word| {
                    now - word.last <= within && word.records.len() == 1 && is_right(&word.records[0].text)
                })
        };
        self.servers.iter().find(|server| !is_seen(server)).map(|server| server.name)
    }

    /// A server on which a record was not seen in three rounds over five minutes and then for so long, and that was not
    /// given up either; and what is missing.
    pub(crate) fn not_settled(
        &self,
        name: &str,
        now: Moment,
        settle: Duration,
    ) -> Option<(&'static str, &'static str)> {
        // The wall clock, by which time is told across a reboot, is right to within this.
        const TOLERATED: Duration = Duration::from_secs(5 * 60);
        let missing = |server: &Server| {
            let has_returned = server.returned.is_some_and(|returned| now - returned <= settle + GIVEN_UP_AFTER);
            let is_given_up = now - server.last_answered >= GIVEN_UP_AFTER || has_returned;
            let word = server.words.get(name).cloned().unwrap_or_default();
            match word.settling {
                _ if is_given_up => None,
                None => Some("was not seen in three rounds over five minutes"),
                Some(since) if now + TOLERATED < since + settle => Some("has not settled"),
                Some(_) => None,
            }
        };
        self.servers.iter().find_map(|server| Some((server.name, missing(server)?)))
    }

    /// For how long a name has been as it is.
    pub(crate) fn stands_for(&self, name: &str, now: Moment) -> Duration {
        self.names.get(name).and_then(|changes| changes.last()).map_or(Duration::ZERO, |change| now - change.at)
    }

    /// Whether a server that answers has a record, and nobody else's beside it, since longer than a run takes.
    pub(crate) fn is_shown(&mut self, name: &str, now: Moment, is_ours: impl Fn(&str) -> bool) -> bool {
        (0..self.servers.len()).any(|server| {
            self.advance(server, now);
            let version = self.servers[server].version;
            let change = self.names.get(name).and_then(|of_name| of_name.iter().rev().find(|at| at.version <= version));
            let is_shown = |change: &Change| {
                now - change.at > MINUTE && matches!(&change.records[..], [only] if is_ours(&only.text))
            };
            self.is_up(server) && change.is_some_and(is_shown)
        })
    }

    /// Whether a server answers at all.
    pub(crate) fn is_up(&self, server: usize) -> bool {
        self.servers[server].outage.is_none()
    }

    /// Whether a server ever answered wrongly about a name.
    pub(crate) fn has_lied(&self, name: &str) -> bool {
        self.servers.iter().any(|server| server.wrong.contains_key(name))
    }

    /// Lets a server do what it would have done by now.
    fn advance(&mut self, server: usize, now: Moment) {
        let newest = self.version;
        let server = &mut self.servers[server];
        if let Some((_, until)) = server.outage
            && now >= until
        {
            server.outage = None;
            if until - server.last_answered >= GIVEN_UP_AFTER {
                server.version = newest;
                server.fetching = None;
                server.wrong.values_mut().for_each(|wrong| wrong.until = Moment(0));
            }
        }
        if server.outage.is_none() && server.fetching.is_some_and(|at| now >= at) {
            server.fetching = None;
            server.version = newest;
        }
    }
}

fn have_same_texts(first: &[Record], second: &[Record]) -> bool {
    first.len() == second.len() && first.iter().zip(second).all(|(first, second)| first.text == second.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(random: &mut Random) -> Zone {
        Zone::new(2, false, NegativeTtl { ttl: 3600, minimum: 300 }, random)
    }

    fn record(text: &str) -> Vec<Record> {
        vec![Record { text: text.into(), ttl: 60 }]
    }

    fn said(zone: &mut Zone, server: usize, now: Moment, random: &mut Random) -> Vec<Record> {
        match zone.ask(server, "a", now, random) {
            Answer::Said { records, .. } => records,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secondary_has_a_change_when_it_has_fetched_it() {
        let random = &mut Random::new(1);
        let mut zone = zone(random);
        zone.servers[1].delay = HOUR;
        zone.change("a", record("x"), Author::Publisher, Moment(100));
        assert_eq!(said(&mut zone, 0, Moment(100), random), record("x"));
        assert_eq!(said(&mut zone, 1, Moment(100), random), []);
        assert_eq!(said(&mut zone, 1, Moment(100) + HOUR, random), record("x"));
        zone.lag(1, Moment(20_000));
        zone.change("a", Vec::new(), Author::Other, Moment(4000));
        assert_eq!(said(&mut zone, 1, Moment(19_999), random), record("x"));
        assert_eq!(said(&mut zone, 1, Moment(20_000), random), []);
    }

    #[test]
    fn a_server_that_failed_answers_again_later() {
        let random = &mut Random::new(1);
        let mut zone = zone(random);
        zone.fail(0, Outage::ServFail, Moment(50));
        zone.fail(1, Outage::Down, Moment(50));
        assert!(matches!(zone.ask(0, "a", Moment(49), random), Answer::ServFail));
        assert!(matches!(zone.ask(1, "a", Moment(49), random), Answer::Silence));
        assert_eq!(said(&mut zone, 0, Moment(50), random), []);
    }

    #[test]
    fn a_word_is_broken_only_after_three_rounds_and_not_by_our_own_change() {
        let random = &mut Random::new(1);
        let mut zone = zone(random);
        zone.change("a", record("x"), Author::Publisher, Moment(0));
        let is_broken = |zone: &mut Zone, now, random: &mut Random| match zone.ask(0, "a", now, random) {
            Answer::Said { is_broken_word, .. } => is_broken_word,
            other => panic!("{other:?}"),
        };
        for at in [10, 20] {
            zone.ask_as_runner(0, "a", Moment(at), random);
        }
        zone.lie(0, "a", Vec::new(), 10, Moment(30));
        assert!(!is_broken(&mut zone, Moment(25), random), "two rounds are none");
        zone.ask_as_runner(0, "a", Moment(400), random);
        zone.lie(0, "a", Vec::new(), 10, Moment(420));
        zone.ask_as_runner(0, "a", Moment(410), random);
        zone.lie(0, "a", Vec::new(), 10, Moment(500));
        assert!(is_broken(&mut zone, Moment(450), random));
        assert!(!is_broken(&mut zone, Moment(500), random));
        zone.change("a", record("y"), Author::Other, Moment(600));
        assert!(is_broken(&mut zone, Moment(601), random), "somebody else's change");
        zone.change("a", record("z"), Author::Publisher, Moment(700));
        assert!(!is_broken(&mut zone, Moment(701), random), "our own change");
    }
}
