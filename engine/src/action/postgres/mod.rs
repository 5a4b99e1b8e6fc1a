//! Actions on PostgreSQL: each names its object by schema and name (or a session by its process id and its start),
//! reads it from the catalogue first, and changes nothing that it could not read.

pub mod alter_system;
pub mod analyze;
pub mod cancel_query;
pub mod create_index_concurrently;
pub mod drop_index_concurrently;
pub mod drop_invalid_index;
pub mod drop_replication_slot;
pub mod extend_sequence;
pub mod reindex_concurrently;
pub mod reset_sequence;
pub mod terminate_idle_in_transaction;
pub mod vacuum;

mod backend;
mod ending;
mod index;
mod sequence;
mod setting_value;
mod table;

use super::sql::{Access, Session};
use super::{ActionError, ActionTarget};
use domain::remediation::Change;
use serde_json::Value;
use std::time::Duration;

/// How many times the server is asked whether something shows: its statistics and settings come late.
const LOOKS: u32 = 50;

/// How long is waited after so many looks: at first hardly, as most shows at once; later no shorter than this.
fn pause_after(looks: u32) -> Duration {
    const LONGEST: Duration = Duration::from_millis(100);
    LONGEST.min(Duration::from_millis(5) * 2_u32.saturating_pow(looks))
}

/// One statement on a connection of its own.
async fn run(target: &ActionTarget, access: Access, statement: &str) -> Result<(), ActionError> {
    let mut session = Session::open(target, access).await?;
    session.run(statement).await?;
    session.close().await;
    Ok(())
}

/// A change in words and as data.
fn change(summary: String, subject: String, from: Option<Value>, to: Option<Value>) -> Change {
    Change { summary, subject, from, to }
}

/// A size that does not change with every row: the next power of two, from 1 MiB on.
fn bytes_at_most(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0).max(1 << 20).checked_next_power_of_two().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::bytes_at_most;

    #[test]
    fn a_size_stays_while_rows_come_and_go() {
        assert_eq!(bytes_at_most(-1), 1 << 20);
        assert_eq!(bytes_at_most(8192), 1 << 20);
        assert_eq!((bytes_at_most(5 << 20), bytes_at_most(6 << 20)), (8 << 20, 8 << 20));
        assert_eq!(bytes_at_most(i64::MAX), 1 << 63);
    }
}
