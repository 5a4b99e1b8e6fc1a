//! On the content index.

use super::case::Case;

pub const INDEX: [Case; 4] = [
    Case::of("retry-index-allocation", "index-red", "CM-INDEX-RED", ""),
    Case::of("drop-unplaceable-replicas", "index-replicas", "CM-INDEX-YELLOW-SINGLE-NODE", ""),
    Case::of("clear-index-block", "index-read-only", "CM-INDEX-READ-ONLY", ""),
    Case::of("reindex-missing-documents", "index-lag", "CM-INDEX-LAG", "").names_what_it_makes(),
];
