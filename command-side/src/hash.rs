//! What makes two commands the same command.

use domain::Decider;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io;
use uuid::Uuid;

/// SHA-256 of the command's canonical JSON, with what it is sent to: the same id for the same words to somebody else is
/// another command. Fields come in the order of their declaration and maps are sorted, so the JSON is canonical as it
/// is.
pub(crate) fn body_hash<D: Decider>(id: Uuid, command: &D::Command) -> Result<[u8; 32], serde_json::Error> {
    let mut hashing = Hashing(Sha256::new());
    serde_json::to_writer(&mut hashing, &Body(D::TYPE, id, command))?;
    Ok(hashing.0.finalize().into())
}

#[derive(Serialize)]
struct Body<'a, C>(&'static str, Uuid, &'a C);

struct Hashing(Sha256);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::diagnostic_run::{DiagnosticRun, RunCommand};
    use domain::testing::{DEPLOYMENT, RUN, request_run};

    #[test]
    fn the_same_words_to_another_are_another_command() {
        let cancel = |reason: &str| RunCommand::Cancel { reason: reason.to_owned() };
        let of = |id, command| body_hash::<DiagnosticRun>(id, &command).unwrap();
        assert_eq!(of(RUN.0, cancel("a")), of(RUN.0, cancel("a")));
        assert_ne!(of(RUN.0, cancel("a")), of(RUN.0, cancel("b")));
        assert_ne!(of(RUN.0, cancel("a")), of(DEPLOYMENT.0, cancel("a")));
        assert_ne!(of(RUN.0, request_run()), of(RUN.0, RunCommand::Start));
    }
}
