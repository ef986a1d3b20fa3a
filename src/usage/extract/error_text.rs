//! The texts that explain a failure.
//!
//! Whether a document reports a failure is known only at its end, and the keys of its texts
//! (`message`, `detail`, `code`) appear in documents that report none. So the texts are collected
//! while a document is read, and dropped at its end unless it turns out to be an error. Of several
//! texts of one kind the first of the highest rank stays. Messages are cut at 2 KiB, codes at 128
//! bytes, before their escapes are decoded.

use crate::usage::formats::{CodeField, ErrorPart};
use crate::usage::json::{Unescaped, Unescaper};

/// The rank of a text that takes the place of an error object.
pub(super) const ERROR_TEXT_RANK: u8 = 200;
const MAX_TEXT: usize = 2048;
const MAX_CODE: usize = 128;

/// A failure that a response reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::usage) struct ReportedError {
    /// The provider's own code, where there is one.
    pub(in crate::usage) code: Option<Box<str>>,
    pub(in crate::usage) message: Option<Box<str>>,
    /// The response is an error by itself. Otherwise its texts only explain an error status.
    pub(in crate::usage) reported: bool,
    /// The class of the failure, where the protocol has one of its own.
    pub(in crate::usage) class: Option<&'static str>,
}

/// The texts of the document at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorTexts {
    message: BoundedText,
    code: BoundedText,
    /// The code, if the document gives none.
    default_code: Option<&'static str>,
    /// The beginning of the text at hand.
    beginning: Beginning,
}

/// What a text is about, if it says something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Saying {
    /// Nothing that it tells by itself.
    #[default]
    Nothing,
    /// In the place of an error.
    Error,
    ListedError,
    /// In any object: a text or code that tells of an error only in an error object.
    Part(ErrorPart),
    Code(CodeField),
    /// A code that says that there is no error.
    NoErrorCode,
}

/// The beginning of a text, which shows whether it says something.
#[derive(Clone, Copy, Debug, Default)]
struct Beginning {
    of: Saying,
    bytes: [u8; 5],
    /// Six stands for more.
    len: u8,
}

impl Beginning {
    fn push(&mut self, piece: &[u8]) {
        for byte in piece.iter().take(6 - usize::from(self.len)) {
            if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
                *slot = *byte;
            }
            self.len += 1;
        }
    }

    /// What the text says, if anything.
    fn saying(&self) -> Option<Saying> {
        let text = self.bytes.get(..usize::from(self.len));
        match (self.of, text) {
            (Saying::Nothing, _) | (_, Some(b"" | b"None" | b"null")) => None,
            (
                Saying::Code(CodeField::ErrorCode | CodeField::EventErrorCode),
                Some(b"0" | b"0.0"),
            ) => Some(Saying::NoErrorCode),
            (
                Saying::Code(_) | Saying::Part(ErrorPart::Code),
                Some(b"0" | b"0.0" | b"200" | b"200.0"),
            ) => None,
            (of, _) => Some(of),
        }
    }
}

/// A text as it stands between its quotes, up to a limit.
#[derive(Clone, Debug, Default)]
struct BoundedText {
    raw: Vec<u8>,
    rank: u8,
    /// The pieces that follow belong to a text that outranks those before, of this rank.
    accepting: Option<u8>,
    /// None of its pieces has come yet.
    is_new: bool,
}

impl BoundedText {
    fn begin(&mut self, rank: u8) {
        self.accepting = (rank > self.rank || self.says_nothing()).then_some(rank);
        self.is_new = true;
    }

    fn push(&mut self, piece: &[u8], max: usize) {
        let Some(rank) = self.accepting.filter(|_| !piece.is_empty()) else { return };
        // An empty text takes no other's place.
        if std::mem::take(&mut self.is_new) {
            self.rank = rank;
            self.raw.clear();
        }
        let room = max - self.raw.len().min(max);
        self.raw.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Whether it is empty, or what some languages write in place of nothing.
    fn says_nothing(&self) -> bool {
        matches!(&*self.raw, b"" | b"None" | b"null")
    }

    fn take(&mut self) -> Option<Box<str>> {
        let text = (!self.says_nothing()).then(|| unescape(&self.raw));
        self.raw.clear();
        self.rank = 0;
        text
    }
}

impl ErrorTexts {
    /// Sets the code, unless the document gives one.
    pub(super) fn set_default_code(&mut self, code: &'static str) {
        self.default_code.get_or_insert(code);
    }

    /// Ends the text at hand; returns what it is about, if it says something.
    pub(super) fn end_text(&mut self) -> Option<Saying> {
        std::mem::take(&mut self.beginning).saying()
    }

    pub(super) fn begin(&mut self, part: ErrorPart, rank: u8, of: Saying) {
        self.beginning = Beginning { of, ..Beginning::default() };
        match part {
            ErrorPart::Message | ErrorPart::ErrorMessage => self.message.begin(rank),
            ErrorPart::Code => self.code.begin(rank),
        }
    }

    pub(super) fn push(&mut self, part: ErrorPart, piece: &[u8]) {
        self.beginning.push(piece);
        match part {
            ErrorPart::Message | ErrorPart::ErrorMessage => self.message.push(piece, MAX_TEXT),
            ErrorPart::Code => self.code.push(piece, MAX_CODE),
        }
    }

    /// Turns the texts into a failure, and clears them.
    pub(super) fn take(&mut self, reported: bool) -> ReportedError {
        let code = self.code.take().or(self.default_code.map(Box::from));
        ReportedError { code, message: self.message.take(), reported, class: None }
    }

    pub(super) fn clear(&mut self) {
        self.default_code = None;
        self.beginning = Beginning::default();
        for text in [&mut self.message, &mut self.code] {
            text.raw.clear();
            text.rank = 0;
        }
    }
}

/// Decodes the escapes of a JSON string that may be cut anywhere.
pub(super) fn unescape(raw: &[u8]) -> Box<str> {
    let mut unescaper = Unescaper::default();
    let mut text = Vec::with_capacity(raw.len());
    for byte in raw {
        match unescaper.push(*byte) {
            Unescaped::Literal => text.push(*byte),
            Unescaped::Pending => {}
            // No message is the better for a backspace or a form feed.
            Unescaped::Char('\u{8}' | '\u{c}') => text.push(b' '),
            Unescaped::Char(char) => {
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved() {
        for (raw, text) in [
            (r#"a \"b\" \\ \/ c"#, r#"a "b" \ / c"#),
            (r"caf\u00e9 \ud83d\ude00", "café 😀"),
            (r"cut \u00", "cut "),
            (r"cut \", "cut "),
        ] {
            assert_eq!(&*unescape(raw.as_bytes()), text);
        }
    }

    #[test]
    fn texts_are_bounded_and_the_best_stays() {
        let mut texts = ErrorTexts::default();
        texts.begin(ErrorPart::Message, 3, Saying::Nothing);
        texts.push(ErrorPart::Message, b"worse");
        texts.begin(ErrorPart::Message, 4, Saying::Nothing);
        texts.push(ErrorPart::Message, &[b'x'; 10_000]);
        texts.begin(ErrorPart::Message, 2, Saying::Nothing);
        texts.push(ErrorPart::Message, b"worst");
        let error = {
            texts.set_default_code("code");
            texts.take(true)
        };
        assert_eq!(error.message.map(|text| text.len()), Some(MAX_TEXT));
        assert_eq!(error.code.as_deref(), Some("code"));
    }
}
