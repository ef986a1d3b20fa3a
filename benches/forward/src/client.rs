//! A client that costs as little as possible, since it shares the processors with what it measures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use loopback::Result;
use loopback::openai::PROMPT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// A connection that is kept.
pub struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// When the first byte of a body has come, and its last one.
#[derive(Clone, Copy)]
pub struct Times {
    pub first_byte: Duration,
    pub end: Duration,
}

enum Length {
    Bytes(u64),
    Chunked,
}

impl Client {
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{PROMPT}",
            PROMPT.len()
        );
        Ok(Self { stream, request: request.into_bytes(), buffer: vec![0; 256 << 10] })
    }

    /// Makes a call, and reads its response to the end.
    pub async fn call(&mut self) -> Result<Times> {
        let (started, length, mut bytes) = self.begin().await?;
        let first_byte = started.elapsed();
        match length {
            Length::Bytes(all) => {
                let mut rest = all - bytes as u64;
                while rest > 0 {
                    rest -= self.read(0).await? as u64;
                }
            }
            Length::Chunked => {
                // What has been read stays at the beginning of the buffer, as far as the last chunk may
                // reach into it.
                while !self.buffer[..bytes].ends_with(LAST_CHUNK) {
                    let kept = bytes.min(LAST_CHUNK.len());
                    self.buffer.copy_within(bytes - kept..bytes, 0);
                    bytes = kept + self.read(kept).await?;
                }
            }
        }
        Ok(Times { first_byte, end: started.elapsed() })
    }

    /// Makes a call whose response does not end, and reads the first bytes of its body.
    pub async fn open(mut self) -> Result<TcpStream> {
        self.begin().await?;
        Ok(self.stream)
    }

    /// Sends a request, and reads the head and the first bytes of the body, which are then at the
    /// beginning of the buffer.
    async fn begin(&mut self) -> Result<(Instant, Length, usize)> {
        let started = Instant::now();
        self.stream.write_all(&self.request).await?;
        let mut read = 0;
        loop {
            read += self.read(read).await?;
            let end = self.buffer[..read].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            let Some(end) = end.map(|end| end + 4).filter(|end| *end < read) else { continue };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(head.into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = match length {
                Some(length) => Length::Bytes(length.parse()?),
                None => Length::Chunked,
            };
            self.buffer.copy_within(end..read, 0);
            return Ok((started, length, read - end));
        }
    }

    async fn read(&mut self, at: usize) -> Result<usize> {
        match self.stream.read(&mut self.buffer[at..]).await? {
            0 => Err("the connection has ended".into()),
            bytes => Ok(bytes),
        }
    }
}
