//! The tables of [`words`](super::words) and [`requests`](super::requests), compiled at build time.
//!
//! Both tables are lists of texts that nearly every input is compared with and does not match. Here
//! each text becomes one or two integers, computed by the compiler. The tables stay the only source: a
//! new row needs no change here, and what they cannot express fails to compile. Nothing is computed
//! at run time, and nothing is allocated.

mod requests;
mod words;

pub(in crate::usage) use self::requests::request_flags;
pub(in crate::usage) use self::words::{Word, effects};

/// How many bytes are compared at once.
const WORD: usize = 8;

/// Some of the bytes of a text, zero-padded.
const fn const_word(bytes: &[u8], from: usize, len: usize) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < len {
        word |= (bytes[from + i] as u64) << (8 * i);
        i += 1;
    }
    word
}
