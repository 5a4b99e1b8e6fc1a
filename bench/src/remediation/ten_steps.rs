//! A remediation of ten steps, from its request to its success, beside as many bare appends.

use super::problems::{self, PACKS, Planted};
use crate::events::{self, Place};
use crate::figure::Figure;
use crate::latencies::{Latencies, median};
use crate::platform::{Base, Platform};
use crate::world::World;
use anyhow::{Context, Result, bail, ensure};
use command_side::SystemClock;
use domain::any_event::REMEDIATION;
use domain::finding::Hysteresis;
use domain::policy::{Automatic, Mode, Share};
use domain::remediation::{Admission, Remediation, RemediationCommand, RemediationPhase, RemediationState, Trigger};
use domain::{Actor, RemediationId, StreamVersion};
use engine::action::HostProgram;
use engine::evidence::EvidenceStore;
use engine::offsets::PostgresOffsets;
use engine::pack::Packs;
use engine::probe::Probes;
use engine::remediation::{RemediationOptions, RemediationParts, Remediator};
use engine::runner::ProbeRunner;
use event_store::{FeedSubscription, StreamId};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const BAR_MS: f64 = 200.0;
const BOUND: Duration = Duration::from_secs(60);
const RUNBOOKS: [&str; 2] = ["ten-steps", "ten-steps-at-once"];
/// How many of each runbook do not count: the first one is approved, by which the right to run by itself is earned.
const WARM_UP: usize = 3;

/// One remediation, and as many bare appends as it needed.
struct Measured {
    took: Duration,
    appends: usize,
    bare: Duration,
}

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("remediation_ten_steps").await?;
    let parts = Parts::start(&url).await?;
    let measured = measure(&parts, &world.folder("remediation-ten-steps")?, world.pick(150, 4)).await;
    parts.stop().await;
    let [chain, at_once] = measured?;
    Ok(vec![
        judge("remediation.ten-steps", "ten steps one after the other, from request to succeeded: p95", &chain)?,
        ratio("remediation.ten-steps-of-bare", "the same: the time of as many bare appends in it, median", &chain),
        judge("remediation.ten-steps-at-once", "ten steps at the same time, from request to succeeded: p95", &at_once)?,
    ])
}

fn judge(id: &str, what: &str, measured: &[Measured]) -> Result<Figure> {
    let (mut took, mut bare) = (Latencies::new()?, Latencies::new()?);
    for one in measured {
        took.record(one.took);
        bare.record(one.bare);
    }
    let appends = median(&measured.iter().map(|one| one.appends as f64).collect::<Vec<_>>());
    let beside = format!(
        "{} remediations: {}, longest {:.1} ms; {appends:.0} bare appends one after the other: {}",
        measured.len(),
        took.in_words(),
        took.max_ms(),
        bare.in_words()
    );
    Ok(Figure::below(id, what, (took.percentile_ms(95.0), BAR_MS), "ms").beside(beside))
}

fn ratio(id: &str, what: &str, measured: &[Measured]) -> Figure {
    let ratios: Vec<f64> = measured.iter().map(|one| one.bare.as_secs_f64() / one.took.as_secs_f64()).collect();
    Figure::plain(id, what, median(&ratios), "x")
}

async fn measure(parts: &Parts, folder: &Path, count: usize) -> Result<[Vec<Measured>; 2]> {
    let bus = &parts.platform.bus;
    let automatic = Automatic {
        min_lower_bound: Share::millionths(500_000),
        confidence: Share::millionths(700_000),
        min_samples: 1,
        probation: 1,
        otherwise_people: 1,
    };
    let planted = problems::plant(bus, folder, (count + WARM_UP) * RUNBOOKS.len()).await?;
    passed_over(&parts.platform).await?;
    problems::define(bus, problems::definition(Mode::Automatic(automatic))).await?;
    let mut measured = [Vec::new(), Vec::new()];
    for (number, one) in planted.iter().enumerate() {
        let (round, place) = (number / RUNBOOKS.len(), number % RUNBOOKS.len());
        let done = remedied(parts, one, RUNBOOKS[place], round == 0).await?;
        if round >= WARM_UP {
            measured[place].push(done);
        }
    }
    Ok(measured)
}

