//! A key or word that the fast path does not read: one with an escape, or cut by the end of a piece.
//!
//! It takes a string byte by byte, resolves its escapes, and can stop after any byte. It holds 40
//! bytes, more than any known key or word has. Longer ones are remembered as too long and match
//! nothing, so a long key takes time but no memory.
//!
//! **Cost.** 48 bytes of state; some 30 instructions a byte: a chat answer of 2 KB with 370 bytes of keys takes 3.8
//! times as many if all of them are read here.

use super::path_table::KEY_CAPACITY;
use super::unescape::{Unescaped, Unescaper};
use crate::usage::formats::Word;

/// A key or word, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyBuffer {
    bytes: [u8; KEY_CAPACITY],
    len: u8,
    unescaper: Unescaper,
}

impl KeyBuffer {
    pub(super) fn new() -> Self {
        Self { bytes: [0; KEY_CAPACITY], len: 0, unescaper: Unescaper::default() }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.unescaper = Unescaper::default();
    }

    /// There was more than fits.
    pub(super) fn is_full(&self) -> bool {
        usize::from(self.len) > KEY_CAPACITY
    }

    /// What was read, and its length; nothing if it was more than fits.
    pub(super) fn key(&self) -> Option<(&[u8; KEY_CAPACITY], usize)> {
        (!self.is_full()).then_some((&self.bytes, usize::from(self.len)))
    }

    /// What was read; nothing if it was more than fits.
    pub(super) fn word(&self) -> Option<Word<'_>> {
        Word::new(&self.bytes, usize::from(self.len))
    }

    /// Takes one byte of a string; true at the closing quote.
    pub(super) fn push(&mut self, byte: u8) -> bool {
        if byte == b'"' && !self.unescaper.is_in_escape() {
            return true;
        }
        let resolved = match self.unescaper.push(byte) {
            Unescaped::Literal => byte,
            Unescaped::Pending => return false,
            // No known key or word has a character beyond ASCII.
            Unescaped::Char(char) => u8::try_from(char).ok().filter(u8::is_ascii).unwrap_or(0xff),
        };
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = resolved;
            self.len += 1;
        } else {
            self.len = u8::MAX;
        }
        false
    }
}
