//! A checkpoint and the signed note that it is written as.

use super::{BASE64, PublicKey, Signer};
use crate::AuditError;
use crate::canonical::moment;
use crate::merkle::Hash;
use base64::Engine as _;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// No note is longer.
const NOTE_BYTES_MAX: usize = 4_096;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many events the tree holds: the position of the last one.
    pub tree_size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Which checkpoint, from 1.
    pub number: u64,
    /// SHA-256 of the note before it.
    pub previous: Option<Hash>,
    /// When the last event of the tree was recorded.
    pub head_at: DateTime<Utc>,
    /// When it was signed.
    pub signed_at: DateTime<Utc>,
    /// The key that signed it.
    pub key_id: String,
}

impl Checkpoint {
    /// The text that is signed.
    fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\nnumber {}\nprevious {}\nhead {}\nsigned {}\nkey {}\n",
            self.origin,
            self.tree_size,
            BASE64.encode(self.root),
            self.number,
            self.previous.map_or_else(|| "-".to_owned(), hex::encode),
            moment(self.head_at),
            moment(self.signed_at),
            self.key_id
        )
    }

    /// Signs it: the whole note.
    pub fn sign(&self, signer: &Signer) -> String {
        let body = self.body();
        let mut signature = signer.public().note_hash(&self.origin).to_vec();
        signature.extend_from_slice(&signer.sign(body.as_bytes()));
        format!("{body}\n\u{2014} {} {}\n", self.origin, BASE64.encode(signature))
    }
}

/// The digest by which the next checkpoint names a note.
pub fn note_digest(note: &str) -> Hash {
    Sha256::digest(note.as_bytes()).into()
}

/// A checkpoint's note as read; whether its signature is right is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Its whole text.
    pub text: String,
    body_bytes: usize,
    key_hash: [u8; 4],
    signature: [u8; 64],
}

impl Note {
    /// Reads a note; only the very form that [`Checkpoint::sign`] writes is one, so two texts never say the same.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        let wrong = |why: &str| AuditError::Malformed(format!("not a checkpoint: {why}"));
        if text.len() > NOTE_BYTES_MAX {
            return Err(wrong("too long"));
        }
        let (body, signed) = text.split_once("\n\n").ok_or_else(|| wrong("no signature"))?;
        let mut lines = body.split('\n');
        let mut line = |name: &'static str| lines.next().ok_or_else(|| wrong(name));
        let origin = line("no name")?.to_owned();
        let tree_size = line("no size")?.parse().map_err(|_| wrong("its size is no number"))?;
        let root = BASE64.decode(line("no root")?).ok().and_then(|root| root.try_into().ok());
        let mut field = |name: &'static str| {
            let value = line(name)?.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
            value.ok_or_else(|| wrong(name))
        };
        let number = field("number")?.parse().map_err(|_| wrong("its number is none"))?;
        let previous = match field("previous")? {
            "-" => None,
            digits => Some(hash(digits).ok_or_else(|| wrong("the digest of the one before"))?),
        };
        let time = |text: &str| DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).map_err(|_| wrong("a time"));
        let head_at = time(field("head")?)?;
        let signed_at = time(field("signed")?)?;
        let key_id = field("key")?.to_owned();
        let root = root.ok_or_else(|| wrong("its root"))?;
        let checkpoint = Checkpoint { origin, tree_size, root, number, previous, head_at, signed_at, key_id };
        let prefix = format!("\u{2014} {} ", checkpoint.origin);
        let signature = signed.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix('\n'));
        let signature = signature.and_then(|text| BASE64.decode(text).ok()).ok_or_else(|| wrong("its signature"))?;
        let (key_hash, signature) = signature.split_first_chunk::<4>().ok_or_else(|| wrong("its signature"))?;
        let signature = signature.try_into().map_err(|_| wrong("its signature"))?;
        let body_bytes = body.len() + 1;
        if checkpoint.body() != text[..body_bytes] {
            return Err(wrong("it is not written as checkpoints are"));
        }
        Ok(Self { checkpoint, text: text.to_owned(), body_bytes, key_hash: *key_hash, signature })
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.checkpoint.key_id == key.id()
            && self.key_hash == key.note_hash(&self.checkpoint.origin)
            && key.verifies(&self.text.as_bytes()[..self.body_bytes], &self.signature)
    }

    /// The digest by which the next checkpoint names it.
    pub fn digest(&self) -> Hash {
        note_digest(&self.text)
    }
}

fn hash(digits: &str) -> Option<Hash> {
    let mut bytes = Hash::default();
    hex::decode_to_slice(digits, &mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checkpoint(signer: &Signer) -> Checkpoint {
        Checkpoint {
            origin: "cmdiag-log-1".to_owned(),
            tree_size: 10_000,
            root: [7; 32],
            number: 2,
            previous: Some([8; 32]),
            head_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::microseconds(10),
            signed_at: DateTime::UNIX_EPOCH,
            key_id: signer.public().id(),
        }
    }

    #[test]
    fn a_note_comes_back_and_is_signed() {
        let (signer, _) = Signer::generate().unwrap();
        let (other, _) = Signer::generate().unwrap();
        let first = Checkpoint { previous: None, number: 1, ..checkpoint(&signer) };
        for said in [checkpoint(&signer), first] {
            let text = said.sign(&signer);
            let note = Note::parse(&text).unwrap();
            assert_eq!(note.checkpoint, said);
            assert!(note.is_signed_by(&signer.public()));
            assert!(!note.is_signed_by(&other.public()));
            assert!(!Note::parse(&said.sign(&other)).unwrap().is_signed_by(&other.public()), "it names another key");
        }
    }

    proptest! {
        /// Whatever byte is changed: it is no note any more, or its signature is not right.
        #[test]
        fn every_byte_counts(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (signer, _) = Signer::generate().unwrap();
            let text = checkpoint(&signer).sign(&signer);
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
            if let Ok(note) = Note::parse(&changed) {
                prop_assert!(!note.is_signed_by(&signer.public()), "{changed}");
            }
        }

        #[test]
        fn nonsense_is_no_note(text in any::<String>()) {
            prop_assert!(Note::parse(&text).is_err());
        }
    }
}
