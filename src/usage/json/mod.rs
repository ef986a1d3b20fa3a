//! A JSON scanner that follows known paths only.

mod fast_path;
mod key_buffer;
mod path_table;
mod scanner;
pub(super) mod simd;
mod unescape;

pub(super) use self::path_table::{CHUNK, METADATA, ROOT};
pub(super) use self::scanner::Scanner;
pub(super) use self::unescape::{Unescaped, Unescaper};

use super::formats::{Accounting, Action, CountOp, TokenType, WordField};

/// What a scanner reports of a document.
pub(super) trait Visitor {
    /// An object that means something begins.
    fn begin_object(&mut self, action: Action);
    /// An object that means something ends.
    fn end_object(&mut self, action: Action);
    /// A figure of the usage object at hand.
    fn count(&mut self, token: TokenType, op: CountOp, accounting: Accounting, value: u64);
    /// A number of another kind; nothing if it is not a whole number that fits.
    fn number(&mut self, action: Action, value: Option<u64>);
    /// A short text in which escapes were resolved; nothing if it is longer than any known word.
    fn word(&mut self, field: WordField, word: Option<&[u8]>);
    /// A boolean.
    fn boolean(&mut self, action: Action, value: bool);
    /// Something other than null is here.
    fn present(&mut self, action: Action);
    /// A text begins; its pieces come by [`text`](Self::text).
    fn begin_text(&mut self, action: Action);
    /// A piece of a text, as it stands between the quotes, or of a number in a text's place.
    fn text(&mut self, action: Action, piece: &[u8]);
}
