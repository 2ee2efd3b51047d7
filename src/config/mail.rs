//! Settings of mail: which server takes it, and whom it is from. Without a server it stays in memory, to be read on
//! a page of a development server.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::ConfigError;
use crate::text;

/// How long it may take to hand a mail over, from the first to the last word with the server. No setting changes
/// this; tests do.
const PATIENCE: Duration = Duration::from_secs(30);
/// About how long a question for a link to sign in with waits: so long that what the answer writes is not told from
/// what others write, and not so long that anybody minds. No setting changes this; tests do.
const PACE: Duration = Duration::from_secs(2);
/// Whom mail is from that stays in memory, when nothing else is set.
const NOBODY: &str = "bursar@localhost";
/// How a certificate begins in PEM (RFC 7468).
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The server that takes it; none: it stays in memory.
    pub smtp: Option<SmtpAddress>,
    /// Whom it is from.
    pub from: Sender,
    /// How long it may take to hand one over.
    pub patience: Duration,
    /// About how long whoever asks for a link to sign in with waits until it is sent.
    pub pace: Duration,
}

/// A server that takes mail.
#[derive(Clone, Debug)]
pub struct SmtpAddress {
    /// How the way to it is protected.
    pub security: Security,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name and password, when it asks for them.
    pub credentials: Option<(String, SecretString)>,
    /// Certificates of authorities, in PEM, that are trusted with its certificate beside those that the system trusts.
    pub authorities: Option<String>,
}

/// How the way to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// It begins in the clear, and nothing is said before it is encrypted (RFC 3207).
    StartTls,
    /// It is encrypted from the beginning (RFC 8314).
    Tls,
    /// Not at all: within this machine only.
    Plain,
}

/// Whom mail is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// What to call the sender.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

impl Default for MailSettings {
    fn default() -> MailSettings {
        let from = Sender { name: Some("Bursar".to_owned()), address: NOBODY.to_owned() };
        MailSettings { smtp: None, from, patience: PATIENCE, pace: PACE }
    }
}

impl MailSettings {
    /// The settings that two texts and a file mean. The address of the server may hold a password and is never
    /// repeated.
    pub(super) fn check(
        smtp: Option<&str>,
        from: Option<&str>,
        ca_file: Option<&Path>,
    ) -> Result<MailSettings, ConfigError> {
        let wrong = |reason: &str| ConfigError(reason.to_owned());
        if smtp.is_some() && from.is_none() {
            return Err(wrong("BURSAR_MAIL_FROM: is needed when BURSAR_SMTP_URL is set"));
        }
        let default = MailSettings::default();
        let from = match from {
            Some(text) => sender(text).ok_or_else(|| {
                wrong("BURSAR_MAIL_FROM: must be an address, like credits@example.com or Credits <credits@example.com>")
            })?,
            None => default.from,
        };
        let mut smtp = match smtp {
            Some(text) => Some(server(text).ok_or_else(|| {
                wrong(
                    "BURSAR_SMTP_URL: must be like smtp://name:password@mail.example:587 (STARTTLS) or \
                     smtps://mail.example:465 (TLS); smtp+plain:// only on this machine",
                )
            })?),
            None => None,
        };
        if let Some(file) = ca_file {
            match &mut smtp {
                None => return Err(wrong("BURSAR_SMTP_CA_FILE: means nothing without BURSAR_SMTP_URL")),
                Some(address) if address.security == Security::Plain => {
                    return Err(wrong("BURSAR_SMTP_CA_FILE: means nothing with smtp+plain://"));
                }
                Some(address) => address.authorities = Some(authorities(file)?),
            }
        }
        Ok(MailSettings { smtp, from, patience: default.patience, pace: default.pace })
    }
}

/// The certificates in a file, as text. Whether each is one is found out where they are put to use, also at start.
fn authorities(file: &Path) -> Result<String, ConfigError> {
    let bytes = std::fs::read(file)
        .map_err(|error| ConfigError(format!("BURSAR_SMTP_CA_FILE: cannot be read: {error}")))?;
    // What stands between certificates is for people, in whatever encoding.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if !text.contains(CERTIFICATE) {
        let reason = format!("must hold certificates in PEM, each of which begins with {CERTIFICATE}");
        return Err(ConfigError(format!("BURSAR_SMTP_CA_FILE: {reason}")));
    }
    Ok(text)
}

fn sender(setting: &str) -> Option<Sender> {
    let setting = setting.trim();
    if setting.chars().any(char::is_control) {
        return None;
    }
    let Some((name, address)) = setting.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) else {
        return Some(Sender { name: None, address: text::address(setting)? });
    };
    let name = name.trim().trim_matches('"').trim();
    let name = (!name.is_empty()).then(|| name.to_owned());
    Some(Sender { name, address: text::address(address)? })
}

