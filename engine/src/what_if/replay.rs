//! Run by run, in the order of the log, in bounded memory.
//!
//! Runs may overlap: the results of one wait until no run that begins later can have recorded any before them.

use super::lives::{Lives, LivesError, Recorded};
use super::rejudge::{Rejudged, record, rejudge, says_the_same};
use super::report::{DifferingResult, Report, Undecided, Verdict};
use super::{Changes, Question};
use crate::check::{Check, parse_check};
use crate::evidence::judged::JudgedMeasurement;
use crate::evidence::{EvidenceError, EvidenceStore, READ_MAX};
use chrono::{DateTime, Utc};
use domain::any_event::DIAGNOSTIC_RUN;
use domain::diagnostic_run::{CheckResult, RunEvent};
use domain::{Actor, AnyEvent, CheckCode, DeploymentId, EvidenceHash, FindingId, Position, RunId, StreamVersion};
use event_store::{EventLog, LogError, RecordedEvent, StreamId};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How many runs are asked for at once.
const RUNS_PAGE: usize = 100;
/// How many events of a run one read takes.
const EVENTS_PAGE: usize = 200;
/// The most results that wait for runs which overlap.
const WAITING_MAX: usize = 200_000;
/// The most versions of checks that are kept compiled.
const CHECKS_MAX: usize = 2_000;
/// The most differing results and findings that a report lists.
const LISTED_MAX: usize = 1_000;
/// The most reasons that a report lists.
const REASONS_MAX: usize = 500;

/// A run, and when it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAsked {
    /// Which.
    pub run: RunId,
    /// When it was asked for.
    pub at: DateTime<Utc>,
}

/// Knows which runs and findings there are: the views do. The errors are in words.
pub trait WhatIfSource: Send + Sync + 'static {
    /// A deployment's runs asked for from `since` until `until`, oldest first, after `after`; at most `limit`.
    fn runs<'a>(
        &'a self,
        question: &'a Question,
        after: Option<RunAsked>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RunAsked>, String>>;

    /// The findings of a deployment's check (of all of them where there is none) that have ever been seen.
    fn findings<'a>(
        &'a self,
        deployment: DeploymentId,
        check: Option<&'a CheckCode>,
    ) -> BoxFuture<'a, Result<Vec<FindingId>, String>>;

    /// Up to where results have been answered with findings.
    fn answered_up_to(&self) -> BoxFuture<'_, Result<Position, String>>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The log can not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The evidence can not be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The views can not be read.
    #[error("the views can not be read: {0}")]
    Views(String),
    /// The question is too large, or a finding can not be read.
    #[error("{0}")]
    Findings(String),
    /// The thread that judges ended without an answer.
    #[error("judging was interrupted")]
    Interrupted,
}

impl From<LivesError> for WhatIfError {
    fn from(error: LivesError) -> Self {
        match error {
            LivesError::Log(error) => Self::Log(error),
            other => Self::Findings(other.to_string()),
        }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many runs have been read.
    pub runs: u64,
    /// How many results have been judged anew, or found that they can not be.
    pub results: u64,
    /// When the run that was read last was asked for.
    pub at: DateTime<Utc>,
}

/// Answers what-if questions. It reads the log, the views and the evidence, and has nothing to measure or write with.
#[derive(Clone)]
pub struct WhatIf {
    log: Arc<dyn EventLog>,
    evidence: EvidenceStore,
    source: Arc<dyn WhatIfSource>,
}

/// A result as it was recorded.
struct Waiting {
    recorded: Recorded,
    result: CheckResult,
}

impl WhatIf {
    /// Over a log, its evidence and its views.
    pub fn new(log: Arc<dyn EventLog>, evidence: EvidenceStore, source: Arc<dyn WhatIfSource>) -> Self {
        Self { log, evidence, source }
    }

