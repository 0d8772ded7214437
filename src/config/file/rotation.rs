//! The section `[rotation]` of version 1.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::publisher::DomainPattern;
use crate::config::values::{Count, Percent, Period};
use crate::manifest::SelectorTemplate;

/// When keys are replaced, and how sure of DNS `waxseal rotate` is before it goes on; docs/lifecycle.md has the states. The
/// daemon only reads what the last run left in `state`, for metrics and its status page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// Where rotation keeps its lock, its audit log and what it knows of the next dates, relative to the directory of this
    /// file; made where it is missing. The default is what the shipped unit has (`StateDirectory=`).
    #[schemars(example = &"/var/lib/waxseal-rotate")]
    pub state: Option<PathBuf>,
    /// How long a key signs before its successor takes over. 180 days: twice a year, which is what receivers recommend
    /// at the least, and seldom enough that a fault is noticed before the next.
    pub key_age: Option<Period>,
    /// Whether the next keys are published and Ready all the time. On: a compromise is answered within a minute, and a
    /// name server that fails on the day of a change delays nothing.
    pub standby: Option<bool>,
    /// How long signed mail may be under way and is still to be verified; the record stays at least so long after the
    /// last signature. 14 days: MTAs give up after five, people restore and check mail later.
    pub mail_life: Option<Period>,
    /// How long a new record stands on every server before its key may sign, at least; TTLs may make it longer. A day:
    /// longer than most TTLs, and time for a server that was away to come back.
    pub settle: Option<Period>,
    /// How often in a row every server must have the record. Three: there may be several machines behind one address.
    pub rounds: Option<Count>,
    /// How far apart the first and the last of these rounds are, at least.
    pub rounds_over: Option<Period>,
    /// How old the last look at every server may be when a key begins to sign. An hour: several runs of the timer.
    pub reseen_within: Option<Period>,
    /// How long a server must have been silent before the others may go on without it, if half of them answer. A
    /// day: a dead server cannot block for ever, and one that restarts is waited for.
    pub excuse_after: Option<Period>,
    /// How long a record says that its key is revoked (an empty p=) before it is deleted; `0s` deletes it at once. 30 days: a verifier
    /// that is late learns that the key was withdrawn, not that it never was.
    pub revoked_for: Option<Period>,
    /// What the selectors of new keys look like: text with `{date}` (20261123), `{algorithm}` (`r` or `e`) and `{random}` (eight
    /// letters and digits). One that was used gets a number behind it. The date tells an administrator how old a key is.
    /// Also for `waxseal generate`. Domains with `[[slots]]` have those.
    #[schemars(example = &"{date}{algorithm}")]
    pub selector: Option<SelectorTemplate>,
    /// The TTL of the records of new keys. Unset: that of the domain's newest key, an hour for its first; short enough to mend
    /// a mistake the same day. Longer ones make waits longer. Also for `waxseal generate`.
    #[schemars(example = &"1h")]
    pub record_ttl: Option<Period>,
    /// Imported domains that rotation may take over, as patterns: `example.com`, `*.example.com`, `*`. None: their records
    /// were made by another system, which may still look after them. Enrol them in waves; each is noticed on its next patrol, or
    /// at once if it is named to `waxseal rotate`. Domains whose keys waxseal made need not be named.
    #[schemars(example = ["example.com", "*.example.net"])]
    pub enrolled: Option<Vec<DomainPattern>>,
    /// A program, by its path, and its arguments, run before a record is published. It is told the domain and the
    /// selectors in JSON on stdin; if it fails, nothing is published. docs/rotation.md has all four.
    #[schemars(example = ["/usr/local/lib/waxseal/pre-publish"])]
    pub pre_publish: Option<Vec<String>>,
    /// The same after a key became Ready. Failing, it is reported, no more.
    #[schemars(example = ["/usr/local/lib/waxseal/post-ready"])]
    pub post_ready: Option<Vec<String>>,
    /// The same after a key became Active. Failing, it is reported, no more.
    #[schemars(example = ["/usr/local/lib/waxseal/post-activate"])]
    pub post_activate: Option<Vec<String>>,
    /// The same before a record is revoked or deleted; if it fails, the record stays.
    #[schemars(example = ["/usr/local/lib/waxseal/pre-withdraw"])]
    pub pre_withdraw: Option<Vec<String>>,
    /// How long one of these programs may take before it is killed and counts as failed.
    pub hook_timeout: Option<Period>,
    /// A directory to which private keys are published, each before it is destroyed, when no mail signed with it can be under way
    /// and its record is revoked: anyone can then have made the old signatures. Off: they are only destroyed. docs/emergency.md
    /// says what publishing breaks; it cannot be undone.
    #[schemars(example = &"/srv/www/retired-keys")]
    pub publish_retired_keys: Option<PathBuf>,
    /// Domains that are worked on at once. Most of the time is waiting for DNS. One that takes longer than five seconds gives its
    /// place to the next and goes on beside it, so that slow zones hold up no others.
    pub concurrency: Option<Count>,
    /// Domains that begin to ask or change DNS each second; those for which neither is needed do not count. 400: 10,000 are through
    /// within half a minute, and no name server notices.
    pub domains_per_second: Option<Count>,
    /// How often the records of keys that sign, or are to, are looked at though nothing is due: each domain in its own part of that
    /// time. A run goes on patrol for a minute at most; what is left is for the next.
    pub patrol_every: Option<Period>,
    /// Of more than 20 domains that are due at once, so many are done first, in percent, and the rest only if these went well.
    /// 5: whatever is wrong with a publisher or a zone shows itself there. Domains that failed the last time come after all others.
    pub canary: Option<Percent>,
    /// When more than so many of the domains of one run fail, in percent, the run halts, and the next begins with a canary
    /// again. Those that failed the last time too do not count. 20: single domains break all the time, a fifth of them at once is
    /// ours or the publisher's fault.
    pub halt: Option<Percent>,
}

/// How much rotation does for a domain by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DomainAutomation {
    /// Everything, through its publisher.
    Automatic,
    /// Everything but DNS: the operator publishes and deletes the records, and is waited for.
    ByHand,
    /// Nothing; `waxseal status` says when keys are old.
    Reminders,
}
