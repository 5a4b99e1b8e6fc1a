//! Lets a sequence count further: a larger type, a higher end.

use super::change;
use super::sequence::{self, Sequence, SequenceName};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct ExtendSequence;

/// Which sequence, and how far.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub sequence: String,
    /// Its new end; the largest value that its column holds where absent.
    #[serde(default)]
    pub max_value: Option<i64>,
}

impl Parameters {
    fn name(&self) -> SequenceName {
        SequenceName { schema: self.schema.clone(), sequence: self.sequence.clone() }
    }
}

/// The type and the end that it had, and the end that it is to get.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    data_type: String,
    max_value: i64,
    column: Option<String>,
    new_max_value: i64,
}

impl Act for ExtendSequence {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.extend-sequence",
        version: 1,
        title: "Let a sequence count further",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(1),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let found = read(parameters, target).await?;
        let name = parameters.name().shown();
        let column_max = found.column.as_ref().map_or(i64::MAX, |column| column.max);
        let new_max_value = parameters.max_value.unwrap_or(column_max);
        let column = found.column.as_ref().map(sequence::Column::shown);
        if new_max_value > column_max {
            let column = column.unwrap_or_default();
            let text =
                format!("{column} holds values up to {column_max} only: the column must get a larger type first");
            return Err(ActionError::precondition(text));
        }
        if new_max_value <= found.max_value {
            let text = format!(
                "{name} already counts to {}{}",
                found.max_value,
                if column_max < i64::MAX { ": its column must get a larger type first" } else { "" }
            );
            return Err(ActionError::precondition(text));
        }
        Ok(State { data_type: found.data_type, max_value: found.max_value, column, new_max_value })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let name = parameters.name().shown();
        let (kind, new_kind) = (&before.data_type, type_for(before));
        let (max, new_max) = (before.max_value, before.new_max_value);
        let summary = format!("let {name} count to {new_max} ({new_kind}) instead of {max} ({kind})");
        let from = json!({"data_type": kind, "max_value": max});
        vec![change(summary, name, Some(from), Some(json!({"data_type": new_kind, "max_value": new_max})))]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius::default()
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        set(parameters, target, type_for(before), before.new_max_value).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let max = read(parameters, target).await?.max_value;
        if max == before.new_max_value {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{} counts to {max}", parameters.name().shown())))
    }

    /// The server refuses an end that the sequence has passed meanwhile: nothing in use is ever lost.
    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        set(parameters, target, known_type(&before.data_type)?, before.max_value).await
    }
}

async fn read(parameters: &Parameters, target: &ActionTarget) -> Result<Sequence, ActionError> {
    let mut session = Session::open(target, Access::Read).await?;
    let found = sequence::to_change(&mut session, &parameters.name()).await?;
    session.close().await;
    Ok(found)
}

async fn set(parameters: &Parameters, target: &ActionTarget, kind: &str, max: i64) -> Result<(), ActionError> {
    let statement = format!("ALTER SEQUENCE {} AS {kind} MAXVALUE {max}", parameters.name().quoted()?);
    super::run(target, Access::Write, &statement).await
}

/// The smallest type that holds the new end, and never a smaller one than before.
fn type_for(before: &State) -> &'static str {
    match before.data_type.as_str() {
        "smallint" if before.new_max_value <= i64::from(i16::MAX) => "smallint",
        "smallint" | "integer" if before.new_max_value <= i64::from(i32::MAX) => "integer",
        _ => "bigint",
    }
}

fn known_type(name: &str) -> Result<&'static str, ActionError> {
    let known = ["smallint", "integer", "bigint"].into_iter().find(|known| *known == name);
    known.ok_or_else(|| ActionError::internal(format!("{name:?} is no type of a sequence")))
}
