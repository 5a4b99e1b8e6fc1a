//! What the bus promises on any event log.

use crate::support::{bus, new_run, plan, record, refusal, request, send, send_as};
use command_side::CommandError;
use command_side::testing::metadata;
use domain::diagnostic_run::{DiagnosticRun, RunCommand, RunPhase};
use domain::testing::check_result;
use domain::{Outcome, RunId};
use event_store::EventLog;
use std::sync::Arc;

/// Each promise, one after the other.
pub async fn hold(log: Arc<dyn EventLog>) {
    a_repeated_command_returns_what_happened(&log).await;
    a_command_id_is_for_one_command(&log).await;
    a_refusal_by_an_old_state_is_not_believed(&log).await;
    nothing_to_do_by_an_old_state_is_not_believed(&log).await;
    a_conflict_is_decided_anew(&log).await;
    concurrent_commands_all_count_once(&log).await;
    a_load_gives_the_present_state(&log).await;
}

async fn a_repeated_command_returns_what_happened(log: &Arc<dyn EventLog>) {
    let (first, other) = (bus(log), bus(log));
    let run = new_run();
    let (asked, planned, refused, started) = (metadata(), metadata(), metadata(), metadata());
    let request = request(run);
    let original = send_as(&first, run, request.clone(), asked.clone()).await.expect("it is new");
    assert!(!original.repeated && original.version.0 == 1 && original.events.len() == 1);
    let original_plan = send_as(&first, run, plan(2), planned.clone()).await.expect("it is requested");
    assert_eq!(refusal(send_as(&first, run, plan(2), refused.clone()).await), "run_already_planned");
    send(&first, run, RunCommand::Start).await.expect("it is planned");
    let nothing = send_as(&first, run, RunCommand::Start, started.clone()).await.expect("it is running");
    assert_eq!((nothing.events.len(), nothing.version.0), (0, 3));
    send(&first, run, RunCommand::Cancel { reason: "enough".to_owned() }).await.expect("it is running");
    // On the bus that knows the present state, and on one that knows nothing.
    for bus in [&first, &other] {
        let again = send_as(bus, run, request.clone(), asked.clone()).await.expect("it was accepted");
        assert!(again.repeated && again.events.is_empty());
        assert_eq!((again.position, again.version), (original.position, original.version));
        let again = send_as(bus, run, plan(2), planned.clone()).await.expect("it was accepted");
        assert_eq!((again.repeated, again.position), (true, original_plan.position));
        assert_eq!(refusal(send_as(bus, run, plan(2), refused.clone()).await), "run_already_planned");
        let again = send_as(bus, run, RunCommand::Start, started.clone()).await.expect("it was accepted");
        assert_eq!((again.repeated, again.version), (true, nothing.version));
    }
}

async fn a_command_id_is_for_one_command(log: &Arc<dyn EventLog>) {
    let bus = bus(log);
    let (run, other) = (new_run(), new_run());
    let asked = metadata();
    send_as(&bus, run, request(run), asked.clone()).await.expect("it is new");
    assert_eq!(send_as(&bus, run, plan(1), asked.clone()).await, Err(CommandError::CommandReused));
    send(&bus, other, request(other)).await.expect("it is new");
    let cancel = || RunCommand::Cancel { reason: "enough".to_owned() };
    let cancelled = metadata();
    send_as(&bus, run, cancel(), cancelled.clone()).await.expect("it is requested");
    // The same words to another run are another command.
    assert_eq!(send_as(&bus, other, cancel(), cancelled).await, Err(CommandError::CommandReused));
}

async fn a_refusal_by_an_old_state_is_not_believed(log: &Arc<dyn EventLog>) {
    let (old, other) = (bus(log), bus(log));
    let run = new_run();
    send(&old, run, request(run)).await.expect("it is new");
    send(&other, run, plan(1)).await.expect("it is requested");
    // What `old` remembers is not planned yet.
    let recorded = send(&old, run, record(vec![check_result(0, Outcome::Ok)])).await.expect("it is planned by now");
    assert_eq!(recorded.version.0, 5);
}

async fn nothing_to_do_by_an_old_state_is_not_believed(log: &Arc<dyn EventLog>) {
    let (old, other) = (bus(log), bus(log));
    let run = new_run();
    send(&old, run, request(run)).await.expect("it is new");
    send(&old, run, plan(1)).await.expect("it is requested");
    send(&old, run, RunCommand::Start).await.expect("it is planned");
    send(&other, run, RunCommand::Cancel { reason: "enough".to_owned() }).await.expect("it is running");
    assert_eq!(refusal(send(&old, run, RunCommand::Start).await), "run_already_ended");
}

async fn a_conflict_is_decided_anew(log: &Arc<dyn EventLog>) {
    let (old, other) = (bus(log), bus(log));
    let run = new_run();
    send(&old, run, request(run)).await.expect("it is new");
    send(&old, run, plan(2)).await.expect("it is requested");
    send(&other, run, record(vec![check_result(0, Outcome::Ok)])).await.expect("it is planned");
    // By what `old` remembers both results are new: only the second is.
    let both = vec![check_result(0, Outcome::Critical), check_result(1, Outcome::Warning)];
    let recorded = send(&old, run, record(both)).await.expect("it is running");
    assert_eq!((old.counts().conflicts, recorded.events.len()), (1, 2));
    let (state, _) = old.load::<DiagnosticRun>(run.0).await.expect("it is there");
    assert_eq!((state.phase, state.tally.critical, state.tally.ok), (RunPhase::Completed, 0, 1));
}

async fn concurrent_commands_all_count_once(log: &Arc<dyn EventLog>) {
    let buses = [bus(log), bus(log)];
    let runs: Vec<RunId> = (0..4).map(|_| new_run()).collect();
    for run in &runs {
        send(&buses[0], *run, request(*run)).await.expect("it is new");
        send(&buses[1], *run, plan(32)).await.expect("it is requested");
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..32_u32 {
        for run in &runs {
            let (bus, run) = (buses[number as usize % 2].clone(), *run);
            tasks.spawn(async move {
                let asked = metadata();
                let results = record(vec![check_result(number, Outcome::Ok)]);
                // Two processes at once may exhaust the retries: the same command again is safe.
                for _ in 0..20 {
                    match send_as(&bus, run, results.clone(), asked.clone()).await {
                        Err(error) if error.is_transient() => {}
                        answer => return answer.map(|_| ()),
                    }
                }
                Err(CommandError::Conflict)
            });
        }
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic").expect("it is recorded");
    }
    for run in runs {
        let (state, _) = buses[0].load::<DiagnosticRun>(run.0).await.expect("it is there");
        assert_eq!((state.phase, state.done, state.tally.ok), (RunPhase::Completed, 32, 32));
    }
}

async fn a_load_gives_the_present_state(log: &Arc<dyn EventLog>) {
    let (old, other) = (bus(log), bus(log));
    let run = new_run();
    let (absent, version) = old.load::<DiagnosticRun>(run.0).await.expect("the log answers");
    assert_eq!((absent.phase, version.0), (RunPhase::Absent, 0));
    send(&old, run, request(run)).await.expect("it is new");
    send(&other, run, plan(3)).await.expect("it is requested");
    let (state, version) = old.load::<DiagnosticRun>(run.0).await.expect("the log answers");
    assert_eq!((state.phase, state.planned, version.0), (RunPhase::Planned, 3, 2));
}
