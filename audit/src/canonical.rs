//! Which bytes of an event are hashed: the canonical JSON (RFC 8785) of its envelope.
//!
//! The envelope holds digests of payload and metadata, taken over the stored JSON text byte for byte: the column type
//! `json` keeps the text as it was written, so every flipped byte shows, and numbers beyond 2^53 are no trap. The rest
//! is texts and two whole numbers, for which RFC 8785 asks little: members in the order of their names, no white space,
//! the shortest escapes. Positions beyond 2^53-1 have no canonical form there; at a million events a second the log
//! would need 285 years to come so far.

use crate::merkle::{self, Hash};
use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use uuid::Uuid;

/// An event as it is stored, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEvent<'a> {
    /// Its place in the total order.
    pub position: i64,
    /// Its stream's aggregate type.
    pub aggregate_type: &'a str,
    /// Its stream's aggregate id.
    pub aggregate_id: &'a str,
    /// Its place in its stream.
    pub sequence: i64,
    /// Its own id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: &'a str,
    /// Its version.
    pub event_version: &'a str,
    /// When the database recorded it.
    pub recorded_at: DateTime<Utc>,
    /// The payload's JSON text.
    pub payload: &'a str,
    /// The metadata's JSON text.
    pub metadata: &'a str,
}

impl StoredEvent<'_> {
    /// Its leaf in the Merkle tree; `scratch` is overwritten.
    pub fn leaf(&self, scratch: &mut Vec<u8>) -> Hash {
        self.envelope(scratch);
        merkle::leaf_hash(scratch)
    }

    /// Writes its canonical envelope into `out`, instead of what is there.
    pub fn envelope(&self, out: &mut Vec<u8>) {
        out.clear();
        member(out, b"{\"aggregate_id\":", self.aggregate_id);
        member(out, b",\"aggregate_type\":", self.aggregate_type);
        member(out, b",\"event_id\":", self.event_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        member(out, b",\"event_type\":", self.event_type);
        member(out, b",\"event_version\":", self.event_version);
        digest(out, b",\"metadata_sha256\":\"", self.metadata);
        digest(out, b"\",\"payload_sha256\":\"", self.payload);
        number(out, b"\",\"position\":", self.position);
        member(out, b",\"recorded_at\":", &moment(self.recorded_at));
        number(out, b",\"sequence\":", self.sequence);
        out.push(b'}');
    }
}

/// A moment as the envelope writes it: RFC 3339, six digits of a second, UTC.
pub fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn member(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    string(out, text);
}

fn number(out: &mut Vec<u8>, name: &[u8], value: i64) {
    out.extend_from_slice(name);
    let mut digits = String::with_capacity(20);
    // Writing to a text can not fail.
    let _ = write!(digits, "{value}");
    out.extend_from_slice(digits.as_bytes());
}

fn digest(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    let mut digits = [0_u8; 64];
    // 32 bytes are 64 digits.
    let _ = hex::encode_to_slice(Sha256::digest(text.as_bytes()), &mut digits);
    out.extend_from_slice(&digits);
}

/// Appends a text as RFC 8785, 3.2.2.2 writes it.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            0x08 => b"\\b",
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            0x0c => b"\\f",
            b'\r' => b"\\r",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[written..at]);
        if escape.is_empty() {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let low = usize::from(*byte);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[low >> 4], DIGITS[low & 15]]);
        } else {
            out.extend_from_slice(escape);
        }
        written = at + 1;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    pub fn sample() -> StoredEvent<'static> {
        StoredEvent {
            position: 7,
            aggregate_type: "DiagnosticRun",
            aggregate_id: "0190b6a0-0000-7000-8000-000000000001",
            sequence: 2,
            event_id: Uuid::from_u128(0x0190_b6a0_0000_7000_8000_0000_0000_00ab),
            event_type: "RunPlanned",
            event_version: "1",
            recorded_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::microseconds(1_767_600_000_000_010),
            payload: "{\"n\": 1}",
            metadata: "{}",
        }
    }

    /// The text of RFC 8785, 3.2.2.2 (and 3.2.3's sample): escapes in, shortest escapes out.
    #[test]
    fn texts_are_those_of_the_rfc() {
        let parsed: String = serde_json::from_str(r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#).unwrap();
        assert_eq!(canonical(&parsed), r#""€$\u000f\nA'B\"\\\\\"/""#);
        assert_eq!(canonical("\u{8}\t\n\u{c}\r\u{0}\u{1f}\u{7f}"), "\"\\b\\t\\n\\f\\r\\u0000\\u001f\u{7f}\"");
        assert_eq!(canonical("\u{2028}ö€😀דּ"), "\"\u{2028}ö€😀דּ\"", "all else stands as it is");
    }

    #[test]
    fn whole_numbers_are_those_of_the_rfc() {
        // RFC 8785, appendix B: the largest whole number with an exact form.
        let mut out = Vec::new();
        number(&mut out, b"", 9_007_199_254_740_991);
        assert_eq!(out, b"9007199254740991");
    }

    #[test]
    fn the_envelope_is_fixed_for_ever() {
        let mut out = Vec::new();
        sample().envelope(&mut out);
        let expected = concat!(
            r#"{"aggregate_id":"0190b6a0-0000-7000-8000-000000000001","aggregate_type":"DiagnosticRun","#,
            r#""event_id":"0190b6a0-0000-7000-8000-0000000000ab","event_type":"RunPlanned","event_version":"1","#,
            r#""metadata_sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
            r#""payload_sha256":"e5d5f7c1d225fd6b13623ebb1b5b9d075c705659f81868b1e37005a0923b0346","position":7,"#,
            r#""recorded_at":"2026-01-05T08:00:00.000010Z","sequence":2}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_names_stand_in_the_order_of_the_rfc() {
        let mut out = Vec::new();
        sample().envelope(&mut out);
        let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&out).unwrap();
        let names: Vec<&String> = parsed.keys().collect();
        let mut sorted = names.clone();
        sorted.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
        assert_eq!(names.len(), 10);
        let text = String::from_utf8(out).unwrap();
        let places: Vec<usize> = sorted.iter().map(|name| text.find(&format!("\"{name}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    proptest! {
        #[test]
        fn a_text_comes_back(text in any::<String>()) {
            let back: String = serde_json::from_str(&canonical(&text)).unwrap();
            prop_assert_eq!(back, text);
        }

        #[test]
        fn every_part_of_an_event_is_in_its_leaf(part in 0_usize..10, at in any::<u8>()) {
            let (event, mut other) = (sample(), sample());
            let text = format!("{at} other");
            match part {
                0 => other.position = i64::from(at) + 8,
                1 => other.aggregate_type = &text,
                2 => other.aggregate_id = &text,
                3 => other.sequence = i64::from(at) + 3,
                4 => other.event_id = Uuid::from_u128(u128::from(at)),
                5 => other.event_type = &text,
                6 => other.event_version = &text,
                7 => other.recorded_at += chrono::TimeDelta::microseconds(i64::from(at) + 1),
                8 => other.payload = &text,
                _ => other.metadata = &text,
            }
            let mut scratch = Vec::new();
            prop_assert_ne!(event.leaf(&mut scratch), other.leaf(&mut scratch));
        }
    }
}
