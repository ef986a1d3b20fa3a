//! The [table] of the ways a call can end, run through every kind of client.

mod agent;
mod clients;
mod reqwest;
mod rows;
mod sdk;
mod secrets;
mod seen;
mod table;

use self::clients::{Beside, Hyper, Neighbour, Place};
use self::reqwest::{Middleware, Tower};
use self::sdk::Sdk;
use self::seen::By;

table::kinds! {
    hyper: Hyper,
    inside_buffer: Beside(Place::Inside, Neighbour::Buffer),
    outside_buffer: Beside(Place::Outside, Neighbour::Buffer),
    inside_concurrency_limit: Beside(Place::Inside, Neighbour::ConcurrencyLimit),
    outside_concurrency_limit: Beside(Place::Outside, Neighbour::ConcurrencyLimit),
    inside_decompression: Beside(Place::Inside, Neighbour::Decompression),
    outside_decompression: Beside(Place::Outside, Neighbour::Decompression),
    inside_follow_redirect: Beside(Place::Inside, Neighbour::FollowRedirect),
    outside_follow_redirect: Beside(Place::Outside, Neighbour::FollowRedirect),
    inside_timeout: Beside(Place::Inside, Neighbour::Timeout),
    nested: Beside(Place::Outside, Neighbour::Status),
    inside_all: Beside(Place::Inside, Neighbour::All),
    outside_all: Beside(Place::Outside, Neighbour::All),
    reqwest_middleware_by_chunks: Middleware(By::Chunks),
    reqwest_middleware_by_frames: Middleware(By::Frames),
    reqwest_by_chunks: Tower(By::Chunks),
    reqwest_by_frames: Tower(By::Frames),
    sdk_by_chunks: Sdk(By::Chunks),
    sdk_by_frames: Sdk(By::Frames),
}
