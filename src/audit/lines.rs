//! Entries of the log as lines of a file: CSV (RFC 4180) for spreadsheets, JSON for programs.
//!
//! A spreadsheet takes a cell for a formula that begins with certain characters, and what stands in the log comes
//! from people: such cells get an apostrophe in front, which spreadsheets take for "this is text".

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{ApiKeyId, Id, UserId};
use bursar_entity::personal_value;
use serde_json::{Map, Value, json};

use super::records::{Record, Source, instant};
use crate::global_id;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values, with a line of names first.
    Csv,
    /// An object a line.
    JsonLines,
}

/// The names of the columns.
const COLUMNS: [&str; 12] = [
    "id",
    "createdAt",
    "source",
    "action",
    "subjectId",
    "actorKind",
    "actorId",
    "onBehalfOfId",
    "requestId",
    "before",
    "after",
    "personal",
];

impl Format {
    /// The ending of the file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::JsonLines => "jsonl",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::JsonLines => "application/jsonl; charset=utf-8",
        }
    }

    /// The form with an ending.
    pub fn parse(text: &str) -> Option<Format> {
        [Format::Csv, Format::JsonLines].into_iter().find(|format| format.ending() == text)
    }
}

/// What stands before the first entry.
pub fn header(format: Format) -> String {
    match format {
        Format::Csv => row(COLUMNS.map(str::to_owned)),
        Format::JsonLines => String::new(),
    }
}

/// The line of an entry, with the values about people that are kept with it.
pub fn line(format: Format, record: &Record, personal: &[personal_value::Model]) -> String {
    let user = |id: UserId| global_id::encode(id);
    let source = match record.source {
        Source::Event => "EVENT",
        Source::Ledger => "LEDGER",
    };
    let (kind, actor) = match record.actor_kind {
        ActorKind::User => ("USER", record.actor_id.map(|id| user(UserId::from_u128(id.as_u128())))),
        ActorKind::ApiKey => {
            let id = record.actor_id.map(|id| global_id::encode(ApiKeyId::from_u128(id.as_u128())));
            ("API_KEY", id)
        }
        ActorKind::System => ("SYSTEM", None),
    };
    let personal: Map<String, Value> =
        personal.iter().map(|row| (row.name.clone(), json!(row.value))).collect();
    let personal = (!personal.is_empty()).then_some(Value::Object(personal));
    let (id, at) = (global_id::encode(record.id), instant(record.created_at));
    match format {
        Format::JsonLines => {
            let object = json!({
                "id": id,
                "createdAt": at,
                "source": source,
                "action": record.action,
                "subjectId": record.subject,
                "actorKind": kind,
                "actorId": actor,
                "onBehalfOfId": record.on_behalf_of.map(user),
                "requestId": record.origin,
                "before": record.before,
                "after": record.after,
                "personal": personal,
            });
            object.to_string() + "\n"
        }
        Format::Csv => {
            let text = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
            row([
                id,
                at,
                source.to_owned(),
                record.action.clone(),
                record.subject.clone(),
                kind.to_owned(),
                actor.unwrap_or_default(),
                record.on_behalf_of.map(user).unwrap_or_default(),
                record.origin.clone().unwrap_or_default(),
                text(&record.before),
                text(&record.after),
                text(&personal),
            ])
        }
    }
}

fn row(cells: [String; COLUMNS.len()]) -> String {
    cells.map(|cell| quoted(&cell)).join(",") + "\r\n"
}

/// A cell, in quotes, that no spreadsheet takes for a formula.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠', '|', '%']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        for (cell, expected) in [
            ("", "\"\""),
            ("plain", "\"plain\""),
            ("a,\"b\"\nc", "\"a,\"\"b\"\"\nc\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "\"'＝1\""),
            ("a=1", "\"a=1\""),
        ] {
            assert_eq!(quoted(cell), expected, "{cell:?}");
        }
    }

    #[test]
    fn formats_have_names() {
        assert_eq!(Format::parse("csv"), Some(Format::Csv));
        assert_eq!(Format::parse("jsonl"), Some(Format::JsonLines));
        assert_eq!(Format::parse("CSV"), None);
        assert_eq!(header(Format::Csv).split(',').count(), COLUMNS.len());
    }
}
