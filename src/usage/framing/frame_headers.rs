//! The headers of a frame of an AWS event stream.

/// An iterator over the names and values of headers. A value that is not a string is still given,
/// as its bytes.
pub(super) struct FrameHeaders<'a>(pub(super) &'a [u8]);

impl<'a> FrameHeaders<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        let bytes = self.take(2)?;
        Some(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    }
}

impl<'a> Iterator for FrameHeaders<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(*self.take(1)?.first()?);
        let name = self.take(len)?;
        let len = match *self.take(1)?.first()? {
            // True, false; an integer of one, two, four bytes.
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            // An integer of eight bytes, a timestamp; bytes, a string; a UUID.
            5 | 8 => 8,
            6 | 7 => self.length()?,
            9 => 16,
            _ => return None,
        };
        Some((name, self.take(len)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_type_are_stepped_over() {
        let string = |name: &str, value: &str| {
            let len = u16::try_from(value.len()).unwrap().to_be_bytes();
            let name = [&[name.len() as u8], name.as_bytes(), &[7]].concat();
            [&*name, &len, value.as_bytes()].concat()
        };
        let long = "x".repeat(300);
        for (kind, len) in
            [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16), (6, 302), (7, 302)]
        {
            // The length of bytes and of a string stands before them.
            let mut value = if len == 302 { vec![1, 44] } else { Vec::new() };
            value.resize(len, b'v');
            let header = [&[1, b'n', kind], &*value].concat();
            let block = [&*string("a", &long), &header, &string("b", "c")].concat();
            let found: Vec<_> = FrameHeaders(&block).collect();
            let shown = &value[if len == 302 { 2 } else { 0 }..];
            let expected = [(&b"a"[..], long.as_bytes()), (b"n", shown), (b"b", b"c")];
            assert_eq!(found, expected, "type {kind}");
        }
        assert_eq!(FrameHeaders(&[1, b'n', 10, 0]).next(), None);
    }
}
