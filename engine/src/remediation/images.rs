//! Before-images: small ones in the event, larger ones in the evidence store.

use crate::action::ActionError;
use crate::evidence::{EVIDENCE_BYTES_MAX, EvidenceStore};
use chrono::{DateTime, Utc};
use domain::ContentHash;
use domain::remediation::BeforeImage;
use serde_json::Value;

/// The hash of a state.
pub(super) fn hash(state: &Value) -> Result<ContentHash, ActionError> {
    ContentHash::of(state).map_err(|error| ActionError::internal(format!("the state can not be hashed: {error}")))
}

/// Keeps a state. What is too large to be kept whole is refused: nothing could be put back from a part of it.
pub(super) async fn keep(
    evidence: &EvidenceStore,
    state: Value,
    inline_max: usize,
    now: DateTime<Utc>,
) -> Result<BeforeImage, ActionError> {
    let hash = hash(&state)?;
    let json = state.to_string();
    // Whoever stores events can not store this character.
    if json.len() <= inline_max && !json.contains("\\u0000") {
        return Ok(BeforeImage { state: hash, inline: Some(state), kept: None });
    }
    if json.len() > EVIDENCE_BYTES_MAX {
        let (is, most) = (json.len(), EVIDENCE_BYTES_MAX);
        let message = format!("what was there before has {is} bytes; no more than {most} can be kept");
        return Err(ActionError::precondition(message));
    }
    let kept = evidence.put(json.into_bytes(), now).await;
    let kept = kept.map_err(|error| ActionError::internal(format!("what was there can not be kept: {error}")))?;
    Ok(BeforeImage { state: hash, inline: None, kept: Some(kept) })
}

/// The state of an image, proven by its hash.
pub(super) async fn read(evidence: &EvidenceStore, image: &BeforeImage) -> Result<Value, ActionError> {
    let state = match (&image.inline, &image.kept) {
        (Some(state), _) => state.clone(),
        (None, Some(kept)) => {
            let stored = evidence.get(kept).await;
            let stored = stored.map_err(|error| ActionError::internal(format!("the before-image: {error}")))?;
            let stored =
                stored.ok_or_else(|| ActionError::internal("the before-image is not in the store any more"))?;
            serde_json::from_slice(&stored.bytes)
                .map_err(|error| ActionError::internal(format!("the before-image does not read: {error}")))?
        }
        (None, None) => return Ok(Value::Null),
    };
    if hash(&state)? == image.state {
        Ok(state)
    } else {
        Err(ActionError::internal("the before-image is damaged: it has another hash"))
    }
}
