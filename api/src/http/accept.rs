//! Which media type a GraphQL answer gets.

use axum::http::{HeaderMap, header};

/// The media types of a GraphQL answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/json`: statuses say only whether there was a GraphQL answer.
    Json,
    /// `application/graphql-response+json`: statuses say what became of the request.
    GraphqlResponse,
}

impl Media {
    /// As the header says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }
}

/// The best of what the client accepts; none where it accepts neither. Whoever says nothing gets `application/json`, as
/// the specification asks for the sake of old clients.
pub fn negotiate(headers: &HeaderMap) -> Option<Media> {
    let mut values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if values.peek().is_none() {
        return Some(Media::Json);
    }
    let ranges = values.flat_map(|value| value.split(',')).filter_map(range);
    let mut best: Option<(u16, Media)> = None;
    for (media, quality) in ranges {
        // Of equals the first wins, as clients write them in the order of their liking.
        if quality > 0 && best.is_none_or(|(so_far, _)| quality > so_far) {
            best = Some((quality, media));
        }
    }
    best.map(|(_, media)| media)
}

/// Whether the client's `Accept` names this type itself.
pub fn names(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| essence(range).eq_ignore_ascii_case(media_type))
}

/// A media range that is one of ours, with its quality in thousandths.
fn range(text: &str) -> Option<(Media, u16)> {
    let media = match essence(text).to_ascii_lowercase().as_str() {
        "application/graphql-response+json" => Media::GraphqlResponse,
        "application/json" | "application/*" | "*/*" => Media::Json,
        _ => return None,
    };
    let mut parameters = text.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let foreign_charset = parameters.clone().any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset") && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if foreign_charset {
        return None;
    }
    let quality = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let quality = quality.map_or(1.0, |(_, value)| value.trim().parse::<f32>().unwrap_or(0.0));
    Some((media, (quality.clamp(0.0, 1.0) * 1000.0) as u16))
}

fn essence(range: &str) -> &str {
    range.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_liking_decides() {
        let cases = [
            (None, Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/*"), Some(Media::Json)),
            (Some("application/json"), Some(Media::Json)),
            (Some("application/graphql-response+json"), Some(Media::GraphqlResponse)),
            (
                Some("application/graphql-response+json; charset=utf-8, application/json; q=0.9"),
                Some(Media::GraphqlResponse),
            ),
            (Some("application/json;q=0.9, application/graphql-response+json"), Some(Media::GraphqlResponse)),
            (Some("application/graphql-response+json;q=0, application/json;q=0.1"), Some(Media::Json)),
            (Some("application/json; charset=utf-16"), None),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(negotiate(&headers), expected, "{accept:?}");
        }
    }
}
