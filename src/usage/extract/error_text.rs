//! The texts that explain a failure.
//!
//! Whether a document reports a failure is known only at its end, and the keys of its texts
//! (`message`, `detail`, `code`) appear in documents that report none. So the texts are collected
//! while a document is read, and dropped at its end unless it turns out to be an error. Of several
//! texts of one kind the first of the highest rank stays. Messages are cut at 2 KiB, codes at 128
//! bytes, before their escapes are decoded.

use crate::usage::formats::ErrorPart;
use crate::usage::json::{Unescaped, Unescaper};

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
}

/// The texts of the document at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorTexts {
    message: BoundedText,
    code: BoundedText,
}

/// A text as it stands between its quotes, up to a limit.
#[derive(Clone, Debug, Default)]
struct BoundedText {
    raw: Vec<u8>,
    rank: u8,
    /// The pieces that follow belong to this text, which outranks those before.
    accepting: bool,
}

impl BoundedText {
    fn begin(&mut self, rank: u8) {
        self.accepting = rank > self.rank || self.raw.is_empty();
        if self.accepting {
            self.rank = rank;
            self.raw.clear();
        }
    }

    fn push(&mut self, piece: &[u8], max: usize) {
        if self.accepting {
            let room = max - self.raw.len().min(max);
            self.raw.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    fn take(&mut self) -> Option<Box<str>> {
        let text = (!self.raw.is_empty()).then(|| unescape(&self.raw));
        self.raw.clear();
        self.rank = 0;
        text
    }
}

impl ErrorTexts {
    pub(super) fn begin(&mut self, part: ErrorPart, rank: u8) {
        match part {
            ErrorPart::Message => self.message.begin(rank),
            ErrorPart::Code => self.code.begin(rank),
        }
    }

    pub(super) fn push(&mut self, part: ErrorPart, piece: &[u8]) {
        match part {
            ErrorPart::Message => self.message.push(piece, MAX_TEXT),
            ErrorPart::Code => self.code.push(piece, MAX_CODE),
        }
    }

    /// Turns the texts into a failure, and clears them.
    pub(super) fn take(
        &mut self,
        reported: bool,
        default_code: Option<&'static str>,
    ) -> ReportedError {
        let code = self.code.take().or(default_code.map(Box::from));
        ReportedError { code, message: self.message.take(), reported }
    }

    pub(super) fn clear(&mut self) {
        for text in [&mut self.message, &mut self.code] {
            text.raw.clear();
            text.rank = 0;
        }
    }
}

/// Decodes the escapes of a JSON string that may be cut anywhere.
fn unescape(raw: &[u8]) -> Box<str> {
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
        texts.begin(ErrorPart::Message, 3);
        texts.push(ErrorPart::Message, b"worse");
        texts.begin(ErrorPart::Message, 4);
        texts.push(ErrorPart::Message, &[b'x'; 10_000]);
        texts.begin(ErrorPart::Message, 2);
        texts.push(ErrorPart::Message, b"worst");
        let error = texts.take(true, Some("code"));
        assert_eq!(error.message.map(|text| text.len()), Some(MAX_TEXT));
        assert_eq!(error.code.as_deref(), Some("code"));
    }
}
