//! What an answer says went wrong: the texts are gathered while a document is read,
//! and are an error only if the document turns out to be one.

use crate::usage::formats::ErrorPart;

/// No more of a text is kept than this.
const MAX_TEXT: usize = 2048;
const MAX_CODE: usize = 128;

/// A failure an answer reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::usage) struct ReportedError {
    /// The provider's own code, where there is one.
    pub(in crate::usage) code: Option<Box<str>>,
    pub(in crate::usage) message: Option<Box<str>>,
    /// The answer was an error by itself; else it only goes with an error status.
    pub(in crate::usage) reported: bool,
}

/// The texts of the document at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorTexts {
    message: BoundedText,
    code: BoundedText,
}

/// A text in the making, as it stands between its quotes.
#[derive(Clone, Debug, Default)]
struct BoundedText {
    raw: Vec<u8>,
    rank: u8,
    /// Pieces that come now are of this text.
    accepting: bool,
}

impl BoundedText {
    fn begin(&mut self, rank: u8) {
        // The first of the best rank stays.
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
    pub(super) fn begin(&mut self, kind: ErrorPart, rank: u8) {
        match kind {
            ErrorPart::Message => self.message.begin(rank),
            ErrorPart::Code => self.code.begin(rank),
        }
    }

    pub(super) fn push(&mut self, kind: ErrorPart, piece: &[u8]) {
        match kind {
            ErrorPart::Message => self.message.push(piece, MAX_TEXT),
            ErrorPart::Code => self.code.push(piece, MAX_CODE),
        }
    }

    /// Turns the texts into a failure, and forgets them.
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

/// Resolves the escapes of a JSON string that may be cut anywhere.
fn unescape(raw: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::with_capacity(text.len());
    let mut units = text.chars();
    let mut high: Option<u16> = None;
    while let Some(c) = units.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match units.next() {
            Some('u') => {
                let digits: String = units.by_ref().take(4).collect();
                let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                let Some(unit) = unit else { continue };
                let pair = high.take().map_or([unit, 0], |high| [high, unit]);
                let len = if pair[1] == 0 { 1 } else { 2 };
                match char::decode_utf16(pair[..len].iter().copied()).next() {
                    Some(Ok(c)) => out.push(c),
                    _ if (0xd800..0xdc00).contains(&unit) => high = Some(unit),
                    _ => out.push(char::REPLACEMENT_CHARACTER),
                }
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b' | 'f') => out.push(' '),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out.into_boxed_str()
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
