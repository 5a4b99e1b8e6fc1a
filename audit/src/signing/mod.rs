//! Signed checkpoints: the size and root of the tree, as a note that people can read and any tool of the C2SP family
//! (signed notes, tlog checkpoints) can check.
//!
//! ```text
//! cmdiag-log-0190b6a0-0000-7000-8000-000000000001      the log's name
//! 10000                                                the tree's size
//! qQ…=                                                 its root, in base64
//! number 3                                             which checkpoint, from 1
//! previous 5f…                                         SHA-256 of the whole note before it; - for the first
//! head 2026-01-05T08:00:00.000010Z                     when the last event of the tree was recorded
//! signed 2026-01-05T08:00:01.000000Z                   when this was signed
//! key 9c…                                              the key's id
//!
//! — cmdiag-log-0190… AbCd…=                            the signature over everything above the empty line
//! ```

mod keyring;
mod note;

pub use keyring::Keyring;
pub use note::{Checkpoint, Note, note_digest};

use crate::AuditError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// The algorithm byte of Ed25519 in signed notes.
const ED25519_NOTE: u8 = 1;

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Its id: the first half of its SHA-256, as hexadecimal digits.
    pub fn id(&self) -> String {
        hex::encode(&Sha256::digest(self.0)[..16])
    }

    /// Whether this is its signature of the text.
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(text, signature).is_ok()
    }

    /// The four bytes by which a note of this log names the key.
    pub fn note_hash(&self, origin: &str) -> [u8; 4] {
        let whole =
            Sha256::new().chain_update(origin).chain_update([b'\n', ED25519_NOTE]).chain_update(self.0).finalize();
        [whole[0], whole[1], whole[2], whole[3]]
    }

    /// As a verifier is told it: `<log>+<hash>+<key>`, the form of signed notes.
    pub fn verifier_key(&self, origin: &str) -> String {
        let mut bytes = vec![ED25519_NOTE];
        bytes.extend_from_slice(&self.0);
        format!("{origin}+{}+{}", hex::encode(self.note_hash(origin)), BASE64.encode(bytes))
    }

    /// Reads [`Self::verifier_key`]'s form, or 64 hexadecimal digits.
    pub fn parse_pinned(text: &str) -> Result<Self, AuditError> {
        let text = text.trim();
        if let Some(key) = Self::from_hex(text) {
            return Ok(key);
        }
        let wrong = |why: &str| AuditError::Malformed(format!("{text:?} is no verifier key: {why}"));
        let mut parts = text.splitn(3, '+');
        let (Some(origin), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it has the form <log>+<hash>+<key>"));
        };
        let bytes = BASE64.decode(key).map_err(|_| wrong("its key is not base64"))?;
        let [ED25519_NOTE, key @ ..] = bytes.as_slice() else { return Err(wrong("it is not of Ed25519")) };
        let key = Self(key.try_into().map_err(|_| wrong("its key has not 32 bytes"))?);
        if hex::encode(key.note_hash(origin)) != hash {
            return Err(wrong("its hash does not belong to its key: was it copied whole?"));
        }
        Ok(key)
    }
}

/// A private key that signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key", &self.public.id()).finish_non_exhaustive()
    }
}

impl Signer {
    /// Draws a new key: the signer, and the PKCS#8 document to keep.
    pub fn generate() -> Result<(Self, Vec<u8>), AuditError> {
        let refused = |_| AuditError::Missing("the system gives no random numbers".to_owned());
        let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).map_err(refused)?;
        Ok((Self::from_pkcs8(document.as_ref())?, document.as_ref().to_vec()))
    }

    /// Reads a PKCS#8 document.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, AuditError> {
        let pair = Ed25519KeyPair::from_pkcs8(document)
            .map_err(|error| AuditError::Malformed(format!("the signing key is not readable: {error}")))?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// The key that verifies.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs.
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(text).as_ref());
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        let key = PublicKey::from_hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").unwrap();
        let signature = hex::decode(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ));
        let signature = signature.unwrap();
        assert!(key.verifies(&[0x72], &signature));
        assert!(!key.verifies(&[0x73], &signature));
        assert!(!key.verifies(&[0x72], &signature[..63]));
    }

    #[test]
    fn a_verifier_key_comes_back_and_damage_is_told() {
        let (signer, document) = Signer::generate().unwrap();
        assert_eq!(Signer::from_pkcs8(&document).unwrap().public(), signer.public());
        let text = signer.public().verifier_key("cmdiag-log-1");
        assert_eq!(PublicKey::parse_pinned(&text).unwrap(), signer.public());
        assert_eq!(PublicKey::parse_pinned(&signer.public().to_hex()).unwrap(), signer.public());
        for wrong in ["", "x", "a+b+c", &text.replace("log-1", "log-2"), &text[..text.len() - 4]] {
            assert!(PublicKey::parse_pinned(wrong).is_err(), "{wrong}");
        }
        assert!(Signer::from_pkcs8(&document[1..]).is_err());
        assert!(!format!("{signer:?}").contains(&hex::encode(&document[16..48])));
    }
}
