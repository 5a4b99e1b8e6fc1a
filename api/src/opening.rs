//! Opens personal texts where an answer leaves: the one place at which the API knows a name again. What is kept and
//! shared before it is sealed, so that nothing has to be taken out of a cache when somebody is erased.

use crate::state::ApiState;
use axum::body::Bytes;
use std::borrow::Cow;

impl ApiState {
    /// A body of JSON as it goes out.
    pub(crate) async fn opened_body(&self, body: Bytes) -> Bytes {
        if !self.vault.is_on() {
            return body;
        }
        let Ok(text) = std::str::from_utf8(&body) else { return body };
        match self.opened(text).await {
            Cow::Borrowed(_) => body,
            Cow::Owned(opened) => opened.into(),
        }
    }

    /// A message of JSON as it goes out.
    pub(crate) async fn opened_text(&self, text: String) -> String {
        match self.opened(&text).await {
            Cow::Borrowed(_) => text,
            Cow::Owned(opened) => opened,
        }
    }

    /// Where the keys can not be reached, names stay sealed: an answer without them is better than none.
    async fn opened<'a>(&self, json: &'a str) -> Cow<'a, str> {
        self.vault.open_json(&self.tenant, json).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "names stay sealed in an answer");
            Cow::Borrowed(json)
        })
    }
}
