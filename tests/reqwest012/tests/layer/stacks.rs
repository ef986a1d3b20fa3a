//! The [table] of the ways a call can end, run through reqwest's kinds of client.

#[path = "../../../layer/stacks/agent.rs"]
mod agent;
#[path = "../../../layer/stacks/clients.rs"]
mod clients;
#[path = "../../../layer/stacks/reqwest.rs"]
mod reqwest;
#[path = "../../../layer/stacks/rows.rs"]
mod rows;
#[path = "../../../layer/stacks/secrets.rs"]
mod secrets;
#[path = "../../../layer/stacks/seen.rs"]
mod seen;
#[path = "../../../layer/stacks/table.rs"]
mod table;

use self::reqwest::{Middleware, Tower};
use self::seen::By;

table::kinds! {
    middleware_by_chunks: Middleware(By::Chunks),
    middleware_by_frames: Middleware(By::Frames),
    by_chunks: Tower(By::Chunks),
    by_frames: Tower(By::Frames),
}
