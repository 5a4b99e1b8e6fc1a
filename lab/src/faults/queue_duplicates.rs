//! Failure mode 44: a document queue takes the same file in again every minute.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use crate::store::FILE_MODE;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "queue-duplicates",
    title: "A document queue makes duplicate records",
    breaks: "Queue 9 has registered the same document forty times, once a minute; stopping the queue ends that",
    expects: &[must("CM-QUEUE-DUPLICATES", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: Some(|context| Box::pin(refresh(context))),
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    // As it is: whoever stops the queue is taken back with the fault.
    context.change(("double_document_queue", "uri"), &["automatic"], "uri = 9", "automatic = true").await?;
    context.recount(1)?;
    let record = "INSERT INTO tsrecord
        SELECT $1 + n, 'DBL-QUEUE-' || n, 'Double: queue document', 1, $3 - n * interval '1 minute', NULL, NULL, 9
        FROM generate_series(0, $2 - 1) n";
    context.insert(("tsrecord", "uri"), COUNT, record).await?;
    let document = format!(
        "INSERT INTO tsrecelec
         SELECT $1 + n, 'QUEUE' || lpad(n::text, 6, '0') || '.TXT', 1, 'double-queue.txt', 1, NULL,
                octet_length('{TEXT}'), encode(sha256(convert_to('{TEXT}', 'UTF8')), 'hex'), $3, 'OK'
         FROM generate_series(0, $2 - 1) n"
    );
    context.insert(("tsrecelec", "uri"), COUNT, &document).await?;
    let words = "INSERT INTO tstxtidx SELECT $1 + n, $1 + n, 'queue' FROM generate_series(0, $2 - 1) n";
    context.insert(("tstxtidx", "uri"), COUNT, words).await?;
    let folder = context.folders().store(1).join("000");
    let files = (0..COUNT).map(|n| (folder.join(format!("QUEUE{n:06}.TXT")), TEXT.to_owned()));
    let changed = context.now();
    context.create_all(&files.collect::<Vec<_>>(), FILE_MODE, changed.into())?;
    context.recount_now(1).await
}

/// What was registered an hour ago is no growth any more.
async fn refresh(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let (from, now) = (context.keys(), context.now());
    sqlx::query(
        "UPDATE tsrecord SET rcdatereg = $2 - (uri - $1) * interval '1 minute'
         WHERE uri BETWEEN $1 AND $1 + $3 AND rcdatereg < $2 - interval '50 minutes'",
    )
    .bind(from)
    .bind(now)
    .bind(COUNT)
    .execute(context.db().await?)
    .await
    .map_err(LabError::db("renew the records of a fault"))
    .map(drop)
}

const COUNT: i64 = 40;
const TEXT: &str = "DOUBLE: the document that the fault queue-duplicates takes in again and again.";
