//! What was seen at the record's name, by server and as a whole: D01, D02, D03, D04, D11, D16.

use super::Rule;
use super::about::{Case, list, printable, shown, shown_name};
use crate::finding::{Finding, Severity};
use crate::manifest::StateName;
use crate::observation::{
    ChainEnd, Cname, Code, Hop, Outcome, RecursiveAnswer, Server, ServerAnswer, Silence, Truncation, Txt,
};

/// Servers whose silence is explained one by one.
const EXPLAINED: usize = 3;

/// What one server said, as far as rules tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// TXT records, and no CNAME.
    Txt(&'a [Txt]),
    /// A CNAME, whatever else.
    Alias(&'a Cname),
    /// That there is nothing: NXDOMAIN, or NODATA as NOERROR.
    Absent(Code),
    /// SERVFAIL; whether it knows an answer without checking DNSSEC.
    Failure(Checking),
    /// REFUSED.
    Refused,
    /// An answer without authority.
    Lame,
    /// Another response code.
    Fault(Code),
    /// The beginning of an answer.
    CutOff,
    /// Nothing.
    Silent(&'a Silence),
    /// It was not asked.
    NoRoute,
}

/// What a server that fails says with checking disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checking {
    /// It answers: DNSSEC is what fails.
    Bogus,
    /// It fails all the same.
    Irrelevant,
}

/// What all servers together come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// These TXT records.
    Txt(&'a [Txt]),
    /// Nothing is there.
    Absent(Code),
    /// The chain of CNAMEs leads nowhere.
    NoEnd,
    /// It cannot be said, and why.
    Unknown(String),
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// The zone's own servers, so many of them.
    Servers(usize),
    /// A resolver.
    Resolver(&'a str),
}

/// All answers of a name, sorted.
#[derive(Debug)]
pub(super) struct Sighting<'a> {
    pub(super) seen: Seen<'a>,
    pub(super) source: Source<'a>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Said<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        let response = match outcome {
            Outcome::Answered(response) => response,
            Outcome::Silent(silence) => return Self::Silent(silence),
            Outcome::NoRoute => return Self::NoRoute,
        };
        match response.code {
            Code::ServFail => {
                let answers = response.unchecked.as_ref().is_some_and(|answer| answer.code == Code::NoError);
                Self::Failure(if answers { Checking::Bogus } else { Checking::Irrelevant })
            }
            Code::Refused => Self::Refused,
            code @ Code::Other(_) => Self::Fault(code),
            Code::NoError | Code::NxDomain if !response.authoritative => Self::Lame,
            Code::NoError | Code::NxDomain if matches!(response.truncation, Truncation::TcpFailed { .. }) => {
                Self::CutOff
            }
            code @ (Code::NoError | Code::NxDomain) => match &response.cname {
                Some(alias) => Self::Alias(alias),
                None if response.txt.is_empty() => Self::Absent(code),
                None => Self::Txt(&response.txt),
            },
        }
    }

    /// Whether both say the same of the record; TTLs may differ, and NXDOMAIN and NODATA do not.
    fn agrees(self, other: Self) -> bool {
        match (self, other) {
            (Self::Txt(mine), Self::Txt(theirs)) => same_texts(mine, theirs),
            (Self::Alias(mine), Self::Alias(theirs)) => same_name(&mine.target, &theirs.target),
            (Self::Absent(mine), Self::Absent(theirs)) => mine == theirs,
            (mine, theirs) => mine == theirs,
        }
    }

    /// Whether it is an answer to the question, with authority.
    fn is_definite(self) -> bool {
        matches!(self, Self::Txt(_) | Self::Alias(_) | Self::Absent(_))
    }

    fn describe(self) -> String {
        match self {
            Self::Txt([only]) => format!("the record is {}", shown(&only.joined())),
            Self::Txt(several) => format!("there are {} TXT records", several.len()),
            Self::Alias(alias) => format!("the name is an alias of {}", shown_name(&alias.target)),
            Self::Absent(code) => absence(code),
            Self::Failure(_) => "the server fails (SERVFAIL)".into(),
            Self::Refused => "the server refuses to answer (REFUSED)".into(),
            Self::Lame => "the server answers without authority (it is lame)".into(),
            Self::Fault(code) => format!("the server answers {code}"),
            Self::CutOff => "only the beginning of the answer arrives".into(),
            Self::Silent(silence) => printable(&silence.to_string()),
            Self::NoRoute => "there is no route to it from here".into(),
        }
    }
}

