//! What becomes of one message: the steps in their order, for whoever decides and for whoever explains.
//!
//! ```text
//! Facts ─▶ Policy::judge ─▶ Judgement ─┬─▶ a reason not to sign
//!                                      └─▶ Search ⇄ key store: is there a key for this domain? ─▶ Plan, or a reason
//! ```

use super::author::Author;
use super::decision::{OnRelayed, Reason};
use super::index::PatternIndex;
use super::login::{EnvelopeMatch, LoginBinding};
use super::map;
use super::origin::{Origin, Submission, is_relayed};
use super::pattern::{AddressPattern, PeerPattern};
use super::rule::{Identity, Rule, RuleAction, RuleSettings, Signer};
use super::search::{Found, Plan, Search, SigningKeys};
use super::table::{Place, Table};
use super::trace::{Line, RelayedOutcome, Step, Trace};
use super::trust::{MacroCondition, Trust};
use crate::dkim::Auid;
use crate::message::Headers;
use crate::names::DomainName;

/// Who is signed for, and as whom: the configuration and its maps, made ready to be asked. Immutable; made by
/// [`Policy::compile`].
#[derive(Debug, Clone)]
pub struct Policy {
    trust: Trust,
    rules: Vec<Rule>,
    authors: PatternIndex,
    recipients: PatternIndex,
    logins: Table,
}

/// What is known of a message at the end of its header.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Where it came from.
    pub submission: Submission<'a>,
    /// What the listener says of mail that was received before; none: what `trust.sign_relayed` says.
    pub on_relayed: Option<OnRelayed>,
    /// The envelope sender as the MTA gives it, with angle brackets or without.
    pub sender: &'a [u8],
    /// The recipients, as far as rules ask for them.
    pub recipients: &'a Recipients,
    /// The header.
    pub header: Header<'a>,
}

/// A message's header, as far as it was kept.
#[derive(Debug, Clone, Copy)]
pub enum Header<'a> {
    /// All of it.
    Whole(&'a Headers),
    /// It was over its limits.
    TooLarge {
        /// Whether what was seen of it says that the message was received before.
        is_relayed: bool,
    },
}

/// The recipients of a message, as far as rules ask for them.
#[derive(Debug, Clone, Default)]
pub struct Recipients {
    /// Whether any was seen at all. An MTA that was not asked for recipients names none.
    any: bool,
    /// Lines of rules' patterns that fit one of them, one a rule.
    fitting: Vec<Place>,
}

/// What is to become of a message: without its keys so far as can be said, `T` being the [`Search`] for them, or with
/// them, `T` being the [`Plan`].
#[derive(Debug)]
pub struct Judgement<T = Search> {
    /// Where it came from.
    pub origin: Origin,
    /// Whose it is, if that was asked and can be said.
    pub author: Option<Author>,
    /// The rule that decides, if one does.
    pub rule: Option<Decider>,
    /// Whose keys to look for, or who signs; or why not.
    pub outcome: Result<T, Reason>,
    /// Whether a rule was passed over because the MTA was not asked for the recipients: it connected before a rule wanted
    /// them.
    pub lacks_recipients: bool,
}

/// The line of a rule that decides about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decider {
    rule: usize,
    /// Of the authors' patterns.
    place: Place,
}

impl Policy {
    pub(super) fn new(
        trust: Trust,
        rules: Vec<Rule>,
        authors: PatternIndex,
        recipients: PatternIndex,
        logins: Table,
    ) -> Self {
        Self { trust, rules, authors, recipients, logins }
    }

    /// Who is trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The macros that it looks at beside those every policy does.
    pub fn macros(&self) -> &[MacroCondition] {
        &self.trust.macros
    }

    /// Whether any rule asks for recipients.
    pub fn wants_recipients(&self) -> bool {
        self.rules.iter().any(|rule| !rule.is_for_all_recipients())
    }

    /// The entry of `trust.ignore` that has this client.
    pub fn ignores(&self, submission: &Submission<'_>) -> Option<&PeerPattern> {
        submission.among(&self.trust.ignore)
    }

    /// Takes note of one recipient, as the MTA gives it.
    pub fn recipient(&self, recipient: &[u8], seen: &mut Recipients) {
        seen.any = true;
        let Some((local_part, domain)) = envelope_address(recipient) else { return };
        for place in self.recipients.fitting(&local_part.to_ascii_lowercase(), domain.as_str()) {
            let table = self.recipients.table();
            let rule = table.list_of(place);
            if seen.fitting.iter().all(|other| table.list_of(*other) != rule) {
                seen.fitting.push(place);
            }
        }
    }

