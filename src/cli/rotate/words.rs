//! Plans in words, for people and for machines.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::lifecycle::{Action, Alarm, Change, Depth, Event, Plan, Seen, Threat, Wait, WaitReason};
use crate::names::Selector;

/// What is to happen, what is waited for, and what is wrong.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanInWords {
    /// What would be done now.
    pub(crate) actions: Vec<ActionInWords>,
    /// What keys wait for.
    pub(crate) waits: Vec<WaitInWords>,
    /// What threatens the domain's mail.
    pub(crate) alarms: Vec<AlarmInWords>,
}

/// Something to do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ActionInWords {
    pub(crate) selector: Option<Selector>,
    pub(crate) action: &'static str,
    pub(crate) why: String,
}

/// What a key waits for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WaitInWords {
    pub(crate) selector: Option<Selector>,
    pub(crate) reason: &'static str,
    pub(crate) until: Option<Timestamp>,
    pub(crate) detail: String,
}

/// What threatens a domain's mail.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AlarmInWords {
    pub(crate) selector: Option<Selector>,
    pub(crate) threat: &'static str,
    pub(crate) until: Option<Timestamp>,
    pub(crate) detail: String,
}

impl From<&Plan> for PlanInWords {
    fn from(plan: &Plan) -> Self {
        Self {
            actions: plan.actions.iter().flat_map(action).collect(),
            waits: plan.waits.iter().map(wait).collect(),
            alarms: plan.alarms.iter().map(alarm).collect(),
        }
    }
}

fn action(action: &Action) -> Vec<ActionInWords> {
    let one = |selector: &Selector, action, why: &str| {
        vec![ActionInWords { selector: Some(selector.clone()), action, why: why.to_owned() }]
    };
    match action {
        Action::Observe { selector, depth: Depth::Servers } => {
            one(selector, "look", "its record is looked at on every server")
        }
        Action::Observe { selector, .. } => one(selector, "look", "resolvers are asked for its record"),
        Action::Generate { algorithm } => vec![ActionInWords {
            selector: None,
            action: "generate",
            why: format!("there is no next {algorithm} key yet"),
        }],
        Action::Publish { selector } => one(selector, "publish", "its record is to stand on every server"),
        Action::Revoke { selector } => one(selector, "revoke", "no mail signed with it is under way any more"),
        Action::Delete { selector } => one(selector, "delete", "nobody needs its record any more"),
        Action::AwaitDaemons { selector } => one(selector, "await-daemons", "no daemon may sign with it any more"),
        Action::Change(Change::Step { selector, event }) => vec![step(selector, event)],
        Action::Change(Change::Activate { selectors }) => selectors
            .iter()
            .flat_map(|selector| {
                one(selector, "activate", "every server has it, caches have let go, and it is its turn")
            })
            .collect(),
        Action::Change(Change::Count) => Vec::new(),
    }
}

fn step(selector: &Selector, event: &Event) -> ActionInWords {
    let (action, why) = match event {
        Event::Looked(sighting) => match &sighting.seen {
            Seen::Foreign { evidence } => ("hold", evidence.clone()),
            _ => ("note", sighting.describe()),
        },
        Event::Retired { .. } => ("retire", "it is not to sign any more".to_owned()),
        Event::WithdrawalBegun => ("withdraw", "no mail signed with it is under way any more".to_owned()),
        Event::Forgotten => ("forget", "no cache can hold its record any more".to_owned()),
        _ => ("note", "something happened to it".to_owned()),
    };
    ActionInWords { selector: Some(selector.clone()), action, why }
}

fn wait(wait: &Wait) -> WaitInWords {
    let (reason, detail) = match &wait.reason {
        WaitReason::PublishByHand => {
            ("publish-by-hand", "you publish its record (waxseal record prints it)".to_owned())
        }
        WaitReason::Propagation { seen } => ("propagation", format!("every server has its record; {seen}")),
        WaitReason::Rounds { seen } => {
            ("rounds", format!("it is seen again on every server; seen {} so far", times(*seen)))
        }
        WaitReason::Settle => ("settle", "caches have let go of what was there before".to_owned()),
        WaitReason::Resolvers { evidence } => ("resolvers", format!("resolvers say the same; {evidence}")),
        WaitReason::Turn => ("turn", "its turn comes".to_owned()),
        WaitReason::Successor => ("successor", "its successor takes over".to_owned()),
        WaitReason::Mail => ("mail", "mail signed with it has arrived".to_owned()),
        WaitReason::Daemons => ("daemons", "daemons have ceased to use it".to_owned()),
        WaitReason::WithdrawByHand => ("withdraw-by-hand", "you revoke or delete its record".to_owned()),
        WaitReason::Revocation => ("revocation", "every server has its record with an empty p=".to_owned()),
        WaitReason::RevokedFor => ("revoked-for", "its revocation has been there long enough".to_owned()),
        WaitReason::Deletion => ("deletion", "no server has its record".to_owned()),
        WaitReason::Caches => ("caches", "no cache can hold its record".to_owned()),
        WaitReason::Held { evidence, .. } => ("held", format!("its record is as it should be, or gone: {evidence}")),
        WaitReason::Clock { trouble } => ("clock", format!("the next run, for {trouble}")),
        WaitReason::Slot { algorithm, slots: 0 } => {
            ("slot", format!("the configuration has slots for {algorithm} keys: there are none in [[slots]]"))
        }
        WaitReason::Slot { algorithm, slots } => {
            ("slot", format!("one of its {slots} slots is free for the next {algorithm} key"))
        }
        WaitReason::Reminder => ("reminder", "you rotate: nobody does it for you".to_owned()),
    };
    WaitInWords { selector: wait.selector.clone(), reason, until: wait.until, detail }
}

fn alarm(alarm: &Alarm) -> AlarmInWords {
    let (threat, detail) = match &alarm.threat {
        Threat::ActiveRecord { seen } => {
            ("active-record", format!("it signs, and its record is not as it should be: {seen}"))
        }
        Threat::NothingSigns => ("nothing-signs", "the domain has no key to sign with".to_owned()),
        Threat::CompromisedSigns => {
            ("compromised-signs", "it is compromised and still signs, for want of another".to_owned())
        }
        Threat::CompromisedPublished => {
            ("compromised-published", "it is compromised, and its record is not revoked yet".to_owned())
        }
    };
    AlarmInWords { selector: alarm.selector.clone(), threat, until: alarm.until, detail }
}

fn times(number: u32) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}

/// A time, and how far it is.
pub(crate) fn when(until: Timestamp, now: Timestamp) -> String {
    let left = SignedDuration::from_secs(until.duration_since(now).as_secs()).max(SignedDuration::ZERO);
    let minutes = left.as_mins();
    let far = match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("in {} s", left.as_secs()),
        (0, 0, minutes) => format!("in {minutes} min"),
        (0, hours, minutes) => format!("in {hours} h {minutes} min"),
        (days, hours, _) => format!("in {days} d {hours} h"),
    };
    format!("{until:.0} ({far})")
}