/// Servers that say the same.
struct Group<'a> {
    said: Said<'a>,
    servers: Vec<&'a Server>,
}

/// What the record's servers say, or the resolver where none of them answers.
pub(super) fn look<'a>(case: &Case<'a>) -> Sighting<'a> {
    let observation = &case.key.observation;
    let mut findings = Vec::new();
    let mut last = None;
    for (at, hop) in observation.hops.iter().enumerate() {
        let next = observation.hops.get(at + 1).map(|hop| hop.name.as_str());
        let groups = groups(hop);
        let reference = reference(case, &groups, next);
        findings.extend(groups.iter().filter_map(|group| deviation(case, group, reference)));
        findings.extend(truncated(case, hop));
        last = reference.map(|group| (group.said, group.servers.len()));
    }
    let (seen, source) = match last {
        _ if observation.chain != ChainEnd::Complete => (Seen::NoEnd, Source::Servers(0)),
        Some((Said::Txt(records), servers)) => (Seen::Txt(records), Source::Servers(servers)),
        Some((Said::Absent(code), servers)) => (Seen::Absent(code), Source::Servers(servers)),
        _ => by_resolver(case),
    };
    if let RecursiveAnswer::Bogus { detail } = &observation.recursive.answer {
        let evidence = format!(
            "the resolver {} finds the DNSSEC signatures wrong ({})",
            printable(&observation.recursive.resolver),
            printable(detail)
        );
        findings.push(case.finding(Rule::D04, Severity::Error, evidence, BOGUS));
    }
    match &seen {
        Seen::Txt(records) if records.len() > 1 => findings.push(several(case, records)),
        Seen::Absent(code) if observation.hops.len() < 2 => findings.push(absent(case, *code, source)),
        _ => {}
    }
    Sighting { seen, source, findings }
}

const BOGUS: &str = "sign the zone anew, or correct the DS record in the parent zone";

fn groups(hop: &Hop) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for ServerAnswer { server, outcome } in &hop.answers {
        let said = Said::of(outcome);
        match groups.iter_mut().find(|group| group.said.agrees(said)) {
            Some(group) => group.servers.push(server),
            None => groups.push(Group { said, servers: vec![server] }),
        }
    }
    groups
}

