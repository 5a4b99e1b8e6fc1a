use crate::Outcome::{Critical, Unknown, Warning};
use crate::finding::{
    Finding, FindingCommand, FindingEvent, FindingPhase, FindingState, Fingerprint, Hysteresis, Sighting,
};
use crate::ids::FindingId;
use crate::testing::{Given, after, fingerprint, given, ok_sighting, refuses, sighting};
use uuid::Uuid;

fn id() -> Uuid {
    let Fingerprint { deployment, check, resource } = fingerprint();
    FindingId::of(deployment, &check, &resource).0
}

fn absent() -> Given<Finding> {
    given::<Finding>(id(), [])
}

fn observe(sighting: Sighting) -> FindingCommand {
    observe_with(sighting, Hysteresis::default())
}

fn observe_with(sighting: Sighting, hysteresis: Hysteresis) -> FindingCommand {
    FindingCommand::Observe { fingerprint: fingerprint(), sighting, hysteresis }
}

fn bad(run: u32) -> FindingCommand {
    observe(sighting(run, Warning))
}

fn good(run: u32) -> FindingCommand {
    observe(ok_sighting(run))
}

/// Observations by runs 1, 2, 3 …: `b` bad, `g` good, each a minute after the last.
fn story(observations: &str, hysteresis: Hysteresis) -> Given<Finding> {
    observations.chars().enumerate().fold(absent(), |given, (index, kind)| {
        let run = u32::try_from(index + 1).unwrap();
        let seen = if kind == 'b' { sighting(run, Warning) } else { ok_sighting(run) };
        given.at(after(60 * i64::from(run))).and(observe_with(seen, hysteresis))
    })
}

fn seen(observations: &str) -> Given<Finding> {
    story(observations, Hysteresis::default())
}

fn slow() -> Hysteresis {
    Hysteresis { open_after: 3, ..Hysteresis::default() }
}

#[test]
fn it_opens_is_seen_again_and_resolves() {
    let state = absent().when(bad(1)).then_types(&["FindingOpened"]);
    assert_eq!((state.phase, state.occurrences, state.severity), (FindingPhase::Open, 1, Some(Warning)));
    let state = seen("b").when(bad(2)).then_types(&["FindingSeenAgain"]);
    assert_eq!(state.occurrences, 2);
    seen("bb").when(good(3)).then_types(&["FindingRecovering"]);
    let resolved = FindingEvent::FindingResolved { run: ok_sighting(4).run, open_seconds: 180, at: after(240) };
    let state = seen("bbg").at(after(240)).when(good(4)).then(&[resolved]);
    assert_eq!((state.phase, state.occurrences), (FindingPhase::Resolved, 2));
}

#[test]
fn good_after_bad_must_be_in_a_row() {
    let state = seen("bgbgbg").state();
    assert_eq!((state.phase, state.occurrences), (FindingPhase::Open, 3));
}

#[test]
fn it_regresses() {
    let state = seen("bgg").when(observe(sighting(4, Critical))).then_types(&["FindingRegressed"]);
    assert_eq!((state.phase, state.regressions, state.occurrences), (FindingPhase::Open, 1, 2));
    assert_eq!(state.severity, Some(Critical));
}

#[test]
fn it_is_suspected_until_it_opens() {
    let observe_slowly = |run| observe_with(sighting(run, Warning), slow());
    story("b", slow()).when(observe_slowly(2)).then_types(&["FindingSuspected"]);
    let state = story("bb", slow()).when(observe_slowly(3)).then_types(&["FindingOpened"]);
    assert_eq!(state.occurrences, 1);
    // A good one in between starts the row anew.
    story("bbgbb", slow()).when(observe_slowly(6)).then_types(&["FindingOpened"]);
    story("bbgb", slow()).when(observe_slowly(5)).then_types(&["FindingSuspected"]);
    // What was only suspected goes without having been open.
    let gone = FindingEvent::FindingResolved { run: ok_sighting(3).run, open_seconds: 0, at: after(180) };
    story("bg", slow()).at(after(180)).when(observe_with(ok_sighting(3), slow())).then(&[gone]);
    // Once it was open, a row of bad ones regresses it, and each counts.
    let reopened = story("bbbggbb", slow()).when(observe_slowly(8)).then_types(&["FindingRegressed"]);
    assert_eq!(reopened.occurrences, 4);
}

