//! Looks out for secrets while all other tests run: in what the servers of this process log, and in the files of every
//! SQLite database when its test is done. What is looked for is known by its shape: keys, JSON Web Tokens, refresh
//! tokens, links with their proofs, the keys and signing secrets of the payment provider.
//!
//! Of the libraries only warnings are read, and of ours, besides, what is said of each request: finer logs of a whole
//! run would take longer than the run. They are read where one server does everything there is (`secrets.rs`).

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, Once, PoisonError};

use bursar_domain::api_key::{self, KeyMode};
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::stripe::{SECRET_KEY, WEBHOOK_SECRET};

/// What is read of the logs.
const READ: &str = "warn,bursar::http=debug";
/// How long the proof of a link is: a MAC in base64url.
const PROOF: usize = 43;
/// How long a key is.
const KEY: usize = 61;

/// What has been found in logs: which secret, and the line.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Looks out as long as a database is there, and fails the test at its end when a secret was seen.
pub struct Lookout(Option<PathBuf>);

impl Lookout {
    /// Looks out over the logs, and a file that is a SQLite database.
    pub fn over(file: Option<PathBuf>) -> Lookout {
        static BEGUN: Once = Once::new();
        BEGUN.call_once(|| {
            let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Lines);
            let registry = tracing_subscriber::registry().with(EnvFilter::new(READ)).with(lines);
            registry.try_init().expect("nobody else takes the logs of the tests");
        });
        Lookout(file)
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        // A test that has failed already has something else to say.
        if std::thread::panicking() {
            return;
        }
        for end in ["", "-wal"] {
            let Some(file) = &self.0 else { break };
            // A test may have made no file, or have closed it.
            let bytes = std::fs::read(format!("{}{end}", file.display())).unwrap_or_default();
            assert_eq!(secret_in(&bytes), None, "a secret is in a database");
        }
        let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(found.is_empty(), "secrets are in the log, of this test or another: {found:?}");
    }
}

/// Reads lines of the log.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(secret) = secret_in(line) {
            let line = String::from_utf8_lossy(line);
            FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{secret} in: {line}"));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first secret in a text.
pub fn secret_in(text: &[u8]) -> Option<String> {
    let mut at = 0;
    // Files are long, and iterators are slow where nothing is optimized.
    while at < text.len() {
        let looks = match text[at] {
            b'b' => text[at..].starts_with(api_key::PREFIX.as_bytes()),
            b'e' => text[at..].starts_with(b"eyJ"),
            b's' | b'w' => PAYMENTS.iter().any(|prefix| text[at..].starts_with(prefix.as_bytes())),
            b'/' => PATHS.iter().any(|path| text[at..].starts_with(path.as_bytes())),
            _ => false,
        };
        if looks {
            let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./".contains(byte);
            let end = text[at..].iter().position(|byte| !word(byte)).map_or(text.len(), |length| at + length);
            // All of it is ASCII.
            let word = String::from_utf8_lossy(&text[at..end]).into_owned();
            if is_secret(&word) {
                return Some(word);
            }
        }
        at += 1;
    }
    None
}

/// How paths begin that end with a proof.
const PATHS: &[&str] = &[
    "/approval/",
    "/checkout/",
    "/consent/",
    "/document/",
    "/export/organization/",
    "/invitation/",
    "/sign-in/",
];

/// How keys and signing secrets of the payment provider begin.
const PAYMENTS: &[&str] = &["sk_live_", "sk_test_", "whsec_"];
/// How long what follows is at least.
const PAYMENT_KEY: usize = 16;

fn is_secret(word: &str) -> bool {
    if let Some(rest) = PAYMENTS.iter().find_map(|prefix| word.strip_prefix(prefix)) {
        return rest.bytes().take_while(u8::is_ascii_alphanumeric).count() >= PAYMENT_KEY;
    }
    if word.starts_with(api_key::PREFIX) {
        let key = word.get(..KEY).is_some_and(|word| api_key::recognise(word).is_some());
        return key || (word.starts_with("bursar_refresh.") && has_proof(word));
    }
    if word.starts_with('/') {
        return has_proof(word);
    }
    let parts: Vec<&str> = word.split('.').collect();
    let [header, claims, signature, ..] = parts.as_slice() else { return false };
    let said = |part: &str| {
        let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let is_header = said(header).is_some_and(|header| header.get("alg").is_some());
    is_header && said(claims).is_some() && !signature.is_empty()
}

/// Whether one of the parts of a word is as long as a proof, and of nothing else than a proof is.
fn has_proof(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    word.split(['.', '/']).any(|part| part.len() == PROOF && part.chars().all(plain))
}

/// What is looked out for while all other tests run is known when it is seen, and nothing else is taken for it.
#[test]
fn secrets_are_known_by_their_shape() {
    let key = api_key::format(KeyMode::Test, [3; 32]);
    let proof = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";
    let token = format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{proof}");
    for secret in [
        key.clone(),
        token.clone(),
        format!("bursar_refresh.user_1.session_1.1.{proof}"),
        format!("/sign-in/user_1.link_1.{proof}"),
        format!("/approval/d.org_1.approval_1.1.user_1.approvallink_1.{proof}"),
        format!("/invitation/org_1.invitation_1.1.{proof}"),
        format!("/checkout/org_1/payment_1/{proof}/pay"),
        format!("/document/org_1/document_1/{proof}/pdf"),
        format!("/export/organization/org_1.everywhere.1.{proof}"),
        SECRET_KEY.to_owned(),
        WEBHOOK_SECRET.to_owned(),
    ] {
        assert_eq!(secret_in(format!("a \"{secret}\" b").as_bytes()), Some(secret.clone()), "{secret}");
    }
    for other in [
        key[..key.len() - 1].to_owned(),
        format!("{}x", &key[..key.len() - 1]),
        "bursar_app".to_owned(),
        token.rsplit_once('.').unwrap().0.to_owned(),
        "/sign-in/user_1.link_1.{token}".to_owned(),
        "/checkout/...".to_owned(),
        "sk_test_".to_owned(),
        "whsec_a".to_owned(),
        "eyJ".to_owned(),
    ] {
        assert_eq!(secret_in(other.as_bytes()), None, "{other}");
    }
}
