//! Requests and responses as bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::in_time;

/// A connection of a client.
pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads up to a text, and returns what comes before it and the text.
    pub async fn until(&mut self, text: &str) -> String {
        in_time(async {
            loop {
                let found = self.read.windows(text.len()).position(|part| part == text.as_bytes());
                if let Some(at) = found {
                    let rest = self.read.split_off(at + text.len());
                    let read = std::mem::replace(&mut self.read, rest);
                    return String::from_utf8_lossy(&read).into_owned();
                }
                if self.stream.read_buf(&mut self.read).await.unwrap() == 0 {
                    panic!("{text:?} does not come: {:?}", String::from_utf8_lossy(&self.read));
                }
            }
        })
        .await
    }

    /// Reads until the other side closes the connection, even if it resets it.
    pub async fn rest(&mut self) -> String {
        in_time(async {
            while self.stream.read_buf(&mut self.read).await.is_ok_and(|bytes| bytes > 0) {}
        })
        .await;
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }
}

/// Sends bytes on a connection of its own, and returns all that comes back. The request should ask
/// for the end of the connection.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(address).await;
    raw.send(bytes).await;
    raw.rest().await
}

/// The status of a response.
pub fn status(response: &str) -> u16 {
    let status = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{response:?}"))
}
