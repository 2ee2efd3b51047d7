//! A client of `graphql-transport-ws`.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::DEADLINE;

/// An open WebSocket.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects without saying who calls.
    pub async fn connect(base: &str, origin: Option<&str>) -> Result<Socket, String> {
        Socket::connect_with(base, origin, "graphql-transport-ws").await
    }

    /// Connects with another protocol; none when its name is empty.
    pub async fn connect_with(base: &str, origin: Option<&str>, protocol: &str) -> Result<Socket, String> {
        let url = base.replace("http://", "ws://") + "/graphql/ws";
        let mut request = url.into_client_request().unwrap();
        if !protocol.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, _)) => Ok(Socket(stream)),
            // The library does not go on without the protocol that it asked for; what the server says then is
            // known: it closes with 4406.
            Err(error) => Err(error.to_string()),
        }
    }

    /// Connects and proves who calls.
    pub async fn open(base: &str, token: &str) -> Socket {
        let mut socket = Socket::connect(base, None).await.unwrap();
        let payload = json!({ "authorization": format!("Bearer {token}") });
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        let ack = socket.message().await.unwrap();
        assert_eq!(ack["type"], "connection_ack");
        socket
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Sends a text as it is.
    pub async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Sends bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    /// Begins a subscription.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }

    /// Reads on for as long as it is let, pings answered.
    pub async fn raw_answering(&mut self) {
        while self.message().await.is_ok() {}
    }

    /// The next message, pings answered; when the server has closed, its code and reason.
    pub async fn message(&mut self) -> Result<Value, (u16, String)> {
        loop {
            let message = self.raw_message().await?;
            if message["type"] != "ping" {
                return Ok(message);
            }
            self.send(json!({ "type": "pong" })).await;
        }
    }

    /// The next message, whatever it is.
    pub async fn raw_message(&mut self) -> Result<Value, (u16, String)> {
        loop {
            let message =
                tokio::time::timeout(DEADLINE, self.0.next()).await.expect("no message within the deadline");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    return Err(frame.unwrap_or((1005, String::new())));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err((1006, error.to_string())),
                None => return Err((1006, "gone".to_owned())),
            }
        }
    }

    /// The data of the next event of a subscription.
    pub async fn next(&mut self, field: &str) -> Value {
        let message = self.message().await.unwrap();
        assert_eq!(message["type"], "next", "{message}");
        assert!(message["payload"].get("errors").is_none(), "{message}");
        message["payload"]["data"][field].clone()
    }
}