    /// Entries of all rules' patterns and of logins.
    pub fn entries(&self) -> usize {
        self.authors.table().len() + self.recipients.table().len() + self.logins.len()
    }

    /// Octets of memory that these take.
    pub fn memory(&self) -> usize {
        self.authors.memory() + self.recipients.memory() + self.logins.memory()
    }

    /// Judges a message.
    pub fn judge(&self, facts: &Facts<'_>, trace: &mut impl Trace) -> Judgement {
        let mut judgement = Judgement {
            origin: Origin::Untrusted,
            author: None,
            rule: None,
            outcome: Err(Reason::NotTrusted),
            lacks_recipients: false,
        };
        judgement.outcome = self.outcome(facts, &mut judgement, trace);
        if let Err(reason) = &judgement.outcome {
            let reason = *reason;
            trace.note(|| Step::Decided { reason });
        }
        judgement
    }

    /// Judges a message and looks for its keys, where they are at hand: for explanations and tests. The daemon, which waits for
    /// its store, takes the same steps.
    pub fn decide<K: SigningKeys>(
        &self,
        facts: &Facts<'_>,
        signs_for_subdomains: impl Fn(&DomainName) -> bool,
        mut keys: impl FnMut(&DomainName) -> Found<K>,
        trace: &mut impl Trace,
    ) -> Judgement<Plan<K>> {
        let Judgement { origin, author, rule, outcome, lacks_recipients } = self.judge(facts, trace);
        let outcome = outcome.and_then(|search| {
            let mut hunt = search.begin();
            while let Some(domain) = hunt.next_domain() {
                let found = keys(domain);
                hunt.answer(found, &signs_for_subdomains, trace);
            }
            hunt.finish(trace)
        });
        Judgement { origin, author, rule, outcome, lacks_recipients }
    }

    /// Judges a message as if it came from somebody trusted who may write as its author: what remains are the author, the
    /// rules and the keys.
    pub fn judge_trusted(&self, headers: &Headers, recipients: &Recipients, trace: &mut impl Trace) -> Judgement {
        let mut judgement = Judgement {
            origin: Origin::Untrusted,
            author: None,
            rule: None,
            outcome: Err(Reason::NotTrusted),
            lacks_recipients: false,
        };
        judgement.outcome = Author::of(headers).and_then(|author| {
            let author = judgement.author.insert(author);
            trace.note(|| Step::Author { address: author.address() });
            (judgement.rule, judgement.lacks_recipients) = self.decider(author, recipients, trace);
            match judgement.rule {
                Some(decider) if self.says_never(decider) => Err(Reason::RuleNever),
                decider => Ok(self.search(author, decider)),
            }
        });
        judgement
    }

    fn outcome(&self, facts: &Facts<'_>, judged: &mut Judgement, trace: &mut impl Trace) -> Result<Search, Reason> {
        if let Some(by) = self.ignores(&facts.submission) {
            trace.note(|| Step::Ignored { by: by.to_string() });
            return Err(Reason::IgnoredPeer);
        }
        judged.origin = Origin::of(&facts.submission, &self.trust, trace);
        if judged.origin == Origin::Untrusted {
            return Err(Reason::NotTrusted);
        }
        let guarded = judged.origin == Origin::ThisMachine && facts.header.is_relayed();
        let author = match facts.header {
            Header::Whole(headers) => Author::of(headers),
            Header::TooLarge { .. } => Err(Reason::HeaderTooLarge),
        };
        let author = match author {
            Ok(author) => judged.author.insert(author),
            // No rule can be found for it, and inbound mail on its way back is not ours to refuse.
            Err(_) if guarded && self.relayed(facts, None, trace) == OnRelayed::Pass => return Err(Reason::Relayed),
            Err(reason) => {
                trace.note(|| Step::NoAuthor { reason });
                return Err(reason);
            }
        };
        trace.note(|| Step::Author { address: author.address() });
        let (decider, lacks_recipients) = self.decider(author, facts.recipients, trace);
        (judged.rule, judged.lacks_recipients) = (decider, lacks_recipients);
        if guarded && self.relayed(facts, decider, trace) == OnRelayed::Pass {
            return Err(Reason::Relayed);
        }
        if decider.is_some_and(|decider| self.says_never(decider)) {
            return Err(Reason::RuleNever);
        }
        if !self.login_may(&facts.submission, author, trace) {
            return Err(Reason::LoginNotBound);
        }
        if !self.envelope_fits(facts.sender, author, trace) {
            return Err(Reason::EnvelopeMismatch);
        }
        Ok(self.search(author, decider))
    }

