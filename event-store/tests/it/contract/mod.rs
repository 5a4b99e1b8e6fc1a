//! What every backend must keep. A backend implements [`Backend`] and invokes `contract_suite!`.

pub mod appends;
pub mod commands;
pub mod model;
pub mod order;

use event_store::EventLog;
use std::sync::Arc;

/// A log of its own for one test.
pub trait Backend: Send + Sync + 'static {
    /// A fresh, empty log.
    fn create() -> impl Future<Output = Self>;

    /// Another instance on this log, which shares nothing in memory with the others: as another process would be.
    fn log(&self) -> impl Future<Output = Arc<dyn EventLog>>;
}

/// Makes a test of every case of the contract.
macro_rules! contract_suite {
    ($backend:ty) => {
        contract_suite!(@cases $backend,
            appends::versions_are_enforced,
            appends::a_version_beyond_the_end_conflicts,
            appends::a_conflict_in_a_batch_fails_only_its_own_append,
            appends::an_append_is_whole_or_absent,
            appends::events_come_back_as_they_were_written,
            appends::too_large_is_refused,
            appends::an_append_without_events_is_checked_and_recorded,
            commands::a_repeated_command_gets_its_first_outcome,
            commands::a_repeated_command_across_instances_gets_its_first_outcome,
            commands::a_repeated_command_with_another_body_is_refused,
            commands::a_refusal_is_kept_and_repeated,
            commands::one_command_sent_many_times_at_once_is_executed_once,
            commands::an_unknown_command_has_no_outcome,
            order::concurrent_writers_keep_the_order_dense,
            order::a_tailing_reader_misses_nothing,
            order::the_feed_catches_up_and_then_follows,
            order::a_slow_subscriber_loses_nothing,
            order::many_followers_of_single_streams_get_their_own_events,
            order::newest_hears_of_other_instances,
            model::the_log_is_the_model,
            model::concurrent_appends_leave_a_consistent_log,
        );
    };
    (@cases $backend:ty, $($group:ident::$case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let backend = <$backend as $crate::contract::Backend>::create().await;
                $crate::support::within(stringify!($case), $crate::contract::$group::$case(&backend)).await;
            }
        )+
    };
}
pub(crate) use contract_suite;
