//! PostgreSQL's values as JSON, by their type; and settings as parameters of the type that the server wants.
//!
//! `numeric` is a decimal number whatever its value, so that a condition does not change its meaning from row to row.

use crate::probe::{ProbeError, Row};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sqlx::postgres::{PgArguments, PgRow, PgValueRef, Postgres};
use sqlx::query::Query;
use sqlx::{Column, Decode, Row as _, TypeInfo, ValueRef};
use std::fmt::Write as _;

/// All columns of a row.
pub(super) fn to_json(row: &PgRow) -> Result<Row, ProbeError> {
    let mut json = Row::new();
    for column in row.columns() {
        let name = column.name();
        let fail = |text: String| ProbeError::malformed(format!("column {name:?}: {text}"));
        let value = row.try_get_raw(column.ordinal()).map_err(|error| fail(error.to_string()))?;
        json.insert(name.to_lowercase(), value_to_json(value).map_err(fail)?);
    }
    Ok(json)
}

fn value_to_json(value: PgValueRef<'_>) -> Result<Value, String> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    // Types that the driver does not know itself come with the catalogue's name, in lower case.
    let kind = value.type_info().name().to_uppercase();
    match kind.as_str() {
        "BOOL" => decode::<bool>(value).map(Value::from),
        "INT2" => decode::<i16>(value).map(Value::from),
        "INT4" => decode::<i32>(value).map(Value::from),
        "INT8" => decode::<i64>(value).map(Value::from),
        "OID" | "XID" | "CID" => big_endian::<4>(&value).map(|bytes| Value::from(u32::from_be_bytes(bytes))),
        "XID8" => big_endian::<8>(&value).map(|bytes| Value::from(u64::from_be_bytes(bytes))),
        "PG_LSN" => big_endian::<8>(&value).map(|bytes| {
            let place = u64::from_be_bytes(bytes);
            Value::from(format!("{:X}/{:X}", place >> 32, place & 0xFFFF_FFFF))
        }),
        "FLOAT4" => decode::<f32>(value).map(|number| json!(f64::from(number))),
        "FLOAT8" => decode::<f64>(value).map(|number| json!(number)),
        "NUMERIC" => numeric(value.as_bytes().map_err(|error| error.to_string())?).map(|number| json!(number)),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "\"CHAR\"" => text(&value),
        "UUID" => decode::<uuid::Uuid>(value).map(|id| Value::from(id.to_string())),
        "JSON" | "JSONB" => decode::<Value>(value),
        "TIMESTAMPTZ" => {
            decode::<DateTime<Utc>>(value).map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true).into())
        }
        "TIMESTAMP" => decode::<NaiveDateTime>(value).map(|at| at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string().into()),
        "DATE" => decode::<NaiveDate>(value).map(|day| day.to_string().into()),
        "TIME" => decode::<NaiveTime>(value).map(|time| time.to_string().into()),
        "INTERVAL" => big_endian::<16>(&value).map(|bytes| json!(interval_seconds(bytes))),
        "VOID" => Ok(Value::Null),
        "BOOL[]" => array::<bool>(value),
        "INT2[]" => array::<i16>(value),
        "INT4[]" => array::<i32>(value),
        "INT8[]" => array::<i64>(value),
        "FLOAT4[]" => array::<f32>(value),
        "FLOAT8[]" => array::<f64>(value),
        "TEXT[]" | "VARCHAR[]" | "NAME[]" | "CHAR[]" => array::<String>(value),
        "UUID[]" => array::<uuid::Uuid>(value),
        "TIMESTAMPTZ[]" => array::<DateTime<Utc>>(value),
        other => Err(format!("the probe does not read type {other}: cast it to text in the query")),
    }
}

fn decode<'r, T: Decode<'r, Postgres>>(value: PgValueRef<'r>) -> Result<T, String> {
    T::decode(value).map_err(|error| error.to_string())
}

fn text(value: &PgValueRef<'_>) -> Result<Value, String> {
    let bytes = value.as_bytes().map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(bytes).into_owned().into())
}

fn big_endian<const N: usize>(value: &PgValueRef<'_>) -> Result<[u8; N], String> {
    let bytes = value.as_bytes().map_err(|error| error.to_string())?;
    bytes.try_into().map_err(|_| format!("has {} bytes and not {N}", bytes.len()))
}

fn array<'r, T>(value: PgValueRef<'r>) -> Result<Value, String>
where
    T: serde::Serialize,
    Vec<Option<T>>: Decode<'r, Postgres>,
{
    decode::<Vec<Option<T>>>(value).map(|items| json!(items))
}

