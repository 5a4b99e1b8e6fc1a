//! The findings, folded anew by the decisions that made the real ones, beside what really became of them.
//!
//! What is no answer to a result that is judged anew counts in both lives alike: what people did (acknowledged, muted,
//! marked), and what runs outside of the question saw.

use super::report::{FindingDifference, Life, Moment, MomentKind, Verdict};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::{CheckResult, Evidence, Observation};
use domain::finding::{
    Finding, FindingCommand, FindingEvent, FindingPhase, FindingState, Fingerprint, Hysteresis, Sighting,
};
use domain::{
    Actor, AnyEvent, CheckCode, ComponentName, Context, Decider, DeploymentId, FindingId, Outcome, Position,
    ResourceName, RunId, StreamVersion, any_event,
};
use event_store::{EventLog, LogError, RecordedEvent, StreamId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The most findings that are kept in memory.
pub(super) const FINDINGS_MAX: usize = 50_000;
/// The most turns and foreign events that are kept in memory.
pub(super) const MOMENTS_MAX: usize = 1_000_000;
const PAGE: usize = 500;

/// Where a check looks.
type Place = (CheckCode, ComponentName);

/// Why the findings can not be folded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LivesError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the question is too large: it touches more than {FINDINGS_MAX} findings or {MOMENTS_MAX} of their turns")]
    TooLarge,
    #[error("an event of finding {0} does not decode")]
    Undecodable(FindingId),
}

/// Something that really happened to a finding after the start.
struct Happened {
    position: Position,
    /// The run that it answers; none where a person did it.
    run: Option<RunId>,
    event: FindingEvent,
    /// How bad the finding was after it.
    severity: Option<Outcome>,
}

struct Tracked {
    fingerprint: Fingerprint,
    place: Place,
    happened: Vec<Happened>,
    /// How many of them have been counted in the other life, or left out of it.
    counted: usize,
    was_open: bool,
    /// As it would be.
    state: FindingState,
    moments: Vec<Moment>,
    symptom: Option<String>,
}

/// When and where a result was recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded {
    pub run: RunId,
    pub position: Position,
    pub at: DateTime<Utc>,
}

pub(super) struct Lives {
    log: Arc<dyn EventLog>,
    deployment: DeploymentId,
    actor: Actor,
    /// What happened up to here is the beginning of both lives.
    start: Position,
    /// What happened after that had not happened yet.
    end: Position,
    /// The runs that are judged anew, as far as they have been come to.
    runs: HashSet<RunId>,
    findings: HashMap<FindingId, Tracked>,
    /// Those that would be unresolved, by what a check must measure to see them gone.
    open: HashMap<Place, BTreeSet<FindingId>>,
    /// Where results could not be judged anew.
    undecided: HashSet<Place>,
    moments: usize,
}

impl Lives {
    pub fn new(log: Arc<dyn EventLog>, deployment: DeploymentId, actor: Actor, start: Position, end: Position) -> Self {
        Self {
            log,
            deployment,
            actor,
            start,
            end,
            runs: HashSet::new(),
            findings: HashMap::new(),
            open: HashMap::new(),
            undecided: HashSet::new(),
            moments: 0,
        }
    }

    /// Results of this run are judged anew from here on.
    pub fn begin_run(&mut self, run: RunId) {
        self.runs.insert(run);
    }

    /// A finding that may be open when it begins.
    pub async fn know(&mut self, finding: FindingId) -> Result<(), LivesError> {
        self.track(finding, None).await?;
        let place = self.findings.get(&finding).filter(|tracked| tracked.state.is_unresolved());
        if let Some(place) = place.map(|tracked| tracked.place.clone()) {
            self.open.entry(place).or_default().insert(finding);
        }
        Ok(())
    }

    /// What a result really saw: those findings were there, whatever becomes of them.
    pub async fn recall(&mut self, result: &CheckResult) -> Result<(), LivesError> {
        let place = (result.key.check.clone(), result.key.component.clone());
        for seen in &result.observations {
            let check = result.key.check.clone();
            let finding = FindingId::of(self.deployment, &check, &seen.resource);
            let fingerprint = Fingerprint { deployment: self.deployment, check, resource: seen.resource.clone() };
            self.track(finding, Some((fingerprint, &place))).await?;
        }
        Ok(())
    }

