//! Takes a sequence that jumped ahead back to the values in use: never below the highest of them.

use super::change;
use super::sequence::{self, SequenceName};
use crate::action::sql::{Access, Qualified, Session, identifier};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct ResetSequence;

/// A smaller gap is no jump but normal use: values that were drawn and are not stored yet lie in it.
const GAP_MIN: i64 = 1_000_000;

/// Where it stands, and what is in use.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    last_value: i64,
    is_called: bool,
    next_value: i64,
    column: String,
    highest_in_use: i64,
}

impl Act for ResetSequence {
    type Parameters = SequenceName;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.reset-sequence",
        version: 1,
        title: "Take a sequence that jumped ahead back to the values in use",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(2),
    };

    async fn capture(parameters: &SequenceName, target: &ActionTarget) -> Result<State, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        let place = Place::read(&mut session, parameters).await?;
        session.close().await;
        let gap = place.next_value.saturating_sub(place.highest_in_use);
        if gap < GAP_MIN {
            let text = format!(
                "{} is at {} and the highest value in use is {}: that is no jump, and it stays",
                parameters.shown(),
                place.next_value,
                place.highest_in_use
            );
            return Err(ActionError::precondition(text));
        }
        Ok(State {
            last_value: place.last_value,
            is_called: place.is_called,
            next_value: place.next_value,
            column: place.column,
            highest_in_use: place.highest_in_use,
        })
    }

    fn preview(parameters: &SequenceName, before: &State) -> Vec<Change> {
        let (name, column, highest) = (parameters.shown(), &before.column, before.highest_in_use);
        let to = highest.saturating_add(1);
        let summary = format!(
            "let {name} go on from {to} instead of {}: the highest value in {column} is {highest}. Not known: whether \
             the values in between are named elsewhere",
            before.next_value
        );
        vec![change(summary, name, Some(json!(before.next_value)), Some(json!(to)))]
    }

    fn blast(_: &SequenceName, _: &State) -> BlastRadius {
        BlastRadius::default()
    }

    async fn apply(parameters: &SequenceName, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Write).await?;
        let place = Place::hold(&mut session, parameters).await?;
        // Set back already, by an earlier try.
        if place.next_value >= before.next_value {
            match place.highest_in_use {
                0 => set(&mut session, parameters, 1, false).await?,
                highest => set(&mut session, parameters, highest, true).await?,
            }
        }
        session.run("COMMIT").await?;
        session.close().await;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &SequenceName, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        let place = Place::read(&mut session, parameters).await?;
        session.close().await;
        let name = parameters.shown();
        if place.next_value <= place.highest_in_use {
            return Err(ActionError::target(format!("{name} is at {}: that value is in use", place.next_value)));
        }
        if place.next_value < before.next_value {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{name} is still at {}", place.next_value)))
    }

    /// Back to where it was, and never below what came into use meanwhile.
    async fn undo(parameters: &SequenceName, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let mut session = Session::open(target, Access::Write).await?;
        let place = Place::hold(&mut session, parameters).await?;
        if place.next_value < before.next_value {
            let (to, is_called) = if before.next_value > place.highest_in_use {
                (before.last_value, before.is_called)
            } else {
                (place.highest_in_use, true)
            };
            set(&mut session, parameters, to, is_called).await?;
        }
        session.run("COMMIT").await?;
        session.close().await;
        Ok(())
    }
}

/// Within the transaction of [`Place::hold`]: taken back with it.
async fn set(session: &mut Session, name: &SequenceName, value: i64, is_called: bool) -> Result<(), ActionError> {
    let statement = "SELECT setval(CAST($1 AS regclass), $2, $3 = 1)";
    let quoted = name.quoted()?.to_string();
    session.execute(statement, &[quoted.into(), value.into(), i64::from(is_called).into()]).await.map(drop)
}

struct Place {
    last_value: i64,
    is_called: bool,
    next_value: i64,
    highest_in_use: i64,
    column: String,
}

impl Place {
    async fn read(session: &mut Session, name: &SequenceName) -> Result<Self, ActionError> {
        #[derive(Deserialize)]
        struct Highest {
            highest: i64,
        }
        let found = sequence::to_change(session, name).await?;
        let unowned = || {
            let text = format!("{} belongs to no column: what is in use can not be told", name.shown());
            ActionError::precondition(text)
        };
        let column = found.column.ok_or_else(unowned)?;
        let (table, field) = (Qualified::new(&column.schema, &column.table)?, identifier(&column.name)?);
        let ask = format!("SELECT coalesce(max({field}), 0) AS highest FROM {table}");
        let nothing = || ActionError::target(format!("{} says nothing of its values", column.shown()));
        let highest: Highest = session.row(&ask, &[]).await?.ok_or_else(nothing)?;
        let (last_value, is_called) = sequence::place(session, name).await?;
        let next_value = if is_called { last_value.saturating_add(found.increment) } else { last_value };
        Ok(Self { last_value, is_called, next_value, highest_in_use: highest.highest, column: column.shown() })
    }

    /// In a transaction, with the sequence held: nobody draws a value until it ends. The step stays what it is;
    /// changing it to the same is what takes the lock.
    async fn hold(session: &mut Session, name: &SequenceName) -> Result<Self, ActionError> {
        let increment = sequence::to_change(session, name).await?.increment;
        session.run("BEGIN").await?;
        session.run(&format!("ALTER SEQUENCE {} INCREMENT BY {increment}", name.quoted()?)).await?;
        Self::read(session, name).await
    }
}