#[test]
fn good_on_something_absent_or_resolved_is_nothing() {
    absent().when(good(1)).then_nothing();
    seen("bgg").when(good(4)).then_nothing();
}

#[test]
fn one_run_counts_once() {
    seen("b").when(bad(1)).then_nothing();
    seen("b").when(good(1)).then_nothing();
    seen("bg").when(good(2)).then_nothing();
    // Worse than before within the run: the severity changes, the count does not.
    let state = seen("b").when(observe(sighting(1, Critical))).then_types(&["FindingSeverityChanged"]);
    assert_eq!((state.occurrences, state.severity), (1, Some(Critical)));
    // Bad after good within the run takes the good one's place.
    let state = seen("bg").when(bad(2)).then_types(&["FindingSeenAgain"]);
    assert_eq!((state.window.in_a_row(true), state.window.changes()), (2, 0));
    // An older run comes too late.
    seen("bgb").when(observe(sighting(1, Critical))).then_nothing();
    seen("bgb").when(bad(2)).then_nothing();
}

#[test]
fn severity_changes_both_ways() {
    seen("b").when(observe(sighting(2, Critical))).then_types(&["FindingSeenAgain", "FindingSeverityChanged"]);
    let critical = || seen("b").and(observe(sighting(2, Critical)));
    let state = critical().when(bad(3)).then_types(&["FindingSeenAgain", "FindingSeverityChanged"]);
    assert_eq!(state.severity, Some(Warning));
    critical().when(observe(sighting(3, Critical))).then_types(&["FindingSeenAgain"]);
}

#[test]
fn flapping_holds_back_resolving() {
    // Eight changes: b g b g b g b g b.
    let state = seen("bgbgbgbg").when(bad(9)).then_types(&["FindingSeenAgain", "FindingFlappingStarted"]);
    assert!(state.flapping);
    let flapping = || seen("bgbgbgbgbg");
    flapping().when(good(11)).then_types(&["FindingRecovering"]);
    // It settles only when few of the last twenty observations are changes.
    let story = format!("bgbgbgbgb{}", "g".repeat(15));
    let before: FindingState = seen(&story).state();
    assert!(before.flapping && before.phase == FindingPhase::Open, "{before:?}");
    let settled = seen(&format!("{story}g")).when(good(26));
    let state = settled.then_types(&["FindingFlappingStopped", "FindingResolved"]);
    assert_eq!((state.flapping, state.phase), (false, FindingPhase::Resolved));
}

#[test]
fn flapping_holds_back_reopening() {
    // Resolved four times and back: the fifth time it does not reopen.
    let quick = Hysteresis { resolve_after: 1, ..Hysteresis::default() };
    let flapping = || story("bgbgbgbgb", quick);
    let state = flapping().state();
    assert!(state.flapping);
    assert_eq!((state.phase, state.regressions, state.occurrences), (FindingPhase::Suspected, 3, 5));
    flapping().when(observe_with(sighting(10, Warning), quick)).then_types(&["FindingSuspected"]);
    flapping().when(observe_with(ok_sighting(10), quick)).then_types(&["FindingRecovering"]);
    // Bad for good: settled, it reopens.
    let last = 25;
    let settled = story(&format!("bgbgbgbgb{}", "b".repeat(15)), quick);
    let state = settled
        .when(observe_with(sighting(last, Warning), quick))
        .then_types(&["FindingRegressed", "FindingFlappingStopped"]);
    assert_eq!((state.phase, state.regressions), (FindingPhase::Open, 4));
}

