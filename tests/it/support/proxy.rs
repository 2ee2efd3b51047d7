//! A way to PostgreSQL that is slow, or cuts a connection off at its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// When connections are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// Never.
    Never = 0,
    /// The next COMMIT does not arrive.
    BeforeCommit = 1,
    /// The next COMMIT arrives, and its answer does not.
    AfterCommit = 2,
}

/// A proxy that lives as long as the test's runtime.
#[derive(Clone)]
pub struct Proxy {
    /// Host and port to connect to.
    pub host: String,
    cut: Arc<AtomicU8>,
    cuts: Arc<AtomicU32>,
}

impl Proxy {
    /// A proxy to a server, which holds back for a time whatever clients send.
    pub async fn start(upstream: &str, delay: Duration) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (cut, cuts) = (Arc::new(AtomicU8::new(Cut::Never as u8)), Arc::new(AtomicU32::new(0)));
        let proxy = Proxy { host, cut, cuts };
        let (made, upstream) = (proxy.clone(), upstream.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, upstream) = (made.clone(), upstream.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(&upstream).await {
                        proxy.carry(client, server, delay).await;
                    }
                });
            }
        });
        proxy
    }

    /// Cuts the connection of the next commit off.
    pub fn cut_next(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// How many connections have been cut off.
    pub fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::SeqCst)
    }

    /// Carries bytes both ways until one side ends or the connection is cut off.
    async fn carry(&self, client: TcpStream, server: TcpStream, delay: Duration) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let silent = AtomicBool::new(false);
        let there = async {
            while let Some(bytes) = read(&mut from_client).await {
                // As a message of its own, not as a part of READ COMMITTED.
                let commit = bytes.windows(7).any(|window| window == b"COMMIT\0");
                let cut = if commit { self.cut.swap(Cut::Never as u8, Ordering::SeqCst) } else { 0 };
                if cut == Cut::BeforeCommit as u8 {
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                tokio::time::sleep(delay).await;
                silent.store(cut == Cut::AfterCommit as u8, Ordering::SeqCst);
                if to_server.write_all(&bytes).await.is_err() {
                    return;
                }
                if cut == Cut::AfterCommit as u8 {
                    // Long enough for the database to be done: its answer finds nobody.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
        };
        let back = async {
            while let Some(bytes) = read(&mut from_server).await {
                if silent.load(Ordering::SeqCst) {
                    continue;
                }
                if to_client.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = there => {}, () = back => {} }
    }
}

async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 16 * 1024];
    match from.read(&mut buffer).await {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            buffer.truncate(length);
            Some(buffer)
        }
    }
}
