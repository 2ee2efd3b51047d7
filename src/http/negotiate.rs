//! Which media type an answer gets (RFC 9110, section 12.5.1; GraphQL over HTTP, section 6.1).

use axum::http::{HeaderMap, HeaderValue, header};
use headers_accept::Accept;
use mediatype::names::{APPLICATION, HTML, JSON, TEXT};
use mediatype::{MediaType, Name, Value};

const EVENT_STREAM_NAME: Name<'_> = Name::new_unchecked("event-stream");
const GRAPHQL: Name<'_> = Name::new_unchecked("graphql-response");
const CHARSET: &[(Name<'_>, Value<'_>)] = &[(mediatype::names::CHARSET, mediatype::values::UTF_8)];

/// A media type as clients ask for it: as it is, and with the encoding of all our answers.
const fn both(
    ty: Name<'static>,
    subty: Name<'static>,
    suffix: Option<Name<'static>>,
) -> [MediaType<'static>; 2] {
    [MediaType::from_parts(ty, subty, suffix, &[]), MediaType::from_parts(ty, subty, suffix, CHARSET)]
}

static PLAIN: [MediaType<'static>; 2] = both(APPLICATION, JSON, None);
static TYPED: [MediaType<'static>; 2] = both(APPLICATION, GRAPHQL, Some(JSON));
static PAGE: [MediaType<'static>; 2] = both(TEXT, HTML, None);
static EVENTS: [MediaType<'static>; 2] = both(TEXT, EVENT_STREAM_NAME, None);

/// The types of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/json`.
    Plain,
    /// `application/graphql-response+json`.
    Typed,
    /// `text/html`.
    Page,
    /// `text/event-stream`.
    Events,
}

impl Kind {
    /// The value of the header Content-Type.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Kind::Plain => "application/json; charset=utf-8",
            Kind::Typed => "application/graphql-response+json; charset=utf-8",
            Kind::Page => "text/html; charset=utf-8",
            Kind::Events => "text/event-stream; charset=utf-8",
        })
    }

    fn media_types(self) -> &'static [MediaType<'static>; 2] {
        match self {
            Kind::Plain => &PLAIN,
            Kind::Typed => &TYPED,
            Kind::Page => &PAGE,
            Kind::Events => &EVENTS,
        }
    }
}

/// The kind that the client likes best, of some in the order of the server's liking. `None`: none of them.
pub fn negotiate(headers: &HeaderMap, kinds: &[Kind]) -> Option<Kind> {
    let mut values = headers.get_all(header::ACCEPT).iter();
    let first = match values.next() {
        None => return kinds.first().copied(),
        Some(first) => first.to_str().ok()?,
    };
    let text = match values.next() {
        None => std::borrow::Cow::Borrowed(first),
        Some(_) => {
            let all: Option<Vec<&str>> =
                headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().ok()).collect();
            std::borrow::Cow::Owned(all?.join(","))
        }
    };
    // What most clients send.
    if let [kind, ..] = kinds
        && (text == "*/*" || text == "application/json" && *kind == Kind::Plain)
    {
        return Some(*kind);
    }
    // All parts of it that can matter here are case-insensitive, for the library only names are.
    let accept: Accept = text.to_ascii_lowercase().replace("utf-8", "UTF-8").parse().ok()?;
    let chosen = accept.negotiate(kinds.iter().flat_map(|kind| kind.media_types()))?;
    kinds.iter().copied().find(|kind| kind.media_types().contains(chosen))
}

/// Whether a body is JSON in UTF-8, as it is when nothing else is said.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    if value == "application/json" {
        return true;
    }
    let Some(kind) = value.to_str().ok().and_then(|value| MediaType::parse(value).ok()) else { return false };
    let charset = mediatype::ReadParams::get_param(&kind, mediatype::names::CHARSET);
    kind.ty == APPLICATION
        && kind.subty == JSON
        && kind.suffix.is_none()
        && charset.is_none_or(|charset| charset.unquoted_str().eq_ignore_ascii_case("utf-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str) -> Option<Kind> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        negotiate(&headers, &[Kind::Plain, Kind::Typed])
    }

    #[test]
    fn the_client_chooses() {
        for (accept, kind) in [
            ("*/*", Some(Kind::Plain)),
            ("application/*", Some(Kind::Plain)),
            ("application/json", Some(Kind::Plain)),
            ("application/json; charset=UTF-8", Some(Kind::Plain)),
            ("application/json;q=0.5", Some(Kind::Plain)),
            ("application/graphql-response+json", Some(Kind::Typed)),
            ("application/graphql-response+json; charset=utf-8", Some(Kind::Typed)),
            ("application/graphql-response+json,application/json;q=0.9", Some(Kind::Typed)),
            ("application/graphql-response+json;q=0.5, application/json", Some(Kind::Plain)),
            ("application/graphql-response+json, */*", Some(Kind::Typed)),
            ("application/graphql-response+json;q=0, */*", Some(Kind::Plain)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("nonsense", None),
        ] {
            assert_eq!(chosen(accept), kind, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), &[Kind::Plain]), Some(Kind::Plain));
    }

    #[test]
    fn a_body_is_json_in_utf_8() {
        for (kind, json) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/json; charset=\"UTF-8\"", true),
            ("Application/JSON", true),
            ("application/json; charset=latin1", false),
            ("application/graphql+json", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(is_json(&headers), json, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
