//! What ends a process's say in a remediation: a stop that leaves things as they are, and a lease that is lost.

use crate::remediation::{Before, Bench, step};
use crate::support;
use domain::TenantId;
use domain::emergency_stop::{EmergencyStop, EmergencyStopCommand};
use domain::remediation::{Remediation, RemediationCommand, RemediationEvent, RemediationPhase, RemediationState};
use engine::action::host::PhaseName;
use engine::remediation::{Hooks, LeaseTime, Point, Verdict};
use std::sync::Arc;
use std::time::Duration;

/// Longer than any lease of these tests.
const LONG: Duration = Duration::from_hours(1);

/// A remediation whose second step was done when the stop was engaged, without undo.
async fn halted(bench: &Bench) -> RemediationState {
    std::fs::write(bench.file("light"), "red").unwrap();
    let problem = bench.problem().await;
    let fault = Arc::new(Before { phase: PhaseName::Verify, step: step("write"), frozen: tokio::sync::Notify::new() });
    let dying = bench.kit.remediator(Some(Arc::clone(&fault) as Arc<dyn Hooks>));
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    fault.frozen.notified().await;
    let engage = EmergencyStopCommand::Engage { undo: false, reason: "let me look".to_owned() };
    bench.kit.send::<EmergencyStop>(EmergencyStop::of(&TenantId::default()), engage, "operator").await;
    drop(dying);
    bench.kit.expire_leases().await;

    let remediator = bench.kit.remediator(None);
    let state = bench.kit.rested(id).await;
    remediator.stop().await;
    assert_eq!(state.phase, RemediationPhase::Halted, "{state:#?}");
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "green", "left as it was");
    assert!(bench.kit.is_reserved(id).await, "what it touches is still its own");
    let undone = |event: &RemediationEvent| matches!(event, RemediationEvent::StepUndoStarted { .. });
    assert!(!bench.kit.events(id).await.iter().any(undone));
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_without_undo_leaves_all_as_it_is_until_a_person_takes_it_back() {
    let bench = Bench::demo().await;
    let id = halted(&bench).await.id.unwrap();
    let remediator = bench.kit.remediator(None);
    // The stop is still engaged: it does not keep a person from taking back.
    let undo = RemediationCommand::Undo { reason: "not like this".to_owned() };
    bench.kit.send::<Remediation>(id.0, undo, "operator").await;
    let state = bench.kit.until(id, |state| state.phase == RemediationPhase::Undone).await;
    assert!(state.halted, "{state:#?}");
    support::until("its budget is free again", async || !bench.kit.is_reserved(id).await).await;
    remediator.stop().await;
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "red");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_halted_without_undo_may_be_released_as_it_is() {
    let bench = Bench::demo().await;
    let id = halted(&bench).await.id.unwrap();
    let remediator = bench.kit.remediator(None);
    let release = RemediationCommand::Release { comment: "green is what it must be".to_owned() };
    bench.kit.send::<Remediation>(id.0, release, "operator").await;
    bench.kit.until(id, |state| state.phase == RemediationPhase::Failed).await;
    support::until("its budget is free again", async || !bench.kit.is_reserved(id).await).await;
    remediator.stop().await;
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "green");
}

/// At one point of the step the time comes to which the lease holds no more; nobody has said so yet.
struct TimePasses {
    time: LeaseTime,
    is_here: fn(Point<'_>) -> bool,
}

impl Hooks for TimePasses {
    fn at(&self, point: Point<'_>) -> Verdict {
        if (self.is_here)(point) {
            self.time.advance(LONG);
        }
        Verdict::GoOn
    }
}

fn is_before(point: Point<'_>, phase: PhaseName) -> bool {
    matches!(point, Point::Before(here, at) if here == phase && at.as_str() == "write")
}

fn is_recorded(point: Point<'_>, what: &str) -> bool {
    matches!(point, Point::Sent(purpose) if purpose.starts_with("write/") && purpose.ends_with(what))
}

/// What is asked of a process that has lost its lease: it does nothing more, and its heir does all of it once.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_stops_the_executor_before_its_next_side_effect() {
    let points: [fn(Point<'_>) -> bool; 3] = [
        |point| is_recorded(point, "/start"),
        |point| is_recorded(point, "/before-image"),
        |point| is_before(point, PhaseName::Apply),
    ];
    let mut bench = Bench::demo().await;
    let problem = bench.problem().await;
    bench.kit.options.lease = Duration::from_secs(20);
    for is_here in points {
        std::fs::write(bench.file("light"), "red").unwrap();
        let _ = std::fs::remove_file(bench.file("effects.log"));
        let time = LeaseTime::default();
        bench.kit.options.lease_time = time.clone();
        let losing = bench.kit.remediator(Some(Arc::new(TimePasses { time, is_here })));
        let id = bench.kit.request(&problem, None, false).await;
        bench.kit.let_run(id).await;
        losing.status().wait_for(|status| status.leases_lost == 1).await.unwrap();
        assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "red", "it did nothing more");
        let wrote = |event: &RemediationEvent| match event {
            RemediationEvent::StepSucceeded { step: of, .. } | RemediationEvent::StepFailed { step: of, .. } => {
                *of == step("write")
            }
            _ => false,
        };
        assert!(!bench.kit.events(id).await.iter().any(wrote), "and said nothing more");
        drop(losing);

        bench.kit.expire_leases().await;
        bench.kit.options.lease_time = LeaseTime::default();
        let heir = bench.kit.remediator(None);
        assert_eq!(bench.kit.rested(id).await.phase, RemediationPhase::Succeeded);
        heir.stop().await;
        assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "green");
        assert!(bench.effects().values().all(|times| *times == 1), "{:?}", bench.effects());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_stops_the_executor_on_the_way_back_too() {
    let mut bench = Bench::demo().await;
    std::fs::write(bench.file("light"), "red").unwrap();
    bench.kit.options.lease = Duration::from_secs(20);
    let problem = bench.problem().await;
    let time = LeaseTime::default();
    bench.kit.options.lease_time = time.clone();
    let fault = TimePasses { time, is_here: |point| is_before(point, PhaseName::Undo) };
    let losing = bench.kit.remediator(Some(Arc::new(fault)));
    let id = bench.kit.request(&problem, None, false).await;
    bench.kit.let_run(id).await;
    assert_eq!(bench.kit.rested(id).await.phase, RemediationPhase::Succeeded);
    let undo = RemediationCommand::Undo { reason: "no".to_owned() };
    bench.kit.send::<Remediation>(id.0, undo, "operator").await;
    losing.status().wait_for(|status| status.leases_lost == 1).await.unwrap();
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "green", "it took nothing back any more");
    drop(losing);

    bench.kit.expire_leases().await;
    bench.kit.options.lease_time = LeaseTime::default();
    let heir = bench.kit.remediator(None);
    bench.kit.until(id, |state| state.phase == RemediationPhase::Undone).await;
    heir.stop().await;
    assert_eq!(std::fs::read_to_string(bench.file("light")).unwrap(), "red");
}
