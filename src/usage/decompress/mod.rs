//! Undoes the content codings of a copy of the body, so that the framing can read it.
//!
//! The caller still receives the bytes as they were sent. `content-encoding` lists the codings in
//! the order in which they were applied, so they are undone from the last to the first, three at
//! most. The header is often wrong: it has the name of a charset or of a transfer coding, a client
//! decoded the body and left the header in place, or a proxy dropped it. So the header is a claim
//! that the first bytes of the body confirm or refute:
//!
//! | `content-encoding` | body begins like | it is read as |
//! | --- | --- | --- |
//! | anything, or none | gzip or zstd | what it begins like |
//! | gzip, deflate, br, zstd | text, or an event stream | what it is, without decoding |
//! | gzip, zstd | anything else | nothing |
//! | deflate, br | anything else | what the header says: neither can be recognized |
//! | a name that is no coding | text, or an event stream | what it is |
//! | | anything else | nothing |
//! | another coding (`compress`, `dcb`, …) | | nothing |
//!
//! An archive that the caller downloads is compressed, too, and is no answer. So a body without the
//! header is only decoded if its content type is that of text, of a known framing, or missing.
//!
//! | file | contents |
//! | --- | --- |
//! | `first_bytes` | what a body is, as far as its first bytes show |
//! | `decoder` | the codings of one body, one after another, and the bound on their output |
//! | `codec` | one coding (feature `decompression`) |

#[cfg(feature = "decompression")]
mod codec;
mod decoder;
mod first_bytes;

use http::HeaderValue;

use self::decoder::{Coding, Decoder, MAX_CODINGS};
use self::first_bytes::{GZIP, ZSTD};

/// The encoding of a body.
#[derive(Debug)]
pub(super) enum Encoding {
    /// None was announced, and no byte was read.
    Undeclared,
    /// None.
    Identity,
    /// What was announced, or what the first byte may belong to.
    Encoded(Box<Decoder>),
    /// One that cannot be decoded here. The body is not read.
    Unsupported,
}

/// The registered codings that are not decoded here, with or without the feature.
const NOT_DECODED: [&str; 7] =
    ["aes128gcm", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"];

impl Encoding {
    /// The encoding that the values of `content-encoding` announce. `may_be_undeclared` says that
    /// a coding may be missing from them.
    pub(super) fn new<'a>(
        values: impl IntoIterator<Item = &'a HeaderValue>,
        may_be_undeclared: bool,
    ) -> Self {
        let mut codings = Vec::new();
        let mut has_unknown = false;
        for value in values {
            for name in value.as_bytes().split(|byte| *byte == b',') {
                let name = name.split(|byte| *byte == b';').next().unwrap_or_default();
                let name = name.trim_ascii().to_ascii_lowercase();
                let coding = match &*name {
                    b"" | b"identity" => continue,
                    b"gzip" | b"x-gzip" => Coding::Gzip,
                    b"deflate" => Coding::Deflate,
                    b"br" => Coding::Brotli,
                    b"zstd" => Coding::Zstd,
                    name if NOT_DECODED.iter().any(|other| other.as_bytes() == name) => {
                        return Self::Unsupported;
                    }
                    _ => {
                        has_unknown = true;
                        continue;
                    }
                };
                if codings.len() == MAX_CODINGS {
                    return Self::Unsupported;
                }
                codings.push(coding);
            }
        }
        codings.reverse();
        if codings.is_empty() {
            if !has_unknown {
                return if may_be_undeclared { Self::Undeclared } else { Self::Identity };
            }
            codings.push(Coding::Unknown);
        }
        if may_be_undeclared && codings.len() < MAX_CODINGS {
            codings.push(Coding::Undeclared);
        }
        Self::Encoded(Box::new(Decoder::new(&codings)))
    }

    /// The encoding of a body without the header whose first byte is one of a coding's.
    #[cold]
    pub(super) fn undeclared() -> Self {
        Self::Encoded(Box::new(Decoder::new(&[Coding::Undeclared, Coding::Undeclared])))
    }
}

/// Whether a body that begins with this byte may be encoded. No text begins with the first of these
/// bytes; the second is a parenthesis.
#[inline]
pub(super) fn may_begin_coding(first: u8) -> bool {
    first == GZIP[0] || first == ZSTD[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(values: &[&'static str]) -> String {
        let values: Vec<_> = values.iter().map(|value| HeaderValue::from_static(value)).collect();
        match Encoding::new(&values, true) {
            Encoding::Encoded(decoder) => format!("{:?}", decoder.codings().collect::<Vec<_>>()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn codings_are_undone_in_reverse_order() {
        for (values, expected) in [
            (&["gzip"][..], "[Gzip, Undeclared]"),
            (&["X-GZIP"], "[Gzip, Undeclared]"),
            (&["gzip, identity"], "[Gzip, Undeclared]"),
            (&["br, gzip"], "[Gzip, Brotli, Undeclared]"),
            (&["br", "gzip"], "[Gzip, Brotli, Undeclared]"),
            (&["deflate,br ,\tzstd"], "[Zstd, Brotli, Deflate]"),
            (&["gzip, gzip", "gzip, gzip"], "Unsupported"),
            (&["gzip;q=1.0"], "[Gzip, Undeclared]"),
            (&["aws-chunked, gzip"], "[Gzip, Undeclared]"),
            (&[""], "Undeclared"),
            (&["identity", ", identity"], "Undeclared"),
        ] {
            assert_eq!(encoding(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_name_that_is_no_coding_counts_as_none_and_another_coding_does_not() {
        for name in ["none", "UTF-8", "chunked", "aws-chunked", "rot13", "null", "binary"] {
            assert_eq!(encoding(&[name]), "[Unknown, Undeclared]", "{name}");
        }
        for name in NOT_DECODED {
            assert_eq!(encoding(&[name]), "Unsupported", "{name}");
            assert_eq!(encoding(&["gzip", name]), "Unsupported", "{name}");
        }
    }
}
