//! The parameters of a request (GraphQL over HTTP, section 5), whatever they came by: the body of a POST, the
//! query of a URL, the payload of a `subscribe` message.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A request. Members that are not known are not an error.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Parameters {
    query: Option<String>,
    #[serde(rename = "operationName")]
    pub(super) operation_name: Option<String>,
    pub(super) variables: Option<Map<String, Value>>,
    extensions: Option<Map<String, Value>>,
    #[serde(rename = "documentId")]
    document_id: Option<String>,
}

/// The SHA-256 of a document's text.
pub type Digest = [u8; 32];

/// How a request names its document.
#[derive(Debug, PartialEq, Eq)]
pub enum Naming {
    /// By its text.
    Text(String),
    /// By its digest: it is known already.
    Digest(Digest),
    /// By both: it is to be known by its digest from now on.
    Both(String, Digest),
}

/// What is wrong with the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParameters(pub String);

const SHAPE: &str = "The request must be a JSON object with a query (or the id of a document) and, as wanted, \
                     operationName, variables and extensions.";

impl Parameters {
    /// The parameters in a JSON text.
    pub fn from_json(text: &[u8]) -> Result<Parameters, BadParameters> {
        // An array would be taken for the members in their order.
        let object = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let read = object.then(|| serde_json::from_slice(text).ok()).flatten();
        read.ok_or_else(|| BadParameters(SHAPE.to_owned()))
    }

    /// The parameters in a JSON value.
    pub fn from_value(value: Value) -> Result<Parameters, BadParameters> {
        let read = value.is_object().then(|| serde_json::from_value(value).ok()).flatten();
        read.ok_or_else(|| BadParameters(SHAPE.to_owned()))
    }

    /// The parameters in the query of a URL, where variables and extensions are JSON texts.
    pub fn from_url(query: &str) -> Result<Parameters, BadParameters> {
        let mut parameters = Parameters::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let map = || match serde_json::from_str::<Option<Map<String, Value>>>(&value) {
                Ok(map) => Ok(map),
                Err(_) => Err(BadParameters(format!("{name} must be a JSON object."))),
            };
            match name.as_ref() {
                "query" => parameters.query = Some(value.into_owned()),
                "operationName" if !value.is_empty() => parameters.operation_name = Some(value.into_owned()),
                "documentId" => parameters.document_id = Some(value.into_owned()),
                "variables" if !value.is_empty() => parameters.variables = map()?,
                "extensions" if !value.is_empty() => parameters.extensions = map()?,
                _ => {}
            }
        }
        Ok(parameters)
    }

    /// Which document is meant. A digest comes as `documentId` (`sha256:` and 64 hexadecimal digits), or in
    /// `extensions.persistedQuery.sha256Hash`, as Apollo's clients send it.
    pub fn take_naming(&mut self) -> Result<Naming, BadParameters> {
        let persisted = self.extensions.as_ref().and_then(|extensions| extensions.get("persistedQuery"));
        let digest = match (&self.document_id, persisted) {
            (Some(id), _) => {
                let digest = id.strip_prefix("sha256:").and_then(digest);
                let reason = "documentId must be sha256: and 64 hexadecimal digits.";
                Some(digest.ok_or_else(|| BadParameters(reason.to_owned()))?)
            }
            (None, Some(persisted)) => {
                let version = persisted.get("version").and_then(Value::as_u64);
                let digest = persisted.get("sha256Hash").and_then(Value::as_str).and_then(digest);
                let reason =
                    "extensions.persistedQuery must have version 1 and sha256Hash, 64 hexadecimal digits.";
                let digest = digest.filter(|_| version == Some(1));
                Some(digest.ok_or_else(|| BadParameters(reason.to_owned()))?)
            }
            (None, None) => None,
        };
        match (self.query.take(), digest) {
            (Some(text), Some(digest)) => Ok(Naming::Both(text, digest)),
            (Some(text), None) => Ok(Naming::Text(text)),
            (None, Some(digest)) => Ok(Naming::Digest(digest)),
            (None, None) => Err(BadParameters(SHAPE.to_owned())),
        }
    }

    /// Whether a document is named at all.
    pub fn names_document(&self) -> bool {
        self.query.is_some() || self.document_id.is_some() || self.extensions.is_some()
    }
}

/// The digest that some text stands for.
pub fn digest(text: &str) -> Option<Digest> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_named_by_text_or_digest() {
        let hex = "0a".repeat(32);
        let digest = [10; 32];
        let naming = |json: String| {
            let parameters = Parameters::from_json(json.as_bytes());
            parameters.and_then(|mut parameters| parameters.take_naming()).ok()
        };
        assert_eq!(naming(r#"{"query":"{a}"}"#.to_owned()), Some(Naming::Text("{a}".to_owned())));
        let by_id = format!(r#"{{"documentId":"sha256:{hex}"}}"#);
        assert_eq!(naming(by_id), Some(Naming::Digest(digest)));
        let extensions = |version| {
            format!(r#""extensions":{{"persistedQuery":{{"version":{version},"sha256Hash":"{hex}"}}}}"#)
        };
        assert_eq!(naming(format!("{{{}}}", extensions(1))), Some(Naming::Digest(digest)));
        let both = format!(r#"{{"query":"{{a}}",{}}}"#, extensions(1));
        assert_eq!(naming(both), Some(Naming::Both("{a}".to_owned(), digest)));
        for wrong in [
            "{}",
            "[]",
            r#"["{a}",null,null,null,null]"#,
            r#"{"query":7}"#,
            r#"{"query":"{a}","variables":[]}"#,
            r#"{"query":"{a}","operationName":1}"#,
            r#"{"query":"{a}","extensions":""}"#,
            r#"{"documentId":"sha256:00"}"#,
            r#"{"documentId":"0a0a"}"#,
            &format!("{{{}}}", extensions(2)),
        ] {
            assert_eq!(naming(wrong.to_owned()), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_brings_json_in_its_parts() {
        let url = "query=%7Ba%7D&variables=%7B%22n%22%3A1%7D&operationName=Q&other=x";
        let mut parameters = Parameters::from_url(url).unwrap();
        assert_eq!(parameters.take_naming(), Ok(Naming::Text("{a}".to_owned())));
        assert_eq!(parameters.operation_name.as_deref(), Some("Q"));
        assert_eq!(parameters.variables.unwrap()["n"], 1);
        assert!(Parameters::from_url("query=a&variables=7").is_err());
        assert!(Parameters::from_url("query=a&extensions=%7B").is_err());
        assert!(!Parameters::from_url("").unwrap().names_document());
    }
}
