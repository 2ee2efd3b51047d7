//! Handing letters over to a mail server, by lettre.
//!
//! Connections are kept for the next letter. Each is taken out for one letter and put back only when the conversation
//! about it has come to its end: when the time is up in the middle of one, or anything else goes wrong, the connection
//! is closed, because what the server says next would be taken for the answer to something else. lettre's own pool
//! takes such connections back, and waits for a stalled server to say good-bye; so the connections are kept here.
//!
//! What goes wrong before the letter is mentioned (no connection, no encryption, wrong password) is not about the
//! letter, whatever the server's code says.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use secrecy::ExposeSecret;
use url::{Host, Url};

use super::compose::Letter;
use crate::config::{Security, Sender, SmtpAddress};
use crate::error::{Error, Result};

/// The most connections that are kept.
const KEPT: usize = 8;
/// For how long a connection is kept that nobody needs. Servers close theirs after five minutes (RFC 5321, 4.5.3.2.7).
const IDLE: Duration = Duration::from_secs(60);

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
    /// How the way is encrypted, if it is.
    tls: Option<TlsParameters>,
    /// How we introduce ourselves.
    own: ClientId,
    idle: Mutex<Vec<Idle>>,
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
        let tls = match address.security {
            Security::Plain => None,
            Security::StartTls | Security::Tls => {
                let tls = TlsParameters::new(address.host.clone());
                let wrong = |error: lettre::transport::smtp::Error| {
                    format!("the way to this server cannot be encrypted: {error}")
                };
                Some(tls.map_err(|error| Error::invalid("BURSAR_SMTP_URL", wrong(error)))?)
            }
        };
        Ok(Smtp { address, tls, own, idle: Mutex::new(Vec::new()) })
    }

    /// Hands a letter over, within a time from the first to the last word.
    pub async fn send(&self, letter: &Letter, patience: Duration) -> Result<(), Failure> {
        let message = message(letter).map_err(Failure::Refused)?;
        let late = |_| Failure::Again(format!("the mail server did not answer within {patience:?}"));
        // Dropped in the middle, the conversation takes its connection with it.
        tokio::time::timeout(patience, self.converse(&message)).await.map_err(late)?
    }

    async fn converse(&self, message: &Message) -> Result<(), Failure> {
        let about_us = |error: lettre::transport::smtp::Error| Failure::Again(error.to_string());
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect().await.map_err(about_us)?,
        };
        match connection.send(message.envelope(), &message.formatted()).await {
            Ok(_) => {
                self.keep(connection);
                Ok(())
            }
            // `is_client`: the letter has something that the server says it cannot take.
            Err(error) if error.is_permanent() || error.is_client() => {
                Err(Failure::Refused(error.to_string()))
            }
            Err(error) => Err(Failure::Again(error.to_string())),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let SmtpAddress { security, host, port, credentials } = &self.address;
        let wrapped = self.tls.clone().filter(|_| *security == Security::Tls);
        let place = (host.as_str(), *port);
        // The whole conversation has a bound; no part of it needs one of its own.
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(place, None, &self.own, wrapped, None).await?;
        if let Some(tls) = self.tls.clone().filter(|_| *security == Security::StartTls) {
            // An error when the server does not offer it: nothing goes on in the clear.
            connection.starttls(tls, &self.own).await?;
        }
        if let Some((name, password)) = credentials {
            let credentials = Credentials::new(name.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }

    /// A connection that was kept and still works.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            self.let_go();
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = idle?.connection;
            if connection.test_connected().await {
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
        .subject(letter.subject.clone())
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()));
    message.map_err(|error| format!("it makes no message: {error}"))
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
