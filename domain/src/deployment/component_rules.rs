//! What every component must be, however it comes in.

use super::secrets::{check_secret_ref, holds_password, looks_secret};
use super::{Component, DeploymentRefusal};
use crate::text::{optional, required};
use std::collections::BTreeMap;

/// The most components of one deployment.
pub const COMPONENTS_MAX: usize = 500;
/// The most labels of one thing, settings of one component, and secrets of one component.
pub const ENTRIES_MAX: usize = 64;
/// The longest setting or label.
pub const VALUE_CHARS_MAX: usize = 2_048;
const KEY_CHARS_MAX: usize = 64;

/// Checks one component by itself.
pub(super) fn check_component(component: &Component) -> Result<(), DeploymentRefusal> {
    check_entries("settings", &component.settings)?;
    check_entries("labels", &component.labels)?;
    check_count("secrets", component.secrets.len())?;
    for (key, secret) in &component.secrets {
        check_key("secrets", key)?;
        check_secret_ref(key, secret)?;
    }
    Ok(())
}

/// Checks settings or labels: bounded, and nothing secret among them.
pub(super) fn check_entries(what: &'static str, entries: &BTreeMap<String, String>) -> Result<(), DeploymentRefusal> {
    check_count(what, entries.len())?;
    for (key, value) in entries {
        check_key(what, key)?;
        optional(what, value, VALUE_CHARS_MAX)?;
        if looks_secret(key) {
            return Err(DeploymentRefusal::LooksSecret { what, key: key.clone() });
        }
        if holds_password(value) {
            return Err(DeploymentRefusal::HoldsPassword { what, key: key.clone() });
        }
    }
    Ok(())
}

fn check_count(what: &'static str, count: usize) -> Result<(), DeploymentRefusal> {
    if count > ENTRIES_MAX {
        return Err(DeploymentRefusal::TooManyEntries { what, max: ENTRIES_MAX });
    }
    Ok(())
}

fn check_key(what: &'static str, key: &str) -> Result<(), DeploymentRefusal> {
    required(what, key, KEY_CHARS_MAX)?;
    if !key.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
        return Err(DeploymentRefusal::KeyMalformed { what, key: key.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::SecretRef;
    use crate::testing::component;

    #[test]
    fn components_are_judged() {
        let setting = |key: &str, value: &str| {
            let mut changed = component();
            changed.settings.insert(key.to_owned(), value.to_owned());
            changed
        };
        let secret = |key: &str, secret: SecretRef| {
            let mut changed = component();
            changed.secrets.insert(key.to_owned(), secret);
            changed
        };
        let mut crowded = component();
        crowded.labels = (0..=ENTRIES_MAX).map(|number| (format!("label{number}"), String::new())).collect();
        let rows = [
            ("as it should be", component(), None),
            ("password in a URL", setting("url", "postgres://cm:pw@db/cm"), Some("setting_holds_password")),
            ("a secret's key", setting("api_token", "x"), Some("setting_looks_secret")),
            ("no key", setting("", "x"), Some("text_empty")),
            ("a key with a blank", setting("a b", "x"), Some("key_malformed")),
            ("a huge value", setting("path", &"x".repeat(VALUE_CHARS_MAX + 1)), Some("text_too_long")),
            ("a NUL", setting("path", "\u{0}"), Some("text_control_character")),
            ("many labels", crowded, Some("too_many_entries")),
            ("a good secret", secret("password", SecretRef::Env("CM_PASSWORD".to_owned())), None),
            (
                "a variable",
                secret("password", SecretRef::Env("not a name".to_owned())),
                Some("secret_reference_malformed"),
            ),
            ("a file", secret("password", SecretRef::File(" ".to_owned())), Some("secret_reference_malformed")),
        ];
        for (what, component, code) in rows {
            assert_eq!(check_component(&component).err().map(|refusal| refusal.code()), code, "{what}");
        }
    }
}
