//! [`RequestBody`] and [`ResponseBody`]: the bodies that are forwarded.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use super::BoxError;

/// The body of a request to an agent: a stream from the client, or bytes.
pub struct RequestBody(Inner);

/// The body of a response of [`Client`](super::Client): a stream from the agent, or bytes.
pub struct ResponseBody(Inner);

type Inner = Either<Incoming, Full<Bytes>>;

macro_rules! body {
    ($body:ident) => {
        impl $body {
            pub(super) fn incoming(body: Incoming) -> Self {
                Self(Either::Left(body))
            }
        }

        impl From<Bytes> for $body {
            fn from(bytes: Bytes) -> Self {
                Self(Either::Right(Full::new(bytes)))
            }
        }

        impl Body for $body {
            type Data = Bytes;
            type Error = BoxError;

            fn poll_frame(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
                Pin::new(&mut self.0).poll_frame(cx)
            }

            fn is_end_stream(&self) -> bool {
                self.0.is_end_stream()
            }

            fn size_hint(&self) -> SizeHint {
                self.0.size_hint()
            }
        }

        impl fmt::Debug for $body {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($body)).finish_non_exhaustive()
            }
        }
    };
}

body!(RequestBody);
body!(ResponseBody);
