//! What a body is, as far as its first bytes show.
//!
//! Only what cannot be mistaken is recognized. The magic numbers of gzip and zstd begin no text, and
//! no valid stream of another coding, with one exception: a brotli stream can begin with the three
//! bytes of gzip's, so the rest of gzip's header is checked as well. A brotli or deflate stream can
//! begin with anything, but two dozen bytes of one that are all text are as likely as a wrong
//! checksum that passes.

use crate::usage::framing;

/// How many of the first bytes decide.
pub(super) const LEN: usize = 24;

/// gzip's magic number, and the number of its only compression method.
pub(super) const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// zstd's magic number.
pub(super) const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What a body begins like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Gzip,
    Zstd,
    /// A frame of zstd that is skipped. Another may follow.
    ZstdSkippable,
    /// Text, or an AWS event stream.
    Plain,
    /// Nothing that can be recognized.
    Other,
}

/// What a body is that begins with these bytes: [`LEN`] of them, or all that there are.
pub(super) fn recognize(first: &[u8]) -> Beginning {
    if is_gzip(first) {
        Beginning::Gzip
    } else if first.starts_with(&ZSTD) {
        Beginning::Zstd
    } else if matches!(first, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) {
        Beginning::ZstdSkippable
    } else if is_text(first) || framing::is_event_stream(first) {
        Beginning::Plain
    } else {
        Beginning::Other
    }
}

fn is_gzip(first: &[u8]) -> bool {
    first.starts_with(&GZIP)
        && match first.get(GZIP.len()..10) {
            // Flags, four bytes of time, extra flags, operating system.
            Some([flags, _, _, _, _, extra, system]) => {
                flags & 0xe0 == 0 && matches!(extra, 0 | 2 | 4) && matches!(system, 0..=13 | 255)
            }
            _ => false,
        }
}

/// Whether these bytes are UTF-8 without control characters. The last character may be cut.
fn is_text(first: &[u8]) -> bool {
    let is_utf8 = str::from_utf8(first).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_utf8 && !first.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_recognized_only_if_it_cannot_be_mistaken() {
        for (first, expected) in [
            (&b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x4b\x2c"[..], Beginning::Gzip),
            (b"\x1f\x8b\x08\x08\x42\x18\x07\x6b\x02\x03name.json\0", Beginning::Gzip),
            // What a brotli stream of 2,188 bytes may begin with.
            (b"\x1f\x8b\x08\xf8\x8d\x94\x6e\xcb\x10\xa3", Beginning::Other),
            (b"\x1f\x8b\x08\x20\0\0\0\0\0\xff", Beginning::Other),
            (b"\x1f\x8b\x08\0\0\0\0\0\x01\xff", Beginning::Other),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x0e", Beginning::Other),
            (b"\x1f\x8b\x08\0", Beginning::Other),
            (b"\x1f\x9d\x90", Beginning::Other),
            (b"\x28\xb5\x2f\xfd\x04\x58", Beginning::Zstd),
            (b"\x50\x2a\x4d\x18\x04\0\0\0", Beginning::ZstdSkippable),
            (b"(not zstd)", Beginning::Plain),
            (b"{\"usage\":{", Beginning::Plain),
            (b"\xef\xbb\xbfdata: {}\r\n\r\n", Beginning::Plain),
            ("a word of Greek: λόγο".as_bytes().split_last().unwrap().1, Beginning::Plain),
            (b"", Beginning::Plain),
            (b"caf\xe9 au lait", Beginning::Other),
            (b"\x1b\x15\0\x00\xa4\xb2\xa1", Beginning::Other),
            (b"\x78\x9c\xab\x56\x2a", Beginning::Other),
        ] {
            assert_eq!(recognize(first), expected, "{first:x?}");
        }
    }
}
