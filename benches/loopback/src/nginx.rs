//! nginx as a reverse proxy in front of an agent.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;

use crate::Result;
use crate::process::Process;

/// Starts nginx with a worker per processor, which passes on bytes as they come and keeps its
/// connections. Returns its address, too.
pub async fn start(agent: SocketAddr) -> Result<(Process, SocketAddr)> {
    let folder = std::env::temp_dir().join(format!("bench-nginx-{}", std::process::id()));
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
    command.arg("-p").arg(&folder).args(["-e", "stderr", "-c"]).arg(&file).stdout(Stdio::null());
    let process = Process::start(&mut command, Some(folder))?;
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok((process, address));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("nginx does not start".into())
}
