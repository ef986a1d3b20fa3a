//! Upgraded connections, such as those of WebSockets.

use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::error::{AnyBody, ErrorResponse, empty};
use crate::listener::UpgradeSlot;

/// A client that asks for another protocol.
pub(super) struct Asked {
    pub(super) client: OnUpgrade,
    /// Where to go on once the client has the agent's consent.
    pub(super) slot: UpgradeSlot,
}

/// Passes the agent's consent on, and then whatever both sides send, until one of them ends.
pub(super) fn accept(
    asked: Option<Asked>,
    mut response: Response<AnyBody>,
) -> Result<Response<AnyBody>, ErrorResponse> {
    let Some(Asked { client, slot }) = asked else {
        let message = "the agent responded with 101 to a request without an upgrade";
        return Err(ErrorResponse::new(StatusCode::BAD_GATEWAY, message));
    };
    let agent = on(&mut response);
    let (head, body) = response.into_parts();
    slot.set(async move {
        if let (Ok(client), Ok(agent)) = (client.await, agent.await) {
            // Whichever side fails, the other one is closed, and sees the end of its connection.
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(agent)).await;
        }
        // The agent is in progress as long as its response is there.
        drop(body);
    });
    Ok(Response::from_parts(head, empty()))
}
