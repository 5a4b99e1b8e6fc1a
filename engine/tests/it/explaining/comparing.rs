//! Two runs beside each other.

use super::Told;
use domain::{RunId, TenantId};
use query_side::comparison::BetweenKind;
use query_side::{BaselineState, Change};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_compared_with_what_happened_in_between() {
    let told = Told::whole("{{ row.used }} percent").await;
    let queries = told.queries().await;
    let tenant = TenantId::default();
    // The runs' figures of host-a: 50, 85.5, 95, 50, 50, none, 75.25, 75.25 (overridden), 75.25.
    let table = [
        (0, 1, Some((Change::New, BaselineState::New)), true),
        (1, 2, Some((Change::Worse, BaselineState::Updated)), true),
        (2, 1, Some((Change::Better, BaselineState::Updated)), false),
        (2, 3, Some((Change::Fixed, BaselineState::Absent)), false),
        (2, 5, Some((Change::Undecided, BaselineState::Absent)), false),
        (5, 7, Some((Change::Undecided, BaselineState::New)), false),
        (6, 7, Some((Change::Regressed, BaselineState::New)), true),
        (7, 8, Some((Change::Unchanged, BaselineState::Unchanged)), false),
        (0, 3, None, false),
    ];
    for (base, head, expected, is_worse) in table {
        let compared = queries.compare_runs(&tenant, told.runs[base], told.runs[head]).await.unwrap().unwrap();
        let found = compared.problems.first().map(|one| (one.change, one.baseline_state));
        assert_eq!((found, compared.is_worse()), (expected, is_worse), "{base} to {head}: {compared:#?}");
        assert!(compared.problems.len() <= 1 && !compared.truncated);
        assert!(compared.problems.iter().all(|one| one.finding == told.finding("host-a")));
    }
    let compared = queries.compare_runs(&tenant, told.runs[4], told.runs[8]).await.unwrap().unwrap();
    let between: Vec<_> = compared.between.iter().map(|one| (one.kind, one.event_type.as_str())).collect();
    assert_eq!(between, [(BetweenKind::Threshold, "ThresholdOverridden")]);
    assert_eq!(compared.between[0].detail["reason"], "it fills quickly");
    let checks: Vec<_> = compared.changed_checks.iter().map(|one| one.component.as_str()).collect();
    assert_eq!(checks, ["host-a", "host-b"], "the check's file changed");

    let other = TenantId::new("other").unwrap();
    assert!(queries.compare_runs(&other, told.runs[0], told.runs[1]).await.unwrap().is_none());
    let unknown = RunId(Uuid::now_v7());
    assert!(queries.compare_runs(&tenant, told.runs[0], unknown).await.unwrap().is_none());
}
