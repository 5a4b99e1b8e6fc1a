//! The master key: the one secret that comes from the configuration. It wraps the subjects' keys and finds subjects by
//! name, by three keys derived from it; it never encrypts a text itself.

use crate::cipher::{AEAD_OVERHEAD, aead_key, open_with, seal_with};
use crate::error::VaultError;
use domain::{SubjectId, TenantId};
use ring::aead::LessSafeKey;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The bytes of every key here.
pub const KEY_BYTES: usize = 32;
/// A key file is one line of hexadecimal; whatever is longer is none.
const FILE_BYTES_MAX: u64 = 1_024;

/// Why a master key can not be had.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file can not be read or made.
    #[error("the master key file can not be read or made")]
    File(#[source] std::io::Error),
    /// Others than its owner may read the file.
    #[error("the master key file may be read by others than its owner (mode {mode:o}): chmod 600")]
    Open {
        /// Its mode.
        mode: u32,
    },
    /// It does not hold a key.
    #[error("a master key is 64 hexadecimal digits (32 bytes)")]
    Malformed,
    /// There is no randomness to make one from.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

/// The key from the configuration.
pub struct MasterKey {
    wrapping: LessSafeKey,
    lookup: hmac::Key,
    fingerprint: [u8; KEY_BYTES],
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(secret)")
    }
}

impl MasterKey {
    /// The master key of these bytes.
    pub fn new(secret: &[u8; KEY_BYTES]) -> Result<Self, MasterKeyError> {
        let derived = |purpose| derive(secret, purpose);
        Ok(Self {
            wrapping: aead_key(&derived("cmdiag vault v1: wrap")).map_err(|_| MasterKeyError::Malformed)?,
            lookup: hmac::Key::new(hmac::HMAC_SHA256, &derived("cmdiag vault v1: look up")),
            fingerprint: derived("cmdiag vault v1: fingerprint"),
        })
    }

    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, MasterKeyError> {
        let mut secret = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut secret).map_err(|_| MasterKeyError::Malformed)?;
        Self::new(&secret)
    }

    /// From a file that only its owner may read.
    pub fn from_file(path: &Path) -> Result<Self, MasterKeyError> {
        let file = File::open(path).map_err(MasterKeyError::File)?;
        let mode = file.metadata().map_err(MasterKeyError::File)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Open { mode });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(MasterKeyError::File)?;
        Self::from_hex(&text)
    }

    /// From a file; where there is none, one is made with a random key, for its owner alone.
    pub fn from_file_or_new(path: &Path) -> Result<Self, MasterKeyError> {
        match Self::from_file(path) {
            Err(MasterKeyError::File(error)) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        let mut secret = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| MasterKeyError::NoRandomness)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(MasterKeyError::File)?;
        // Whole or not at all: two processes that start at once agree on whoever linked first.
        let made = folder.join(format!(".master-key-{}", uuid::Uuid::new_v4()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
            file.write_all(format!("{}\n", hex::encode(secret)).as_bytes())?;
            file.sync_all()
        };
        let linked = write().and_then(|()| std::fs::hard_link(&made, path));
        let _ = std::fs::remove_file(&made);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(MasterKeyError::File(error)),
            _ => {}
        }
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Self::from_file(path)
    }

    /// What tells this key from others, and nothing else of it.
    pub fn fingerprint(&self) -> &[u8; KEY_BYTES] {
        &self.fingerprint
    }

    /// What finds a tenant's subject by its text. Spellings that differ in case or in white space around are one.
    pub(crate) fn lookup(&self, tenant: &TenantId, text: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.lookup);
        // A length prefix keeps ("a", "bc") and ("ab", "c") apart.
        context.update(&(tenant.as_str().len() as u64).to_be_bytes());
        context.update(tenant.as_str().as_bytes());
        context.update(text.trim().to_lowercase().as_bytes());
        context.sign().as_ref().to_vec()
    }

    /// Wraps a subject's key for the table.
    pub(crate) fn wrap(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
        key: &[u8; KEY_BYTES],
    ) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; 12];
        SystemRandom::new().fill(&mut nonce)?;
        seal_with(&self.wrapping, nonce, &bound("key", tenant, subject), key)
    }

    /// Unwraps a subject's key.
    pub(crate) fn unwrap_key(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
        wrapped: &[u8],
    ) -> Result<[u8; KEY_BYTES], VaultError> {
        let damaged = VaultError::Damaged(subject);
        if wrapped.len() != KEY_BYTES + AEAD_OVERHEAD {
            return Err(damaged);
        }
        let key = open_with(&self.wrapping, &bound("key", tenant, subject), wrapped).ok_or(damaged.clone())?;
        key.try_into().map_err(|_| damaged)
    }
}

/// What a ciphertext is bound to, so that none can stand in another's place.
pub(crate) fn bound(purpose: &str, tenant: &TenantId, subject: SubjectId) -> Vec<u8> {
    format!("cmdiag vault v1: {purpose}|{tenant}|{subject}").into_bytes()
}

/// A key for one purpose.
pub(crate) fn derive(secret: &[u8; KEY_BYTES], purpose: &str) -> [u8; KEY_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), purpose.as_bytes());
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(tag.as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use uuid::Uuid;

    const SUBJECT: SubjectId = SubjectId(Uuid::from_u128(3));

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn a_wrapped_key_belongs_to_one_master_one_tenant_and_one_subject() {
        let tenant = TenantId::default();
        let wrapped = master(1).wrap(&tenant, SUBJECT, &[7; KEY_BYTES]).unwrap();
        assert_eq!(master(1).unwrap_key(&tenant, SUBJECT, &wrapped).unwrap(), [7; KEY_BYTES]);
        let other: TenantId = "other".parse().unwrap();
        assert!(master(2).unwrap_key(&tenant, SUBJECT, &wrapped).is_err());
        assert!(master(1).unwrap_key(&other, SUBJECT, &wrapped).is_err());
        assert!(master(1).unwrap_key(&tenant, SubjectId(Uuid::nil()), &wrapped).is_err());
        for place in 0..wrapped.len() {
            let mut flipped = wrapped.clone();
            flipped[place] ^= 1;
            assert_eq!(master(1).unwrap_key(&tenant, SUBJECT, &flipped), Err(VaultError::Damaged(SUBJECT)));
        }
    }

    #[test]
    fn a_person_is_found_in_any_spelling_and_under_one_master_only() {
        let tenant = TenantId::default();
        let lookup = master(1).lookup(&tenant, "mara@example.org");
        assert_eq!(master(1).lookup(&tenant, " Mara@Example.ORG "), lookup);
        assert_ne!(master(2).lookup(&tenant, "mara@example.org"), lookup);
        assert_ne!(master(1).lookup(&"other".parse().unwrap(), "mara@example.org"), lookup);
    }

    #[test]
    fn a_file_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/master.key");
        let made = MasterKey::from_file_or_new(&path).unwrap();
        let again = MasterKey::from_file_or_new(&path).unwrap();
        assert_eq!(made.fingerprint(), again.fingerprint());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::from_file_or_new(&path), Err(MasterKeyError::Open { mode: 0o640 })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "no key").unwrap();
        assert!(matches!(MasterKey::from_file_or_new(&path), Err(MasterKeyError::Malformed)));
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", master(1)), "MasterKey(secret)");
        assert!(MasterKey::from_hex(&"0f".repeat(32)).is_ok());
        for text in ["", "0f", &"0f".repeat(33), &"xx".repeat(32)] {
            assert!(matches!(MasterKey::from_hex(text), Err(MasterKeyError::Malformed)), "{text}");
        }
    }
}