    /// A result could not be judged anew: nothing that hangs on its place is sure.
    pub fn not_decided(&mut self, result: &CheckResult) {
        self.undecided.insert((result.key.check.clone(), result.key.component.clone()));
    }

    /// A result as it would have come out: what the finding keeper would have made of it.
    pub async fn observe(
        &mut self,
        recorded: Recorded,
        result: &CheckResult,
        hysteresis: Hysteresis,
    ) -> Result<(), LivesError> {
        if result.outcome == Outcome::Unknown {
            return Ok(());
        }
        let hysteresis = if hysteresis.check().is_ok() { hysteresis } else { Hysteresis::default() };
        let place = (result.key.check.clone(), result.key.component.clone());
        let seen = worst_by_resource(&result.observations);
        let mut gone: Vec<FindingId> = Vec::new();
        if result.omitted == 0 {
            let waiting: Vec<FindingId> = self.open.get(&place).into_iter().flatten().copied().collect();
            for finding in waiting {
                self.catch_up(finding, recorded.position);
                let Some(tracked) = self.findings.get(&finding) else { continue };
                if !tracked.state.false_positive && !seen.contains_key(&tracked.fingerprint.resource) {
                    gone.push(finding);
                }
            }
        }
        for (resource, observation) in &seen {
            let finding = FindingId::of(self.deployment, &result.key.check, resource);
            let fingerprint = Fingerprint {
                deployment: self.deployment,
                check: result.key.check.clone(),
                resource: (*resource).clone(),
            };
            self.track(finding, Some((fingerprint, &place))).await?;
            self.move_to(finding, &place);
            self.decide(finding, recorded, sighting(result, recorded.run, Some(observation)), hysteresis)?;
        }
        for finding in gone {
            self.decide(finding, recorded, sighting(result, recorded.run, None), hysteresis)?;
        }
        Ok(())
    }

    /// The finding keeper's rule: a finding is looked for where it was last seen.
    fn move_to(&mut self, finding: FindingId, place: &Place) {
        let Some(tracked) = self.findings.get_mut(&finding) else { return };
        if tracked.place != *place {
            if let Some(there) = self.open.get_mut(&tracked.place) {
                there.remove(&finding);
            }
            tracked.place = place.clone();
        }
    }

    fn decide(
        &mut self,
        finding: FindingId,
        recorded: Recorded,
        sighting: Sighting,
        hysteresis: Hysteresis,
    ) -> Result<(), LivesError> {
        self.catch_up(finding, recorded.position);
        let Some(tracked) = self.findings.get_mut(&finding) else { return Ok(()) };
        let symptom = sighting.symptom.clone();
        let command = FindingCommand::Observe { fingerprint: tracked.fingerprint.clone(), sighting, hysteresis };
        let context = Context { now: recorded.at, actor: self.actor.clone(), id: finding.0 };
        // The keeper's own commands are refused only where a result is out of bounds: then nothing happens here either.
        let Ok(events) = Finding::decide(&tracked.state, command, &context) else { return Ok(()) };
        for event in events {
            Finding::evolve(&mut tracked.state, &event);
            if let Some(moment) = moment(&event, recorded.run, tracked.state.severity) {
                tracked.moments.push(moment);
                self.moments += 1;
                if tracked.symptom.is_none() {
                    tracked.symptom = Some(symptom.clone());
                }
            }
        }
        let there = self.open.entry(tracked.place.clone()).or_default();
        if tracked.state.is_unresolved() {
            there.insert(finding);
        } else {
            there.remove(&finding);
        }
        if self.moments > MOMENTS_MAX { Err(LivesError::TooLarge) } else { Ok(()) }
    }

    /// Counts what people and runs outside of the question did before a position.
    fn catch_up(&mut self, finding: FindingId, position: Position) {
        let Some(tracked) = self.findings.get_mut(&finding) else { return };
        while let Some(happened) = tracked.happened.get(tracked.counted).filter(|one| one.position < position) {
            let ours = happened.run.is_some_and(|run| self.runs.contains(&run));
            // Of a finding that would not be there, nobody would have said anything.
            if !ours && tracked.state.phase != FindingPhase::Absent {
                Finding::evolve(&mut tracked.state, &happened.event);
            }
            tracked.counted += 1;
        }
    }

