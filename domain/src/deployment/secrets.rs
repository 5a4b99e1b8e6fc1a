//! Finds passwords in settings before they become events, which are for ever.

use crate::text::bounded;

use super::{DeploymentRefusal, SecretRef};

/// Words that give a secret away in a key, compared without `-`, `_`, `.`, white space and case.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "sharedkey",
    "accountkey",
];

/// Whether a key says that its value is a secret.
pub(super) fn looks_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    plain == "pass" || plain == "auth" || SECRET_WORDS.iter().any(|word| plain.contains(word))
}

/// Whether a value carries a password: in a URL's user part, or as one of its `key=value` pairs.
pub(super) fn holds_password(value: &str) -> bool {
    url_holds_password(value) || pairs_hold_password(value)
}

fn url_holds_password(value: &str) -> bool {
    let Some((_scheme, rest)) = value.split_once("://") else {
        return bare_user_holds_password(value);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if let Some((user, _host)) = authority.rsplit_once('@') {
        return user.split_once(':').is_some_and(|(_, password)| !password.is_empty());
    }
    // A password with an unescaped / ends the authority early: what stands where a port should is then no number.
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    rest.contains('@') && port.is_some_and(|port| !port.ends_with(']') && !port.chars().all(|c| c.is_ascii_digit()))
}

/// `user:password@host` without a scheme.
fn bare_user_holds_password(value: &str) -> bool {
    let Some((user, host)) = value.rsplit_once('@') else { return false };
    let plain = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    match user.split_once(':') {
        // A Windows path: `C:\logs\a@b`.
        Some((drive, path)) if drive.len() == 1 && path.starts_with(['\\', '/']) => false,
        Some((name, password)) => {
            plain(name) && !name.contains(['/', '\\']) && plain(password) && plain(host) && name != "mailto"
        }
        None => false,
    }
}

/// `Server=x;Password=y`, `host=x password=y`, `?sslpassword=y`.
fn pairs_hold_password(value: &str) -> bool {
    // Keys of connection strings may hold white space ("Shared Access Key=..."): both ways of cutting are looked at.
    let cut = |separators: &[char]| {
        value.split(separators).any(|pair| {
            pair.split_once('=').is_some_and(|(key, secret)| !secret.trim().is_empty() && looks_secret(key))
        })
    };
    cut(&[';', '&', '?', ',']) || cut(&[';', '&', '?', ',', ' ', '\t', '\n', '\r'])
}

/// Checks a reference to a secret.
pub(super) fn check_secret_ref(key: &str, secret: &SecretRef) -> Result<(), DeploymentRefusal> {
    let malformed = |reason| DeploymentRefusal::SecretRefMalformed { key: key.to_owned(), reason };
    match secret {
        SecretRef::Env(name) => {
            let mut characters = name.chars();
            let starts = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !starts || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') || name.len() > 128 {
                return Err(malformed("a variable's name holds letters, digits and _ only"));
            }
        }
        SecretRef::File(path) => {
            if path.trim().is_empty() || path.contains(char::is_control) {
                return Err(malformed("a file's path is empty or holds a control character"));
            }
            bounded("a secret's path", path, 1_024)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_keys_are_told() {
        for key in
            ["password", "db.password", "Api-Key", "API_KEY", "client_secret", "pwd", "bearerToken", "pass", "auth"]
        {
            assert!(looks_secret(key), "{key}");
        }
        for key in ["path", "host", "dataset", "bypass", "author", "store_number", "key", "compass"] {
            assert!(!looks_secret(key), "{key}");
        }
    }

    #[test]
    fn passwords_in_values_are_told() {
        for value in [
            "postgres://cm:secret@db/cm",
            "postgres://cm:se@cret@db/cm",
            "postgres://cm:se/cret@db/cm",
            "redis://:secret@cache:6379",
            "https://user:x@host:8443/path?x=1",
            "sa:secret@db:1433",
            "Server=db;User Id=sa;Password=secret;",
            "host=db user=cm password=secret",
            "postgres://cm@db/cm?sslpassword=secret",
            "Endpoint=sb://x/;Shared Access Key=abc",
        ] {
            assert!(holds_password(value), "{value}");
        }
        for value in [
            "postgres://cm@db:5432/cm",
            "postgres://cm:@db/cm",
            "https://host:8443/users/a@b",
            "https://host/users/a@b",
            "https://[::1]/a@b",
            "mailto:someone@example.org",
            "/srv/store",
            "C:\\logs\\a@b",
            "host=db user=cm",
            "password=",
        ] {
            assert!(!holds_password(value), "{value}");
        }
    }
}
