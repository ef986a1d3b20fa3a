//! [`Decoder`]: the codings of one body, one after another.
//!
//! A piece of the body passes through a chain of layers, the outermost coding first. Each layer
//! holds back up to [`LEN`] bytes until it knows what it gets (see [`first_bytes`]); then it either
//! decodes, in chunks of 8 KiB, or passes on what it gets, or reads nothing any more.
//!
//! The work is bounded for all layers together: they may put out 16 MiB, and 200 bytes more for each
//! byte received. A body that exceeds this is a decompression bomb, or not worth the time; it is not
//! read any further.
//!
//! [`first_bytes`]: super::first_bytes

use std::fmt;

#[cfg(feature = "decompression")]
use super::codec::{Codec, Method};
use super::first_bytes::{Beginning, LEN, recognize};

/// How many codings a body may have, one around another.
pub(super) const MAX_CODINGS: usize = 3;

/// What is known of a layer before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    /// No coding is known by the name in the header.
    Unknown,
    /// The header has no more codings. Most such bodies have none.
    Undeclared,
}

/// Decodes one body.
pub(in crate::usage) struct Decoder {
    layers: Vec<Layer>,
    budget: Budget,
}

impl Decoder {
    /// Undoes these codings, the first one first.
    pub(super) fn new(codings: &[Coding]) -> Self {
        Self {
            layers: codings.iter().copied().map(Layer::new).collect(),
            budget: Budget::default(),
        }
    }

    /// Whether the rest of the body cannot be decoded.
    pub(in crate::usage) fn has_failed(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer.state, State::Failed))
    }

    /// Decodes a piece, and passes the output on.
    pub(in crate::usage) fn decode(&mut self, piece: &[u8], mut out: impl FnMut(&[u8])) {
        if !self.has_failed() {
            self.budget.received = self.budget.received.saturating_add(piece.len() as u64);
            pass(&mut self.layers, &mut self.budget, piece, &mut out);
        }
    }

    /// The end of the body: passes on what is held back.
    pub(in crate::usage) fn finish(&mut self, mut out: impl FnMut(&[u8])) {
        let mut layers = &mut *self.layers;
        while let Some((layer, inner)) = layers.split_first_mut() {
            layer.finish(&mut self.budget, &mut |decoded, budget| {
                pass(inner, budget, decoded, &mut out);
            });
            layers = inner;
        }
    }

    /// The codings, the outermost first.
    #[cfg(test)]
    pub(super) fn codings(&self) -> impl Iterator<Item = Coding> {
        self.layers.iter().map(|layer| layer.coding)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|layer| layer.coding)).finish()
    }
}

/// Passes bytes through these layers.
fn pass(layers: &mut [Layer], budget: &mut Budget, bytes: &[u8], out: &mut dyn FnMut(&[u8])) {
    match layers.split_first_mut() {
        None => out(bytes),
        Some((layer, inner)) => layer.read(bytes, budget, &mut |decoded, budget| {
            pass(inner, budget, decoded, out);
        }),
    }
}

/// How much all layers may put out.
#[derive(Debug, Default)]
pub(super) struct Budget {
    received: u64,
    #[cfg(feature = "decompression")]
    written: u64,
}

#[cfg(feature = "decompression")]
impl Budget {
    /// The output that every body may have.
    const FREE: u64 = 16 << 20;
    /// The output that each received byte may add. Text is compressed to about a twentieth.
    const MAX_RATIO: u64 = 200;

    /// Takes this many bytes, if they are left.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        self.written = self.written.saturating_add(bytes as u64);
        self.written <= Self::FREE.saturating_add(self.received.saturating_mul(Self::MAX_RATIO))
    }
}

/// Where a layer's output goes.
pub(super) type Out<'a> = dyn FnMut(&[u8], &mut Budget) + 'a;

struct Layer {
    coding: Coding,
    state: State,
}

enum State {
    /// Too few bytes were read to decide; these are all of them.
    Beginning { first: [u8; LEN], len: usize },
    /// There is nothing to decode, whatever the header says.
    Plain,
    #[cfg(feature = "decompression")]
    Decoding(Box<Codec>),
    /// What comes cannot be decoded.
    Failed,
}

impl Layer {
    fn new(coding: Coding) -> Self {
        Self { coding, state: State::Beginning { first: [0; LEN], len: 0 } }
    }

    fn read(&mut self, mut bytes: &[u8], budget: &mut Budget, out: &mut Out<'_>) {
        if let State::Beginning { first, len } = &mut self.state {
            let (taken, rest) = bytes.split_at(bytes.len().min(LEN - *len));
            first[*len..*len + taken.len()].copy_from_slice(taken);
            *len += taken.len();
            if *len < LEN {
                return;
            }
            bytes = rest;
            self.begin(budget, out);
        }
        self.read_on(bytes, budget, out);
    }

    /// The end of the input. What is held back decides, however short it is.
    fn finish(&mut self, budget: &mut Budget, out: &mut Out<'_>) {
        if matches!(self.state, State::Beginning { len: 1.., .. }) {
            self.begin(budget, out);
        }
    }

    fn begin(&mut self, budget: &mut Budget, out: &mut Out<'_>) {
        let State::Beginning { first, len } = self.state else { return };
        let first = &first[..len];
        self.state = self.state_for(first);
        self.read_on(first, budget, out);
    }

    fn state_for(&self, first: &[u8]) -> State {
        match (recognize(first), self.coding) {
            (Beginning::Gzip, _) => decoding(Coding::Gzip, first),
            (Beginning::Zstd, _) => decoding(Coding::Zstd, first),
            (Beginning::ZstdSkippable, Coding::Zstd) => decoding(Coding::Zstd, first),
            (Beginning::Plain, _) | (_, Coding::Undeclared) => State::Plain,
            (_, coding @ (Coding::Deflate | Coding::Brotli)) => decoding(coding, first),
            (_, Coding::Gzip | Coding::Zstd | Coding::Unknown) => State::Failed,
        }
    }

    fn read_on(&mut self, bytes: &[u8], budget: &mut Budget, out: &mut Out<'_>) {
        match &mut self.state {
            State::Plain => out(bytes, budget),
            #[cfg(feature = "decompression")]
            State::Decoding(codec) => {
                if codec.decode(bytes, budget, out).is_err() {
                    self.state = State::Failed;
                }
            }
            State::Beginning { .. } | State::Failed => {}
        }
    }
}

/// Decodes a body that begins with these bytes.
#[cfg(feature = "decompression")]
fn decoding(coding: Coding, first: &[u8]) -> State {
    let method = match coding {
        Coding::Gzip => Method::Gzip,
        Coding::Deflate => Method::Deflate,
        Coding::Brotli => Method::Brotli,
        Coding::Zstd => Method::Zstd,
        Coding::Unknown | Coding::Undeclared => return State::Failed,
    };
    State::Decoding(Box::new(Codec::new(method, first)))
}

/// Without the feature, nothing is decoded.
#[cfg(not(feature = "decompression"))]
fn decoding(_: Coding, _: &[u8]) -> State {
    State::Failed
}
