//! A connection that is read one line at a time, and never beyond the line.
//!
//! Whoever sits on the way can put answers of their own behind the one to STARTTLS, while it is still in the clear. A
//! client that has read them ahead takes them for the server's once the way is encrypted ("response injection"): a
//! letter would be held for delivered that the server has never seen. What is not read ahead is the first that the
//! handshake meets, and breaks it. Encrypted bytes come in pieces too, which costs a call or two for each answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How many bytes are looked at to find the end of a line.
const AHEAD: usize = 1_024;

/// A connection that gives at most one line when it is read.
#[derive(Debug)]
pub(super) struct LineByLine(TcpStream);

impl LineByLine {
    /// Connects to the first address of a host that takes the connection.
    pub(super) async fn connect(place: (&str, u16)) -> io::Result<LineByLine> {
        Ok(LineByLine(TcpStream::connect(place).await?))
    }
}

impl AsyncRead for LineByLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ahead = [0; AHEAD];
        let mut ahead = ReadBuf::new(&mut ahead);
        // Nothing is taken yet.
        ready!(self.0.poll_peek(context, &mut ahead))?;
        let ahead = ahead.filled();
        let line = ahead.iter().position(|byte| *byte == b'\n').map_or(ahead.len(), |end| end + 1);
        let most = line.min(buffer.remaining());
        // At the end nothing is seen, and nothing is given.
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.0).poll_read(context, &mut part))?;
        let given = part.filled().len();
        buffer.advance(given);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineByLine {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncTokioStream for LineByLine {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn nothing_is_read_beyond_a_line() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (client, accepted) = tokio::join!(LineByLine::connect(("127.0.0.1", port)), listener.accept());
        let (mut client, mut server) = (client.unwrap(), accepted.unwrap().0);
        let long = [b'x'; 3 * AHEAD];
        server.write_all(b"220 go on\r\n250 fine\r\n\n").await.unwrap();
        server.write_all(&long).await.unwrap();
        server.shutdown().await.unwrap();
        let mut buffer = [0; 8 * AHEAD];
        for line in ["220 go on\r\n", "250 fine\r\n", "\n"] {
            let read = client.read(&mut buffer).await.unwrap();
            assert_eq!(buffer[..read], *line.as_bytes());
        }
        // A line without an end comes in pieces, also into a buffer that is smaller than what has come.
        assert_eq!(client.read(&mut buffer[..10]).await.unwrap(), 10);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, long[10..]);
    }
}
