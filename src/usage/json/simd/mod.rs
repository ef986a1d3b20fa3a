//! Skipping what is of no interest, 64 bytes at a time.
//!
//! A block becomes a few words of 64 bits, in which bit `n` stands for byte `n`, so that
//! a few operations on words do for 64 bytes. What makes the words is chosen when it runs: AVX-512
//! or AVX2 where the processor has it, else what it must have. It is chosen once for each value
//! that is skipped, each object that is followed and each run of events; what looks at 16 bytes
//! outside of those only uses what there must be, since choosing would cost more.

mod container;
mod string;

use fearless_simd::prelude::*;
use fearless_simd::{Level, mask8x16, u8x16, u8x32, u8x64};

pub(super) use self::container::ContainerEnd;
pub(super) use self::string::StringEnd;

/// How many bytes are looked at together.
pub(in crate::usage) const BLOCK_SIZE: usize = 64;

/// One block, loaded.
#[derive(Clone, Copy)]
struct Block<S: Simd>(u8x64<S>);

impl<S: Simd> Block<S> {
    #[inline(always)]
    fn load(simd: S, bytes: &[u8; BLOCK_SIZE]) -> Self {
        Self(u8x64::simd_from(simd, *bytes))
    }

    /// Bit `n` is set where byte `n` is this one.
    #[inline(always)]
    fn is(self, byte: u8) -> u64 {
        self.0.simd_eq(byte).to_bitmask()
    }

    /// The same with `[` and `{` alike, and `]` and `}`.
    #[inline(always)]
    fn folded(self) -> Self {
        Self(self.0 | 0x20)
    }

    /// Whether any byte is a backslash or a bracket (or a bar, which does no harm).
    #[inline(always)]
    fn has_structure(self) -> bool {
        // `{`, `|` and `}` follow one another, and folding sends `[`, `\` and `]` there: one comparison
        // in place of three, without which an embedding takes 20 % more.
        ((self.0 | 0x20) - b'{').simd_le(2).any_true()
    }
}

/// The level for code that looks at one block, whose mask decides where it goes on. Beyond AVX2 that takes
/// longer: what AVX-512 compares is later where it can be reckoned with.
#[inline]
pub(in crate::usage) fn single_block_level() -> Level {
    let level = Level::new();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(avx2) = level.as_avx2() {
        return avx2.level();
    }
    level
}

/// Where the quotes and backslashes are.
#[inline(always)]
pub(super) fn quotes_and_escapes<S: Simd>(simd: S, bytes: &[u8; BLOCK_SIZE]) -> u64 {
    let bytes = u8x64::simd_from(simd, *bytes);
    (bytes.simd_eq(b'"') | bytes.simd_eq(b'\\')).to_bitmask()
}

/// How many bytes come before the first that may end a number or literal; 16 if there is none.
/// It stops at a plus sign too, which does not end one.
#[inline(always)]
pub(super) fn scalar_len<S: Simd>(simd: S, bytes: &[u8; 16]) -> usize {
    let bytes = u8x16::simd_from(simd, *bytes);
    first(bytes.simd_le(b',') | (bytes | 0x20).simd_eq(b'}'))
}

/// Bit `n` is set where byte `n` is a quote, backslash or control character.
#[inline(always)]
pub(in crate::usage) fn specials<S: Simd>(simd: S, bytes: &[u8; 32]) -> u64 {
    let bytes = u8x32::simd_from(simd, *bytes);
    (bytes.simd_eq(b'"') | bytes.simd_eq(b'\\') | bytes.simd_le(0x1f)).to_bitmask()
}

/// Whether two slices of one length are equal.
#[inline(always)]
pub(in crate::usage) fn equal<S: Simd>(simd: S, a: &[u8], b: &[u8]) -> bool {
    if let (Some(last_a), Some(last_b)) = (a.last_chunk(), b.last_chunk()) {
        let load = |bytes: &[u8; BLOCK_SIZE]| u8x64::simd_from(simd, *bytes);
        let mut differ = load(last_a) ^ load(last_b);
        for (a, b) in a.as_chunks().0.iter().zip(b.as_chunks().0) {
            differ |= load(a) ^ load(b);
        }
        return differ.simd_eq(0).all_true();
    }
    // Two chunks that overlap are all of what is shorter.
    if let (Some(first_a), Some(first_b)) = (a.first_chunk(), b.first_chunk())
        && let (Some(last_a), Some(last_b)) = (a.last_chunk(), b.last_chunk())
    {
        let load = |bytes: &[u8; 32]| u8x32::simd_from(simd, *bytes);
        let differ = load(first_a) ^ load(first_b) | load(last_a) ^ load(last_b);
        return differ.simd_eq(0).all_true();
    }
    if let Some(equal) = ends_equal(a, b, u128::from_le_bytes) {
        return equal;
    }
    if let Some(equal) = ends_equal(a, b, u64::from_le_bytes) {
        return equal;
    }
    if let Some(equal) = ends_equal(a, b, u32::from_le_bytes) {
        return equal;
    }
    // What is shorter than four bytes. Comparing slices by `==` in place of all this calls `memcmp`,
    // and takes 13 % (OpenAI) to 25 % (Ollama) more for events that are skipped.
    a.iter().eq(b)
}

