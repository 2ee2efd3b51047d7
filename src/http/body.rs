//! Reading the body of a request, within bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

/// The largest body, in bytes.
pub const BODY_BYTES: usize = 1024 * 1024;
/// How much of a body that is too large is taken, and thrown away, before the connection is closed on it: a
/// client that is still sending would not see why it is refused.
const DRAINED_BYTES: usize = 64 * BODY_BYTES;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a body that is too large may take to be thrown away.
const DRAIN: Duration = Duration::from_secs(2);

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is longer than a body may be.
    TooLarge,
    /// It takes too long.
    TooSlow,
    /// It ended too early.
    CutOff,
}

/// Reads a body.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Unreadable> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length: usize = length.unwrap_or_default();
    let mut chunks = body.into_data_stream();
    let whole = async {
        if length > BODY_BYTES {
            return Err(Unreadable::TooLarge);
        }
        let Some(first) = chunks.next().await else { return Ok(Bytes::new()) };
        let first = first.map_err(|_| Unreadable::CutOff)?;
        if first.len() > BODY_BYTES {
            return Err(Unreadable::TooLarge);
        }
        // Most bodies come in one piece.
        let Some(second) = chunks.next().await else { return Ok(first) };
        let mut bytes = BytesMut::with_capacity(length.max(first.len()));
        bytes.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            let chunk = chunk.map_err(|_| Unreadable::CutOff)?;
            if bytes.len() + chunk.len() > BODY_BYTES {
                return Err(Unreadable::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
            next = chunks.next().await;
        }
        Ok(bytes.freeze())
    };
    let read = tokio::time::timeout(PATIENCE, whole).await.unwrap_or(Err(Unreadable::TooSlow));
    if read == Err(Unreadable::TooLarge) {
        let drained = async {
            let mut left = DRAINED_BYTES;
            while let Some(Ok(chunk)) = chunks.next().await {
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    break;
                }
            }
        };
        // Whether all of it has come or not, the answer is the same.
        let _ = tokio::time::timeout(DRAIN, drained).await;
    }
    read
}