#[test]
fn flapping_does_not_hold_back_the_first_opening() {
    let slow = Hysteresis { open_after: 2, ..Hysteresis::default() };
    let state = story("bgbgbgbgb", slow).state();
    assert!(state.flapping && state.phase == FindingPhase::Suspected);
    story("bgbgbgbgb", slow).when(observe_with(sighting(10, Warning), slow)).then_types(&["FindingOpened"]);
}

#[test]
fn an_expired_mute_is_announced() {
    let mute = FindingCommand::Mute { until: after(1_000), reason: "vendor is on it".to_owned() };
    let muted = || seen("b").and(mute.clone());
    muted().at(after(999)).when(bad(2)).then_types(&["FindingSeenAgain"]);
    let state = muted().at(after(1_000)).when(bad(2)).then_types(&["FindingUnmuted", "FindingSeenAgain"]);
    assert_eq!(state.muted_until, None);
    muted().at(after(2_000)).when(good(2)).then_types(&["FindingUnmuted", "FindingRecovering"]);
    // What does not count announces nothing.
    muted().at(after(2_000)).when(bad(1)).then_nothing();
}

#[test]
fn a_false_positive_stays_as_it_is() {
    let mark = FindingCommand::MarkFalsePositive { reason: "meant to be so".to_owned() };
    let marked = || seen("bgg").and(mark.clone());
    marked().at(after(3_600)).when(bad(4)).then_nothing();
    let state = marked().at(after(100_000)).when(bad(4)).then_types(&["FindingSeenAgain"]);
    assert_eq!((state.phase, state.occurrences), (FindingPhase::Resolved, 2));
    marked().at(after(100_000)).and(bad(4)).at(after(100_100)).when(bad(5)).then_nothing();
    let open = || seen("b").and(mark.clone());
    open().when(good(2)).then_nothing();
    open().at(after(100_000)).when(observe(sighting(2, Critical))).then_types(&["FindingSeenAgain"]);
    open().when(observe(sighting(1, Critical))).then_nothing();
    // Taken back, life goes on where it stood.
    let withdraw = FindingCommand::WithdrawFalsePositive { reason: "it is real".to_owned() };
    marked().and(withdraw.clone()).when(bad(4)).then_types(&["FindingRegressed"]);
    open().and(withdraw).when(good(2)).then_types(&["FindingRecovering"]);
}

#[test]
fn refusals() {
    let elsewhere = FindingCommand::Observe {
        fingerprint: Fingerprint { check: crate::testing::check("OTHER"), ..fingerprint() },
        sighting: sighting(1, Warning),
        hysteresis: Hysteresis::default(),
    };
    let with = |change: fn(&mut Hysteresis)| {
        let mut hysteresis = Hysteresis::default();
        change(&mut hysteresis);
        observe_with(sighting(1, Warning), hysteresis)
    };
    let long = Sighting { advice: "x".repeat(8_001), ..sighting(1, Warning) };
    let unmeasured = Sighting { outcome: Unknown, ..sighting(1, Unknown) };
    refuses::<Finding>(
        id(),
        [
            ("another finding", vec![], elsewhere, "finding_misaddressed"),
            ("not measured", vec![], observe(unmeasured), "unknown_outcome"),
            ("long advice", vec![], observe(long), "text_too_long"),
            ("opens after 0", vec![], with(|it| it.open_after = 0), "hysteresis_out_of_bounds"),
            ("opens never", vec![], with(|it| it.open_after = 21), "hysteresis_out_of_bounds"),
            ("resolves after 0", vec![], with(|it| it.resolve_after = 0), "hysteresis_out_of_bounds"),
            ("resolves never", vec![], with(|it| it.resolve_after = 21), "hysteresis_out_of_bounds"),
            ("flaps never", vec![], with(|it| it.flap_from = 20), "hysteresis_out_of_bounds"),
            ("flaps always", vec![], with(|it| it.flap_until = 8), "hysteresis_out_of_bounds"),
        ],
    );
}
