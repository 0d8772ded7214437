//! A real server behind something that cuts connections and changes answers.

use hickory_server::proto::op::OpCode;
use waxseal::config::TsigHash;
use waxseal::dns::publish::{CredentialsProblem, Outcome, PublishError, Publisher, Rfc2136};

use crate::between::{Between, Fate};
use crate::common::SECRET;
use crate::common::{absent, present, record, replace, revoked, runtime, txt_at, wait};
use crate::rfc2136::{bind, key, nsupdate, problem, updater};

fn behind(between: &Between) -> Rfc2136 {
    updater(between.address(), None, key("waxseal-256", TsigHash::Sha256, SECRET))
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn one_connection_carries_many_operations_and_the_zone_is_asked_for_once() {
    let bind = bind();
    let server = bind.servers()[0];
    let between = Between::of(server, |op_code, number| {
        // A second question for the zone would be answered by closing, and noticed below.
        if op_code == OpCode::Query && number > 0 { Fate::Refuse } else { Fate::Pass }
    });
    let publisher = behind(&between);
    runtime().block_on(async {
        for selector in ["k1", "k2", "k3", "k4"] {
            let key = record(selector, 'A');
            assert_eq!(publisher.present(&key).await.unwrap(), Outcome::Done);
            assert_eq!(publisher.replace(&key, &revoked(&key)).await.unwrap(), Outcome::Done);
            assert_eq!(publisher.absent(&revoked(&key)).await.unwrap(), Outcome::Done);
        }
    });
    assert_eq!(between.connections(), 1);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_connection_that_the_server_closes_is_replaced_and_nothing_is_lost_or_done_twice() {
    let bind = bind();
    let server = bind.servers()[0];
    // Closed after each answer; in the middle of every other answer, after the server has acted; before it gets anything.
    let fates: [fn(usize) -> Fate; 3] = [
        |_| Fate::Last,
        |number| if number % 2 == 0 { Fate::Half } else { Fate::Pass },
        |number| if number % 2 == 0 { Fate::Refuse } else { Fate::Pass },
    ];
    for (number, fate) in fates.into_iter().enumerate() {
        let between = Between::of(server, move |op_code, number| match op_code {
            OpCode::Update => fate(number),
            _ => Fate::Pass,
        });
        let publisher = behind(&between);
        let key = record(&format!("cut{number}"), 'A');
        runtime().block_on(async {
            // The connection is one that has answered before: the server may close it, and the operation goes on.
            let done = [Outcome::Done, Outcome::AlreadySo];
            let outcome = publisher.present(&key).await.unwrap();
            assert!(done.contains(&outcome), "{outcome:?}");
            assert_eq!(txt_at(server, &key.name), [key.value.as_str()]);
            let outcome = publisher.replace(&key, &revoked(&key)).await.unwrap();
            assert!(done.contains(&outcome), "{outcome:?}");
            assert_eq!(txt_at(server, &key.name), [revoked(&key).value]);
            let outcome = publisher.absent(&revoked(&key)).await.unwrap();
            assert!(done.contains(&outcome), "{outcome:?}");
            assert_eq!(txt_at(server, &key.name), Vec::<String>::new());
        });
    }
}

#[test]
#[ignore = "needs BIND and nsupdate; tests/run-all installs them"]
fn an_answer_lost_for_good_is_an_error_and_the_next_run_finds_out() {
    let bind = bind();
    let server = bind.servers()[0];
    for fate in [Fate::Half, Fate::Refuse] {
        let between = Between::of(server, move |op_code, _| if op_code == OpCode::Update { fate } else { Fate::Pass });
        let key = record("k1", 'A');
        let error = wait(behind(&between).present(&key)).unwrap_err();
        assert!(matches!(error, PublishError::Connection { .. }), "{error:?}");
        let direct = updater(server, None, crate::rfc2136::key("waxseal-256", TsigHash::Sha256, SECRET));
        // It had taken effect, or not: either way it is so now, and others' records are safe.
        let expected = if fate == Fate::Half { Outcome::AlreadySo } else { Outcome::Done };
        assert_eq!(present(&direct, &key), expected);
        assert_eq!(absent(&direct, &key), Outcome::Done);
    }

    // Between the lost answer and the repetition, another administrator takes the name.
    let theirs = record("k2", 'B');
    let name = theirs.name.clone();
    let between = Between::of(server, move |op_code, number| match (op_code, number) {
        (OpCode::Update, 0) => {
            nsupdate(server, &format!("update add {name}. 300 TXT \"theirs\""));
            Fate::Refuse
        }
        _ => Fate::Pass,
    });
    assert!(matches!(present(&behind(&between), &theirs), Outcome::Conflict(_)));
    assert_eq!(txt_at(server, &theirs.name), ["theirs"]);
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn an_answer_that_is_unsigned_or_wrongly_signed_is_not_believed() {
    let bind = bind();
    let server = bind.servers()[0];
    for (fate, expected) in [
        (Fate::Unsigned, CredentialsProblem::Unsigned),
        (Fate::Forged, CredentialsProblem::Forged),
        (Fate::Replayed, CredentialsProblem::Forged),
    ] {
        let between = Between::of(server, move |op_code, _| if op_code == OpCode::Update { fate } else { Fate::Pass });
        let publisher = behind(&between);
        let key = record("k1", 'A');
        let error = wait(publisher.present(&key)).unwrap_err();
        assert_eq!(problem(&error), expected);
        assert!(error.to_string().contains("not believed"), "{error}");
        // The next run finds the truth.
        let direct = updater(server, None, crate::rfc2136::key("waxseal-256", TsigHash::Sha256, SECRET));
        assert_eq!(present(&direct, &key), Outcome::AlreadySo);
        assert_eq!(absent(&direct, &key), Outcome::Done);

        // Nor is one that says which zone it is, or what stands there.
        let between = Between::of(server, move |op_code, number| match op_code {
            OpCode::Query if number > 0 || fate != Fate::Replayed => fate,
            _ => Fate::Pass,
        });
        let standing = present(&direct, &key);
        assert_eq!(standing, Outcome::Done);
        let error = wait(behind(&between).present(&record("k1", 'B'))).unwrap_err();
        assert_eq!(problem(&error), expected);
        assert_eq!(absent(&direct, &key), Outcome::Done);
    }
}

#[test]
#[ignore = "needs BIND; tests/run-all installs it"]
fn a_zone_that_is_cut_off_meanwhile_is_found_anew() {
    use crate::common::{LOOPBACK, ZONE};
    use crate::support::{Bind, Statements, ZoneText};
    let statements = |grant: &str| Statements {
        global: format!("key \"waxseal-256\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};"),
        of_zones: format!("update-policy {{ grant waxseal-256 {grant} TXT; }};"),
    };
    let parent = Bind::start_with(&[ZoneText::new(ZONE, &[LOOPBACK], "")], &[LOOPBACK], &statements("zonesub"));
    let child_apex = format!("mail.{ZONE}");
    let child = Bind::start_with(&[ZoneText::new(&child_apex, &[LOOPBACK], "")], &[LOOPBACK], &statements("zonesub"));
    // Behind one address, first the server with the parent's zone, then the one with the child's.
    let (before, after) = (parent.servers()[0], child.servers()[0]);
    let front = crate::between::Switch::between(before, after);
    let publisher = updater(front.address(), None, key("waxseal-256", TsigHash::Sha256, SECRET));
    let name = |selector: &str| waxseal::dns::publish::Record {
        name: format!("{selector}._domainkey.{child_apex}"),
        ..record(selector, 'A')
    };
    assert_eq!(present(&publisher, &name("k1")), Outcome::Done);
    assert_eq!(txt_at(before, &name("k1").name).len(), 1);
    front.switch();
    // The update for the parent's zone is refused (NOTAUTH), the zone is asked for again.
    assert_eq!(present(&publisher, &name("k2")), Outcome::Done);
    assert_eq!(txt_at(after, &name("k2").name).len(), 1);
    assert_eq!(replace(&publisher, &name("k2"), &revoked(&name("k2"))), Outcome::Done);
}
