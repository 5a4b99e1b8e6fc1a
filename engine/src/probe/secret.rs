//! Secrets: looked up where they are used, never printed.

use super::ProbeError;
use domain::deployment::{Component, SecretRef};
use std::fmt;
use std::io::Read;

const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A secret text. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text: for the connection that needs it, and for nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// A message without the secret.
    pub(crate) fn cut_out_of(&self, message: &str) -> String {
        if self.0.is_empty() { message.to_owned() } else { message.replace(&self.0, "***") }
    }

    /// The secret of a component for a purpose, where it has one.
    pub(crate) fn of(component: &Component, purpose: &str) -> Result<Option<Self>, ProbeError> {
        component.secrets.get(purpose).map(|reference| Self::resolve(reference, purpose)).transpose()
    }

    /// Looks a secret up.
    pub(crate) fn resolve(reference: &SecretRef, purpose: &str) -> Result<Self, ProbeError> {
        match reference {
            SecretRef::Env(name) => std::env::var(name).map(Self).map_err(|_| {
                ProbeError::configuration(format!("the {purpose} is to be in the environment as {name}, and is not"))
            }),
            SecretRef::File(path) => {
                let fail = |error: std::io::Error| {
                    ProbeError::configuration(format!("the {purpose} is to be in the file {path}: {error}"))
                };
                let mut text = String::new();
                let file = std::fs::File::open(path).map_err(fail)?;
                file.take(MAX_SECRET_BYTES).read_to_string(&mut text).map_err(fail)?;
                Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_from_a_file_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush hush\r\n").unwrap();
        let secret = Secret::resolve(&SecretRef::File(file.path().display().to_string()), "password").unwrap();
        assert_eq!(secret.reveal(), "hush hush");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(secret.cut_out_of("no login with hush hush"), "no login with ***");
    }

    #[test]
    fn says_where_it_should_have_been() {
        for reference in [SecretRef::Env("CMDIAG_NO_SUCH".into()), SecretRef::File("/no/such/file".into())] {
            let error = Secret::resolve(&reference, "password").unwrap_err();
            assert!(error.cause.contains("no") || error.cause.contains("NO_SUCH"), "{error}");
        }
    }
}
