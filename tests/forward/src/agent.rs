//! Agents that record what reaches them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::ANY_PORT;

/// An agent that answers each request with the same bytes, and records the requests.
#[derive(Clone)]
pub struct RecordingAgent {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl RecordingAgent {
    /// An agent that answers `ok`.
    pub async fn start() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await
    }

    pub async fn answering(answer: &'static str) -> Self {
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let connections = Arc::<Mutex<usize>>::default();
        let (log, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let address = listen(move |mut stream| {
            let log = Arc::clone(&log);
            *count.lock().unwrap() += 1;
            async move {
                let mut bytes = Vec::new();
                while let Some(request) = read_request(&mut stream, &mut bytes).await {
                    log.lock().unwrap().push(request);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                if !bytes.is_empty() {
                    let rest = String::from_utf8_lossy(&bytes).into_owned();
                    log.lock().unwrap().push(format!("incomplete: {rest}"));
                }
            }
        })
        .await;
        Self { address, requests, connections }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests since the last call, each as it was sent.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// Serves connections on a free port until the runtime ends.
pub async fn listen<F, R>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads one request with its body, strictly by its own framing. `None` at the end.
async fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = end_of_request(bytes) {
            let rest = bytes.split_off(end);
            let request = std::mem::replace(bytes, rest);
            return Some(String::from_utf8_lossy(&request).into_owned());
        }
        if stream.read_buf(bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.find("\r\n\r\n")? + 4;
    let value = |name: &str| {
        text[..head].lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    if value("transfer-encoding").is_some() {
        let body = &text[head..];
        // No body of a test contains this.
        return Some(head + body.find("0\r\n\r\n")? + 5);
    }
    let length = value("content-length").map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}
