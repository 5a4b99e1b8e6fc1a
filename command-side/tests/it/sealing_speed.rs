//! What sealing costs a command: the same commands by a person, sealed and open, interleaved.

use crate::support::{new_run, request};
use command_side::{BusOptions, CommandBus};
use domain::diagnostic_run::DiagnosticRun;
use domain::{Actor, CommandId, Metadata, TenantId};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;
use vault::{MasterKey, Vault};

/// Commands in a second, with so many senders.
async fn rate(bus: &CommandBus, senders: usize, span: Duration) -> f64 {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..senders {
        let bus = bus.clone();
        tasks.spawn(async move {
            let mut sent = 0;
            while started.elapsed() < span {
                let actor = Actor::new("mara.lindqvist@example.org").expect("a name");
                let metadata = Metadata::new(actor, TenantId::default(), CommandId(Uuid::now_v7()));
                let run = new_run();
                bus.execute::<DiagnosticRun>(run.0, request(run), metadata).await.expect("it is new");
                sent += 1;
            }
            sent
        });
    }
    let sent: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(sent) / started.elapsed().as_secs_f64()
}

async fn bus(database: &TestDatabase, master: Option<MasterKey>) -> CommandBus {
    let pool = database.pool().await;
    let vault = Vault::connect(pool.clone(), master).await.expect("it connects");
    let log: Arc<dyn EventLog> =
        PostgresEventLog::connect(pool, PostgresLogOptions::default()).await.expect("it connects");
    CommandBus::new(log, BusOptions { vault, ..BusOptions::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures only a human can judge"]
async fn sealed_commands_are_as_quick_as_open_ones() {
    let (one, two) = (TestDatabase::migrated().await, TestDatabase::migrated().await);
    let open = bus(&one, None).await;
    let sealed = bus(&two, Some(MasterKey::new(&[1; 32]).expect("a key"))).await;
    for senders in [1, 8, 64] {
        let (mut without, mut with) = (0.0, 0.0);
        for _ in 0..5 {
            without += rate(&open, senders, Duration::from_secs(1)).await / 5.0;
            with += rate(&sealed, senders, Duration::from_secs(1)).await / 5.0;
        }
        println!("{senders} senders: open {without:.0}/s, sealed {with:.0}/s: {:.2}", with / without);
    }
}