    /// What is listed for a login, and where: patterns with blanks between. Line 0 is the configuration's `[login]`.
    pub fn listed_for(&self, login: &str) -> Option<(String, Line)> {
        let place = self.logins.find(login.to_ascii_lowercase().as_bytes())?;
        Some((String::from_utf8_lossy(self.logins.value(place)).into_owned(), self.logins.line_of(place)))
    }

    /// What a rule says of how its messages are signed.
    pub fn settings(&self, decider: Decider) -> Option<&RuleSettings> {
        match &self.rules.get(decider.rule)?.action {
            RuleAction::Sign(settings) => Some(settings),
            RuleAction::Never => None,
        }
    }

    /// What logs call a rule.
    pub fn label(&self, decider: Decider) -> String {
        self.rules.get(decider.rule).map(Rule::label).unwrap_or_default()
    }

    /// Where the line stands that decides.
    pub fn line(&self, decider: Decider) -> Line {
        self.authors.table().line_of(decider.place)
    }

    /// i= that a rule or its map wants in a signature of that domain: none where they say nothing of it, and within that
    /// none where what they say cannot stand there.
    pub fn auid(&self, decider: Decider, author: &Author, signing_domain: &DomainName) -> Option<Option<Auid>> {
        let (_, of_line) = self.line_value(decider);
        let identity: Identity = of_line.or_else(|| self.settings(decider)?.identity.clone())?;
        Some(author.auid(&identity, signing_domain))
    }

    /// What the line says behind its pattern.
    fn line_value(&self, decider: Decider) -> (Vec<Signer>, Option<Identity>) {
        map::author_value(self.authors.table().value(decider.place))
    }

    fn says_never(&self, decider: Decider) -> bool {
        let of_rule = self.rules.get(decider.rule).is_some_and(|rule| rule.action == RuleAction::Never);
        of_rule
            || self.authors.table().value(decider.place).split(|octet| *octet == b' ').next()
                == Some(map::NOBODY.as_bytes())
    }

    /// The first line that fits the author and, where its rule asks for them, a recipient; and whether one was passed
    /// over because recipients are not known.
    fn decider(&self, author: &Author, recipients: &Recipients, trace: &mut impl Trace) -> (Option<Decider>, bool) {
        let mut lacks_recipients = false;
        let local_part = author.local_part().to_ascii_lowercase();
        for place in self.authors.fitting(&local_part, author.domain.as_str()) {
            let number = self.authors.table().list_of(place);
            let decider = Decider { rule: number as usize, place };
            let Some(rule) = self.rules.get(decider.rule) else { continue };
            let found = |other: &&Place| self.recipients.table().list_of(**other) == number;
            let recipient = recipients.fitting.iter().find(found).copied();
            if recipient.is_none() && !rule.is_for_all_recipients() {
                lacks_recipients |= !recipients.any;
                trace.note(|| Step::RulePassedOver {
                    rule: rule.label(),
                    pattern: self.authors.pattern(place),
                    at: self.line(decider),
                });
                continue;
            }
            trace.note(|| Step::Rule {
                rule: rule.label(),
                pattern: self.authors.pattern(place),
                at: self.line(decider),
                recipient: recipient
                    .map(|place| (self.recipients.pattern(place), self.recipients.table().line_of(place))),
                never: self.says_never(decider),
            });
            return (Some(decider), lacks_recipients);
        }
        trace.note(|| Step::NoRule);
        (None, lacks_recipients)
    }

    /// What to do with a message that was received before: as the rule says, else the listener, else `trust`.
    fn relayed(&self, facts: &Facts<'_>, decider: Option<Decider>, trace: &mut impl Trace) -> OnRelayed {
        let of_rule = decider.and_then(|decider| self.settings(decider)?.sign_relayed);
        let of_listener = facts.on_relayed.map(|on_relayed| on_relayed == OnRelayed::Sign);
        let (sign, outcome) = match (of_rule, of_listener, self.trust.sign_relayed) {
            (Some(true), _, _) => (true, RelayedOutcome::SignedByRule),
            (Some(false), _, _) => (false, RelayedOutcome::PassedByRule),
            (None, Some(true), _) => (true, RelayedOutcome::SignedByListener),
            (None, Some(false), _) => (false, RelayedOutcome::PassedByListener),
            (None, None, true) => (true, RelayedOutcome::Signed),
            (None, None, false) => (false, RelayedOutcome::Passed),
        };
        trace.note(|| Step::Relayed { outcome });
        if sign { OnRelayed::Sign } else { OnRelayed::Pass }
    }

