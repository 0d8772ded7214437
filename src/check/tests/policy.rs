//! Cases of the rules P.

use jiff::SignedDuration;

use super::world::*;
use crate::check::{PrivateKeyAccess, Rule::*, Standby};
use crate::dkim::{Algorithm, KeyRecord};
use crate::finding::Severity::{Error, Info, Warning};
use crate::manifest::StateName;
use crate::observation::{Code, Dmarc, RecursiveAnswer};

fn revoked() -> String {
    KeyRecord::revoked(Algorithm::RsaSha256).to_string()
}

fn dmarc(world: &mut World, record: &str) {
    world.subject.dmarc = Dmarc::Found { name: "_dmarc.example.com".into(), record: record.into() };
}

fn state(world: &mut World, state: StateName) {
    world.held().state = state;
}

pub(super) fn examples() -> Vec<Example> {
    [tags(), life(), whole()].into_iter().flatten().collect()
}

fn tags() -> Vec<Example> {
    vec![
        finds("h= without sha256", &[(P01, Error)], |world| world.with_tags("h=sha1")),
        finds("h= with sha1", &[(P01, Warning)], |world| world.with_tags("h=SHA1:sha256")),
        quiet(P01, "h= with sha256 alone", |world| world.with_tags("h=sha256")),
        finds("s= without e-mail", &[(P02, Error)], |world| world.with_tags("s=tlsrpt")),
        quiet(P02, "s= with a star", |world| world.with_tags("s=tlsrpt:*")),
        finds("t=y", &[(P03, Warning)], |world| world.with_tags("t=y")),
        quiet(P03, "t=s", |world| world.with_tags("t=s")),
        finds("t=s and i= in a subdomain", &[(P04, Error)], |world| {
            world.subject.auid = Some("@mail.example.com".into());
            world.with_tags("t=s");
        }),
        quiet(P04, "t=s and i= in the domain itself", |world| {
            world.subject.auid = Some("joe@example.com".into());
            world.with_tags("t=s");
        }),
    ]
}

fn life() -> Vec<Example> {
    vec![
        finds("revoked while active", &[(P05, Error)], |world| world.record(&revoked())),
        finds("revoked, and nobody here holds it", &[(P05, Info)], |world| {
            world.holds_nothing();
            world.record(&revoked());
        }),
        quiet(P05, "revoked as it should be", |world| {
            state(world, StateName::Revoked);
            world.record(&revoked());
        }),
        finds("the record of a withdrawn key", &[(P06, Warning)], |world| state(world, StateName::Withdrawn)),
        finds("the record of a withdrawn key at one server, and in a resolver", &[(P06, Warning)], |world| {
            state(world, StateName::Withdrawn);
            world.says(1, nothing(Code::NxDomain));
        }),
        finds("a withdrawn key's CNAME that leads nowhere", &[(P06, Warning)], |world| {
            state(world, StateName::Withdrawn);
            world.leads_through(&["gone.example.net"], Some(&nothing(Code::NxDomain)));
            world.seen().recursive.answer = RecursiveAnswer::NotAsked;
        }),
        finds("the record of a revoked key still has it", &[(P06, Warning)], |world| state(world, StateName::Revoked)),
        quiet(P06, "a withdrawn key's record in a resolver only", |world| {
            state(world, StateName::Withdrawn);
            world.says(1, nothing(Code::NxDomain));
            world.says(2, nothing(Code::NxDomain));
        }),
        quiet(P06, "the record of a retiring key", |world| {
            state(world, StateName::Retiring);
            world.subject.keys.push(published("s2", &rsa()));
        }),
        finds("a key of a year", &[(P07, Warning)], |world| {
            world.held().created = now() - SignedDuration::from_hours(24 * 365);
        }),
        quiet(P07, "a key of half a year less an hour", |world| {
            world.held().created = now() - SignedDuration::from_hours(24 * 180 - 1);
        }),
        quiet(P07, "a key from the future", |world| world.held().created = now() + SignedDuration::from_hours(24)),
        finds("a private key that others can read", &[(P11, Error)], |world| {
            world.held().private_key = PrivateKeyAccess::Exposed {
                path: "/etc/waxseal/keys/domains/example.com/s1.pem".into(),
                detail: "its mode is 0644; chmod 0640 it".into(),
            };
        }),
        quiet(P11, "no private key here, as in CI", |world| world.held().private_key = PrivateKeyAccess::NotHere),
    ]
}

fn whole() -> Vec<Example> {
    vec![
        finds("no key stands by", &[(P08, Info)], |world| world.wishes.standby = Standby::Wanted),
        quiet(P08, "a key stands by", |world| {
            world.wishes.standby = Standby::Wanted;
            world.subject.keys.push(published("s2", &ed25519()));
            world.subject.keys[1].held.as_mut().unwrap().state = StateName::Ready;
        }),
        quiet(P08, "nobody wants a standby", |world| world.wishes.standby = Standby::Optional),
        quiet(P08, "no key is active yet", |world| {
            world.wishes.standby = Standby::Wanted;
            state(world, StateName::Generated);
        }),
        finds("strict alignment for subdomains", &[(P09, Error)], |world| {
            world.subject.signs_subdomains = true;
            dmarc(world, "v=DMARC1; p=reject; adkim = s ; aspf=r");
        }),
        finds("no DMARC record", &[(P09, Info)], |world| world.subject.dmarc = Dmarc::Absent),
        quiet(P09, "strict alignment without subdomains", |world| dmarc(world, "v=DMARC1; p=reject; adkim=s")),
        quiet(P09, "relaxed alignment for subdomains", |world| {
            world.subject.signs_subdomains = true;
            dmarc(world, "v=DMARC1; p=reject; aspf=s; adkim=r");
        }),
        quiet(P09, "DMARC could not be found out", |world| world.subject.dmarc = Dmarc::Unknown),
    ]
}
