//! Actions on the enterprise configuration, `TRIMConfig.tcfg`.
//!
//! The vendor's rules are kept: administrators edit a saved file, which has a higher version and a GUID of its own each
//! time, and deploy it to all servers; a server takes the highest version of its family when it starts. No file is ever
//! changed under its old version.

mod tcfg;
mod value_path;

mod deploy_admin;
mod deploy_newest;
mod edit_value;

#[cfg(test)]
mod testing;

pub use deploy_admin::DeployAdmin;
pub use deploy_newest::DeployNewest;
pub use edit_value::EditValue;
