//! How a setting that cannot be accepted is told: by its name and what was expected, never by what it was set to.

use figment::error::Kind;

/// What a setting has to be.
fn expected(key: &str) -> &'static str {
    match key.to_ascii_lowercase().as_str() {
        "database_connections"
        | "cost_maximum"
        | "cost_restore"
        | "sockets_per_person"
        | "verify_seconds" => "a whole number",
        "introspection" | "suggestions" => "true or false",
        "listen" => "an address and a port, like 127.0.0.1:8080",
        "public_url" | "stripe_url" => "a URL, like https://credits.example",
        _ => "text",
    }
}

/// Says which setting is wrong and what was expected, but not what it was set to.
pub(super) fn describe(error: &figment::Error) -> String {
    let key = error.path.last().cloned().unwrap_or_default();
    let setting = |key: &str| match key.to_ascii_lowercase().as_str() {
        "" => "the settings".to_owned(),
        "database_url" => "DATABASE_URL".to_owned(),
        key => format!("BURSAR_{}", key.to_ascii_uppercase()),
    };
    match &error.kind {
        Kind::UnknownField(field, known) => {
            let known: Vec<String> = known.iter().map(|key| setting(key)).collect();
            format!("{}: is not a setting; there are {}", setting(field), known.join(", "))
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("{}: must be {expected}", setting(&key))
        }
        Kind::UnknownVariant(_, known) => format!("{}: must be one of {}", setting(&key), known.join(", ")),
        // What is about the file as a whole (its syntax, say): where it is. What follows repeats the line.
        Kind::Message(message) if error.path.is_empty() => {
            message.lines().next().unwrap_or_default().to_owned()
        }
        // The messages of parsers repeat what they could not parse.
        _ => format!("{}: must be {}", setting(&key), expected(&key)),
    }
}
