//! Skipping what is of no interest, 64 bytes at a time.

// Compiled for the tests everywhere, which hold it against the instructions.
#[cfg(any(
    test,
    not(any(target_feature = "sse2", target_feature = "neon", target_feature = "simd128"))
))]
mod portable;

#[cfg(not(any(
    target_feature = "sse2",
    target_feature = "neon",
    target_feature = "simd128"
)))]
use self::portable::u8x16;
#[cfg(any(target_feature = "sse2", target_feature = "neon", target_feature = "simd128"))]
use wide::u8x16;

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 64;

/// One block, loaded.
struct Block([u8x16; 4]);

impl Block {
    #[inline]
    fn load(bytes: &[u8; BLOCK]) -> Self {
        let (quarters, _) = bytes.as_chunks::<16>();
        match quarters {
            [a, b, c, d] => Self([u8x16::new(*a), u8x16::new(*b), u8x16::new(*c), u8x16::new(*d)]),
            _ => Self([u8x16::splat(0); 4]),
        }
    }

    /// Bit `n` is set where byte `n` is this one.
    #[inline]
    fn is(&self, byte: u8) -> u64 {
        let byte = u8x16::splat(byte);
        mask(self.0.map(|quarter| quarter.simd_eq(byte)))
    }

    /// The same with `[` and `{` alike, and `]` and `}`.
    #[inline]
    fn folded(&self) -> Self {
        let fold = u8x16::splat(0x20);
        Self(self.0.map(|quarter| quarter | fold))
    }

    /// Whether any byte is a backslash or a bracket (or a bar, which does no harm).
    #[inline]
    fn has_structure(&self) -> bool {
        let fold = u8x16::splat(0x20);
        let open = u8x16::splat(b'{');
        let two = u8x16::splat(2);
        // `{`, `|` and `}` follow one another, and folding sends `[`, `\` and `]` there.
        any(self.0.map(|quarter| {
            let above = (quarter | fold) - open;
            above.simd_eq(above.min(two))
        }))
    }
}

/// Where the quotes and backslashes are.
#[inline]
pub(super) fn quotes_and_escapes(bytes: &[u8; BLOCK]) -> u64 {
    let (quote, backslash) = (u8x16::splat(b'"'), u8x16::splat(b'\\'));
    mask(Block::load(bytes).0.map(|quarter| quarter.simd_eq(quote) | quarter.simd_eq(backslash)))
}

/// How many bytes come before the first quote or backslash; 16 if there is none.
#[inline]
pub(super) fn plain_len(bytes: &[u8; 16]) -> usize {
    let bytes = u8x16::new(*bytes);
    let quotes = bytes.simd_eq(u8x16::splat(b'"'));
    first(quotes | bytes.simd_eq(u8x16::splat(b'\\')))
}

/// How many bytes come before the first that may end a number or literal; 16 if there is none.
/// It stops at a plus sign too, which does not end one.
#[inline]
pub(super) fn scalar_len(bytes: &[u8; 16]) -> usize {
    let bytes = u8x16::new(*bytes);
    let low = bytes.simd_eq(bytes.min(u8x16::splat(b',')));
    first(low | (bytes | u8x16::splat(0x20)).simd_eq(u8x16::splat(b'}')))
}

/// How many digits these bytes begin with.
#[inline]
pub(super) fn digits(bytes: &[u8; 16]) -> usize {
    let digits = u8x16::new(*bytes) - u8x16::splat(b'0');
    first(!digits.simd_eq(digits.min(u8x16::splat(9))))
}

/// The first byte that is set; 16 if there is none.
#[inline]
fn first(bytes: u8x16) -> usize {
    (bytes.to_bitmask() | 1 << 16).trailing_zeros() as usize
}