fn server(text: &str) -> Option<SmtpAddress> {
    let url = Url::parse(text).ok()?;
    let (security, port) = match url.scheme() {
        "smtp" => (Security::StartTls, 587),
        "smtps" => (Security::Tls, 465),
        "smtp+plain" => (Security::Plain, 25),
        _ => return None,
    };
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if host.is_empty() || !bare || (security == Security::Plain && !loopback) {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        ("", Some(_)) | (_, None) => return None,
        (name, Some(password)) => Some((decoded(name)?, SecretString::from(decoded(password)?))),
    };
    let port = url.port().unwrap_or(port);
    Some(SmtpAddress { security, host, port, credentials, authorities: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn servers_and_how_the_way_is_protected() {
        for (text, security, host, port) in [
            ("smtp://mail.example", Security::StartTls, "mail.example", 587),
            ("smtp://mail.example:2525/", Security::StartTls, "mail.example", 2525),
            ("smtps://mail.example", Security::Tls, "mail.example", 465),
            ("smtp+plain://127.0.0.1:2525", Security::Plain, "127.0.0.1", 2525),
            ("smtp+plain://localhost", Security::Plain, "localhost", 25),
            ("smtp+plain://[::1]:26", Security::Plain, "::1", 26),
        ] {
            let address = server(text).unwrap();
            assert_eq!(
                (address.security, address.host.as_str(), address.port),
                (security, host, port),
                "{text}"
            );
            assert!(address.credentials.is_none(), "{text}");
        }
        let address = server("smtps://me%40mail.example:p%3A%2F+&w@mail.example").unwrap();
        let (name, password) = address.credentials.clone().unwrap();
        assert_eq!((name.as_str(), password.expose_secret()), ("me@mail.example", "p:/+&w"));
        assert!(!format!("{address:?}").contains("p:/+&w"));
        for bad in [
            "",
            "mail.example",
            "http://mail.example",
            "smtp://",
            "smtp://mail.example/path",
            "smtp://mail.example?tls=no",
            "smtp://name@mail.example",
            "smtp://:password@mail.example",
            "smtp+plain://mail.example",
            "smtp+plain://192.0.2.1",
        ] {
            assert!(server(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn senders_are_one_address() {
        let named = |name: Option<&str>| Sender {
            name: name.map(str::to_owned),
            address: "credits@example.com".to_owned(),
        };
        assert_eq!(sender("credits@example.com"), Some(named(None)));
        assert_eq!(sender("<credits@example.com>"), Some(named(None)));
        assert_eq!(sender(" \"The Credits\" <Credits@Example.com>"), Some(named(Some("The Credits"))));
        for bad in ["", "credits", "Credits <credits>", "a@b.c\r\nBcc: x@y.z", "A\0 <a@b.c>", "a@b.c, d@e.f"]
        {
            assert_eq!(sender(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_server_needs_a_sender() {
        assert!(MailSettings::check(None, None, None).unwrap().smtp.is_none());
        let error = MailSettings::check(Some("smtps://mail.example"), None, None).unwrap_err().to_string();
        assert!(error.contains("BURSAR_MAIL_FROM: is needed"), "{error}");
        let settings = MailSettings::check(Some("smtps://mail.example"), Some("a@b.c"), None).unwrap();
        assert!(settings.smtp.unwrap().authorities.is_none());
    }

    #[test]
    fn authorities_are_certificates_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let check = |server: Option<&str>| MailSettings::check(server, Some("a@b.c"), Some(&file));
        let tls = Some("smtps://mail.example");
        for (server, expected) in [
            (None, "BURSAR_SMTP_CA_FILE: means nothing without BURSAR_SMTP_URL"),
            (Some("smtp+plain://localhost"), "BURSAR_SMTP_CA_FILE: means nothing with smtp+plain://"),
            (tls, "BURSAR_SMTP_CA_FILE: cannot be read"),
        ] {
            let error = check(server).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        // A certificate, but not as text.
        std::fs::write(&file, [0x30, 0x82, 0xff]).unwrap();
        let error = check(tls).unwrap_err().to_string();
        assert!(error.starts_with("BURSAR_SMTP_CA_FILE: must hold certificates in PEM"), "{error}");
        std::fs::write(&file, b"The \xe4lder one\n-----BEGIN CERTIFICATE-----\n").unwrap();
        for server in [tls, Some("smtp://mail.example")] {
            let address = check(server).unwrap().smtp.unwrap();
            assert!(address.authorities.unwrap().contains(CERTIFICATE));
        }
    }
}
