//! How the session of a request is found: in its extensions, in the current scope, in a header, or
//! by a closure.

mod head;
mod lookup;

pub use self::head::RequestHead;
pub(crate) use self::lookup::{SessionLocation, SessionLookup, header_text};
