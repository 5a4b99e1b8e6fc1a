//! Why a deployment says no.

use crate::decider::RefusalCode;
use crate::ids::{CheckCode, ComponentName};
use crate::nagios_range::InvalidRange;
use crate::text::TextRefusal;

/// Why a deployment says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentRefusal {
    /// Registered before.
    #[error("the deployment is registered already")]
    AlreadyRegistered,
    /// Nothing is known of it.
    #[error("there is no such deployment")]
    NotRegistered,
    /// Its care has ended.
    #[error("the deployment is retired")]
    Retired,
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
    /// More components than a deployment takes.
    #[error("a deployment has at most {max} components")]
    TooManyComponents {
        /// The bound.
        max: usize,
    },
    /// Two components of one name.
    #[error("there is a component {0} already")]
    ComponentExists(ComponentName),
    /// No component of that name.
    #[error("there is no component {0}")]
    ComponentUnknown(ComponentName),
    /// Another kind of component under an old name.
    #[error("component {0} is of another kind: detach it and attach the new one")]
    ComponentKindChanged(ComponentName),
    /// More labels, settings or secrets than allowed.
    #[error("{what} has more than {max} entries")]
    TooManyEntries {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A key of a label, setting or secret that is not a plain name.
    #[error("key {key:?} of {what}: use letters, digits and -_. only")]
    KeyMalformed {
        /// Of what.
        what: &'static str,
        /// The key.
        key: String,
    },
    /// A value carries a password.
    #[error("{what} {key:?} carries a password: keep it in the environment or in a file, and refer to it as a secret")]
    HoldsPassword {
        /// Setting or label.
        what: &'static str,
        /// Its key.
        key: String,
    },
    /// A key says that its value is a secret.
    #[error("{what} {key:?} looks like a secret: keep it in the environment or in a file, and refer to it as a secret")]
    LooksSecret {
        /// Setting or label.
        what: &'static str,
        /// Its key.
        key: String,
    },
    /// A reference to a secret that can not be one.
    #[error("secret {key:?} refers to no valid variable or file: {reason}")]
    SecretRefMalformed {
        /// What it is for.
        key: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A window that ends before it begins.
    #[error("the maintenance window ends before it begins")]
    WindowReversed,
    /// A window in the past.
    #[error("the maintenance window is over already")]
    WindowOver,
    /// A window that is no window.
    #[error("a maintenance window lasts at most {days} days")]
    WindowTooLong {
        /// The bound.
        days: i64,
    },
    /// More windows than kept.
    #[error("at most {max} maintenance windows lie ahead")]
    TooManyWindows {
        /// The bound.
        max: usize,
    },
    /// Neither range is given.
    #[error("an override needs a range for warning or for critical")]
    OverrideEmpty,
    /// Not a Nagios range.
    #[error(transparent)]
    Range(#[from] InvalidRange),
    /// More overrides than kept.
    #[error("at most {max} thresholds are overridden")]
    TooManyOverrides {
        /// The bound.
        max: usize,
    },
    /// Nothing to restore.
    #[error("threshold {threshold:?} of {check} is not overridden")]
    NotOverridden {
        /// The check.
        check: CheckCode,
        /// Its threshold.
        threshold: String,
    },
}

impl DeploymentRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::AlreadyRegistered => "deployment_already_registered",
            Self::NotRegistered => "deployment_unknown",
            Self::Retired => "deployment_retired",
            Self::Text(refusal) => refusal.code(),
            Self::TooManyComponents { .. } => "too_many_components",
            Self::ComponentExists(_) => "component_exists",
            Self::ComponentUnknown(_) => "component_unknown",
            Self::ComponentKindChanged(_) => "component_kind_changed",
            Self::TooManyEntries { .. } => "too_many_entries",
            Self::KeyMalformed { .. } => "key_malformed",
            Self::HoldsPassword { .. } => "setting_holds_password",
            Self::LooksSecret { .. } => "setting_looks_secret",
            Self::SecretRefMalformed { .. } => "secret_reference_malformed",
            Self::WindowReversed => "window_reversed",
            Self::WindowOver => "window_over",
            Self::WindowTooLong { .. } => "window_too_long",
            Self::TooManyWindows { .. } => "too_many_windows",
            Self::OverrideEmpty => "override_empty",
            Self::Range(_) => "range_malformed",
            Self::TooManyOverrides { .. } => "too_many_overrides",
            Self::NotOverridden { .. } => "threshold_not_overridden",
        }
    }
}
