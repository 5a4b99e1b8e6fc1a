//! All actions, in the order of their names. A test finds every file in this list.

use super::{
    Action, Erased, certificate, config, dataset, demo, event_queue, index, log, postgres, redis, service, store, temp,
};

static ALL: &[&dyn Action] = &[
    &Erased::<certificate::Switch>::new(),
    &Erased::<config::DeployAdmin>::new(),
    &Erased::<config::DeployNewest>::new(),
    &Erased::<config::EditValue>::new(),
    &Erased::<dataset::disable_login::DisableLogin>::new(),
    &Erased::<dataset::fill_hash::FillHash>::new(),
    &Erased::<dataset::flag_missing::FlagMissing>::new(),
    &Erased::<dataset::index_words::IndexWords>::new(),
    &Erased::<dataset::recalculate_retention::RecalculateRetention>::new(),
    &Erased::<dataset::recount_store::RecountStore>::new(),
    &Erased::<dataset::requeue_index::RequeueIndex>::new(),
    &Erased::<dataset::requeue_render::RequeueRender>::new(),
    &Erased::<demo::Noop>::new(),
    &Erased::<demo::SetValue>::new(),
    &Erased::<demo::Wait>::new(),
    &Erased::<event_queue::add_server::AddServer>::new(),
    &Erased::<event_queue::dedicate_server::DedicateServer>::new(),
    &Erased::<event_queue::isolate_event::IsolateEvent>::new(),
    &Erased::<event_queue::requeue::Requeue>::new(),
    &Erased::<event_queue::resume_processor::ResumeProcessor>::new(),
    &Erased::<event_queue::stop_document_queue::StopDocumentQueue>::new(),
    &Erased::<event_queue::suspend_processor::SuspendProcessor>::new(),
    &Erased::<index::clear_read_only::ClearReadOnly>::new(),
    &Erased::<index::reindex_missing::ReindexMissing>::new(),
    &Erased::<index::retry_allocation::RetryAllocation>::new(),
    &Erased::<index::set_replicas::SetReplicas>::new(),
    &Erased::<log::Compress>::new(),
    &Erased::<postgres::alter_system::AlterSystem>::new(),
    &Erased::<postgres::analyze::Analyze>::new(),
    &Erased::<postgres::cancel_query::CancelQuery>::new(),
    &Erased::<postgres::create_index_concurrently::CreateIndexConcurrently>::new(),
    &Erased::<postgres::drop_index_concurrently::DropIndexConcurrently>::new(),
    &Erased::<postgres::drop_invalid_index::DropInvalidIndex>::new(),
    &Erased::<postgres::drop_replication_slot::DropReplicationSlot>::new(),
    &Erased::<postgres::extend_sequence::ExtendSequence>::new(),
    &Erased::<postgres::reindex_concurrently::ReindexConcurrently>::new(),
    &Erased::<postgres::reset_sequence::ResetSequence>::new(),
    &Erased::<postgres::terminate_idle_in_transaction::TerminateIdleInTransaction>::new(),
    &Erased::<postgres::vacuum::Vacuum>::new(),
    &Erased::<redis::purge_memory::PurgeMemory>::new(),
    &Erased::<redis::reset_statistics::ResetStatistics>::new(),
    &Erased::<redis::save::Save>::new(),
    &Erased::<redis::set_limit::SetLimit>::new(),
    &Erased::<redis::set_policy::SetPolicy>::new(),
    &Erased::<service::restart::Restart>::new(),
    &Erased::<service::start::Start>::new(),
    &Erased::<store::MendPermissions>::new(),
    &Erased::<store::QuarantineOrphans>::new(),
    &Erased::<store::RestoreFile>::new(),
    &Erased::<temp::MoveFiles>::new(),
];

/// All actions.
pub fn all() -> Vec<&'static dyn Action> {
    ALL.to_vec()
}

/// The action of this name.
pub fn named(name: &str) -> Option<&'static dyn Action> {
    ALL.iter().copied().find(|action| action.spec().name == name)
}
