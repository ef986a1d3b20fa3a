//! The ways to the agent: directly, through nginx, and through the forwarder.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;

use crate::Result;
use crate::process::Process;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Direct,
    Nginx,
    /// The forwarder, for calls of a session.
    Forwarder,
    /// The forwarder, for calls that are not recorded: the proxy without the layer's work.
    Unrecorded,
}

pub const KINDS: [Kind; 4] = [Kind::Direct, Kind::Nginx, Kind::Forwarder, Kind::Unrecorded];

pub struct Way {
    pub kind: Kind,
    pub address: SocketAddr,
    /// What is between the client and the agent.
    pub proxy: Option<Process>,
    folder: Option<PathBuf>,
}

impl Way {
    pub async fn start(kind: Kind, agent: SocketAddr) -> Result<Self> {
        Ok(match kind {
            Kind::Direct => Self { kind, address: agent, proxy: None, folder: None },
            Kind::Forwarder | Kind::Unrecorded => {
                let agent = agent.to_string();
                let (proxy, address) = Process::start_self(&["forward", &agent]).await?;
                Self { kind, address, proxy: Some(proxy), folder: None }
            }
            Kind::Nginx => nginx(agent).await?,
        })
    }

    /// The path of a request on one of the client's connections.
    pub fn path(&self, connection: usize, path: &str) -> String {
        match self.kind {
            Kind::Direct | Kind::Nginx => path.to_owned(),
            Kind::Forwarder => format!("/agent/~session-{connection}{path}"),
            Kind::Unrecorded => format!("/agent{path}"),
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            proxy.stop();
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// nginx with a worker per processor, which passes on bytes as they come and keeps its connections, as
/// the forwarder does.
async fn nginx(agent: SocketAddr) -> Result<Way> {
    let folder = std::env::temp_dir().join(format!("forward-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    // nginx cannot choose one itself.
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let root = folder.display();
    let configuration = format!(
        "daemon off;
worker_processes auto;
worker_rlimit_nofile 8192;
pid {root}/pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    keepalive_requests 1000000000;
    upstream agent {{ server {agent}; keepalive 1024; keepalive_requests 1000000000; }}
    server {{
        listen {address} backlog=1024;
        location / {{
            proxy_pass http://agent;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration)?;
    let mut command = Command::new("nginx");
    // Not the log of the system, before the configuration is read.
    let proxy = Process::start(
        command
            .arg("-p")
            .arg(&folder)
            .args(["-e", "stderr", "-c"])
            .arg(&file)
            .stdout(Stdio::null()),
    )?;
    let way = Way { kind: Kind::Nginx, address, proxy: Some(proxy), folder: Some(folder) };
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(way);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("nginx does not start".into())
}