/// The first quote, backslash or control character.
#[inline]
pub(super) fn first_special(bytes: &[u8; 16]) -> Option<usize> {
    let bytes = u8x16::new(*bytes);
    let special = bytes.simd_eq(u8x16::splat(b'"'))
        | bytes.simd_eq(u8x16::splat(b'\\'))
        | bytes.simd_eq(bytes.min(u8x16::splat(0x1f)));
    let mask = special.to_bitmask();
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

#[inline]
fn mask(quarters: [u8x16; 4]) -> u64 {
    let [a, b, c, d] = quarters.map(|quarter| u64::from(quarter.to_bitmask()));
    a | b << 16 | c << 32 | d << 48
}

#[inline]
fn any(quarters: [u8x16; 4]) -> bool {
    let [a, b, c, d] = quarters;
    ((a | b) | (c | d)).to_bitmask() != 0
}

/// Bit `n` of the result is the exclusive or of bits `0..=n`.
#[inline]
fn prefix_xor(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;
    bits
}

/// Which bytes a backslash escapes. `carry` is 1 if the first byte is escaped from before.
#[inline]
fn escaped(backslashes: u64, carry: u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    if backslashes & (backslashes << 1 | carry) == 0 {
        // No run of two or more, the common case.
        return backslashes << 1 | carry;
    }
    let starts = backslashes & !carry;
    let runs = ((starts << 1) | ODD).wrapping_sub(starts) ^ ODD;
    runs ^ (backslashes | carry)
}

/// A long run without a quote: how many of these bytes, whose first is not escaped, come before
/// the next quote and the backslashes right before it.
fn quiet_len(bytes: &[u8]) -> usize {
    let mut len = memchr::memchr(b'"', bytes).unwrap_or(bytes.len());
    while len > 0 && bytes[len - 1] == b'\\' {
        len -= 1;
    }
    len
}

/// After this many blocks without a quote, a string is likely a long text.
const QUIET: u32 = 2;

/// The last bytes of a piece, which fill no block, as one block; and how many of its first bytes
/// are none of them.
#[inline]
fn last_block(bytes: &[u8], rest: &[u8]) -> ([u8; BLOCK], usize) {
    let seen = BLOCK - rest.len();
    match bytes.last_chunk::<BLOCK>() {
        Some(last) => (*last, seen),
        None => {
            let mut block = [b' '; BLOCK];
            block[seen..].copy_from_slice(rest);
            (block, seen)
        }
    }
}

/// Finds the quote that ends a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StringEnd {
    /// The next byte is escaped.
    escape: bool,
}

impl StringEnd {
    /// The same as [`find`](Self::find), for a string that has just begun: most are short, and
    /// have no escape.
    #[inline]
    pub(super) fn find_near(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        while from < BLOCK
            && let Some(sixteen) = bytes.get(from..).and_then(<[u8]>::first_chunk)
        {
            let len = plain_len(sixteen);
            from += len;
            if len < 16 {
                if sixteen[len] == b'"' {
                    return Some(from);
                }
                break;
            }
        }
        self.find(&bytes[from..]).map(|end| from + end)
    }

    /// The index of the closing quote, or nothing if it is not in these bytes.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let (mut rest, mut quiet) = (bytes, 0);
        let mut carry = u64::from(self.escape);
        while let Some((block, next)) = rest.split_first_chunk::<BLOCK>() {
            let loaded = Block::load(block);
            let quotes = loaded.is(b'"');
            if quotes == 0 && block[BLOCK - 1] != b'\\' {
                carry = 0;
                rest = next;
                quiet += 1;
                if quiet == QUIET {
                    quiet = 0;
                    rest = &rest[quiet_len(rest)..];
                }
                continue;
            }
            quiet = 0;
            let backslashes = loaded.is(b'\\');
            let escaped = escaped(backslashes, carry);
            let ends = quotes & !escaped;
            if ends != 0 {
                self.escape = false;
                return Some(bytes.len() - rest.len() + ends.trailing_zeros() as usize);
            }
            carry = (backslashes & !escaped) >> (BLOCK - 1);
            rest = next;
        }
        if rest.is_empty() {
            self.escape = carry != 0;
            return None;
        }
        let (block, seen) = last_block(bytes, rest);
        let block = Block::load(&block);
        let backslashes = block.is(b'\\') >> seen;
        let escaped = escaped(backslashes, carry);
        let ends = (block.is(b'"') >> seen) & !escaped;
        if ends != 0 {
            self.escape = false;
            return Some(bytes.len() - rest.len() + ends.trailing_zeros() as usize);
        }
        self.escape = escapes_next(backslashes, escaped, rest.len());
        None
    }
}

/// Whether the last of `len` bytes is a backslash that escapes the byte after it.
#[inline]
fn escapes_next(backslashes: u64, escaped: u64, len: usize) -> bool {
    (backslashes & !escaped) >> (len - 1) & 1 != 0
}

/// Finds the end of an object or array, without looking at what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerEnd {
    /// How many brackets are open.
    depth: u32,
    escape: bool,
    in_string: bool,
}

impl ContainerEnd {
    /// Begins right after an opening bracket.
    pub(super) fn opened() -> Self {
        Self { depth: 1, escape: false, in_string: false }
    }

