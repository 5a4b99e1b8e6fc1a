//! Private keys in a folder of their own: a file each, named by the key's id, for its owner alone.

use super::Signer;
use crate::AuditError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "\n-----END PRIVATE KEY-----\n";

/// The folder of the private keys.
#[derive(Debug, Clone)]
pub struct Keyring(PathBuf);

impl Keyring {
    /// The keyring in this folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Draws a new key and keeps it.
    pub fn generate(&self) -> Result<Signer, AuditError> {
        let (signer, document) = Signer::generate()?;
        let folder = self.0.display();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(AuditError::file(format!("create the folder of keys {folder}")))?;
        let path = self.path(&signer.public().id());
        let making = path.with_extension("making");
        let written = (|| {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
            file.write_all(format!("{BEGIN}{}{END}", BASE64.encode(document)).as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&making, &path)?;
            std::fs::File::open(&self.0)?.sync_all()
        })();
        written.map_err(AuditError::file(format!("keep a key in {folder}")))?;
        Ok(signer)
    }

    /// The key of this id, where the folder holds it.
    pub fn signer(&self, key_id: &str) -> Result<Option<Signer>, AuditError> {
        if key_id.is_empty() || !key_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(AuditError::Malformed(format!("{key_id:?} is no key's id")));
        }
        let path = self.path(key_id);
        let shown = path.display();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(AuditError::file(format!("read the key {shown}"))(error)),
        };
        let mode = std::fs::metadata(&path).map_err(AuditError::file(format!("look at {shown}")))?.permissions().mode();
        if mode & 0o077 != 0 {
            let mode = mode & 0o777;
            return Err(AuditError::Malformed(format!("{shown} is open to others (mode {mode:o}): chmod 600 it")));
        }
        let document = text.strip_prefix(BEGIN).and_then(|text| text.trim_end().strip_suffix(END.trim()));
        let document = document.and_then(|text| BASE64.decode(text.trim()).ok());
        let document = document.ok_or_else(|| AuditError::Malformed(format!("{shown} is no PKCS#8 file")))?;
        let signer = Signer::from_pkcs8(&document)?;
        if signer.public().id() == key_id {
            Ok(Some(signer))
        } else {
            Err(AuditError::Malformed(format!("{shown} holds the key {}", signer.public().id())))
        }
    }

    /// Removes a key that signs no more.
    pub fn remove(&self, key_id: &str) -> Result<(), AuditError> {
        let path = self.path(key_id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(AuditError::file(format!("remove the key {}", path.display()))(error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, key_id: &str) -> PathBuf {
        self.0.join(format!("{key_id}.pem"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(folder.path().join("keys"));
        let made = keyring.generate().unwrap();
        let id = made.public().id();
        let path = keyring.path(&id);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(keyring.folder()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(keyring.signer(&id).unwrap().unwrap().public(), made.public());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(keyring.signer(&id).unwrap_err().to_string().contains("chmod 600"));
        keyring.remove(&id).unwrap();
        keyring.remove(&id).unwrap();
        assert!(keyring.signer(&id).unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_another_key_or_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(folder.path());
        let (one, other) = (keyring.generate().unwrap().public().id(), keyring.generate().unwrap().public().id());
        std::fs::rename(keyring.path(&one), keyring.path(&other)).unwrap();
        assert!(keyring.signer(&other).unwrap_err().to_string().contains(&one));
        std::fs::write(keyring.path(&other), "nonsense").unwrap();
        assert!(keyring.signer(&other).is_err());
        assert!(keyring.signer("../etc/passwd").is_err());
    }
}
