//! A key or word, put together without its escapes, a byte at a time.

use super::path_table::KEY_CAPACITY;

/// A key or word, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyBuffer {
    bytes: [u8; KEY_CAPACITY],
    len: u8,
    escape: Escape,
}

/// An escape, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
struct Escape {
    /// 0: none; 1: after the backslash; 2 to 5: before that many digits less one.
    step: u8,
    code: u16,
}

impl KeyBuffer {
    pub(super) fn new() -> Self {
        Self { bytes: [0; KEY_CAPACITY], len: 0, escape: Escape::default() }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.escape = Escape::default();
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
    pub(super) fn word(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.len))
    }

    /// Takes one byte of a string; true at the closing quote.
    pub(super) fn push(&mut self, byte: u8) -> bool {
        let resolved = match (self.escape.step, byte) {
            (0, b'"') => return true,
            (0, b'\\') => {
                self.escape.step = 1;
                return false;
            }
            (0, byte) => byte,
            (1, b'u') => {
                self.escape = Escape { step: 5, code: 0 };
                return false;
            }
            (1, byte) => {
                self.escape.step = 0;
                match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    other => other,
                }
            }
            (step, byte) => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0) as u16;
                self.escape.code = self.escape.code << 4 | digit;
                self.escape.step = if step == 2 { 0 } else { step - 1 };
                if self.escape.step != 0 {
                    return false;
                }
                // No known key or word has a character beyond ASCII.
                u8::try_from(self.escape.code).ok().filter(u8::is_ascii).unwrap_or(0xff)
            }
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
