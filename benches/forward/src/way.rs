//! The ways to the agent: directly, through nginx, and through the forwarder.

use std::net::SocketAddr;

use loopback::process::Process;
use loopback::{Result, nginx};

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
}

impl Way {
    pub async fn start(kind: Kind, agent: SocketAddr) -> Result<Self> {
        let (proxy, address) = match kind {
            Kind::Direct => (None, agent),
            Kind::Forwarder | Kind::Unrecorded => {
                let (proxy, address) =
                    Process::start_self(&["forward", &agent.to_string()]).await?;
                (Some(proxy), address)
            }
            Kind::Nginx => {
                let (proxy, address) = nginx::start(agent).await?;
                (Some(proxy), address)
            }
        };
        Ok(Self { kind, address, proxy })
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
