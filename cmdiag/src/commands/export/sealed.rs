//! An export beside the checkpoint that its manifest names.

use anyhow::Result;
use audit::{Frontier, Note, PublicKey, StoredEvent};
use export::log::manifest::{Format, Manifest};
use export::log::proof::Proof;
use std::path::Path;

/// What is said about the checkpoint: what holds and what could not be asked, or (an error) what is wrong.
pub fn check(folder: &Path, manifest: &Manifest, keys: &[PublicKey]) -> Result<Vec<Result<String, String>>> {
    let Some(proof) = &manifest.proof else {
        let none = "no checkpoint is beside it: the log was not sealed when this was exported".to_owned();
        return Ok(vec![if keys.is_empty() { Ok(none) } else { Err(none) }]);
    };
    let mut said = vec![signed(proof, keys)];
    if manifest.format == Format::Parquet && manifest.after == 0 && proof.tree_size <= manifest.last_position {
        said.push(root(folder, manifest, proof)?);
    } else {
        let why = if manifest.format != Format::Parquet {
            "CloudEvents have the hash of their metadata only"
        } else if manifest.after > 0 {
            "the export does not begin at position 1"
        } else {
            "the checkpoint covers more than the export"
        };
        said.push(Ok(format!("the checkpoint's root was not computed from the events: {why}")));
    }
    Ok(said)
}

/// Whether the note says what the manifest says of it, and is signed by one of the keys.
fn signed(proof: &Proof, keys: &[PublicKey]) -> Result<String, String> {
    let note = Note::parse(&proof.note).map_err(|error| error.to_string())?;
    let says = &note.checkpoint;
    if i64::try_from(says.tree_size) != Ok(proof.tree_size) || hex(&says.root) != proof.root {
        return Err("the checkpoint's note says something else than the manifest".to_owned());
    }
    let about = format!("checkpoint {} of {} events, root {}", says.number, proof.tree_size, proof.root);
    if keys.is_empty() {
        return Ok(format!("{about}; no key was given: whose signature it has was not asked"));
    }
    if keys.iter().any(|key| note.is_signed_by(key)) {
        return Ok(format!("{about}, signed by a key that was given"));
    }
    Err(format!("{about} is signed by none of the keys that were given"))
}

/// The root of the tree, made anew from the rows.
fn root(folder: &Path, manifest: &Manifest, proof: &Proof) -> Result<Result<String, String>> {
    let (mut frontier, mut scratch) = (Frontier::default(), Vec::new());
    export::log::verify::rows(folder, manifest, proof.tree_size, &mut |event| {
        let stored = StoredEvent {
            position: event.position,
            aggregate_type: &event.aggregate_type,
            aggregate_id: &event.aggregate_id,
            sequence: event.sequence,
            event_id: event.event_id,
            event_type: &event.event_type,
            event_version: &event.event_version,
            recorded_at: event.recorded_at,
            payload: &event.payload,
            metadata: &event.metadata,
        };
        frontier.push(stored.leaf(&mut scratch), |_| ());
    })?;
    let computed = hex(&frontier.root());
    Ok(if computed == proof.root {
        Ok(format!("the events 1 to {} have the checkpoint's root", proof.tree_size))
    } else {
        Err(format!("the events 1 to {} have the root {computed}, the checkpoint {}", proof.tree_size, proof.root))
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