/// Microseconds, days and months; a month counts 30 days, as `extract(epoch …)` has it.
fn interval_seconds(bytes: [u8; 16]) -> f64 {
    let part = |range: std::ops::Range<usize>| -> i64 {
        bytes[range].iter().fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte))
    };
    let signed = |value: i64| i64::from(value as i32);
    let days = signed(part(8..12)) + 30 * signed(part(12..16));
    part(0..8) as f64 / 1e6 + (days * 86_400) as f64
}

/// The wire format of `numeric`: digits to the base of 10,000, the weight of the first, a sign and the decimal places.
fn numeric(bytes: &[u8]) -> Result<f64, String> {
    let word = |index: usize| -> Result<u16, String> {
        let part = bytes.get(index * 2..index * 2 + 2).ok_or("the number is cut off")?;
        Ok(u16::from_be_bytes([part[0], part[1]]))
    };
    let (count, weight, sign) = (word(0)?, word(1)? as i16, word(2)?);
    match sign {
        0x0000 | 0x4000 => {}
        0xC000 => return Ok(f64::NAN),
        0xD000 => return Ok(f64::INFINITY),
        0xF000 => return Ok(f64::NEG_INFINITY),
        other => return Err(format!("has the unknown sign {other:#06x}")),
    }
    // Through the decimal text: adding up powers of ten in binary would gather rounding errors.
    let mut digits = String::from(if sign == 0x4000 { "-0" } else { "0" });
    for index in 0..count {
        let _ = write!(digits, "{:04}", word(4 + usize::from(index))?);
    }
    let exponent = (i32::from(weight) - i32::from(count) + 1) * 4;
    format!("{digits}e{exponent}").parse().map_err(|_| "is no number".to_owned())
}

type Prepared<'q> = Query<'q, Postgres, PgArguments>;

/// Binds a setting as the type that the server inferred for the parameter.
pub(super) fn bind<'q>(query: Prepared<'q>, kind: &str, name: &str, value: &str) -> Result<Prepared<'q>, ProbeError> {
    fn read<T: std::str::FromStr>(name: &str, value: &str, what: &str) -> Result<T, ProbeError> {
        let fail = |_| ProbeError::configuration(format!("setting {name:?} is {value:?}, and the query wants {what}"));
        value.trim().parse().map_err(fail)
    }
    Ok(match kind {
        "INT2" => query.bind(read::<i16>(name, value, "a whole number")?),
        "INT4" => query.bind(read::<i32>(name, value, "a whole number")?),
        "INT8" => query.bind(read::<i64>(name, value, "a whole number")?),
        "FLOAT4" => query.bind(read::<f32>(name, value, "a number")?),
        "FLOAT8" => query.bind(read::<f64>(name, value, "a number")?),
        "BOOL" => query.bind(read::<bool>(name, value, "true or false")?),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => query.bind(value.to_owned()),
        "TIMESTAMPTZ" => query.bind(read::<DateTime<Utc>>(name, value, "a time")?),
        other => {
            let message = format!("parameter {name:?} is wanted as {other}: cast it, such as :{name}::text");
            return Err(ProbeError::configuration(message));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let head = [digits.len() as u16, weight as u16, sign, scale];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn reads_numeric() {
        let table = [
            (wire(0, 0, 0, &[]), 0.0),
            (wire(0, 0, 0, &[12]), 12.0),
            (wire(0, 0x4000, 2, &[12, 3400]), -12.34),
            (wire(1, 0, 0, &[1, 2345]), 12345.0),
            (wire(1, 0, 0, &[1]), 10_000.0),
            (wire(-1, 0, 6, &[1, 2300]), 0.000_123),
            (wire(4, 0, 0, &[9, 2233, 7203, 6854, 7758]), 92_233_720_368_547_758.0),
        ];
        for (bytes, expected) in table {
            assert!((numeric(&bytes).unwrap() - expected).abs() <= expected.abs() * 1e-15, "{expected}");
        }
        assert!(numeric(&wire(0, 0xC000, 0, &[])).unwrap().is_nan());
        assert!(numeric(&[0, 1]).is_err());
    }

    #[test]
    fn reads_intervals() {
        let mut bytes = [0_u8; 16];
        bytes[..8].copy_from_slice(&1_500_000_i64.to_be_bytes());
        bytes[8..12].copy_from_slice(&(-1_i32).to_be_bytes());
        bytes[12..].copy_from_slice(&1_i32.to_be_bytes());
        assert!((interval_seconds(bytes) - (1.5 + 29.0 * 86_400.0)).abs() < 1e-6);
    }
}
