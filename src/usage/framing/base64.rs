//! Decodes base64 in pieces cut anywhere.
//!
//! Libraries decode whole texts, or pieces cut between groups of four characters. A piece of a body
//! is cut anywhere, and nothing may be buffered in proportion to it.

/// How many characters are decoded at a time, into a buffer on the stack.
const CHUNK: usize = 768;

/// A decoder that can stop after any character.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base64 {
    bits: u32,
    count: u8,
}

impl Base64 {
    /// Decodes a piece. Characters that are not base64, such as the backslashes of JSON, are passed
    /// over. Behind padding another text may begin.
    pub(super) fn decode(&mut self, piece: &[u8], mut out: impl FnMut(&[u8])) {
        let mut buffer = [0; CHUNK];
        for chars in piece.chunks(CHUNK) {
            let mut len = 0;
            for byte in chars {
                let value = VALUES[usize::from(*byte)];
                if value == NONE {
                    if *byte == b'=' {
                        self.count = 0;
                    }
                    continue;
                }
                self.bits = self.bits << 6 | u32::from(value);
                self.count += 6;
                if self.count >= 8 {
                    self.count -= 8;
                    buffer[len] = (self.bits >> self.count & 0xff) as u8;
                    len += 1;
                }
            }
            out(&buffer[..len]);
        }
    }
}

/// The value of a character that is not in the alphabet.
const NONE: u8 = 0xff;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NONE; 256];
    let mut i = 0;
    while i < alphabet.len() {
        values[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_in_pieces() {
        let text = br#"eyJhIjoiXC8/w7/Dv8O+In0="#;
        for cut in 0..text.len() {
            let mut decoder = Base64::default();
            let mut out = Vec::new();
            decoder.decode(&text[..cut], |piece| out.extend_from_slice(piece));
            decoder.decode(&text[cut..], |piece| out.extend_from_slice(piece));
            assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":"\/?ÿÿþ"}"#);
        }
    }

    #[test]
    fn another_text_may_follow_the_padding() {
        for text in ["YQ==YmM=ZGVmZw==", "YQ=YmM=ZGVmZw"] {
            let mut out = Vec::new();
            Base64::default().decode(text.as_bytes(), |piece| out.extend_from_slice(piece));
            assert_eq!(String::from_utf8(out).unwrap(), "abcdefg");
        }
    }
}
