//! Actions on document stores: files are restored, moved aside and made readable again; never deleted.

mod dataset;
mod place;

mod mend_permissions;
mod quarantine_orphans;
mod restore_file;

#[cfg(test)]
mod testing;

pub use mend_permissions::MendPermissions;
pub use quarantine_orphans::QuarantineOrphans;
pub use restore_file::RestoreFile;
