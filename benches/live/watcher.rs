//! A watcher: as little of a WebSocket client as it takes, so that what is measured is the server.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The versions of events, and when they came.
pub type Seen = Vec<(i64, Instant)>;

/// A connection whose subscription has brought its first event.
pub struct Watcher {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Watcher {
    /// Connects, says who it is, subscribes, and waits for the first event.
    pub async fn open(address: &str, token: &str, document: &str) -> Watcher {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut watcher = Watcher { stream, rest: Vec::new() };
        let request = format!(
            "GET /graphql/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        );
        watcher.stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(watcher.stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let init = format!(r#"{{"type":"connection_init","payload":{{"authorization":"Bearer {token}"}}}}"#);
        watcher.send(&init).await;
        while !watcher.next().await.contains("connection_ack") {}
        watcher.send(&format!(r#"{{"type":"subscribe","id":"1","payload":{document}}}"#)).await;
        while number_after(&watcher.next().await, "\"version").is_none() {}
        watcher
    }

    /// Reads until it is told to stop.
    pub async fn watch(mut self, mut stop: watch::Receiver<bool>) -> Seen {
        let mut seen = Vec::new();
        loop {
            tokio::select! {
                text = self.next() => {
                    let at = Instant::now();
                    if let Some(version) = number_after(&text, "\"version") {
                        seen.push((version, at));
                    } else if text.contains(r#""ping""#) {
                        self.send(r#"{"type":"pong"}"#).await;
                    } else {
                        panic!("{text}");
                    }
                }
                _ = stop.changed() => return seen,
            }
        }
    }

    /// The text of the next frame (RFC 6455, section 5.2; a server does not mask). May be dropped and called
    /// again: nothing gets lost.
    async fn next(&mut self) -> String {
        loop {
            if let [first, length, ..] = self.rest[..] {
                let (from, length) = match length {
                    126 if self.rest.len() >= 4 => {
                        (4, usize::from(u16::from_be_bytes([self.rest[2], self.rest[3]])))
                    }
                    126 => (4, usize::MAX / 2),
                    length => (2, usize::from(length)),
                };
                if self.rest.len() >= from + length {
                    assert_eq!(first, 0x81, "not a text: {:?}", String::from_utf8_lossy(&self.rest));
                    let text = String::from_utf8(self.rest[from..from + length].to_vec()).unwrap();
                    self.rest.drain(..from + length);
                    return text;
                }
            }
            let read = self.stream.read_buf(&mut self.rest).await.unwrap();
            assert!(read > 0, "the server has closed the connection");
        }
    }

    async fn send(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match u8::try_from(text.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            }
        }
        // Masked with zeros.
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
    }
}

/// The number after a key that begins with some text.
pub fn number_after(text: &str, key: &str) -> Option<i64> {
    let rest = &text[text.find(key)? + key.len()..];
    let rest = &rest[rest.find(':')? + 1..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