    /// The index after the bracket that closes it, or nothing if that is not in these bytes.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let (mut rest, mut quiet) = (bytes, 0);
        while let Some((block, next)) = rest.split_first_chunk::<BLOCK>() {
            let loaded = Block::load(block);
            let quotes = loaded.is(b'"');
            if quotes != 0 {
                quiet = 0;
            } else if self.in_string {
                if block[BLOCK - 1] != b'\\' {
                    self.escape = false;
                    rest = next;
                    quiet += 1;
                    if quiet == QUIET {
                        quiet = 0;
                        rest = &rest[quiet_len(rest)..];
                    }
                    continue;
                }
            } else if !loaded.has_structure() {
                // The middle of a long list of numbers.
                self.escape = false;
                rest = next;
                continue;
            }
            if let Some(end) = self.block(&loaded, quotes, 0) {
                return Some(bytes.len() - rest.len() + end);
            }
            rest = next;
        }
        if rest.is_empty() {
            return None;
        }
        let (block, seen) = last_block(bytes, rest);
        let block = Block::load(&block);
        let end = self.block(&block, block.is(b'"') >> seen, seen)?;
        Some(bytes.len() - rest.len() + end)
    }

    /// The same in one block, of which the first bytes were seen before.
    #[inline(always)]
    fn block(&mut self, block: &Block, quotes: u64, seen: usize) -> Option<usize> {
        let backslashes = block.is(b'\\') >> seen;
        let escaped = escaped(backslashes, u64::from(self.escape));
        self.escape = escapes_next(backslashes, escaped, BLOCK - seen);
        let before = if self.in_string { u64::MAX } else { 0 };
        let strings = prefix_xor(quotes & !escaped) ^ before;
        self.in_string = strings >> (BLOCK - 1) != 0;

        let folded = block.folded();
        let opens = (folded.is(b'{') >> seen) & !strings;
        let closes = (folded.is(b'}') >> seen) & !strings;
        let closing = closes.count_ones();
        if self.depth > closing {
            self.depth = (self.depth - closing).saturating_add(opens.count_ones());
            return None;
        }
        self.close_in(opens, closes)
    }

    /// The exact place, in the block where the depth may come down to nothing.
    #[cold]
    fn close_in(&mut self, opens: u64, closes: u64) -> Option<usize> {
        let mut left = opens | closes;
        while left != 0 {
            let at = left.trailing_zeros();
            if opens >> at & 1 != 0 {
                self.depth = self.depth.saturating_add(1);
            } else {
                self.depth -= 1;
                if self.depth == 0 {
                    return Some(at as usize + 1);
                }
            }
            left &= left - 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn container_end(bytes: &[u8]) -> Option<usize> {
        let (mut depth, mut string, mut escape) = (1_u32, false, false);
        for (i, byte) in bytes.iter().enumerate() {
            // An escape matters to quotes and backslashes only, in strings and in what is no JSON.
            let escaped = std::mem::take(&mut escape);
            if *byte == b'\\' {
                escape = !escaped;
            } else if *byte == b'"' {
                string ^= !escaped;
            } else if !string {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return Some(i + 1);
                }
            }
        }
        None
    }

    fn string_end(bytes: &[u8]) -> Option<usize> {
        let mut escape = false;
        for (i, byte) in bytes.iter().enumerate() {
            match byte {
                _ if escape => escape = false,
                b'\\' => escape = true,
                b'"' => return Some(i),
                _ => {}
            }
        }
        None
    }

    fn in_pieces<T>(
        bytes: &[u8],
        cuts: &[usize],
        state: &mut T,
        find: impl Fn(&mut T, &[u8]) -> Option<usize>,
    ) -> Option<usize> {
        let mut from = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            let to = cut.clamp(from, bytes.len());
            if let Some(at) = find(state, &bytes[from..to]) {
                return Some(from + at);
            }
            from = to;
        }
        None
    }

    proptest! {
        #[test]
        fn skips_as_a_slow_reader_does(
            picks in prop::collection::vec(0_usize..26, 0..400),
            mut cuts in prop::collection::vec(0_usize..4000, 0..4),
        ) {
            let alphabet = br#""\{}[]x"\{"\\\  aaaaaaaa"#;
            let long = [b'a'; 3 * BLOCK];
            let part = |pick: &usize| alphabet.get(*pick..=*pick).unwrap_or(&long);
            let bytes: Vec<u8> = picks.iter().flat_map(part).copied().collect();
            cuts.sort_unstable();
            prop_assert_eq!(
                in_pieces(&bytes, &cuts, &mut ContainerEnd::opened(), ContainerEnd::find),
                container_end(&bytes)
            );
            prop_assert_eq!(
                in_pieces(&bytes, &cuts, &mut StringEnd::default(), StringEnd::find),
                string_end(&bytes)
            );
        }
    }
}