/// Whether the first and last few bytes are equal; nothing if there are fewer.
#[inline(always)]
fn ends_equal<const N: usize, T: Eq>(a: &[u8], b: &[u8], word: fn([u8; N]) -> T) -> Option<bool> {
    let (first_a, first_b) = (a.first_chunk()?, b.first_chunk()?);
    let (last_a, last_b) = (a.last_chunk()?, b.last_chunk()?);
    Some((word(*first_a) == word(*first_b)) & (word(*last_a) == word(*last_b)))
}

/// The first byte that is set; 16 if there is none.
#[inline(always)]
fn first<S: Simd>(bytes: mask8x16<S>) -> usize {
    (bytes.to_bitmask() | 1 << 16).trailing_zeros() as usize
}

/// Which bytes a backslash escapes. `carry` is 1 if the first byte is escaped from before.
#[inline(always)]
fn escaped(backslashes: u64, carry: u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    if backslashes & (backslashes << 1 | carry) == 0 {
        // No run of two or more. Without this a text with escapes takes 9 % more, and if only blocks
        // without any backslash are distinguished, as much.
        return backslashes << 1 | carry;
    }
    let starts = backslashes & !carry;
    let runs = ((starts << 1) | ODD).wrapping_sub(starts) ^ ODD;
    runs ^ (backslashes | carry)
}

/// A long run without a quote: how many of these bytes, whose first is not escaped, come before
/// the next quote and the backslashes right before it.
fn quoteless_len(bytes: &[u8]) -> usize {
    let mut len = memchr::memchr(b'"', bytes).unwrap_or(bytes.len());
    while len > 0 && bytes[len - 1] == b'\\' {
        len -= 1;
    }
    len
}

/// After this many blocks without a quote, a string is likely a long text, and `memchr` is worth its
/// call. Without it a chat answer takes 8 % more; after 1 block, a text with quotes 17 % more.
const QUOTELESS_BLOCKS: u32 = 2;

/// The last bytes of a piece, which fill no block of this size, as one; and how many of its first
/// bytes are none of them.
#[inline(always)]
pub(in crate::usage) fn last_block<const N: usize>(bytes: &[u8], rest: &[u8]) -> ([u8; N], usize) {
    let seen = N - rest.len();
    match bytes.last_chunk() {
        // Loading bytes again that were seen costs less than copying: 2 to 7 % of streams.
        Some(last) => (*last, seen),
        None => {
            let mut block = [b' '; N];
            block[seen..].copy_from_slice(rest);
            (block, seen)
        }
    }
}

/// Whether the last of `len` bytes is a backslash that escapes the byte after it.
#[inline(always)]
fn escapes_next(backslashes: u64, escaped: u64, len: usize) -> bool {
    (backslashes & !escaped) >> (len - 1) & 1 != 0
}

#[cfg(test)]
pub(in crate::usage) mod tests {
    use super::*;
    use fearless_simd::dispatch;
    use proptest::prelude::*;

    /// All there is on this machine, down to none.
    pub(in crate::usage) fn levels() -> Vec<Level> {
        let mut levels = vec![Level::new(), Level::baseline(), Level::fallback()];
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        levels.extend(
            [Level::new().as_sse4_2().map(Simd::level), Level::new().as_avx2().map(Simd::level)]
                .into_iter()
                .flatten(),
        );
        levels
    }

    #[test]
    fn one_byte_makes_slices_differ() {
        let one: Vec<u8> = (0..150).collect();
        for level in levels() {
            let equal = |a: &[u8], b: &[u8]| dispatch!(level, simd => super::equal(simd, a, b));
            for len in 0..=one.len() {
                let mut other = one[..len].to_vec();
                assert!(equal(&one[..len], &other), "{len} bytes, {level:?}");
                for at in 0..len {
                    other[at] ^= 0x80;
                    assert!(!equal(&one[..len], &other), "byte {at} of {len}, {level:?}");
                    other[at] ^= 0x80;
                }
            }
        }
    }

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
            let long = [b'a'; 3 * BLOCK_SIZE];
            let part = |pick: &usize| alphabet.get(*pick..=*pick).unwrap_or(&long);
            let bytes: Vec<u8> = picks.iter().flat_map(part).copied().collect();
            cuts.sort_unstable();
            for level in levels() {
                prop_assert_eq!(
                    in_pieces(&bytes, &cuts, &mut ContainerEnd::after_open(), |container, piece| {
                        container.find_with(level, piece)
                    }),
                    container_end(&bytes),
                    "{:?}", level
                );
                prop_assert_eq!(
                    in_pieces(&bytes, &cuts, &mut StringEnd::default(), |string, piece| {
                        string.find_with(level, piece)
                    }),
                    string_end(&bytes),
                    "{:?}", level
                );
            }
        }
    }
}
