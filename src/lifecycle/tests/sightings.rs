use super::world::{Has, at, bound, domain, key, later, observed, ours, revoked};
use crate::dkim::Algorithm;
use crate::lifecycle::{Resolvers, Schedule, Seen, Sighting, Silences};
use crate::manifest::Binding;

fn binding() -> Binding {
    bound(&domain(), "s", key(Algorithm::Ed25519Sha256, 1), &at(0)).bindings()[0].clone()
}

fn seen(servers: &[Has]) -> Sighting {
    let look = observed(servers, &at(0));
    Sighting::of(&binding(), &look, &Silences::default(), &Schedule::default())
}

fn with(tags: &str) -> Has {
    let Has::Record(text) = ours(&binding()) else { panic!() };
    Has::Record(text.replace("v=DKIM1;", &format!("v=DKIM1; {tags};")))
}

#[test]
fn what_all_servers_say_together_is_told_apart() {
    let (ours, revoked, nothing) = (ours(&binding()), revoked(&binding()), Has::Nothing);
    let everywhere = seen(&[ours.clone(), ours.clone()]);
    assert_eq!(everywhere.seen, Seen::Everywhere);
    assert_eq!((everywhere.largest_ttl, everywhere.negative_ttl), (3600, 600));
    assert_eq!(everywhere.resolvers, Resolvers::Agree);
    assert_eq!(everywhere.standing.len(), 1);
    assert_eq!(seen(&[nothing.clone(), nothing.clone()]).seen, Seen::Nowhere);
    assert_eq!(seen(&[revoked.clone(), revoked.clone()]).seen, Seen::Revoked);
    for pair in [[ours.clone(), nothing.clone()], [revoked.clone(), ours.clone()], [nothing, revoked]] {
        assert_eq!(seen(&pair).seen, Seen::Partly, "{pair:?}");
    }
}

#[test]
fn only_an_equivalent_record_is_ours() {
    for tags in ["n=note", "t=s", "h=sha256", "s=email", "s=*"] {
        assert_eq!(seen(&[with(tags)]).seen, Seen::Everywhere, "{tags}");
    }
    for tags in ["t=y", "h=sha1", "s=tlsrpt"] {
        assert!(matches!(seen(&[with(tags)]).seen, Seen::Foreign { .. }), "{tags}");
    }
    assert!(matches!(seen(&[ours(&binding()), Has::Record("v=spf1".into())]).seen, Seen::Foreign { .. }));
}

#[test]
fn silence_is_excused_after_a_day_if_half_of_the_names_answer() {
    let binding = binding();
    let servers = [ours(&binding), Has::Silence];
    let mut silences = Silences::default();
    let schedule = Schedule::default();
    for (hour, is_excused) in [(0, false), (23, false), (25, true)] {
        let now = later(&at(0), hour * 3600);
        let look = observed(&servers, &now);
        silences.note(&look.observation, &now);
        let sighting = Sighting::of(&binding, &look, &silences, &schedule);
        assert_eq!(sighting.seen == Seen::Everywhere, is_excused, "after {hour} hours: {sighting:?}");
        assert_eq!(sighting.excuses.len(), usize::from(is_excused));
    }
    let now = later(&at(0), 26 * 3600);
    for silent in [Has::Silence, Has::Refusal] {
        let look = observed(&[ours(&binding), silent.clone(), Has::Silence, Has::Silence], &now);
        let sighting = Sighting::of(&binding, &look, &silences, &schedule);
        assert!(matches!(sighting.seen, Seen::Unknown { .. }), "one of four names answers");
    }
    // An answer ends the silence, and the next one begins anew.
    let look = observed(&[ours(&binding), ours(&binding)], &now);
    silences.note(&look.observation, &now);
    assert_eq!(silences, Silences::default());
}

#[test]
fn a_wrong_answer_is_never_excused() {
    let binding = binding();
    let mut silences = Silences::default();
    let servers = [ours(&binding), Has::Nothing, Has::Silence];
    for hour in [0, 30] {
        let now = later(&at(0), hour * 3600);
        let look = observed(&servers, &now);
        silences.note(&look.observation, &now);
        assert_eq!(Sighting::of(&binding, &look, &silences, &Schedule::default()).seen, Seen::Partly);
    }
}
