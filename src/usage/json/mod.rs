//! A JSON scanner that follows known paths only.

mod fast_path;
mod key_buffer;
mod number;
mod path_table;
mod place;
mod scanner;
pub(super) mod simd;
mod unescape;

pub(super) use self::path_table::{CHUNK, COMPLETION, METADATA, ROOT};
pub(super) use self::scanner::Scanner;
pub(super) use self::unescape::{Unescaped, Unescaper};

use super::formats::{
    Accounting, Action, CountOp, IdField, InfoField, TokenType, UsagePart, Word, WordField,
};

/// An id or another short text that is passed on whole is shorter than this.
pub(super) const TEXT_BLOCK: usize = 64;

/// What a scanner reports of a document.
pub(super) trait Visitor {
    /// Whether the visitor wants to know where what is reported is.
    fn is_traced(&self) -> bool;
    /// A word is about to be reported, which is there.
    fn trace_word(&mut self, field: WordField, word: Word<'_>, path: String);
    /// A text, number or boolean is about to be reported, which is there.
    fn trace_value(&mut self, action: Action, path: String);
    /// An object that means something is about to end, which is there.
    fn trace_end(&mut self, action: Action, path: String);
    /// An object that means something begins.
    fn begin_object(&mut self, action: Action);
    /// An object that means something ends. The bits are of the
    /// [`KeySet`](super::formats::KeySet)s that have all of its keys.
    fn end_object(&mut self, action: Action, key_sets: u8);
    /// The document is a list.
    fn begin_list(&mut self);
    /// A figure of the usage object at hand.
    fn count(&mut self, token: TokenType, op: CountOp, accounting: Accounting, value: u64);
    /// A part of a count of the usage object at hand.
    fn part(&mut self, part: UsagePart, value: u64);
    /// What the call has cost: a number with so many decimal places, or one that no cost can be.
    fn cost(&mut self, cost: Option<(u64, u8)>);
    /// A number of another kind; nothing if it is negative or does not fit.
    fn number(&mut self, action: Action, value: Option<u64>);
    /// A short text in which escapes were resolved.
    fn word(&mut self, field: WordField, word: Word<'_>);
    /// An id, as it stands between the quotes: so many of these bytes.
    fn id(&mut self, field: IdField, bytes: &[u8; TEXT_BLOCK], len: usize);
    /// A text of what the answer says of itself, in the same way.
    fn info(&mut self, field: InfoField, bytes: &[u8; TEXT_BLOCK], len: usize);
    /// A boolean.
    fn boolean(&mut self, action: Action, value: bool);
    /// Something other than null is here.
    fn present(&mut self, action: Action);
    /// A text begins; its pieces come by [`text`](Self::text).
    fn begin_text(&mut self, action: Action);
    /// A piece of a text, as it stands between the quotes, or of a number in a text's place.
    fn text(&mut self, action: Action, piece: &[u8]);
    /// The text that was begun last is whole. Of numbers, only [`number`](Self::number) tells.
    fn end_text(&mut self, action: Action);
}
