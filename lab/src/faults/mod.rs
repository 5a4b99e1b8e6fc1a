//! All faults, one a file. One more: its file, its `mod` line and its line in the list, both alphabetical.

mod abandoned_slot;
mod audit_disabled;
mod audit_log_gap;
mod audit_on_two_servers;
mod blank_hash;
mod blocking_lock;
mod bypass_acl;
mod certificate_expiring;
mod certificate_wrong_name;
mod clock_skew;
mod config_not_deployed;
mod dead_tuples;
mod delete_retries;
mod duplicate_resid;
mod error_burst;
mod failed_logins;
mod file_corrupt;
mod file_missing;
mod file_truncated;
mod folder_overfull;
mod idle_in_transaction;
mod index_lag;
mod index_read_only;
mod index_red;
mod index_replicas;
mod invalid_index;
mod ldap_failing;
mod licence_breached;
mod log_silent;
mod mail_processor_down;
mod not_indexed_network;
mod orphan_files;
mod poison_event;
mod processor_suspended;
mod queue_backlog;
mod queue_duplicates;
mod record_without_document;
mod redis_memory_full;
mod render_stuck;
mod retention_stale;
mod schema_behind;
mod sequence_near_end;
mod stale_statistics;
mod store_access_lost;
mod store_counters_drift;
mod store_near_capacity;
mod web_cannot_reach_wgs;
mod web_errors;
mod web_log_errors;
mod web_slow;
mod wgs_config_behind;
mod wgs_down;
mod word_index_stale;

use crate::fault::Fault;

static FAULTS: [Fault; 53] = [
    abandoned_slot::FAULT,
    audit_disabled::FAULT,
    audit_log_gap::FAULT,
    audit_on_two_servers::FAULT,
    blank_hash::FAULT,
    blocking_lock::FAULT,
    bypass_acl::FAULT,
    certificate_expiring::FAULT,
    certificate_wrong_name::FAULT,
    clock_skew::FAULT,
    config_not_deployed::FAULT,
    dead_tuples::FAULT,
    delete_retries::FAULT,
    duplicate_resid::FAULT,
    error_burst::FAULT,
    failed_logins::FAULT,
    file_corrupt::FAULT,
    file_missing::FAULT,
    file_truncated::FAULT,
    folder_overfull::FAULT,
    idle_in_transaction::FAULT,
    index_lag::FAULT,
    index_read_only::FAULT,
    index_red::FAULT,
    index_replicas::FAULT,
    invalid_index::FAULT,
    ldap_failing::FAULT,
    licence_breached::FAULT,
    log_silent::FAULT,
    mail_processor_down::FAULT,
    not_indexed_network::FAULT,
    orphan_files::FAULT,
    poison_event::FAULT,
    processor_suspended::FAULT,
    queue_backlog::FAULT,
    queue_duplicates::FAULT,
    record_without_document::FAULT,
    redis_memory_full::FAULT,
    render_stuck::FAULT,
    retention_stale::FAULT,
    schema_behind::FAULT,
    sequence_near_end::FAULT,
    stale_statistics::FAULT,
    store_access_lost::FAULT,
    store_counters_drift::FAULT,
    store_near_capacity::FAULT,
    web_cannot_reach_wgs::FAULT,
    web_errors::FAULT,
    web_log_errors::FAULT,
    web_slow::FAULT,
    wgs_config_behind::FAULT,
    wgs_down::FAULT,
    word_index_stale::FAULT,
];

/// All faults, by name.
pub fn faults() -> &'static [Fault] {
    &FAULTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_is_listed_under_its_name_and_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/faults");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the folder of the faults")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
            .filter(|name| name != "mod")
            .map(|name| name.replace('_', "-"))
            .collect();
        let listed: Vec<String> = faults().iter().map(|fault| fault.name.to_owned()).collect();
        assert_eq!(listed, files.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn every_fault_says_what_must_be_found() {
        for fault in faults() {
            assert!(fault.expects.iter().any(|expected| expected.required), "{}", fault.name);
            assert!(!fault.title.is_empty() && !fault.breaks.is_empty(), "{}", fault.name);
        }
    }
}