/// What asks for remediations by itself has seen all findings open, while no policy let any of it: the bench asks.
async fn passed_over(platform: &Platform) -> Result<()> {
    let head = platform.log.head().await?;
    let sql = "SELECT position FROM process_checkpoints WHERE name = 'auto-remediator'";
    let seen = tokio::time::timeout(BOUND, async {
        loop {
            let position: Option<i64> = sqlx::query_scalar(sql).fetch_optional(&platform.pool).await?;
            if position.is_some_and(|position| position >= head.0) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    seen.await.with_context(|| format!("the findings were not seen within {BOUND:?}"))?
}

/// One of them, from its request to the end of all that it has caused.
async fn remedied(parts: &Parts, planted: &Planted, runbook: &str, first: bool) -> Result<Measured> {
    let platform = &parts.platform;
    let id = RemediationId(Uuid::now_v7());
    let problem = planted.problem.clone();
    let everything = platform.feed.subscribe(platform.log.head().await?);
    let stream = StreamId::new(REMEDIATION, &id.to_string());
    let mut following = platform.feed.subscribe_stream(stream, StreamVersion(0));
    let command = RemediationCommand::Request {
        problem,
        runbook: Some(runbook.parse()?),
        trigger: Trigger::Person,
        dry_run: false,
    };
    let started = Instant::now();
    platform.bus.execute::<Remediation>(id.0, command, events::metadata()?).await?;
    let succeeded = tokio::time::timeout(BOUND, async {
        loop {
            for event in following.next().await? {
                match event.event_type.as_str() {
                    "RemediationSucceeded" => return Ok(()),
                    "ApprovalRequested" if first => approve(parts, id).await?,
                    "RollbackStarted" | "RemediationCancelled" | "RemediationDeferred" | "ApprovalRequested" => {
                        bail!("instead of running by itself: {} {}", event.event_type, event.payload);
                    }
                    _ => {}
                }
            }
        }
    });
    succeeded.await.with_context(|| format!("no end within {BOUND:?}"))??;
    let took = started.elapsed();
    by_itself(parts, id, planted, first).await?;
    runs_after(everything).await?;
    let appends = appends(platform, id).await?;
    Ok(Measured { took, appends, bare: bare(platform, appends).await? })
}

/// A person looks at the first one of a runbook, and another one has it done.
async fn approve(parts: &Parts, id: RemediationId) -> Result<()> {
    let bus = &parts.platform.bus;
    let (state, _): (RemediationState, _) = bus.load::<Remediation>(id.0).await?;
    let binding = state.binding().cloned().context("what is to be approved")?;
    let command = RemediationCommand::Approve { binding, comment: "seen".to_owned(), on_behalf_of: None };
    let approver: Actor = "approver".parse()?;
    let metadata = domain::Metadata { actor: approver, ..events::metadata()? };
    bus.execute::<Remediation>(id.0, command, metadata).await?;
    bus.execute::<Remediation>(id.0, RemediationCommand::Execute, events::metadata()?).await?;
    Ok(())
}

/// The policy let it run by itself, and it did what it should.
async fn by_itself(parts: &Parts, id: RemediationId, planted: &Planted, first: bool) -> Result<()> {
    let (state, _): (RemediationState, _) = parts.platform.bus.load::<Remediation>(id.0).await?;
    ensure!(state.phase == RemediationPhase::Succeeded, "it rests as {:?}", state.phase);
    ensure!(state.steps.len() == 10, "it had {} steps", state.steps.len());
    ensure!(first || state.admission == Some(Admission::Automatic), "it was admitted as {:?}", state.admission);
    let text = std::fs::read_to_string(&planted.file).context("the file that was to be written")?;
    ensure!(text.trim_end() == "green", "the file holds {text:?}");
    Ok(())
}

/// The ordinary runs that it asks for at its end have ended: nothing of it is under way any more.
async fn runs_after(mut following: FeedSubscription) -> Result<()> {
    let mut left = Hysteresis::default().resolve_after;
    let ended = tokio::time::timeout(BOUND, async {
        while left > 0 {
            let events = following.next().await?;
            let completed = events.iter().filter(|event| event.event_type == "RunCompleted").count();
            left = left.saturating_sub(u32::try_from(completed)?);
        }
        Ok(())
    });
    ended.await.with_context(|| format!("the runs after it have not ended within {BOUND:?}"))?
}

/// How many appends it took to its success: those to its own stream, and the policy's reservation.
async fn appends(platform: &Platform, id: RemediationId) -> Result<usize> {
    let stream = StreamId::new(REMEDIATION, &id.to_string());
    let read = platform.log.read_stream(stream, StreamVersion(0), 1_000).await?;
    let commands: std::collections::BTreeSet<_> = read.iter().map(|event| event.metadata.command_id.0).collect();
    Ok(commands.len() + 1)
}

/// As many appends of one event, one after the other.
async fn bare(platform: &Platform, appends: usize) -> Result<Duration> {
    let mut place = Place::new();
    let started = Instant::now();
    for _ in 0..appends {
        platform.log.append(events::append(&place, 1)?).await?;
        place.wrote(1);
    }
    Ok(started.elapsed())
}

/// The platform's parts with real checks, and what carries remediations on.
struct Parts {
    platform: Platform,
    remediator: Remediator,
    probes: ProbeRunner,
}

impl Parts {
    async fn start(url: &str) -> Result<Self> {
        let packs = Packs::load(Path::new(PACKS)).map_err(|errors| anyhow::anyhow!("{errors}"))?;
        let (packs, clock) = (Arc::new(packs), Arc::new(SystemClock));
        let base = Base::connect(url).await?;
        let probes = ProbeRunner::new(
            Arc::clone(&packs),
            Probes::new(Arc::new(PostgresOffsets::new(base.pool.clone(), clock.clone()))),
            Arc::new(base.bus.clone()),
            Arc::new(EvidenceStore::new(base.pool.clone())),
            clock.clone(),
        );
        let platform = base.start(Arc::clone(&packs) as _, Arc::new(probes.clone()));
        let parts = RemediationParts {
            pool: platform.pool.clone(),
            bus: platform.bus.clone(),
            feed: Arc::clone(&platform.feed),
            packs,
            checks: Arc::new(probes.clone()),
            evidence: EvidenceStore::new(platform.pool.clone()),
            clock,
        };
        // None of the actions here wants a process of its own.
        let options = RemediationOptions::new(HostProgram::InProcess);
        let remediator = Remediator::start(parts, options, &CancellationToken::new());
        Ok(Self { platform, remediator, probes })
    }

    async fn stop(self) {
        self.remediator.stop().await;
        self.platform.stop().await;
        self.probes.close().await;
    }
}
