//! Scalars of our own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use domain::Position;

/// The place of an event in the total order of the log: a whole number, dense from 1. May be sent as a number or as
/// text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionScalar(pub Position);

#[Scalar(name = "Position")]
impl ScalarType for PositionScalar {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= 0 => Ok(Self(Position(number))),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.0.into())
    }
}

impl From<i64> for PositionScalar {
    fn from(position: i64) -> Self {
        Self(Position(position))
    }
}

impl From<Position> for PositionScalar {
    fn from(position: Position) -> Self {
        Self(position)
    }
}
