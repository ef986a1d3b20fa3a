//! Sixteen bytes at a time where the processor has no instructions for it, or none that are known
//! when it is compiled.

use std::ops::{BitOr, Not, Sub};

/// The same as `wide::u8x16`, as far as it is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "it stands for a type of that name")]
pub(super) struct u8x16([u8; 16]);

impl u8x16 {
    #[inline]
    pub(super) fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    #[inline]
    pub(super) fn splat(byte: u8) -> Self {
        Self([byte; 16])
    }

    #[inline]
    fn with(self, other: Self, each: impl Fn(u8, u8) -> u8) -> Self {
        let mut bytes = self.0;
        for (byte, other) in bytes.iter_mut().zip(other.0) {
            *byte = each(*byte, other);
        }
        Self(bytes)
    }

    /// All bits set where the bytes are the same.
    #[inline]
    pub(super) fn simd_eq(self, other: Self) -> Self {
        self.with(other, |a, b| if a == b { 0xff } else { 0 })
    }

    #[inline]
    pub(super) fn min(self, other: Self) -> Self {
        self.with(other, u8::min)
    }

    /// The highest bit of each byte.
    #[inline]
    pub(super) fn to_bitmask(self) -> u32 {
        self.0.iter().rev().fold(0, |mask, byte| mask << 1 | u32::from(byte >> 7))
    }
}

impl BitOr for u8x16 {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        self.with(other, |a, b| a | b)
    }
}

impl Sub for u8x16 {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        self.with(other, u8::wrapping_sub)
    }
}

impl Not for u8x16 {
    type Output = Self;

    #[inline]
    fn not(self) -> Self {
        Self(self.0.map(|byte| !byte))
    }
}

#[cfg(test)]
mod tests {
    use super::u8x16 as Portable;
    use wide::u8x16 as Wide;

    /// A one of both kinds, with every byte at every place over all calls.
    fn both(from: usize) -> (Portable, Wide) {
        let bytes = std::array::from_fn(|i| ((from + i * 17) % 256) as u8);
        (Portable::new(bytes), Wide::new(bytes))
    }

    #[test]
    fn the_portable_way_does_what_the_instructions_do() {
        for a in 0..256 {
            for b in 0..256 {
                let ((a, wide_a), (b, wide_b)) = (both(a), both(b));
                for (portable, wide) in [
                    (a.simd_eq(b), wide_a.simd_eq(wide_b)),
                    (a.min(b), wide_a.min(wide_b)),
                    (a | b, wide_a | wide_b),
                    (a - b, wide_a - wide_b),
                    (!a, !wide_a),
                ] {
                    assert_eq!(portable.0, wide.to_array());
                    assert_eq!(portable.to_bitmask(), wide.to_bitmask());
                }
            }
        }
        let byte = b'x';
        assert_eq!(Portable::splat(byte).0, Wide::splat(byte).to_array());
    }
}