/// What the others are held against: what leads on along the chain, else our own record, else any record before an alias
/// before absence, for whoever has it proves that it was published, else what most say.
fn reference<'g, 'a>(case: &Case<'_>, groups: &'g [Group<'a>], next: Option<&str>) -> Option<&'g Group<'a>> {
    let wanted = case.wanted().map(|record| record.to_string().into_bytes());
    groups.iter().filter(|group| group.said.is_definite()).rev().max_by_key(|group| {
        let (leads_on, is_wanted, kind) = match group.said {
            Said::Alias(alias) => (next.is_some_and(|next| same_name(&alias.target, next)), false, 1),
            Said::Txt([only]) => (false, wanted.as_ref().is_some_and(|wanted| *wanted == only.joined()), 2),
            Said::Txt(_) => (false, false, 2),
            _ => (false, false, 0),
        };
        (leads_on, is_wanted, kind, group.servers.len())
    })
}

/// What is to be said of servers that say something else.
fn deviation(case: &Case<'_>, group: &Group<'_>, reference: Option<&Group<'_>>) -> Option<Finding> {
    let about = case.about();
    let said = group.said;
    let (rule, severity, remedy) = match said {
        Said::Failure(Checking::Bogus) => {
            let evidence = "the server fails (SERVFAIL), but answers when it is not to check DNSSEC (CD=1)";
            return Some(about.finding_at((Rule::D04, Severity::Error), &group.servers, evidence, BOGUS));
        }
        Said::Failure(Checking::Irrelevant) => {
            (Rule::D04, Severity::Error, "look into the server's log: the zone may not be loaded, or has expired there")
        }
        Said::Refused | Said::Lame | Said::Fault(_) => (
            Rule::D03,
            Severity::Error,
            "let the server load the zone, or take it out of the zone's NS records and delegation",
        ),
        Said::Silent(_) => {
            // If all are silent, nothing is known: that is no finding.
            reference?;
            (
                Rule::D16,
                Severity::Warning,
                "bring the server back, or take it out of the zone's NS records and delegation",
            )
        }
        Said::CutOff | Said::NoRoute => return None,
        Said::Txt(_) | Said::Alias(_) | Said::Absent(_) => {
            let reference = reference.filter(|reference| !reference.said.agrees(said))?;
            let expected = format!("as at {}: {}", list(&reference.servers), reference.said.describe());
            let remedy = "wait for the transfer to this server if the change is fresh, else repair the transfer";
            let finding = about.finding_at((Rule::D03, Severity::Error), &group.servers, said.describe(), remedy);
            return Some(finding.expecting(expected));
        }
    };
    Some(about.finding_at((rule, severity), &group.servers, said.describe(), remedy))
}

/// Answers too long for UDP.
fn truncated(case: &Case<'_>, hop: &Hop) -> Vec<Finding> {
    let (mut completed, mut failed, mut why) = (Vec::new(), Vec::new(), "");
    for ServerAnswer { server, outcome } in &hop.answers {
        let Outcome::Answered(response) = outcome else { continue };
        match &response.truncation {
            Truncation::None => {}
            Truncation::CompletedOverTcp => completed.push(server),
            Truncation::TcpFailed { detail } => {
                failed.push(server);
                why = detail;
            }
        }
    }
    let about = case.about();
    let mut findings = Vec::new();
    if !failed.is_empty() {
        let evidence = format!("the answer is cut off over UDP at 1232 octets, and TCP fails ({})", printable(why));
        let remedy =
            "allow TCP port 53 to the server; a key of 2048 bits and no other records at this name fit into UDP";
        findings.push(about.finding_at((Rule::D11, Severity::Error), &failed, evidence, remedy));
    }
    if !completed.is_empty() {
        let evidence = "the answer is cut off over UDP at 1232 octets and arrives whole over TCP only";
        let remedy = "remove other records and long notes at this name, or use a key of 2048 bits";
        findings.push(about.finding_at((Rule::D11, Severity::Warning), &completed, evidence, remedy));
    }
    findings
}

/// Without an answer of the zone's servers, a resolver's counts.
fn by_resolver<'a>(case: &Case<'a>) -> (Seen<'a>, Source<'a>) {
    let recursive = &case.key.observation.recursive;
    let seen = match &recursive.answer {
        RecursiveAnswer::Found { txt, .. } if txt.is_empty() => Seen::Absent(Code::NoError),
        RecursiveAnswer::Found { txt, .. } => Seen::Txt(txt),
        RecursiveAnswer::Absent { code, .. } => Seen::Absent(*code),
        RecursiveAnswer::Bogus { .. } => Seen::Unknown("DNSSEC validation fails".into()),
        RecursiveAnswer::Failed { detail } => Seen::Unknown(format!(
            "the resolver {} gives no answer ({})",
            printable(&recursive.resolver),
            printable(detail)
        )),
        RecursiveAnswer::NotAsked => Seen::Unknown(silence(case)),
    };
    (seen, Source::Resolver(&recursive.resolver))
}

