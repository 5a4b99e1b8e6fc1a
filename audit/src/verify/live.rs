//! Verifies the log in the database.

use super::{Report, Verifier, VerifyOptions};
use crate::chain::Part;
use crate::merkle::{Complete, STORED_LEVELS};
use crate::{AuditError, store};
use futures::TryStreamExt as _;
use sqlx::PgPool;

/// Rows of seals of one page.
const SEALS: i64 = 32;

/// Verifies all that is sealed; tells `progress` how many events are done, and how many there are. Reads the tables a
/// page at a time, in no transaction: nothing of them ever changes.
pub async fn verify_log(
    pool: &PgPool,
    options: &VerifyOptions,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Report, AuditError> {
    let (mut parts, mut whole): (_, Option<Report>) = (vec![Part::default()], None);
    while let Some(part) = parts.pop() {
        let (report, covered) = pass(pool, options, part, &mut progress).await?;
        parts.extend(part.without(covered));
        match &mut whole {
            None => whole = Some(report),
            Some(whole) => whole.merge(report),
        }
    }
    whole.ok_or_else(|| AuditError::Missing("nothing was verified".to_owned()))
}

async fn pass(
    pool: &PgPool,
    options: &VerifyOptions,
    part: Part,
    progress: &mut (impl FnMut(u64, u64) + Send),
) -> Result<(Report, Part), AuditError> {
    let mut verifier = Verifier::new(options.clone(), part);
    verifier.of_log(&store::origin(pool).await?);
    // In this order, and no further than this: a sealer that is at work signs on, and its checkpoints would know of
    // more than is looked at here. A checkpoint is there after its seals, so these hold it.
    let signed = store::signed_to(pool).await?;
    let sealed = store::sealed_to(pool).await?;
    let mut at = 0;
    loop {
        let seals = store::seals(pool, at, SEALS).await?;
        let seals: Vec<_> = seals.into_iter().filter(|seal| seal.first <= sealed).collect();
        let Some(last) = seals.iter().map(|seal| seal.last).max() else { break };
        let mut nodes = Vec::new();
        let mut from = at;
        for seal in &seals {
            let to = seal.last.max(from);
            let mut rows = std::pin::pin!(store::events(pool, from, to, i64::MAX as usize));
            while let Some(row) = rows.try_next().await? {
                verifier.event(&store::stored(&row)?);
            }
            verifier.seal(seal, |complete| {
                if complete.level % STORED_LEVELS == 0 {
                    nodes.push(complete);
                }
            });
            for note in store::notes_between(pool, from, to).await? {
                verifier.checkpoint(&note);
            }
            from = to;
        }
        check_nodes(pool, &mut verifier, &nodes).await?;
        at = last.max(at + 1);
        progress(verifier.events(), sealed);
    }
    // Checkpoints that know of more than there is.
    for note in store::notes_between(pool, at, signed).await? {
        verifier.checkpoint(&note);
    }
    let unsealed = store::log_end(pool).await?.saturating_sub(at);
    let covered = verifier.part();
    Ok((verifier.finish(unsealed), covered))
}

async fn check_nodes(pool: &PgPool, verifier: &mut Verifier, computed: &[Complete]) -> Result<(), AuditError> {
    if computed.is_empty() {
        return Ok(());
    }
    let levels: Vec<i16> = computed.iter().map(|node| node.level as i16).collect();
    let indexes: Vec<i64> = computed.iter().map(|node| node.index as i64).collect();
    let stored: Vec<Option<Vec<u8>>> = sqlx::query_scalar(
        "SELECT n.hash::bytea FROM unnest($1::smallint[], $2::bigint[]) WITH ORDINALITY AS w (level, index, number) \
         LEFT JOIN cmdiag.audit_nodes AS n ON n.level = w.level AND n.index = w.index ORDER BY w.number",
    )
    .bind(levels)
    .bind(indexes)
    .fetch_all(pool)
    .await?;
    for (node, stored) in computed.iter().zip(stored) {
        let stored = stored.and_then(|hash| hash.try_into().ok());
        verifier.node(node, stored.as_ref());
    }
    Ok(())
}