    /// Reads what really became of a finding.
    async fn track(&mut self, finding: FindingId, new: Option<(Fingerprint, &Place)>) -> Result<(), LivesError> {
        if self.findings.contains_key(&finding) {
            return Ok(());
        }
        if self.findings.len() >= FINDINGS_MAX {
            return Err(LivesError::TooLarge);
        }
        let stream = StreamId::new(any_event::FINDING, &finding.to_string());
        let mut after = StreamVersion(0);
        let mut reading = Reading::default();
        loop {
            let page = self.log.read_stream(stream.clone(), after, PAGE).await?;
            let is_last = page.len() < PAGE || page.last().is_some_and(|event| event.position > self.end);
            after = page.last().map_or(after, |event| event.version);
            let end = self.end;
            for event in page.iter().filter(|event| event.position <= end).flat_map(RecordedEvent::parts) {
                let Ok(AnyEvent::Finding(decoded)) = event.decode() else {
                    return Err(LivesError::Undecodable(finding));
                };
                reading.take(event.position, light(decoded), self.start);
            }
            self.moments += reading.happened.len().saturating_sub(reading.charged);
            reading.charged = reading.happened.len();
            if self.moments > MOMENTS_MAX {
                return Err(LivesError::TooLarge);
            }
            if is_last {
                break;
            }
        }
        let known = reading.fingerprint.clone();
        let place = reading.place().or_else(|| new.as_ref().map(|(_, place)| (*place).clone()));
        if let Some((fingerprint, place)) = known.or(new.map(|(fingerprint, _)| fingerprint)).zip(place) {
            self.findings.insert(finding, reading.into_tracked(fingerprint, place));
        }
        Ok(())
    }

    /// What is another one, and how many are not.
    pub fn differences(mut self) -> (Vec<FindingDifference>, u64) {
        let mut unchanged = 0;
        let mut differences = Vec::new();
        for (finding, tracked) in std::mem::take(&mut self.findings) {
            let hypothetical = Life { was_open: tracked.was_open, moments: tracked.moments };
            let ours = |one: &&Happened| one.run.is_some_and(|run| self.runs.contains(&run));
            let turns = tracked.happened.iter().filter(ours);
            let turns = turns.filter_map(|one| moment(&one.event, one.run?, one.severity));
            let actual = Life { was_open: tracked.was_open, moments: turns.collect() };
            let is_sure = !self.undecided.contains(&tracked.place);
            let verdict = match (actual.is_there(), hypothetical.is_there()) {
                _ if actual.is_like(&hypothetical) && is_sure => None,
                // What was measured would have raised it: what was not kept can only add to that.
                (false, true) => Some(Verdict::Raised),
                (false, false) if is_sure => None,
                _ if !is_sure => Some(Verdict::NotDecidable),
                (true, false) => Some(Verdict::Vanished),
                (true, true) => Some(Verdict::Changed),
                (false, false) => None,
            };
            let Some(verdict) = verdict else {
                unchanged += u64::from(actual.is_there());
                continue;
            };
            let (check, component) = tracked.place;
            let resource = tracked.fingerprint.resource;
            let symptom = tracked.symptom;
            differences.push(FindingDifference {
                finding,
                check,
                component,
                resource,
                verdict,
                actual,
                hypothetical,
                symptom,
            });
        }
        differences.sort_by_key(|one| {
            let first = one.hypothetical.moments.first().or(one.actual.moments.first());
            (first.map(|moment| moment.at), one.finding)
        });
        (differences, unchanged)
    }
}

/// A finding's stream, while it is read.
#[derive(Default)]
struct Reading {
    state: FindingState,
    before: FindingState,
    fingerprint: Option<Fingerprint>,
    component: Option<ComponentName>,
    happened: Vec<Happened>,
    last_run: Option<RunId>,
    charged: usize,
}

