//! The client, kept usable: whatever is asked is asked again until it is answered or its time is over.
//!
//! Every question may be repeated: reads by nature, appends because they carry event ids and an exact expected
//! revision. The client itself goes to the leader that a `NotLeader` answer names. It ends for good when it can not
//! connect, and it stays with a node of a cluster that is gone: then it is made anew.

use super::KurrentLogOptions;
use crate::log::LogError;
use domain::Position;
use eventstore::{Client, ClientSettings, Error};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Between two attempts.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// One attempt gets half of the time that is left, but not less than this: its connection may be dead without a word.
const ATTEMPT_MIN: Duration = Duration::from_secs(2);
/// A client that still lives is not made anew more often: it leaves a task behind.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Why a question has no answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The stream is not at the revision that the append rests on.
    WrongRevision,
    /// Some of these events are in the stream already, and others in their places are not these.
    Mixed,
    /// The server takes no append of this size.
    TooLarge,
    /// The server will not, however often it is asked.
    Refused(String),
    /// Nobody answered in time; whether an append was written is not known.
    Unavailable(String),
}

impl From<Failure> for LogError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::WrongRevision => Self::Unavailable("others were always faster".to_owned()),
            Failure::Mixed => Self::Unavailable("the append was there in part".to_owned()),
            Failure::TooLarge => Self::Unavailable("KurrentDB takes no append of this size".to_owned()),
            Failure::Refused(reason) | Failure::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

/// What is to be done about an error of the client.
enum Verdict {
    /// Ask again.
    Again,
    /// Ask again, with another client: this one has ended.
    Renew,
    /// Ask again, with another client where the server is a cluster: this one may stay with a node that is gone.
    Elsewhere,
    /// It is the answer.
    Answer(Failure),
}

pub(super) struct Connection {
    settings: ClientSettings,
    cluster: bool,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    generation: u64,
    made: Instant,
}

impl Connection {
    /// Makes the client; the server is not asked yet.
    pub fn new(options: &KurrentLogOptions) -> Result<Self, LogError> {
        // The client would install another provider where there is none; here all TLS is ring's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The URL may hold a password: no error repeats it.
        let unusable = || LogError::Unavailable("the URL of KurrentDB is not a valid esdb:// one".to_owned());
        let settings: ClientSettings = options.url.parse().map_err(|_| unusable())?;
        let cluster = settings.hosts().len() > 1 || options.url.contains("+discover");
        let current = Current { client: make(&settings)?, generation: 0, made: Instant::now() };
        Ok(Self { settings, cluster, current: Mutex::new(current) })
    }

    /// Asks until there is an answer, or the time is over.
    pub async fn ask<T, F>(&self, deadline: Instant, question: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pause = PAUSE_MIN;
        loop {
            let (generation, client) = self.client();
            let now = Instant::now();
            let until = deadline.min(now + ATTEMPT_MIN.max(deadline.duration_since(now) / 2));
            let error = match tokio::time::timeout_at(until, question(client)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => Error::ServerError("no answer in time".to_owned()),
            };
            let reason = described(&error);
            match weigh(error) {
                Verdict::Answer(failure) => return Err(failure),
                Verdict::Renew => self.renew(generation, PAUSE_MIN),
                Verdict::Elsewhere if self.cluster => self.renew(generation, RENEW_EVERY),
                Verdict::Again | Verdict::Elsewhere => {}
            }
            tracing::debug!(reason, "KurrentDB is asked again");
            if Instant::now() + pause >= deadline {
                return Err(Failure::Unavailable(reason));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn client(&self) -> (u64, Client) {
        let current = self.lock();
        (current.generation, current.client.clone())
    }

    /// Replaces the client, unless somebody has done so, or it is younger than that.
    fn renew(&self, generation: u64, older_than: Duration) {
        let mut current = self.lock();
        if current.generation != generation || current.made.elapsed() < older_than {
            return;
        }
        match make(&self.settings) {
            Ok(client) => *current = Current { client, generation: generation + 1, made: Instant::now() },
            Err(error) => tracing::warn!(%error, "the client of KurrentDB can not be made anew"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(settings: &ClientSettings) -> Result<Client, LogError> {
    Client::new(settings.clone()).map_err(|error| LogError::Unavailable(error.to_string()))
}

fn described(error: &Error) -> String {
    match error {
        // The client's own text ends before the name.
        Error::NotLeaderException(leader) => format!("the leader is now {}:{}", leader.host, leader.port),
        error => error.to_string(),
    }
}

fn weigh(error: Error) -> Verdict {
    match error {
        Error::WrongExpectedVersion { .. } => Verdict::Answer(Failure::WrongRevision),
        Error::NotLeaderException(_) | Error::DeadlineExceeded => Verdict::Again,
        Error::ConnectionClosed | Error::GrpcConnectionError(_) => Verdict::Renew,
        Error::ServerError(_) => Verdict::Elsewhere,
        Error::Grpc { code, message } => of_status(&format!("{code:?}"), &message),
        Error::ResourceDeleted => Verdict::Answer(Failure::Refused("a stream of the log was deleted".to_owned())),
        error => Verdict::Answer(Failure::Refused(error.to_string())),
    }
}

/// By name: the client does not hand out the type of its status codes.
fn of_status(code: &str, message: &str) -> Verdict {
    match code {
        "InvalidArgument" | "FailedPrecondition" if message.contains("Invalid Transaction") => {
            Verdict::Answer(Failure::Mixed)
        }
        "InvalidArgument" if message.to_lowercase().contains("append size") => Verdict::Answer(Failure::TooLarge),
        "Aborted" | "ResourceExhausted" | "Cancelled" | "Unavailable" => Verdict::Again,
        _ => Verdict::Answer(Failure::Refused(format!("{message} ({code})"))),
    }
}

/// A stored entry that is not what we write.
pub(super) fn damaged(position: Position, reason: impl Into<String>) -> LogError {
    LogError::Damaged { position, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        assert!(matches!(of_status("InvalidArgument", "Invalid Transaction"), Verdict::Answer(Failure::Mixed)));
        let size = of_status("InvalidArgument", "Maximum Append Size of 1048576 Exceeded.");
        assert!(matches!(size, Verdict::Answer(Failure::TooLarge)));
        assert!(matches!(of_status("InvalidArgument", "no such thing"), Verdict::Answer(Failure::Refused(_))));
        assert!(matches!(of_status("Aborted", ""), Verdict::Again));
        assert!(matches!(weigh(Error::ConnectionClosed), Verdict::Renew));
        assert!(matches!(weigh(Error::ServerError(String::new())), Verdict::Elsewhere));
        assert!(matches!(weigh(Error::AccessDenied), Verdict::Answer(Failure::Refused(_))));
    }
}
