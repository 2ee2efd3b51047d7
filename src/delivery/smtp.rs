//! Handing letters over to a mail server, by lettre.
//!
//! Connections are kept for the next letter. Each is taken out for one letter and put back only when the conversation
//! about it has come to its end: when the time is up in the middle of one, or anything else goes wrong, the connection
//! is closed, because what the server says next would be taken for the answer to something else. lettre's own pool
//! takes such connections back, and waits for a stalled server to say good-bye; so the connections are kept here.
//!
//! What goes wrong before the letter is mentioned (no connection, no encryption, wrong password) is not about the
//! letter, whatever the server's code says.
//!
//! Where the way is to be encrypted nothing is said before it is but EHLO and STARTTLS, and no answer that came before
//! is taken for one that came after (see `line_by_line`). The certificate has to be for the server's name, and from an
//! authority that the system trusts or the settings name.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use secrecy::ExposeSecret;
use url::{Host, Url};

use super::compose::{LOGO, Letter};
use super::line_by_line::LineByLine;
use crate::config::{Security, Sender, SmtpAddress};
use crate::error::{Error, Result};

/// The most connections that are kept.
const KEPT: usize = 8;
/// For how long a connection is kept that nobody needs. Servers close theirs after five minutes (RFC 5321, 4.5.3.2.7).
const IDLE: Duration = Duration::from_secs(60);
/// For how long a connection that was kept is asked whether it still works. Firewalls forget connections, and then
/// nobody answers.
const PROBE: Duration = Duration::from_secs(5);

/// Why a letter was not taken.
#[derive(Debug)]
pub enum Failure {
    /// The server will never take it.
    Refused(String),
    /// It may take it another time.
    Again(String),
}

/// A mail server.
pub struct Smtp {
    address: SmtpAddress,
    way: Way,
    /// How we introduce ourselves.
    own: ClientId,
    idle: Mutex<Vec<Idle>>,
}

/// The way to a server.
enum Way {
    /// In the clear.
    Clear,
    /// It begins in the clear, and is encrypted before anything is said.
    StartTls(TlsParameters),
    /// It is encrypted from the beginning.
    Tls(TlsParameters),
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Smtp {
    /// The server at an address, for one that is known by `public_url` itself. Connects to nothing yet.
    pub fn new(address: SmtpAddress, public_url: &Url) -> Result<Smtp> {
        let own = match public_url.host() {
            Some(Host::Domain(name)) => ClientId::Domain(name.to_owned()),
            Some(Host::Ipv4(ip)) => ClientId::Ipv4(ip),
            Some(Host::Ipv6(ip)) => ClientId::Ipv6(ip),
            None => ClientId::Domain("localhost".to_owned()),
        };
        let way = match address.security {
            Security::Plain => Way::Clear,
            Security::StartTls => Way::StartTls(encryption(&address)?),
            Security::Tls => Way::Tls(encryption(&address)?),
        };
        Ok(Smtp { address, way, own, idle: Mutex::new(Vec::new()) })
    }

    /// Hands a letter over, within a time from the first to the last word.
    pub async fn send(&self, letter: &Letter, patience: Duration) -> Result<(), Failure> {
        let message = message(letter).map_err(Failure::Refused)?;
        let late = |_| Failure::Again(format!("the mail server did not answer within {patience:?}"));
        // Dropped in the middle, the conversation takes its connection with it.
        tokio::time::timeout(patience, self.converse(&message)).await.map_err(late)?
    }

    async fn converse(&self, message: &Message) -> Result<(), Failure> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        match connection.send(message.envelope(), &message.formatted()).await {
            Ok(_) => {
                self.keep(connection);
                Ok(())
            }
            Err(error) if is_about_the_letter(&error) => Err(Failure::Refused(error.to_string())),
            Err(error) => Err(Failure::Again(error.to_string())),
        }
    }

    /// A new connection. What goes wrong here is not about a letter.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let again = |error: lettre::transport::smtp::Error| Failure::Again(error.to_string());
        let SmtpAddress { host, port, credentials, .. } = &self.address;
        let place = (host.as_str(), *port);
        // The whole conversation has a bound; no part of it needs one of its own.
        let mut connection = match &self.way {
            Way::Clear => AsyncSmtpConnection::connect_tokio1(place, None, &self.own, None, None)
                .await
                .map_err(again)?,
            Way::Tls(tls) => {
                let tls = Some(tls.clone());
                AsyncSmtpConnection::connect_tokio1(place, None, &self.own, tls, None).await.map_err(again)?
            }
            Way::StartTls(tls) => {
                let clear = LineByLine::connect(place).await;
                let clear = clear.map_err(|error| Failure::Again(format!("Connection error: {error}")))?;
                let connection = AsyncSmtpConnection::connect_with_transport(Box::new(clear), &self.own);
                let mut connection = connection.await.map_err(again)?;
                // An error when the server does not offer it: nothing goes on in the clear.
                connection.starttls(tls.clone(), &self.own).await.map_err(again)?;
                connection
            }
        };
        if let Some((name, password)) = credentials {
            let credentials = Credentials::new(name.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(again)?;
        }
        Ok(connection)
    }

    /// A connection that was kept and still works.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            self.let_go();
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = idle?.connection;
            let works = tokio::time::timeout(PROBE, connection.test_connected()).await;
            if works.is_ok_and(|works| works) {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && !connection.has_broken() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Closes the connections that nobody has needed for long.
    pub fn let_go(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).retain(|idle| idle.since.elapsed() < IDLE);
    }
}

