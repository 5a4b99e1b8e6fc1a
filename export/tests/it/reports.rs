//! Reports of runs and periods, read as the tools that they are for would read them.

use crate::support::{World, now, rules};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Outcome, RunId, TenantId};
use export::ExportError;
use export::Output;
use export::report::period::{Period, PeriodFacts};
use export::report::period_page::PeriodReport;
use export::report::{RunForm, RunReport};
use export::table::{Table, TableFilter};
use query_side::{PageRequest, Queries, RunFilter, RunStatus, RunView};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

async fn runs(queries: &Queries, statuses: Vec<RunStatus>) -> Vec<RunView> {
    let filter = RunFilter { statuses, ..RunFilter::default() };
    queries.runs(&filter, &PageRequest::first(500)).await.unwrap().items
}

async fn report(world: &World, form: RunForm, run: RunId, base: Option<RunId>) -> String {
    let (queries, rules, tenant) = (world.queries(), rules(), TenantId::default());
    let report = RunReport { queries: &queries, tenant: &tenant, rules: &rules, now: now(), proof: None };
    world.written(async |output| report.write(form, run, base, output).await.unwrap()).await
}

fn sarif_schema() -> jsonschema::Validator {
    let mut schema: Value = serde_json::from_str(include_str!("../schemas/sarif-2.1.0.json")).unwrap();
    // Their pattern has a bracket too many, and is no regular expression; nothing here writes a language.
    for of in ["run", "toolComponent"] {
        let language = schema.pointer_mut(&format!("/definitions/{of}/properties/language")).unwrap();
        language.as_object_mut().unwrap().remove("pattern").unwrap();
    }
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sarif_is_valid_and_says_what_the_run_says() {
    let world = World::of(51, 4_000).await;
    let (queries, schema) = (world.queries(), sarif_schema());
    let ended = RunStatus::ALL.iter().copied().filter(|status| status.has_ended()).collect();
    let all = runs(&queries, ended).await;
    assert!(all.len() > 30);
    let (mut problems, mut open) = (0, 0);
    for run in all.iter().take(60) {
        let sarif: Value = serde_json::from_str(&report(&world, RunForm::Sarif, run.id, None).await).unwrap();
        let faults: Vec<String> =
            schema.iter_errors(&sarif).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:?}");
        let [only] = sarif["runs"].as_array().unwrap().as_slice() else { panic!("one run") };
        let results = only["results"].as_array().unwrap();
        let kinds = |kind: &str| results.iter().filter(|result| result["kind"] == kind).count();
        let page = queries.check_results(run.id, &[], &PageRequest::first(500)).await.unwrap().items;
        let seen: usize = page.iter().map(|result| result.observations.len()).sum();
        let unknown = page.iter().filter(|result| result.outcome == Outcome::Unknown).count();
        let missing = (run.planned - run.done) as usize;
        assert_eq!((kinds("fail"), kinds("open")), (seen, unknown + missing), "{run:?}");
        let invocation = &only["invocations"][0];
        assert_eq!(invocation["toolExecutionNotifications"].as_array().unwrap().len(), unknown + missing);
        let fine = run.status == RunStatus::Completed && run.tally.unknown == 0;
        assert_eq!(invocation["executionSuccessful"], fine);
        for result in results {
            assert!(result.get("baselineState").is_none());
            if let Some(index) = result["ruleIndex"].as_u64() {
                assert_eq!(only["tool"]["driver"]["rules"][index as usize]["id"], result["ruleId"]);
            } else {
                assert_eq!(result["ruleId"], "CM-CHECK-7", "only what the packs do not know has no rule");
            }
        }
        problems += seen;
        open += unknown + missing;
    }
    assert!(problems > 50 && open > 20, "{problems} {open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sarif_beside_a_base_run_tells_new_unchanged_and_absent() {
    let world = World::of(52, 6_000).await;
    let (queries, schema) = (world.queries(), sarif_schema());
    let completed = runs(&queries, vec![RunStatus::Completed]).await;
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    let pairs = completed.iter().flat_map(|run| {
        let of_same = move |base: &&RunView| base.deployment_id == run.deployment_id && base.id != run.id;
        completed.iter().filter(of_same).map(move |base| (run, base))
    });
    for (run, base) in pairs.take(200) {
        let sarif: Value = serde_json::from_str(&report(&world, RunForm::Sarif, run.id, Some(base.id)).await).unwrap();
        assert!(schema.is_valid(&sarif));
        let only = &sarif["runs"][0];
        assert!(only["baselineGuid"].is_string());
        let prints = |of: &[query_side::CheckResultView]| -> BTreeMap<(String, String), (String, Outcome)> {
            let each = of.iter().flat_map(|result| result.observations.iter().map(move |seen| (result, seen)));
            each.map(|(result, seen)| {
                ((result.check_code.clone(), seen.resource.to_string()), (result.component.clone(), seen.outcome))
            })
            .collect()
        };
        let now = world_results(&queries, run.id).await;
        let before = world_results(&queries, base.id).await;
        let measured: BTreeSet<(String, String)> = now
            .iter()
            .filter(|result| result.outcome != Outcome::Unknown)
            .map(|result| (result.check_code.clone(), result.component.clone()))
            .collect();
        let (now, before) = (prints(&now), prints(&before));
        let mut absent = 0;
        for result in only["results"].as_array().unwrap() {
            let state = result["baselineState"].as_str().unwrap();
            *states.entry(format!("{} {state}", result["kind"].as_str().unwrap())).or_default() += 1;
            if result["kind"] != "fail" {
                continue;
            }
            let resource = result["locations"][0]["logicalLocations"][0]["name"].as_str().unwrap();
            let key = (result["ruleId"].as_str().unwrap().to_owned(), resource.to_owned());
            let expected = match (now.get(&key), before.get(&key)) {
                (Some(now), Some(before)) if now.1 == before.1 => "unchanged",
                (Some(_), Some(_)) => "updated",
                (Some(_), None) => "new",
                (None, _) => "absent",
            };
            assert_eq!(state, expected, "{key:?}");
            absent += usize::from(state == "absent");
        }
        let gone = before.iter().filter(|(key, (component, _))| {
            !now.contains_key(*key) && measured.contains(&(key.0.clone(), component.clone()))
        });
        assert_eq!(absent, gone.count(), "gone is what was measured again and not seen, and nothing else");
    }
    for state in ["fail new", "fail unchanged", "fail updated", "fail absent"] {
        assert!(states.contains_key(state), "{state} was never told: {states:?}");
    }
    let other = completed.iter().find(|other| other.deployment_id != completed[0].deployment_id).unwrap();
    let (rules, tenant) = (rules(), TenantId::default());
    let report = RunReport { queries: &queries, tenant: &tenant, rules: &rules, now: now(), proof: None };
    let mut output = Output::open(&world.folder.path().join("none")).await.unwrap();
    let refused = report.write(RunForm::Sarif, completed[0].id, Some(other.id), &mut output).await.unwrap_err();
    assert!(matches!(refused, ExportError::OtherDeployment { .. }));
}

async fn world_results(queries: &Queries, run: RunId) -> Vec<query_side::CheckResultView> {
    queries.check_results(run, &[], &PageRequest::first(500)).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn junit_passes_nothing_that_was_not_measured() {
    let world = World::of(53, 3_000).await;
    let ended = RunStatus::ALL.iter().copied().filter(|status| status.has_ended()).collect();
    let (mut errors_seen, mut nothing_seen) = (0, 0);
    for run in runs(&world.queries(), ended).await.iter().take(60) {
        let text = report(&world, RunForm::Junit, run.id, None).await;
        let mut reader = Reader::from_str(&text);
        let (mut cases, mut failures, mut errors, mut declared) = (0, 0, 0, Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                Event::Start(tag) | Event::Empty(tag) => {
                    let attribute = |name: &str| -> Option<String> {
                        let found = tag.try_get_attribute(name).unwrap();
                        found.map(|found| found.value.into_owned())
                    };
                    match tag.name().as_ref() {
                        "testcase" => {
                            cases += 1;
                            assert!(attribute("classname").is_some() && attribute("name").is_some());
                            assert!(attribute("time").unwrap().parse::<f64>().unwrap() >= 0.0);
                        }
                        "failure" => failures += 1,
                        "error" => {
                            errors += 1;
                            assert!(!attribute("message").unwrap().is_empty());
                        }
                        "testsuite" | "testsuites" => {
                            let number = |name: &str| attribute(name).unwrap().parse::<i32>().unwrap();
                            declared.push((number("tests"), number("failures"), number("errors"), number("skipped")));
                        }
                        "properties" | "property" => {}
                        other => panic!("{other}"),
                    }
                }
                _ => {}
            }
        }
        assert_eq!(declared, vec![(cases, failures, errors, 0); 2], "{text}");
        // A run of nothing is an error of its own: no test at all would pass.
        let nothing = i32::from(run.planned == 0);
        assert_eq!(cases, run.planned.max(run.done) + nothing);
        assert_eq!(failures, (run.tally.warning + run.tally.critical) as i32);
        assert_eq!(errors, run.tally.unknown as i32 + run.planned - run.done + nothing);
        (errors_seen, nothing_seen) = (errors_seen + errors, nothing_seen + nothing);
    }
    assert!(errors_seen > 20 && nothing_seen > 0, "{errors_seen} {nothing_seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_or_of_somebody_else_has_no_report() {
    let world = World::of(54, 2_000).await;
    let queries = world.queries();
    let (rules, tenant) = (rules(), TenantId::default());
    let under_way = runs(&queries, RunStatus::UNDER_WAY.to_vec()).await;
    let ended = runs(&queries, vec![RunStatus::Completed]).await;
    let report = RunReport { queries: &queries, tenant: &tenant, rules: &rules, now: now(), proof: None };
    let mut output = Output::open(&world.folder.path().join("none")).await.unwrap();
    let refused = report.write(RunForm::Html, under_way[0].id, None, &mut output).await.unwrap_err();
    assert!(matches!(refused, ExportError::NotEnded(_)), "{refused}");
    let stranger: TenantId = "stranger".parse().unwrap();
    let report = RunReport { tenant: &stranger, ..report };
    let refused = report.write(RunForm::Html, ended[0].id, None, &mut output).await.unwrap_err();
    assert!(matches!(refused, ExportError::NoSuchRun(_)), "{refused}");
}

/// A page to print is one file that runs and loads nothing.
fn assert_self_contained(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for banned in ["<script", "javascript:", " onload", "http://", "https://", "<img", "<link", "url(", "@import"] {
        assert!(!page.contains(banned), "{banned}");
    }
    assert!(page.contains("@media print") && page.contains("Content-Security-Policy"));
    for tag in ["table", "tr", "td", "article", "dl", "h2", "pre", "p", "thead", "tbody"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag} is closed as often as opened");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_run_holds_everything_and_escapes_it() {
    let world = World::of(55, 4_000).await;
    sqlx::query("UPDATE cmdiag.view_check_results SET summary = '<script>alert(1)</script>', component = 'a<b>&\"'''")
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE cmdiag.view_deployments SET name = '</title><script>alert(2)</script>'")
        .execute(&world.pool)
        .await
        .unwrap();
    let ended = RunStatus::ALL.iter().copied().filter(|status| status.has_ended()).collect();
    for run in runs(&world.queries(), ended).await.iter().take(20) {
        let page = report(&world, RunForm::Html, run.id, None).await;
        assert_self_contained(&page);
        assert!(page.contains(&run.id.to_string()) && page.contains("Positions in the log"));
        assert!(page.contains("a double, not a real deployment"), "the story's deployments are doubles");
        for result in world_results(&world.queries(), run.id).await {
            for seen in &result.observations {
                for text in [&seen.symptom, &seen.cause, &seen.impact, &seen.advice] {
                    assert!(page.contains(text.as_str()), "{text}");
                }
            }
            if let Some(cause) = &result.unknown_cause {
                assert!(page.contains(cause.as_str()));
            }
        }
    }
}

fn whole() -> Period {
    Period { since: DateTime::UNIX_EPOCH, until: now() }
}

async fn read(world: &World, period: Period) -> PeriodFacts {
    PeriodFacts::read(&*world.log, &world.pool, &TenantId::default(), period, &mut |_, _| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_period_tells_what_was_done_by_whom_and_what_was_refused() {
    let world = World::of(56, 5_000).await;
    sqlx::query(
        "INSERT INTO cmdiag.commands (command_id, tenant, actor, name, aggregate_type, aggregate_id, body_hash, outcome, \
         events, refusal_code, refusal_message, recorded_at) VALUES (gen_random_uuid(), 'default', '<b>mallory</b>', \
         'approve_remediation', 'Remediation', 'x', decode(repeat('00', 32), 'hex'), 'refused', 0, 'own_approval', \
         'who executes does not approve', '2026-01-05T09:00:00Z')",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let facts = read(&world, whole()).await;
    assert_eq!((facts.first_position, facts.last_position), (Some(1), Some(5_000)));
    assert_eq!(facts.events.values().sum::<u64>(), 5_000);
    assert_eq!(facts.refused.lines.len(), 1);
    let counted: Vec<(String, i64)> = sqlx::query_as(
        "SELECT event_type, count(*) FROM cmdiag.events WHERE aggregate_type = 'EmergencyStop' OR event_type IN \
         ('RemediationApproved', 'FindingOpened', 'RollbackStarted', 'PolicyDefined') GROUP BY 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(counted.len() >= 4, "{counted:?}");
    for (what, count) in counted {
        let lists = [&facts.actions, &facts.stops, &facts.findings, &facts.changes];
        let listed = lists.iter().flat_map(|list| &list.lines).filter(|line| line.what == what).count();
        assert_eq!(listed as i64, count, "{what}");
    }
    let (queries, tenant) = (world.queries(), TenantId::default());
    let page =
        PeriodReport { queries: &queries, tenant: &tenant, period: whole(), facts: &facts, proof: None, now: now() };
    let page = world.written(async |output| page.write(output).await.unwrap()).await;
    assert_self_contained(&page);
    for text in
        ["&lt;b&gt;mallory&lt;/b&gt;", "own_approval", "RemediationApproved", "EmergencyStopEngaged", "1 to 5000"]
    {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("the log is not sealed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_begins_and_ends_where_it_says() {
    let world = World::of(57, 1_200).await;
    let at = async |position: i64| -> DateTime<Utc> {
        let sql = "SELECT recorded_at FROM cmdiag.events WHERE position = $1";
        sqlx::query_scalar(sql).bind(position).fetch_one(&world.pool).await.unwrap()
    };
    for (first, last) in [(1, 1_200), (300, 700), (1_000, 1_200)] {
        let period = Period { since: at(first).await, until: at(last).await + TimeDelta::microseconds(1) };
        let facts = read(&world, period).await;
        let expected: (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT min(position), max(position) FROM cmdiag.events WHERE recorded_at >= $1 AND recorded_at < $2",
        )
        .bind(period.since)
        .bind(period.until)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        assert_eq!((facts.first_position, facts.last_position), expected);
    }
    let before = Period { since: DateTime::UNIX_EPOCH, until: DateTime::UNIX_EPOCH + TimeDelta::days(1) };
    assert_eq!(read(&world, before).await, PeriodFacts::default());
    let after = Period { since: now(), until: now() + TimeDelta::days(1) };
    assert_eq!(read(&world, after).await, PeriodFacts::default());
}

/// A reader of CSV as RFC 4180 has it.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quoted, character) {
            (true, '"') if characters.peek() == Some(&'"') => field.extend(characters.next()),
            (_, '"') => quoted = !quoted,
            (false, ',') => row.push(std::mem::take(&mut field)),
            (false, '\r') => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            (_, other) => field.push(other),
        }
    }
    assert!(!quoted && row.is_empty() && field.is_empty(), "the last row ends");
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_hold_every_row_and_no_formula() {
    let world = World::of(58, 3_000).await;
    let attack = "=cmd|' /C calc'!A0,\"x\"\r\nnext";
    sqlx::query("UPDATE cmdiag.view_findings SET symptom = $1").bind(attack).execute(&world.pool).await.unwrap();
    let (queries, tenant) = (world.queries(), TenantId::default());
    for (table, view) in [(Table::Findings, "findings"), (Table::Runs, "runs"), (Table::Results, "check_results")] {
        let filter = TableFilter::default();
        let text = world
            .written(async |output| {
                export::table::write(table, &queries, &tenant, &filter, output).await.unwrap();
            })
            .await;
        let rows = csv(&text);
        let count: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM cmdiag.view_{view}"))
            .fetch_one(&world.pool)
            .await
            .unwrap();
        assert_eq!(rows.len() as i64, count + 1, "{view}");
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
        if table == Table::Findings {
            let symptom = rows[0].iter().position(|name| name == "symptom").unwrap();
            assert!(rows[1..].iter().all(|row| row[symptom] == format!("'{attack}")), "guarded, and else unchanged");
        }
    }
    let run = runs(&queries, vec![RunStatus::Completed]).await[0].id;
    let filter = TableFilter { run: Some(run), ..TableFilter::default() };
    let text = world
        .written(async |output| {
            export::table::write(Table::Results, &queries, &tenant, &filter, output).await.unwrap();
        })
        .await;
    assert!(csv(&text)[1..].iter().all(|row| row[0] == run.to_string()));
}