    /// Answers; `progress` is told after each run.
    pub async fn ask(
        &self,
        question: &Question,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Report, WhatIfError> {
        let end = self.source.answered_up_to().await.map_err(WhatIfError::Views)?;
        let first = self.source.runs(question, None, 1).await.map_err(WhatIfError::Views)?;
        let start = match first.first() {
            Some(first) => self.first_event(first.run).await?.map_or(end, |event| Position(event.position.0 - 1)),
            None => end,
        };
        let mut asking = Asking::new(self, question, start, end);
        if question.since.is_some() {
            asking.know_what_was_open().await?;
        }
        let mut after = None;
        loop {
            let room = question.runs_max.saturating_sub(asking.report.runs as usize);
            let runs = self.source.runs(question, after, RUNS_PAGE.min(room + 1)).await.map_err(WhatIfError::Views)?;
            let is_last = runs.len() < RUNS_PAGE.min(room + 1);
            for (index, asked) in runs.into_iter().enumerate() {
                if index >= room {
                    asking.report.stopped_at = Some(asked.at);
                    return asking.conclude().await;
                }
                after = Some(asked);
                asking.read_run(asked.run).await?;
                progress(Progress { runs: asking.report.runs, results: asking.report.results, at: asked.at });
            }
            if is_last {
                return asking.conclude().await;
            }
        }
    }

    async fn first_event(&self, run: RunId) -> Result<Option<RecordedEvent>, LogError> {
        let stream = StreamId::new(DIAGNOSTIC_RUN, &run.to_string());
        Ok(self.log.read_stream(stream, StreamVersion(0), 1).await?.pop())
    }
}

/// One question under way.
struct Asking<'a> {
    what_if: &'a WhatIf,
    question: &'a Question,
    end: Position,
    lives: Lives,
    /// Results that wait for earlier ones, by position.
    waiting: BTreeMap<Position, Vec<Waiting>>,
    waiting_count: usize,
    /// The checks that judged then, by the digest of their files; why not, where one can not be had.
    checks: HashMap<String, Result<Arc<Check>, String>>,
    undecided: BTreeMap<(CheckCode, String), Undecided>,
    ran: BTreeSet<CheckCode>,
    report: Report,
}

impl<'a> Asking<'a> {
    #[expect(clippy::expect_used, reason = "a constant that is a valid name")]
    fn new(what_if: &'a WhatIf, question: &'a Question, start: Position, end: Position) -> Self {
        let actor = Actor::new("system:what-if").expect("a valid name");
        let lives = Lives::new(Arc::clone(&what_if.log), question.deployment, actor, start, end);
        let report = Report {
            deployment: question.deployment,
            since: question.since,
            until: question.until,
            as_of: end.0,
            runs: 0,
            results: 0,
            judged: 0,
            unmeasured: 0,
            differing: 0,
            differing_results: Vec::new(),
            undecided: Vec::new(),
            raised: 0,
            vanished: 0,
            changed: 0,
            not_decidable: 0,
            unchanged: 0,
            findings: Vec::new(),
            stopped_at: None,
            never_ran: Vec::new(),
        };
        Self {
            what_if,
            question,
            end,
            lives,
            waiting: BTreeMap::new(),
            waiting_count: 0,
            checks: HashMap::new(),
            undecided: BTreeMap::new(),
            ran: BTreeSet::new(),
            report,
        }
    }

    async fn know_what_was_open(&mut self) -> Result<(), WhatIfError> {
        let source = &self.what_if.source;
        let deployment = self.question.deployment;
        let codes = self.question.changes.checks();
        let mut known = Vec::new();
        if codes.is_empty() {
            known = source.findings(deployment, None).await.map_err(WhatIfError::Views)?;
        }
        for code in &codes {
            known.extend(source.findings(deployment, Some(code)).await.map_err(WhatIfError::Views)?);
        }
        for finding in known {
            self.lives.know(finding).await?;
        }
        Ok(())
    }

