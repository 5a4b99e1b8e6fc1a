//! Failure mode 21: a folder with more files than the product allows, which makes the store slow.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use crate::store::FILE_MODE;
use chrono::TimeDelta;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "folder-overfull",
    title: "A folder of the main store is overfull",
    breaks: "Revisions are added to folder 000 of store 1 until it has 1,150 files",
    expects: &[must("CM-FOLDER-OVERFULL", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let folder = context.folders().store(1).join("000");
    let there = std::fs::read_dir(&folder).map_err(LabError::io("list", &folder))?.count() as i64;
    let count = (FILES - there).max(1);
    context.recount(1)?;
    // The dataset works the hashes out by itself, from the same text as is in the files.
    let statement = "INSERT INTO tserecvsn
        SELECT $1 + n, (SELECT min(uri) FROM tsrecelec WHERE restore = 1),
               'OVERFULL' || lpad(n::text, 6, '0') || '.TXT', 1, octet_length(text),
               encode(sha256(convert_to(text, 'UTF8')), 'hex')
        FROM (SELECT n, 'DOUBLE: revision ' || n || ' of the fault folder-overfull.' AS text
              FROM generate_series(0, $2 - 1) n) texts";
    context.insert(("tserecvsn", "uri"), count, statement).await?;
    let changed = context.now() - TimeDelta::days(2);
    let files = (0..count).map(|n| {
        let text = format!("DOUBLE: revision {n} of the fault folder-overfull.");
        (folder.join(format!("OVERFULL{n:06}.TXT")), text)
    });
    context.create_all(&files.collect::<Vec<_>>(), FILE_MODE, changed.into())?;
    context.recount_now(1).await
}

/// Beyond the product's thousand.
const FILES: i64 = 1_150;
