//! Which moment: a position, or the position that the log had come to at a time.

use crate::error::QueryError;
use crate::queries::Queries;
use crate::wait::Behind;
use chrono::{DateTime, Utc};
use domain::Position;
use event_store::LogError;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// A moment as somebody names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// With the event at this position, and none after it. The same for ever.
    Position(Position),
    /// With all that was recorded at or before this time. What is being recorded within the last seconds may still be
    /// added to it.
    Time(DateTime<Utc>),
}

/// Not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a position nor a time such as 2026-03-01T08:00:00Z")]
pub struct NoMoment(String);

impl FromStr for Moment {
    type Err = NoMoment;

    /// A whole number is a position; anything else a time as RFC 3339 has it.
    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let no = || NoMoment(text.chars().take(60).collect());
        if let Ok(position) = text.parse::<i64>() {
            return if position < 0 { Err(no()) } else { Ok(Self::Position(Position(position))) };
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| no())?;
        Ok(Self::Time(time.with_timezone(&Utc)))
    }
}

/// The moment that an answer is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The last event that the answer knows of; 0: none.
    pub position: Position,
    /// When that was recorded; none where there is none.
    pub recorded_at: Option<DateTime<Utc>>,
    /// What counts as now in the answer: the time that was asked for, else when the position was recorded.
    pub now: DateTime<Utc>,
}

impl Queries {
    /// The same queries, as of a moment; each answers as it would have answered then. Waits, bounded, until the views
    /// have come as far.
    pub async fn as_of(&self, moment: Moment, bound: Duration) -> Result<Self, Behind> {
        let as_of = self.locate(moment).await?;
        self.wait_for(as_of.position, bound).await?;
        Ok(self.at(as_of))
    }

    /// Which position a moment is; refused where it is still to come.
    pub async fn locate(&self, moment: Moment) -> Result<AsOf, QueryError> {
        let log = self.the_log()?;
        let (position, asked) = match moment {
            Moment::Position(position) => (position, None),
            Moment::Time(time) => {
                // The database's clock is the one that records.
                let now: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(self.pool()).await?;
                if time > now {
                    return Err(QueryError::InFuture { asked: time, now });
                }
                (log.position_at(time).await?, Some(time))
            }
        };
        if position <= Position::START {
            let now = asked.unwrap_or(DateTime::UNIX_EPOCH);
            return Ok(AsOf { position: Position::START, recorded_at: None, now });
        }
        let Some(recorded_at) = log.recorded_at(position).await? else {
            let end = log.head().await?;
            if position > end {
                return Err(QueryError::BeyondEnd { asked: position, end });
            }
            let reason = "there is no event at this position".to_owned();
            return Err(LogError::Damaged { position, reason }.into());
        };
        Ok(AsOf { position, recorded_at: Some(recorded_at), now: asked.unwrap_or(recorded_at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_position_and_anything_else_a_time() {
        assert_eq!("0".parse(), Ok(Moment::Position(Position(0))));
        assert_eq!("41".parse(), Ok(Moment::Position(Position(41))));
        let time = DateTime::from_timestamp(1_772_352_000, 0).unwrap();
        assert_eq!("2026-03-01T08:00:00Z".parse(), Ok(Moment::Time(time)));
        assert_eq!("2026-03-01T09:00:00+01:00".parse(), Ok(Moment::Time(time)));
        for wrong in ["", "-1", "noon", "2026-03-01", "1.5", "99999999999999999999"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