    async fn read_run(&mut self, run: RunId) -> Result<(), WhatIfError> {
        let stream = StreamId::new(DIAGNOSTIC_RUN, &run.to_string());
        let mut after = StreamVersion(0);
        loop {
            let page = self.what_if.log.read_stream(stream.clone(), after, EVENTS_PAGE).await?;
            if after.0 == 0 {
                let Some(first) = page.first().filter(|first| first.position <= self.end) else { return Ok(()) };
                // Whatever was recorded before this run was asked for is complete.
                self.work_off(Some(first.position)).await?;
                self.lives.begin_run(run);
                self.report.runs += 1;
            }
            let is_last = page.len() < EVENTS_PAGE;
            after = page.last().map_or(after, |event| event.version);
            let end = self.end;
            for event in page.iter().filter(|event| event.position <= end).flat_map(RecordedEvent::parts) {
                self.take(run, &event)?;
            }
            if self.waiting_count > WAITING_MAX {
                let many = format!("more than {WAITING_MAX} results of runs that overlap: ask about fewer checks");
                return Err(WhatIfError::Findings(many));
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn take(&mut self, run: RunId, event: &RecordedEvent) -> Result<(), WhatIfError> {
        if event.event_type != "ChecksCompleted" {
            return Ok(());
        }
        let decoded = event.decode().map_err(|error| {
            WhatIfError::Findings(format!("the event at position {} can not be read: {error}", event.position))
        })?;
        let AnyEvent::Run(RunEvent::ChecksCompleted { results, at, .. }) = decoded else { return Ok(()) };
        let changes = &self.question.changes;
        let recorded = Recorded { run, position: event.position, at };
        let ours = results.into_iter().filter(|result| changes.affects(&result.key.check));
        let ours: Vec<Waiting> = ours.map(|result| Waiting { recorded, result }).collect();
        self.waiting_count += ours.len();
        self.waiting.entry(event.position).or_default().extend(ours);
        Ok(())
    }

    /// Judges anew what was recorded before a position, or all that waits.
    async fn work_off(&mut self, before: Option<Position>) -> Result<(), WhatIfError> {
        let later = before.map_or_else(BTreeMap::new, |before| self.waiting.split_off(&before));
        let now = std::mem::replace(&mut self.waiting, later);
        let all: Vec<Waiting> = now.into_values().flatten().collect();
        self.waiting_count -= all.len();
        let mut rest = all.into_iter().peekable();
        while rest.peek().is_some() {
            let some: Vec<Waiting> = rest.by_ref().take(READ_MAX).collect();
            self.judge_anew(some).await?;
        }
        Ok(())
    }

    async fn judge_anew(&mut self, some: Vec<Waiting>) -> Result<(), WhatIfError> {
        let mut hashes: Vec<EvidenceHash> = some.iter().filter_map(|one| one.result.evidence.clone()).collect();
        hashes.sort();
        hashes.dedup();
        let stored = if hashes.is_empty() { HashMap::new() } else { self.what_if.evidence.get_all(&hashes).await? };
        let mut records = Vec::with_capacity(some.len());
        for one in &some {
            let stored = one.result.evidence.as_ref().and_then(|hash| stored.get(hash));
            records.push(record(&one.result, stored));
        }
        drop(stored);
        let mut ready = Vec::with_capacity(some.len());
        for (one, record) in some.into_iter().zip(records) {
            let then = match &record {
                Ok(record) => self.check_of(record).await?,
                Err(_) => Err(String::new()),
            };
            ready.push((one, record, then));
        }
        let changes = self.question.changes.clone();
        let judged = tokio::task::spawn_blocking(move || judged(ready, &changes)).await;
        for (one, rejudged) in judged.map_err(|_| WhatIfError::Interrupted)? {
            self.count(one, rejudged).await?;
        }
        Ok(())
    }

    /// The check that judged then, by its own file.
    async fn check_of(&mut self, record: &JudgedMeasurement) -> Result<Result<Arc<Check>, String>, WhatIfError> {
        if let Some(known) = self.checks.get(&record.definition) {
            return Ok(known.clone());
        }
        let version = &record.version;
        let found = match EvidenceHash::new(record.definition.clone()) {
            Ok(hash) => match self.what_if.evidence.get(&hash).await {
                Ok(Some(stored)) => compiled(record, stored.bytes),
                Ok(None) => Err(format!("the file of version {version} of the check is not in the evidence store")),
                Err(EvidenceError::Database(error)) => return Err(EvidenceError::Database(error).into()),
                Err(_) => Err(format!("the stored file of version {version} of the check is damaged")),
            },
            Err(_) => Err("the stored measurement names no check file".to_owned()),
        };
        if self.checks.len() >= CHECKS_MAX {
            self.checks.clear();
        }
        self.checks.insert(record.definition.clone(), found.clone());
        Ok(found)
    }

    async fn count(&mut self, one: Waiting, rejudged: Rejudged) -> Result<(), WhatIfError> {
        let Waiting { recorded, result } = one;
        self.report.results += 1;
        self.ran.insert(result.key.check.clone());
        self.lives.recall(&result).await?;
        match rejudged {
            Rejudged::Unmeasured => self.report.unmeasured += 1,
            Rejudged::NotDecidable(reason) => {
                self.lives.not_decided(&result);
                let key = (result.key.check.clone(), reason.clone());
                if self.undecided.len() < REASONS_MAX || self.undecided.contains_key(&key) {
                    let first = || Undecided { check: key.0.clone(), reason, results: 0, first_run: recorded.run };
                    self.undecided.entry(key.clone()).or_insert_with(first).results += 1;
                }
            }
            Rejudged::Judged(new, hysteresis) => {
                self.report.judged += 1;
                if !says_the_same(&new, &result) {
                    self.report.differing += 1;
                    if self.report.differing_results.len() < LISTED_MAX {
                        self.report.differing_results.push(differing(recorded.run, &result, &new));
                    }
                }
                self.lives.observe(recorded, &new, hysteresis).await?;
            }
        }
        Ok(())
    }

    async fn conclude(mut self) -> Result<Report, WhatIfError> {
        self.work_off(None).await?;
        let Self { lives, mut report, undecided, ran, question, .. } = self;
        report.undecided = undecided.into_values().collect();
        report.never_ran = question.changes.checks().into_iter().filter(|code| !ran.contains(code)).collect();
        let (differences, unchanged) = lives.differences();
        report.unchanged = unchanged;
        for difference in &differences {
            match difference.verdict {
                Verdict::Raised => report.raised += 1,
                Verdict::Vanished => report.vanished += 1,
                Verdict::Changed => report.changed += 1,
                Verdict::NotDecidable => report.not_decidable += 1,
            }
        }
        report.findings = differences.into_iter().take(LISTED_MAX).collect();
        Ok(report)
    }
}

/// A result, the record of its measurement, and the check that judged it.
type Ready = (Waiting, Result<JudgedMeasurement, Rejudged>, Result<Arc<Check>, String>);

fn judged(ready: Vec<Ready>, changes: &Changes) -> Vec<(Waiting, Rejudged)> {
    let one = |(one, record, then): Ready| {
        let rejudged = match record {
            Ok(record) => rejudge(&one.result, &record, &then, changes),
            Err(without) => without,
        };
        (one, rejudged)
    };
    ready.into_iter().map(one).collect()
}

fn compiled(record: &JudgedMeasurement, bytes: Vec<u8>) -> Result<Arc<Check>, String> {
    let not = || format!("this version can not read the file of version {} of the check", record.version);
    let text = String::from_utf8(bytes).map_err(|_| not())?;
    let check = parse_check(&record.pack, &format!("{}.toml", record.check), &text).map_err(|_| not())?;
    if check.code == record.check { Ok(Arc::new(check)) } else { Err(not()) }
}

fn differing(run: RunId, actual: &CheckResult, new: &CheckResult) -> DifferingResult {
    DifferingResult {
        run,
        check: actual.key.check.clone(),
        component: actual.key.component.clone(),
        measured_at: actual.measured_at,
        actual: actual.outcome,
        hypothetical: new.outcome,
        summary: new.summary.clone(),
    }
}
