//! What the scanner expects next.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage::json) enum State {
    /// Before the document.
    Start,
    /// Before a value.
    Value,
    /// Before a value or the end of an array.
    FirstElement,
    /// Before a key or the end of an object.
    Key,
    /// The same, in an object whose unknown keys may mean something.
    WildcardKey,
    /// In a key.
    InKey,
    /// Between a key and its value.
    Colon,
    /// After a value in an object or array.
    After,
    /// In a number, true, false or null.
    Scalar,
    /// In a string that is a word.
    InWord,
    /// In a string that is a text.
    InText,
    /// In a string of no interest.
    SkippedString,
    /// In an object or array of no interest.
    SkippedContainer,
    /// After the document.
    Done,
    /// This is not JSON.
    Invalid,
}
