//! Daily figures as they stood: days that nothing was added to since stand in today's view; the days from the first one
//! that something was added to on are counted anew, from that day's part of the log.

use super::over::{Stand, Statement};
use super::rows::rows_of;
use super::{CLOCKS_APART, EVENTS_MAX, LOOKED_AT_MAX, Past, too_much};
use crate::error::QueryError;
use crate::page::{Page, PageRequest};
use crate::views::daily_figures::{self, DailyFigure, DailyFigureFilter};
use chrono::{NaiveDate, NaiveTime};
use domain::Position;
use domain::any_event::{DIAGNOSTIC_RUN, FINDING};
use event_store::{RecordedEvent, StreamId};
use std::collections::BTreeSet;

const TABLE: &str = "view_daily_figures";
/// How much of the log is read at a time.
const BLOCK: usize = 5_000;

/// The first day of some that something was added to since. `$1` and `$2` days, `$3` position.
pub(crate) const FIRST_CHANGED: &str =
    "SELECT min(day) FROM view_daily_figures WHERE day BETWEEN $1 AND $2 AND last_position > $3";
/// The figures of days. `$1` and `$2` days, `$3` position, `$4` how many.
const SAME: &str = "SELECT to_json(v)::text FROM view_daily_figures v WHERE v.day >= $1 AND v.day < $2 \
    AND v.last_position <= $3 LIMIT $4";

impl Past<'_> {
    /// Daily figures.
    pub(crate) async fn daily_figures(
        &self,
        filter: &DailyFigureFilter,
        page: &PageRequest,
    ) -> Result<Page<DailyFigure>, QueryError> {
        let changed: Option<NaiveDate> = sqlx::query_scalar(FIRST_CHANGED)
            .bind(filter.from)
            .bind(filter.until)
            .bind(self.position())
            .fetch_one(self.queries.pool())
            .await?;
        let stand = match changed {
            None => Stand::Added,
            Some(day) => {
                let mut rows = self.unchanged(filter.from, day).await?;
                rows.extend(self.counted_from(day).await?);
                Stand::Rows(rows)
            }
        };
        let sql = Statement::of(daily_figures::page(filter, page)?)?;
        Ok(Page::of(self.views(sql, vec![(TABLE, stand)]).await?, page))
    }

    async fn unchanged(&self, from: NaiveDate, until: NaiveDate) -> Result<Vec<String>, QueryError> {
        let rows: Vec<String> = sqlx::query_scalar(SAME)
            .bind(from)
            .bind(until)
            .bind(self.position())
            .bind(LOOKED_AT_MAX as i64 + 1)
            .fetch_all(self.queries.pool())
            .await?;
        if rows.len() > LOOKED_AT_MAX { Err(too_much("rows", LOOKED_AT_MAX)) } else { Ok(rows) }
    }

    /// The figures from a day on. The findings that are counted there are told from their beginning: what one counts as
    /// rests on all of it.
    async fn counted_from(&self, day: NaiveDate) -> Result<Vec<String>, QueryError> {
        let begin = day.and_time(NaiveTime::MIN).and_utc() - CLOCKS_APART;
        let log = self.queries.the_log()?;
        let mut after = log.position_at(begin).await?;
        if self.as_of.position.0 - after.0 > EVENTS_MAX as i64 {
            return Err(too_much("events", EVENTS_MAX));
        }
        let (mut events, mut findings) = (Vec::new(), BTreeSet::new());
        while after < self.as_of.position {
            let block = log.read_all(after, BLOCK).await?;
            let Some(last) = block.last() else { break };
            after = last.position;
            self.take(block, &mut events, &mut findings);
        }
        let told = log.read_streams(findings.into_iter().collect(), &[], self.as_of.position, EVENTS_MAX).await?;
        events.extend(told.ok_or_else(|| too_much("events", EVENTS_MAX))?);
        events.sort_unstable_by_key(|event: &RecordedEvent| event.position);
        let rows = rows_of(self.fold_events("daily_figures", events).await?, TABLE);
        let mut counted = Vec::with_capacity(rows.len());
        for row in rows {
            // A row of ours is an object with a day.
            let of: OfDay = serde_json::from_str(&row).map_err(|error| sqlx::Error::Decode(error.into()))?;
            if of.day >= day {
                counted.push(row);
            }
        }
        Ok(counted)
    }

    fn take(&self, block: Vec<RecordedEvent>, events: &mut Vec<RecordedEvent>, findings: &mut BTreeSet<StreamId>) {
        let until: Position = self.as_of.position;
        for event in block.into_iter().filter(|event| event.position <= until) {
            match &*event.stream.aggregate_type {
                DIAGNOSTIC_RUN => events.push(event),
                FINDING => {
                    findings.insert(event.stream);
                }
                _ => {}
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct OfDay {
    day: NaiveDate,
}