impl Reading {
    fn take(&mut self, position: Position, event: FindingEvent, start: Position) {
        match &event {
            FindingEvent::FindingOpened { fingerprint, sighting, .. }
            | FindingEvent::FindingSuspected { fingerprint, sighting, .. } => {
                self.fingerprint.get_or_insert_with(|| fingerprint.clone());
                self.saw(sighting, position <= start);
            }
            FindingEvent::FindingSeenAgain { sighting, .. } | FindingEvent::FindingRegressed { sighting, .. } => {
                self.saw(sighting, position <= start);
            }
            FindingEvent::FindingRecovering { run, .. } | FindingEvent::FindingResolved { run, .. } => {
                self.last_run = Some(*run);
            }
            _ => {}
        }
        Finding::evolve(&mut self.state, &event);
        if position <= start {
            self.before = self.state.clone();
            return;
        }
        let run = if is_of_people(&event) { None } else { self.last_run };
        self.happened.push(Happened { position, run, severity: self.state.severity, event });
    }

    fn saw(&mut self, sighting: &Sighting, before: bool) {
        self.last_run = Some(sighting.run);
        if before || self.component.is_none() {
            self.component = Some(sighting.component.clone());
        }
    }

    fn place(&self) -> Option<Place> {
        Some((self.fingerprint.as_ref()?.check.clone(), self.component.clone()?))
    }

    fn into_tracked(self, fingerprint: Fingerprint, place: Place) -> Tracked {
        Tracked {
            fingerprint,
            place,
            happened: self.happened,
            counted: 0,
            was_open: self.before.phase == FindingPhase::Open,
            state: self.before,
            moments: Vec::new(),
            symptom: None,
        }
    }
}

/// What a person did, or the clock: it answers no result.
const fn is_of_people(event: &FindingEvent) -> bool {
    matches!(
        event,
        FindingEvent::FindingAcknowledged { .. }
            | FindingEvent::FindingMuted { .. }
            | FindingEvent::FindingUnmuted { expired: false, .. }
            | FindingEvent::FindingMarkedFalsePositive { .. }
            | FindingEvent::FindingFalsePositiveWithdrawn { .. }
    )
}

fn moment(event: &FindingEvent, run: RunId, severity: Option<Outcome>) -> Option<Moment> {
    let (kind, at) = match event {
        FindingEvent::FindingOpened { at, .. } => (MomentKind::Opened, *at),
        FindingEvent::FindingRegressed { at, .. } => (MomentKind::Regressed, *at),
        FindingEvent::FindingSeverityChanged { at, .. } => (MomentKind::SeverityChanged, *at),
        FindingEvent::FindingResolved { at, .. } => (MomentKind::Resolved, *at),
        _ => return None,
    };
    Some(Moment { kind, run, severity, at })
}

/// A sighting without its texts, which no decision looks at.
fn light(mut event: FindingEvent) -> FindingEvent {
    if let FindingEvent::FindingOpened { sighting, .. }
    | FindingEvent::FindingSuspected { sighting, .. }
    | FindingEvent::FindingSeenAgain { sighting, .. }
    | FindingEvent::FindingRegressed { sighting, .. } = &mut event
    {
        for text in [&mut sighting.symptom, &mut sighting.cause, &mut sighting.impact, &mut sighting.advice] {
            *text = String::new();
        }
        sighting.evidence = Evidence::default();
    }
    event
}

/// As the finding keeper makes it of a result: of a problem, or of there being none.
fn sighting(result: &CheckResult, run: RunId, problem: Option<&Observation>) -> Sighting {
    Sighting {
        component: result.key.component.clone(),
        run,
        outcome: problem.map_or(Outcome::Ok, |seen| seen.outcome),
        symptom: problem.map_or_else(|| result.summary.clone(), |seen| seen.symptom.clone()),
        cause: String::new(),
        impact: String::new(),
        advice: String::new(),
        evidence: Evidence::default(),
        measured_at: result.measured_at,
    }
}

/// One observation a resource: the first of the worst, as the finding keeper takes it.
fn worst_by_resource(observations: &[Observation]) -> BTreeMap<&ResourceName, &Observation> {
    let mut worst: BTreeMap<&ResourceName, &Observation> = BTreeMap::new();
    for observation in observations {
        let kept = worst.entry(&observation.resource).or_insert(observation);
        if observation.outcome.rank() > kept.outcome.rank() {
            *kept = observation;
        }
    }
    worst
}
