//! Upcasters (being written).