/// How the way to a server is encrypted: with TLS 1.2 or 1.3, and a certificate that is for its name and trusted.
fn encryption(address: &SmtpAddress) -> Result<TlsParameters> {
    let mut tls = TlsParameters::builder(address.host.clone());
    let mut setting = "BURSAR_SMTP_URL";
    if let Some(pem) = &address.authorities {
        setting = "BURSAR_SMTP_CA_FILE";
        let certificates = Certificate::from_pem(pem.as_bytes());
        tls = tls.add_root_certificate(certificates.map_err(|error| unusable(setting, &error))?);
    }
    tls.build().map_err(|error| unusable(setting, &error))
}

fn unusable(setting: &'static str, error: &lettre::transport::smtp::Error) -> Error {
    Error::invalid(setting, format!("with it the way to the mail server cannot be encrypted: {error}"))
}

/// Whether what has gone wrong with a letter is about the letter, and for good.
fn is_about_the_letter(error: &lettre::transport::smtp::Error) -> bool {
    // Some servers say only now that they want to know who we are, or to be reached otherwise (RFC 4954, 6).
    let about_us = error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538));
    // `is_client`: the letter has something that the server says it cannot take.
    (error.is_permanent() && !about_us) || error.is_client()
}

/// A letter as lettre knows one. An error says why it can never be one.
fn message(letter: &Letter) -> Result<Message, String> {
    let address = |text: &str| text.parse::<Address>().map_err(|error| format!("an address: {error}"));
    let Sender { name, address: from } = &letter.from;
    let micros = u64::try_from(letter.date.micros()).unwrap_or_default();
    let date: SystemTime = UNIX_EPOCH + Duration::from_micros(micros);
    let message = Message::builder()
        .message_id(Some(letter.message_id.clone()))
        .date(date)
        .from(Mailbox::new(name.clone(), address(from)?))
        .to(Mailbox::new(None, address(&letter.to)?))
        .header(Subject(letter.subject.clone()))
        .header(AutoSubmitted)
        .multipart(body(letter)?);
    message.map_err(|error| format!("it makes no message: {error}"))
}

/// What a letter says: as plain text, and as HTML, with the logo that it calls for beside it.
fn body(letter: &Letter) -> Result<MultiPart, String> {
    let (text, html) = (letter.text.clone(), letter.html.clone());
    let Some(logo) = &letter.logo else {
        return Ok(MultiPart::alternative_plain_html(text, html));
    };
    let png = ContentType::parse("image/png").map_err(|error| format!("its logo: {error}"))?;
    let logo = Attachment::new_inline(LOGO.to_owned()).body(logo.clone(), png);
    let html = MultiPart::related().singlepart(SinglePart::html(html)).singlepart(logo);
    Ok(MultiPart::alternative().singlepart(SinglePart::plain(text)).multipart(html))
}

/// What a letter is about. lettre leaves words of ASCII as they are, so that a name that is written like an encoded word
/// (RFC 2047) would be read as what that stands for: a text that has the beginning of one is encoded as a whole.
#[derive(Clone)]
struct Subject(String);

impl Subject {
    /// What begins an encoded word.
    const ENCODED: &'static str = "=?";
    /// The most bytes of a text in one word, so that no line is longer than 76 characters, the first one neither.
    const WORD: usize = 39;

    /// The text in encoded words, each of whole characters and on a line of its own.
    fn encoded(&self) -> String {
        let mut words = vec![String::new()];
        for c in self.0.chars() {
            match words.last_mut() {
                Some(word) if word.len() + c.len_utf8() <= Self::WORD => word.push(c),
                _ => words.push(c.to_string()),
            }
        }
        let encoded = |word: &String| format!("=?utf-8?b?{}?=", BASE64.encode(word.as_bytes()));
        words.iter().map(encoded).collect::<Vec<_>>().join("\r\n ")
    }
}

impl Header for Subject {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Subject")
    }

    fn parse(text: &str) -> Result<Subject, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Subject(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        let (name, text) = (Subject::name(), self.0.clone());
        if text.contains(Self::ENCODED) {
            // Nothing but Base64, in lines that are folded already.
            return HeaderValue::dangerous_new_pre_encoded(name, text, self.encoded());
        }
        HeaderValue::new(name, text)
    }
}

/// Says that no person has written the letter: whoever is on leave need not tell us (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<AutoSubmitted, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(AutoSubmitted::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lettre::message::header::Headers;

    fn line(subject: &str) -> String {
        let mut headers = Headers::new();
        headers.set(Subject(subject.to_owned()));
        headers.to_string()
    }

    #[test]
    fn subjects_say_what_was_written() {
        assert_eq!(line("Decision wanted (Demo = Realty?)"), "Subject: Decision wanted (Demo = Realty?)\r\n");
        assert_eq!(line("D\u{f6}mo"), "Subject: =?utf-8?b?RMO2bW8=?=\r\n");
        let long = "\u{1f3e0}".repeat(40);
        for name in
            ["=?utf-8?q?Acme?=", "a =?utf-8?b?QWNtZQ==?= b", "=?", "\u{f6} =?x", format!("=?{long}").as_str()]
        {
            let subject = format!("Decision wanted: 500 credits for USD 899.00 ({name})");
            let sent = line(&subject);
            let value = sent.strip_prefix("Subject: ").unwrap().strip_suffix("\r\n").unwrap();
            let mut read = String::new();
            for word in value.split("\r\n ") {
                let inside = word.strip_prefix("=?utf-8?b?").unwrap().strip_suffix("?=").unwrap();
                read += &String::from_utf8(BASE64.decode(inside.as_bytes()).unwrap()).unwrap();
            }
            assert_eq!(read, subject);
            assert!(sent.lines().all(|line| line.len() <= 76), "{sent}");
        }
    }
}
