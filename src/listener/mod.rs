//! [`Listener`]: accepts the connections of the portal and of the forwarder, and bounds how many
//! there are and how long each of their steps may take.
//!
//! | file | what it has |
//! | --- | --- |
//! | `accept` | the loop that accepts connections until the shutdown |
//! | `connections` | how many there are, and which one makes room for another |
//! | `connection` | one connection: its protocol, its limits, its requests |
//! | `upgrade` | what a connection becomes once it no longer speaks HTTP |
//! | `descriptors` | how many files the process may open |
//! | `hosts` | the names under which a server on loopback may be called |
//! | `token` | the tokens that can be sent, and their comparison |

mod accept;
mod connection;
mod connections;
mod descriptors;
mod hosts;
mod token;
mod upgrade;

use std::time::Duration;

use futures_util::future::{BoxFuture, Shared};

pub(crate) use accept::Listener;
pub(crate) use hosts::{HostError, Hosts, check_host};
pub(crate) use token::Token;
#[cfg(feature = "forward")]
pub(crate) use upgrade::UpgradeSlot;

/// Resolves when a server should shut down.
pub(crate) type ShutdownSignal = Shared<BoxFuture<'static, ()>>;

/// What the servers do differently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Names the server in the log: `the portal`.
    pub(crate) name: &'static str,
    /// How many connections there may be. Fewer if the process may not open as many files.
    pub(crate) max_connections: usize,
    /// The largest head of a request, in bytes. Every connection may hold as much.
    pub(crate) max_head: usize,
    /// How long a client may read nothing of a response.
    pub(crate) write_timeout: Duration,
    /// How long open connections may take to finish at shutdown.
    pub(crate) grace: Duration,
    /// Whether the server passes on the responses of others: also over HTTP/2 without TLS, with
    /// upgrades, and without a date of its own.
    pub(crate) is_proxy: bool,
}

impl Settings {
    /// How many descriptors a connection takes: that of a proxy has another one behind it.
    fn descriptors_each(&self) -> usize {
        if self.is_proxy { 2 } else { 1 }
    }
}
