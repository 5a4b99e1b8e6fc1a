//! A subject's key, and what is sealed with it: AES-256-GCM, with a nonce that follows from the text, so that the same
//! text is sealed alike every time. A nonce is used again for the same text only.

use crate::error::VaultError;
use crate::master::{KEY_BYTES, bound, derive};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::personal::PERSONAL_BYTES_MAX;
use domain::{Sealed, SubjectId, TenantId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{digest, hmac};

/// Nonce and tag.
pub(crate) const AEAD_OVERHEAD: usize = NONCE_LEN + 16;
/// Texts are padded to a multiple of this: the length of a name tells something of it.
const BLOCK: usize = 16;
/// Ends the text before the padding.
const END: u8 = 0x80;

/// A subject's key at work.
pub(crate) struct SubjectKey {
    aead: LessSafeKey,
    nonces: hmac::Key,
}

impl SubjectKey {
    pub fn new(secret: &[u8; KEY_BYTES]) -> Result<Self, VaultError> {
        Ok(Self {
            aead: aead_key(&derive(secret, "cmdiag subject v1: seal"))?,
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, "cmdiag subject v1: nonce")),
        })
    }

    /// The sealed text.
    pub fn seal(&self, tenant: &TenantId, subject: SubjectId, text: &str) -> Result<String, VaultError> {
        if text.len() > PERSONAL_BYTES_MAX {
            return Err(VaultError::TooLong { bytes: text.len(), max: PERSONAL_BYTES_MAX });
        }
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&hmac::sign(&self.nonces, text.as_bytes()).as_ref()[..NONCE_LEN]);
        let cipher = seal_with(&self.aead, nonce, &bound("text", tenant, subject), &padded(text))?;
        let cipher = URL_SAFE_NO_PAD.encode(cipher);
        Ok(Sealed { subject, cipher: &cipher }.to_string())
    }

    /// The text; `None` where it was not sealed with this key for this tenant.
    pub fn open(&self, tenant: &TenantId, sealed: &Sealed<'_>) -> Option<String> {
        let cipher = URL_SAFE_NO_PAD.decode(sealed.cipher).ok()?;
        let padded = open_with(&self.aead, &bound("text", tenant, sealed.subject), &cipher)?;
        let end = padded.iter().rposition(|byte| *byte == END)?;
        String::from_utf8(padded[..end].to_vec()).ok()
    }
}

/// What tells a key that was destroyed from others: proof of which one it was, should it ever turn up.
pub(crate) fn fingerprint(secret: &[u8; KEY_BYTES]) -> Vec<u8> {
    digest::digest(&digest::SHA256, &derive(secret, "cmdiag subject v1: fingerprint")).as_ref().to_vec()
}

fn padded(text: &str) -> Vec<u8> {
    let mut padded = text.as_bytes().to_vec();
    padded.push(END);
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    padded
}

pub(crate) fn aead_key(secret: &[u8; KEY_BYTES]) -> Result<LessSafeKey, VaultError> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secret)?))
}

/// Nonce, ciphertext and tag.
pub(crate) fn seal_with(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    bound: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let mut cipher = text.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut cipher)?;
    let mut whole = nonce.to_vec();
    whole.append(&mut cipher);
    Ok(whole)
}

/// What [`seal_with`] sealed; `None` where anything of it differs.
pub(crate) fn open_with(key: &LessSafeKey, bound: &[u8], whole: &[u8]) -> Option<Vec<u8>> {
    let (nonce, cipher) = whole.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut cipher = cipher.to_vec();
    let text = key.open_in_place(nonce, Aad::from(bound), &mut cipher).ok()?;
    Some(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Actor;
    use domain::personal::SEALED_CHARS_MAX;
    use proptest::prelude::*;
    use uuid::Uuid;

    const SUBJECT: SubjectId = SubjectId(Uuid::from_u128(9));

    fn key(byte: u8) -> SubjectKey {
        SubjectKey::new(&[byte; KEY_BYTES]).unwrap()
    }

    fn seal(text: &str) -> String {
        key(1).seal(&TenantId::default(), SUBJECT, text).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_to_the_same(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}") {
            let sealed = seal(&text);
            prop_assert_eq!(&seal(&text), &sealed, "alike every time");
            let parsed = Sealed::parse(&sealed).unwrap();
            prop_assert_eq!(key(1).open(&TenantId::default(), &parsed), Some(text.clone()));
            prop_assert!(text.len() < 4 || !sealed.contains(&text));
        }

        #[test]
        fn no_change_of_it_opens(text in "[a-z]{1,40}", place in any::<prop::sample::Index>(), with in "[A-Za-z0-9]") {
            let sealed = seal(&text);
            let start = "sealed:".len() + 37;
            let place = start + place.index(sealed.len() - start - 1);
            let mut changed = sealed.clone();
            changed.replace_range(place..=place, &with);
            prop_assume!(changed != sealed);
            let opened = Sealed::parse(&changed).and_then(|sealed| key(1).open(&TenantId::default(), &sealed));
            prop_assert_eq!(opened, None);
        }
    }

    #[test]
    fn it_opens_with_its_own_key_tenant_and_subject_only() {
        let sealed = seal("mara");
        let parsed = Sealed::parse(&sealed).unwrap();
        assert_eq!(key(2).open(&TenantId::default(), &parsed), None);
        assert_eq!(key(1).open(&"other".parse().unwrap(), &parsed), None);
        let moved = Sealed { subject: SubjectId(Uuid::from_u128(10)), ..parsed };
        assert_eq!(key(1).open(&TenantId::default(), &moved), None);
    }

    #[test]
    fn its_length_tells_little_and_is_bounded() {
        assert_eq!(seal("jo").len(), seal("maximiliane").len());
        let longest = seal(&"x".repeat(PERSONAL_BYTES_MAX));
        assert!(longest.len() <= SEALED_CHARS_MAX, "{}", longest.len());
        Actor::new(longest).unwrap();
        let over = key(1).seal(&TenantId::default(), SUBJECT, &"x".repeat(PERSONAL_BYTES_MAX + 1));
        assert_eq!(over, Err(VaultError::TooLong { bytes: 1_025, max: 1_024 }));
    }

    #[test]
    fn a_fingerprint_tells_keys_apart() {
        assert_ne!(fingerprint(&[1; KEY_BYTES]), fingerprint(&[2; KEY_BYTES]));
        assert_eq!(fingerprint(&[1; KEY_BYTES]).len(), 32);
    }
}
