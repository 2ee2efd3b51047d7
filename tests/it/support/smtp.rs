//! A mail server that does as a test says: takes letters, refuses them, stalls, drops. It speaks as much of SMTP
//! (RFC 5321) as lettre needs, in the clear.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::config::{Config, Security, SmtpAddress};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::DEADLINE;

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// It takes every letter.
    Accept,
    /// It says nothing at all, to nothing.
    StallAtBanner,
    /// It says nothing to DATA.
    StallAtData,
    /// It says nothing once it has the letter.
    StallAfterLetter,
    /// It closes the connection at once, or whatever is said next.
    DropAtBanner,
    /// It closes the connection at DATA.
    DropAtData,
    /// It closes the connection once it has the letter.
    DropAfterLetter,
    /// It answers to the recipient.
    AnswerRecipient(&'static str),
    /// It answers to the letter.
    AnswerLetter(&'static str),
}

/// A letter as it came.
#[derive(Clone, Debug)]
pub struct Came {
    /// To whom, as said to the server.
    pub to: String,
    /// Headers and body.
    pub data: String,
}

impl Came {
    /// The first address in it that begins like this, whatever the letter is encoded in.
    pub fn link(&self, beginning: &str) -> String {
        // A line that begins with a dot came with another one before it.
        let text = self.data.replace("=\r\n..", ".").replace("=\r\n", "").replace("=3D", "=");
        let (_, rest) = text.split_once(beginning).unwrap_or_else(|| panic!("no {beginning}: {text}"));
        let end = rest.find(|c: char| c.is_whitespace() || "\"<>".contains(c)).unwrap_or(rest.len());
        format!("{beginning}{}", &rest[..end])
    }

    /// The code in it that the page of its link asks for.
    pub fn code(&self) -> String {
        let (_, rest) =
            self.data.split_once("this code: ").unwrap_or_else(|| panic!("no code: {}", self.data));
        rest.chars().take(4).collect()
    }

    /// The value of a header, on one line.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.data.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        let mut lines = head.split("\r\n");
        let line = lines.find(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase())));
        line.map(|line| line.split_once(':').unwrap().1.trim().to_owned())
    }
}

#[derive(Default)]
struct Log {
    /// What was said to the server, line by line, without the letters.
    said: Vec<String>,
    /// Letters that came, whatever became of them.
    seen: Vec<Came>,
    /// Letters that were taken.
    taken: Vec<Came>,
    connections: usize,
}

/// A mail server that lives as long as the test's runtime.
#[derive(Clone)]
pub struct SmtpServer {
    port: u16,
    script: Arc<Mutex<Script>>,
    log: Arc<Mutex<Log>>,
}

impl SmtpServer {
    /// Starts one.
    pub async fn start(script: Script) -> SmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server =
            SmtpServer { port, script: Arc::new(Mutex::new(script)), log: Arc::new(Mutex::default()) };
        let made = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = made.clone();
                server.log.lock().unwrap().connections += 1;
                // Whether the client stays to the end does not matter here.
                tokio::spawn(async move { _ = server.converse(stream).await });
            }
        });
        server
    }

    /// Has it do something else from now on, also in conversations that have begun.
    pub fn set(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// Has a server of ours send its mail here, and wait for so long.
    pub fn takes_mail_of(&self, config: &mut Config, patience: Duration) {
        let host = IpAddr::from([127, 0, 0, 1]).to_string();
        config.mail.smtp = Some(SmtpAddress {
            security: Security::Plain,
            host,
            port: self.port,
            credentials: None,
            authorities: None,
        });
        config.mail.from.address = "credits@bursar.test".to_owned();
        config.mail.patience = patience;
    }

    /// Its address, as a setting, for somebody with a name and a password.
    pub fn url(&self, credentials: &str) -> String {
        format!("smtp+plain://{credentials}@127.0.0.1:{}", self.port)
    }

    /// Waits until so many letters to somebody were taken, and answers the last of them.
    pub async fn letter(&self, to: &str, number: usize) -> Came {
        let come = async {
            loop {
                let mut letters: Vec<Came> =
                    self.taken().into_iter().filter(|letter| letter.to.contains(to)).collect();
                if letters.len() >= number {
                    break letters.swap_remove(number - 1);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, come).await.unwrap_or_else(|_| panic!("no letter to {to}"))
    }

    /// The letters that were taken.
    pub fn taken(&self) -> Vec<Came> {
        self.log.lock().unwrap().taken.clone()
    }

    /// The letters that came, whatever became of them.
    pub fn seen(&self) -> Vec<Came> {
        self.log.lock().unwrap().seen.clone()
    }

    /// What was said to it.
    pub fn said(&self) -> Vec<String> {
        self.log.lock().unwrap().said.clone()
    }

    /// How often somebody has connected.
    pub fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    /// Waits until somebody has said something that begins like this.
    pub async fn heard(&self, word: &str) {
        let said = async {
            while !self.said().iter().any(|line| line.starts_with(word)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, said).await.unwrap_or_else(|_| panic!("nobody has said {word}"));
    }

    fn script(&self) -> Script {
        *self.script.lock().unwrap()
    }

    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader);
        match self.script() {
            Script::StallAtBanner => std::future::pending().await,
            Script::DropAtBanner => return Ok(()),
            _ => writer.write_all(b"220 smtp.test ESMTP\r\n").await?,
        }
        let mut to = String::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            self.log.lock().unwrap().said.push(line.clone());
            let word = line.split(' ').next().unwrap().to_uppercase();
            let answer = match (word.as_str(), self.script()) {
                (_, Script::StallAtBanner) => std::future::pending().await,
                (_, Script::DropAtBanner) => return Ok(()),
                ("EHLO", _) => "250-smtp.test\r\n250-AUTH PLAIN\r\n250 8BITMIME",
                ("RCPT", Script::AnswerRecipient(answer)) => answer,
                ("RCPT", _) => {
                    to.clone_from(&line);
                    "250 fine"
                }
                ("DATA", Script::StallAtData) => std::future::pending().await,
                ("DATA", Script::DropAtData) => return Ok(()),
                ("DATA", _) => {
                    writer.write_all(b"354 go on\r\n").await?;
                    let mut data = String::new();
                    while !data.ends_with("\r\n.\r\n") {
                        if lines.read_line(&mut data).await? == 0 {
                            return Ok(());
                        }
                    }
                    let came = Came { to: to.clone(), data };
                    self.log.lock().unwrap().seen.push(came.clone());
                    match self.script() {
                        Script::StallAfterLetter => std::future::pending().await,
                        Script::DropAfterLetter => return Ok(()),
                        Script::AnswerLetter(answer) => answer,
                        _ => {
                            self.log.lock().unwrap().taken.push(came);
                            "250 taken"
                        }
                    }
                }
                ("QUIT", _) => {
                    writer.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "250 fine",
            };
            writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}
