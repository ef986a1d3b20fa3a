//! [`OutgoingRequest`]: what the tracking of a call needs from a client's request type.

use http::{Extensions, Method, Request};

use crate::session::RequestHead;

/// A request that a client is about to send.
///
/// [`head`](Self::head) is only called for a closure, a rule or a subscriber: most calls need no
/// more than the method and the path.
pub(super) trait OutgoingRequest {
    /// Whether the request has no extension at all, which saves looking for one.
    fn has_no_extensions(&self) -> bool;

    fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T>;

    fn insert_extension<T: Clone + Send + Sync + 'static>(&mut self, extension: T);

    /// Gives a request that has no extensions a copy of these. Returns whether it did, since not every
    /// type of request can.
    fn init_extensions(&mut self, _extensions: &Extensions) -> bool {
        false
    }

    fn method(&self) -> &Method;

    /// The path, without a query.
    fn path(&self) -> &str;

    fn head(&self) -> RequestHead<'_>;
}

impl<B> OutgoingRequest for Request<B> {
    #[inline]
    fn has_no_extensions(&self) -> bool {
        self.extensions().is_empty()
    }

    #[inline]
    fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions().get()
    }

    #[inline]
    fn insert_extension<T: Clone + Send + Sync + 'static>(&mut self, extension: T) {
        self.extensions_mut().insert(extension);
    }

    #[inline]
    fn init_extensions(&mut self, extensions: &Extensions) -> bool {
        *self.extensions_mut() = extensions.clone();
        true
    }

    #[inline]
    fn method(&self) -> &Method {
        self.method()
    }

    #[inline]
    fn path(&self) -> &str {
        self.uri().path()
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead::new(self)
    }
}
