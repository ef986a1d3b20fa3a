//! Where a request names its session: in an extension, by the surrounding scope, in a header,
//! or where a closure finds it.

mod head;
mod lookup;

pub use self::head::RequestHead;
pub(crate) use self::lookup::{SessionLocation, SessionLookup};