    /// Whether whoever logged in may write as all the authors.
    fn login_may(&self, submission: &Submission<'_>, author: &Author, trace: &mut impl Trace) -> bool {
        let binding = self.trust.logins.binding;
        let Some(login) = submission.login().filter(|_| binding != LoginBinding::Off) else { return true };
        let allowed_by = self.login_allowed_by(login, author, binding);
        let is_allowed = allowed_by.is_some();
        trace.note(|| Step::Login { login: String::from_utf8_lossy(login).into_owned(), allowed_by });
        is_allowed
    }

    fn login_allowed_by(&self, login: &[u8], author: &Author, binding: LoginBinding) -> Option<(String, Option<Line>)> {
        let own = || DomainName::from_octets(&login[memchr::memrchr(b'@', login)? + 1..]).ok();
        match binding {
            LoginBinding::OwnDomain if own().as_ref() == Some(&author.domain) => {
                return Some(("its own domain".to_owned(), None));
            }
            LoginBinding::OwnRegistrable if own().is_some_and(|own| same_registrable(&own, &author.domain)) => {
                return Some(("its own registrable domain".to_owned(), None));
            }
            _ => {}
        }
        let place = self.logins.find(&login.to_ascii_lowercase())?;
        let listed = std::str::from_utf8(self.logins.value(place)).ok()?;
        let patterns: Vec<AddressPattern> =
            listed.split(' ').filter_map(|pattern| AddressPattern::parse(pattern).ok()).collect();
        let fitting = |local_part: &[u8]| {
            let local_part = local_part.to_ascii_lowercase();
            patterns.iter().find(|pattern| pattern.matches(&local_part, author.domain.as_str()))
        };
        // All of them: with one author of its own a login could else write as anybody.
        let all = author.local_parts().map(fitting).collect::<Option<Vec<_>>>()?;
        Some((all.first()?.to_string(), Some(self.logins.line_of(place))))
    }

    fn envelope_fits(&self, sender: &[u8], author: &Author, trace: &mut impl Trace) -> bool {
        if self.trust.match_envelope == EnvelopeMatch::Off {
            return true;
        }
        if matches!(sender, b"" | b"<>") {
            trace.note(|| Step::Envelope { domain: None, fits: true });
            return true;
        }
        let domain = envelope_address(sender).map(|(_, domain)| domain);
        let fits = domain.as_ref().is_some_and(|domain| match self.trust.match_envelope {
            EnvelopeMatch::SameRegistrable => same_registrable(domain, &author.domain),
            _ => *domain == author.domain,
        });
        trace.note(|| Step::Envelope {
            domain: Some(
                domain.map_or_else(|| String::from_utf8_lossy(sender).into_owned(), |domain| domain.to_string()),
            ),
            fits,
        });
        fits
    }

    fn search(&self, author: &Author, decider: Option<Decider>) -> Search {
        let Some(decider) = decider else { return Search::new(author.domain.clone(), Vec::new(), Vec::new()) };
        let settings = self.settings(decider);
        let (of_line, _) = self.line_value(decider);
        let of_rule = || settings.map(|settings| settings.sign.clone()).unwrap_or_default();
        let instead = if of_line.is_empty() { of_rule() } else { of_line };
        Search::new(author.domain.clone(), instead, settings.map(|settings| settings.also.clone()).unwrap_or_default())
    }
}

impl Header<'_> {
    fn is_relayed(&self) -> bool {
        match self {
            Self::Whole(headers) => is_relayed(headers),
            Self::TooLarge { is_relayed } => *is_relayed,
        }
    }
}

/// The two parts of an envelope address, with angle brackets or without (RFC 5321 §4.1.2).
fn envelope_address(address: &[u8]) -> Option<(&[u8], DomainName)> {
    let bare = match address.strip_prefix(b"<") {
        Some(rest) => rest.strip_suffix(b">")?,
        None => address,
    };
    let at = memchr::memrchr(b'@', bare)?;
    Some((&bare[..at], DomainName::from_octets(&bare[at + 1..]).ok()?))
}

fn same_registrable(one: &DomainName, other: &DomainName) -> bool {
    one == other || one.registrable().is_some_and(|registrable| other.registrable() == Some(registrable))
}
