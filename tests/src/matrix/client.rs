//! Three people at the platform's GraphQL API.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often what is waited for is asked again.
const EVERY: Duration = Duration::from_millis(40);

/// Who asks. Who approves can not execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// Approves.
    Ada,
    /// Approves, where two must.
    Ben,
    /// Diagnoses, asks for remediations, and has them done.
    Eve,
}

impl Person {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ada, Self::Ben, Self::Eve];

    /// The name that events carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ada => "ada",
            Self::Ben => "ben",
            Self::Eve => "eve",
        }
    }

    /// The environment variable that holds the token.
    pub const fn token_variable(self) -> &'static str {
        match self {
            Self::Ada => "CMDIAG_TOKEN_ADA",
            Self::Ben => "CMDIAG_TOKEN_BEN",
            Self::Eve => "CMDIAG_TOKEN_EVE",
        }
    }

    /// The token, of this test only.
    pub fn token(self) -> String {
        format!("token-of-{}-for-the-matrix", self.name())
    }
}

/// The API's client.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    /// Of the GraphQL endpoint at this URL.
    pub fn new(url: String) -> Result<Self, String> {
        // An error only means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build();
        Ok(Self { http: http.map_err(|error| error.to_string())?, url })
    }

    /// Asks; what comes back is the data.
    pub async fn ask(&self, person: Person, query: &str, variables: Value) -> Result<Value, String> {
        let body = json!({ "query": query, "variables": variables });
        let sent = self.http.post(&self.url).bearer_auth(person.token()).json(&body).send().await;
        let answer: Value = match sent {
            Ok(answer) => answer.json().await.map_err(|error| format!("the answer is not JSON: {error}"))?,
            Err(error) => return Err(format!("the API can not be reached: {error}")),
        };
        if let Some(errors) = answer.get("errors") {
            return Err(format!("the API says: {errors}"));
        }
        Ok(answer["data"].clone())
    }

    /// Sends a mutation of one field; an accepted one gives its payload, a refusal is an error.
    pub async fn send(&self, person: Person, mutation: &str, variables: Value) -> Result<Value, String> {
        let data = self.ask(person, mutation, variables).await?;
        let payload = data.as_object().and_then(|fields| fields.values().next()).cloned().unwrap_or_default();
        match payload["code"].as_str() {
            Some(code) => Err(format!("refused as {code}: {}", payload["message"].as_str().unwrap_or_default())),
            None => Ok(payload),
        }
    }

    /// Asks again until it is as wanted.
    pub async fn until(
        &self,
        bound: Duration,
        (query, variables): (&str, Value),
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let deadline = Instant::now() + bound;
        loop {
            let data = self.ask(Person::Eve, query, variables.clone()).await?;
            if wanted(&data) {
                return Ok(data);
            }
            if Instant::now() > deadline {
                return Err(format!("not so after {} s: {data}", bound.as_secs()));
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
