//! A mail server that is reached by an encrypted way, or should be. What was said to it in the clear is kept apart from
//! what was said to it encrypted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::config::{Config, Security, SmtpAddress};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::smtp::Came;

const BANNER: &str = "220 smtp.test ESMTP";
/// Answers that somebody on the way would like to be taken for the server's: to everything up to the letter.
const INJECTED: &str = "220 go on\r\n250-smtp.test\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 fine\r\n250 fine\r\n\
                        354 go on\r\n250 taken";

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// By TLS from the beginning.
    Tls,
    /// By STARTTLS.
    StartTls,
    /// In the clear: it offers nothing else.
    Clear,
    /// It offers STARTTLS, and refuses it.
    Refused,
    /// By STARTTLS, with somebody on the way who puts answers behind the server's.
    Injected,
    /// By TLS from the beginning, but it never says a word.
    SilentTls,
    /// By STARTTLS, but then it never says another word.
    SilentStartTls,
}

#[derive(Default)]
struct Log {
    clear: Vec<String>,
    hidden: Vec<String>,
    taken: Vec<Came>,
    connections: usize,
}

/// A mail server that lives as long as the test's runtime.
#[derive(Clone)]
pub struct EncryptedSmtp {
    port: u16,
    entrance: Entrance,
    /// How one proves to it who one is.
    mechanism: &'static str,
    tls: TlsAcceptor,
    log: Arc<Mutex<Log>>,
}

impl EncryptedSmtp {
    /// Starts one.
    pub async fn start(entrance: Entrance, mechanism: &'static str, tls: TlsAcceptor) -> EncryptedSmtp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = EncryptedSmtp { port, entrance, mechanism, tls, log: Arc::default() };
        let made = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = made.clone();
                server.log.lock().unwrap().connections += 1;
                // Whether the client stays to the end does not matter here.
                tokio::spawn(async move { _ = server.serve(stream).await });
            }
        });
        server
    }

    /// Has a server of ours send its mail here, with a name and a password, and trust an authority.
    pub fn takes_mail_of(&self, config: &mut Config, security: Security, authorities: Option<String>) {
        let credentials = Some(("bursar".to_owned(), SecretString::from("swordfish")));
        let host = "127.0.0.1".to_owned();
        config.mail.smtp = Some(SmtpAddress { security, host, port: self.port, credentials, authorities });
        config.mail.from.address = "credits@bursar.test".to_owned();
        let silent = matches!(self.entrance, Entrance::SilentTls | Entrance::SilentStartTls);
        config.mail.patience = Duration::from_millis(if silent { 400 } else { 20_000 });
    }

    /// What was said to it in the clear, without letters.
    pub fn clear(&self) -> Vec<String> {
        self.log.lock().unwrap().clear.clone()
    }

    /// What was said to it encrypted, without letters.
    pub fn hidden(&self) -> Vec<String> {
        self.log.lock().unwrap().hidden.clone()
    }

    /// The letters that it was given, by whatever way.
    pub fn taken(&self) -> Vec<Came> {
        self.log.lock().unwrap().taken.clone()
    }

    /// How often somebody has connected.
    pub fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        if self.entrance == Entrance::SilentTls {
            std::future::pending::<()>().await;
        }
        if self.entrance == Entrance::Tls {
            let mut stream = self.tls.accept(stream).await?;
            say(&mut stream, BANNER).await?;
            self.converse(stream, true).await?;
            return Ok(());
        }
        say(&mut stream, BANNER).await?;
        let Some(stream) = self.converse(stream, false).await? else { return Ok(()) };
        if self.entrance == Entrance::SilentStartTls {
            std::future::pending::<()>().await;
        }
        let stream = self.tls.accept(stream).await?;
        self.converse(stream, true).await?;
        Ok(())
    }

    /// Answers until the client goes. Gives the connection back when it is to be encrypted.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        hidden: bool,
    ) -> std::io::Result<Option<S>> {
        let mut stream = BufReader::new(stream);
        let mut to = String::new();
        while let Some(line) = self.line(&mut stream, hidden).await? {
            let answer = match line.split(' ').next().unwrap() {
                "EHLO" if hidden => format!("250-smtp.test\r\n250-8BITMIME\r\n250 AUTH {}", self.mechanism),
                // Also in the clear it says how one proves who one is: nobody should.
                "EHLO" if self.entrance == Entrance::Clear => {
                    format!("250-smtp.test\r\n250 AUTH {}", self.mechanism)
                }
                "EHLO" => format!("250-smtp.test\r\n250-STARTTLS\r\n250 AUTH {}", self.mechanism),
                "STARTTLS" if self.entrance == Entrance::Refused => "454 4.7.0 not now".to_owned(),
                "STARTTLS" => {
                    let injected = self.entrance == Entrance::Injected;
                    say(&mut stream, if injected { INJECTED } else { "220 go on" }).await?;
                    return Ok(Some(stream.into_inner()));
                }
                "AUTH" => {
                    if self.mechanism == "LOGIN" {
                        // "Username:" and "Password:".
                        for question in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                            say(&mut stream, question).await?;
                            self.line(&mut stream, hidden).await?;
                        }
                    }
                    "235 2.7.0 welcome".to_owned()
                }
                "RCPT" => {
                    to.clone_from(&line);
                    "250 fine".to_owned()
                }
                "DATA" => {
                    say(&mut stream, "354 go on").await?;
                    let mut data = String::new();
                    while !data.ends_with("\r\n.\r\n") {
                        if stream.read_line(&mut data).await? == 0 {
                            return Ok(None);
                        }
                    }
                    self.log.lock().unwrap().taken.push(Came { to: to.clone(), data });
                    "250 taken".to_owned()
                }
                _ => "250 fine".to_owned(),
            };
            say(&mut stream, &answer).await?;
        }
        Ok(None)
    }

    /// The next line that is said; none at the end, or when it is none.
    async fn line<S: AsyncRead + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        hidden: bool,
    ) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if !hidden && line.starts_with('\u{16}') {
            // That is no line but the beginning of a handshake (RFC 8446, 5.1).
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        let mut log = self.log.lock().unwrap();
        let said = if hidden { &mut log.hidden } else { &mut log.clear };
        said.push(line.clone());
        Ok(Some(line))
    }
}

/// Says something, at once and as a whole.
async fn say<S: AsyncWrite + Unpin>(stream: &mut S, words: &str) -> std::io::Result<()> {
    stream.write_all(format!("{words}\r\n").as_bytes()).await?;
    stream.flush().await
}