/// Why nothing is known.
fn silence(case: &Case<'_>) -> String {
    let Some(hop) = case.key.observation.hops.last() else {
        return "nobody was asked".into();
    };
    if hop.answers.is_empty() {
        let why = hop.zone_unknown.as_deref().map_or_else(|| "it has no servers".to_owned(), printable);
        return format!("the servers of {} could not be found out: {why}", shown_name(&hop.name));
    }
    let groups = groups(hop);
    let mut reasons: Vec<_> = groups
        .iter()
        .take(EXPLAINED)
        .map(|group| format!("{}: {}", list(&group.servers), group.said.describe()))
        .collect();
    if groups.len() > EXPLAINED {
        reasons.push("and so on".into());
    }
    let (name, count) = (shown_name(&hop.name), hop.answers.len());
    format!("of {count} servers none says with authority what is at {name} ({})", reasons.join("; "))
}

fn absent(case: &Case<'_>, code: Code, source: Source<'_>) -> Finding {
    let who = match source {
        Source::Servers(1) => "the zone's server".to_owned(),
        Source::Servers(count) => format!("{count} servers of the zone"),
        Source::Resolver(name) => format!("the resolver {}", printable(name)),
    };
    let evidence = format!("{} according to {who}", absence(code));
    match case.state() {
        Some(StateName::Revoked) => {
            let remedy = "nothing need be done: without a record the key is as good as revoked";
            case.finding(Rule::D01, Severity::Info, evidence, remedy)
        }
        Some(StateName::Generated) => {
            let evidence = format!("not published yet: {evidence}");
            case.publish(case.finding(Rule::D01, Severity::Error, evidence, "publish the record shown here"))
        }
        Some(_) => case.publish(case.finding(Rule::D01, Severity::Error, evidence, "publish the record shown here")),
        None => {
            let remedy = "publish the record that the signer of this selector prints, or check the selector's spelling";
            case.finding(Rule::D01, Severity::Error, evidence, remedy).expecting("one TXT record")
        }
    }
}

fn several(case: &Case<'_>, records: &[Txt]) -> Finding {
    let list: Vec<_> = records.iter().take(EXPLAINED).map(|txt| shown(&txt.joined())).collect();
    let evidence = format!("there are {} TXT records: {}", records.len(), list.join(", "));
    let wanted = case.wanted().map(|record| record.to_string().into_bytes());
    let joins = |first: &Txt, second: &Txt| wanted.as_ref() == Some(&[first.joined(), second.joined()].concat());
    let remedy = match records {
        [first, second] if joins(first, second) || joins(second, first) => {
            "they are the two halves of the key: publish them as two strings of one record, as shown here"
        }
        _ if records.iter().any(|txt| wanted.as_ref() == Some(&txt.joined())) => {
            "delete all but the one shown here, which is right"
        }
        _ if wanted.is_some() => "delete them and publish the one shown here",
        _ => "delete all but the one that the signer of this selector prints",
    };
    case.publish(case.finding(Rule::D02, Severity::Error, evidence, remedy).expecting("one TXT record"))
}

fn absence(code: Code) -> String {
    match code {
        Code::NxDomain => format!("the name does not exist ({code})"),
        _ => format!("the name has no TXT record ({code})"),
    }
}

/// Whether both have the same records, whatever their order, TTLs and cuts between strings.
pub(super) fn same_texts(mine: &[Txt], theirs: &[Txt]) -> bool {
    let texts = |records: &[Txt]| {
        let mut texts: Vec<_> = records.iter().map(Txt::joined).collect();
        texts.sort_unstable();
        texts
    };
    mine.len() == theirs.len() && texts(mine) == texts(theirs)
}

fn same_name(mine: &str, theirs: &str) -> bool {
    mine.trim_end_matches('.').eq_ignore_ascii_case(theirs.trim_end_matches('.'))
}
