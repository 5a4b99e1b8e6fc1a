//! How our streams are called in KurrentDB.
//!
//! `NAME.Type-ID` holds the events of an aggregate, `NAME:command-ID` what became of a command, and
//! `NAME:positions-N` the links whose revisions are the positions. One server may hold several logs, by their names.

use crate::log::{LogError, StreamId};
use uuid::Uuid;

const NAME_LENGTH_MAX: usize = 64;

/// The names of one log's streams.
#[derive(Debug, Clone)]
pub(super) struct Names {
    events: String,
    commands: String,
    positions: String,
}

impl Names {
    /// The names of the log `name`, numbered for the `numbering`th time.
    pub fn new(name: &str, numbering: u32) -> Result<Self, LogError> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.chars().all(plain) {
            let reason = format!("{name:?} can not be a log's name: 1 to {NAME_LENGTH_MAX} letters, digits and _");
            return Err(LogError::Unavailable(reason));
        }
        Ok(Self {
            events: format!("{name}."),
            commands: format!("{name}:command-"),
            positions: format!("{name}:positions-{numbering}"),
        })
    }

    /// What every aggregate's stream begins with, and no other stream: the filter of `$all`.
    pub fn events_prefix(&self) -> &str {
        &self.events
    }

    /// What every command's stream begins with.
    pub fn commands_prefix(&self) -> &str {
        &self.commands
    }

    /// An aggregate's stream. The part before the first `-` is what KurrentDB calls its category.
    pub fn stream(&self, stream: &StreamId) -> String {
        let category = stream.aggregate_type.replace('%', "%25").replace('-', "%2D");
        format!("{}{category}-{}", self.events, stream.aggregate_id)
    }

    /// The aggregate whose stream this is.
    pub fn aggregate(&self, stream: &str) -> Option<StreamId> {
        let (category, id) = stream.strip_prefix(&self.events)?.split_once('-')?;
        Some(StreamId::new(&category.replace("%2D", "-").replace("%25", "%"), id))
    }

    /// A command's stream.
    pub fn command(&self, command: Uuid) -> String {
        format!("{}{command}", self.commands)
    }

    /// The stream of the links.
    pub fn positions(&self) -> &str {
        &self.positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aggregate_comes_back_from_its_streams_name() {
        let names = Names::new("cmdiag", 1).unwrap();
        for (kind, id) in [("Finding", "0190-aa"), ("Odd-Kind", "1"), ("100%2D", "a-b"), ("", "")] {
            let stream = StreamId::new(kind, id);
            let name = names.stream(&stream);
            assert_eq!(names.aggregate(&name), Some(stream), "{name}");
        }
        assert_eq!(names.stream(&StreamId::new("Finding", "7")), "cmdiag.Finding-7");
    }

    #[test]
    fn the_filter_takes_aggregates_only() {
        let names = Names::new("cmdiag", 1).unwrap();
        let other = Names::new("cmdiag2", 1).unwrap();
        let aggregate = StreamId::new("Finding", "7");
        assert!(names.stream(&aggregate).starts_with(names.events_prefix()));
        for stream in [names.command(Uuid::nil()), names.positions().to_owned(), other.stream(&aggregate)] {
            assert!(!stream.starts_with(names.events_prefix()), "{stream}");
            assert_eq!(names.aggregate(&stream), None);
        }
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", "a.b", "a-b", "$a", "a:b", "ä", &"x".repeat(65)] {
            assert!(Names::new(name, 1).is_err(), "{name}");
        }
    }
}
