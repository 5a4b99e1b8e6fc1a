//! The law of the past: what a projection makes of the events up to a position, in memory, is what it had written when
//! it stood there.

use crate::support::story;
use event_store::RecordedEvent;
use private_servers::testing::TestDatabase;
use projections::{Decoded, Projection, TableRows, as_of};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const EVENTS: usize = 3_000;
const POSITIONS: usize = 500;
/// How often all is folded from the beginning, not only from the position before.
const FROM_THE_BEGINNING: usize = 20;

type Digests = BTreeMap<String, String>;

/// What each table holds, as it stands in the database.
async fn live(db: &mut PgConnection, tables: &[&str]) -> Digests {
    let mut digests = Digests::new();
    for table in tables {
        let sql = format!("SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {table} t");
        digests.insert((*table).to_owned(), sqlx::query_scalar(&sql).fetch_one(&mut *db).await.unwrap());
    }
    digests
}

/// What each table would hold with these rows.
async fn then(db: &mut PgConnection, tables: Vec<TableRows>) -> Digests {
    let mut digests = Digests::new();
    for TableRows { table, rows } in tables {
        let sql = format!(
            "SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) \
             FROM json_populate_recordset(NULL::{table}, $1::json) t"
        );
        let rows = format!("[{}]", rows.join(","));
        digests.insert(table.to_owned(), sqlx::query_scalar(&sql).bind(rows).fetch_one(&mut *db).await.unwrap());
    }
    digests
}

async fn rows_are_what_they_were(seed: u64) {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let mut db = pool.acquire().await.unwrap();
    let events = story(seed, EVENTS);
    let mut random = StdRng::seed_from_u64(seed);
    let mut positions = BTreeSet::new();
    while positions.len() < POSITIONS {
        positions.insert(random.random_range(1..=EVENTS));
    }
    let mut written = projections::all();
    let mut folded = projections::all();
    let mut after = 0;
    for (number, position) in positions.into_iter().enumerate() {
        let new: Vec<Arc<RecordedEvent>> = events[after..position].iter().cloned().map(Arc::new).collect();
        after = position;
        for (writes, folds) in written.iter_mut().zip(&mut folded) {
            let wanted = wanted(writes.as_ref(), &new);
            writes.fold(&wanted, &mut db).await.unwrap();
            writes.write(&mut db).await.unwrap();
            folds.fold_known(&wanted).unwrap();
            let live = live(&mut db, writes.tables()).await;
            assert_eq!(then(&mut db, folds.rows()).await, live, "{} at {position} of {seed}", writes.name());
            if number % FROM_THE_BEGINNING == 0 {
                let anew = as_of(writes.name(), events[..position].iter().cloned()).unwrap();
                assert_eq!(then(&mut db, anew).await, live, "{} at {position} of {seed}", writes.name());
            }
        }
    }
}

fn wanted(projection: &dyn Projection, events: &[Arc<RecordedEvent>]) -> Vec<Arc<Decoded>> {
    events.iter().flat_map(|event| Decoded::parts(event, projection.wants()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_at_five_hundred_positions_are_what_was_written_there() {
    rows_are_what_they_were(811).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_at_five_hundred_positions_of_another_story_are_what_was_written_there() {
    rows_are_what_they_were(812).await;
}
