//! Global ids: base64 of `Type:uuid`, as Relay has them. Where a type is known from the place, a bare UUID does as
//! well.

use super::codes::{BAD_USER_INPUT, coded};
use async_graphql::{Error, ID};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{DeploymentId, FindingId, RemediationId, RunId};
use uuid::Uuid;

/// A kind of thing that has a global id.
pub trait Identified: From<Uuid> + Copy {
    /// The name of its type in the schema.
    const TYPE: &'static str;
    /// Its bare id.
    fn uuid(self) -> Uuid;
}

macro_rules! identified {
    ($($id:ty = $name:literal),+) => {$(
        impl Identified for $id {
            const TYPE: &'static str = $name;
            fn uuid(self) -> Uuid {
                self.0
            }
        }
    )+};
}

identified!(DeploymentId = "Deployment", RunId = "Run", FindingId = "Finding", RemediationId = "Remediation");

/// The global id of a thing.
pub fn global<I: Identified>(id: I) -> ID {
    ID(STANDARD.encode(format!("{}:{}", I::TYPE, id.uuid())))
}

/// What a global id names.
pub fn parse_global(id: &str) -> Option<(String, Uuid)> {
    if id.len() > 128 {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(id).ok()?).ok()?;
    let (kind, uuid) = text.split_once(':')?;
    Some((kind.to_owned(), Uuid::parse_str(uuid).ok()?))
}

/// The id of a thing of a known kind, from its global id or its UUID.
pub fn local<I: Identified>(id: &ID) -> Result<I, Error> {
    if let Ok(uuid) = Uuid::parse_str(id) {
        return Ok(I::from(uuid));
    }
    match parse_global(id) {
        Some((kind, uuid)) if kind == I::TYPE => Ok(I::from(uuid)),
        Some((kind, _)) => Err(coded(BAD_USER_INPUT, format!("the id is that of a {kind}, not of a {}", I::TYPE))),
        None => Err(coded(BAD_USER_INPUT, format!("not the id of a {}", I::TYPE))),
    }
}

/// [`local`] where there is an id.
pub fn optional<I: Identified>(id: Option<&ID>) -> Result<Option<I>, Error> {
    id.map(local).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_and_keeps_its_kind() {
        let run = RunId(Uuid::from_u128(7));
        assert_eq!(local::<RunId>(&global(run)).unwrap(), run);
        assert_eq!(local::<RunId>(&ID(run.to_string())).unwrap(), run);
        assert!(local::<FindingId>(&global(run)).unwrap_err().message.contains("that of a Run"));
        for bad in ["", "x", "UnVuOg==", &"A".repeat(400)] {
            assert!(local::<RunId>(&ID(bad.to_owned())).is_err(), "{bad:.20}");
        }
    }
}
