//! Whole-system tests live in `tests/it`; this library holds what they share.
