//! [`UsageSum`]: the tokens of all calls of an agent, in a third of the memory of a [`TokenUsage`].

use super::tokens::{COUNTS, signed};
use super::{TokenDelta, TokenUsage};

/// How many counts most agents have: input, output and total.
const COMMON: usize = 3;

/// The tokens of all calls of an agent, if any has reported them.
///
/// A million live sessions have four million of these. So the counts that few agents have are elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsageSum {
    is_some: bool,
    /// Bit `n` is set if count `n` is known.
    known: u8,
    /// A count that is not known is zero.
    common: [u64; COMMON],
    /// The others, if one of them is known.
    rest: Option<Box<[u64; COUNTS - COMMON]>>,
}

impl UsageSum {
    pub(crate) fn is_some(&self) -> bool {
        self.is_some
    }

    pub(crate) fn get(&self) -> Option<TokenUsage> {
        let rest = self.rest.as_deref().copied().unwrap_or_default();
        let counts = std::array::from_fn(|n| {
            let count = self.common.get(n).copied().unwrap_or_else(|| rest[n - COMMON]);
            (self.known & 1 << n != 0).then_some(count)
        });
        self.is_some.then(|| TokenUsage::from_counts(counts))
    }

    /// Whether it is this usage.
    pub(crate) fn is(&self, usage: Option<&TokenUsage>) -> bool {
        self.get().as_ref() == usage
    }

    #[inline]
    fn count(&mut self, n: usize) -> &mut u64 {
        self.known |= 1 << n;
        match self.common.get_mut(n) {
            Some(count) => count,
            None => &mut self.rest.get_or_insert_default()[n - COMMON],
        }
    }

    /// Adds a delta.
    pub(crate) fn add(&mut self, delta: &TokenDelta) {
        self.is_some = true;
        for n in 0..COUNTS {
            if delta.known & 1 << n != 0 {
                let count = self.count(n);
                *count = count.saturating_add_signed(delta.counts[n]);
            }
        }
    }

    /// Adds all of a usage to this sum and to a delta, in one pass: this is the end of most calls.
    #[inline]
    pub(super) fn add_to_both(&mut self, delta: &mut TokenDelta, usage: &TokenUsage) {
        self.is_some = true;
        let mut add = |n: usize, count: Option<u64>| {
            if count.is_some() {
                let count = signed(count);
                delta.known |= 1 << n;
                delta.counts[n] = delta.counts[n].saturating_add(count);
                let sum = self.count(n);
                *sum = sum.saturating_add_signed(count);
            }
        };
        // A loop over an array would take 150 instructions more.
        add(0, usage.input_tokens);
        add(1, usage.output_tokens);
        add(2, usage.total_tokens);
        add(3, usage.cache_read_input_tokens);
        add(4, usage.cache_write_input_tokens);
        add(5, usage.reasoning_tokens);
        add(6, usage.cache_write_5m_input_tokens);
        add(7, usage.cache_write_1h_input_tokens);
    }
}

impl From<Option<TokenUsage>> for UsageSum {
    fn from(usage: Option<TokenUsage>) -> Self {
        let mut sum = Self { is_some: usage.is_some(), ..Self::default() };
        for (n, count) in usage.unwrap_or_default().counts().into_iter().enumerate() {
            if let Some(count) = count {
                *sum.count(n) = count;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages() -> impl Iterator<Item = TokenUsage> {
        // Every choice of the counts that are known, with numbers of its own.
        (0..=u8::MAX).map(|known| {
            TokenUsage::from_counts(std::array::from_fn(|n| {
                let count = u64::from(known) * 10 + n as u64;
                (known & 1 << n != 0).then_some(count)
            }))
        })
    }

    #[test]
    fn it_is_the_usage_that_it_was_made_of() {
        assert_eq!(UsageSum::from(None).get(), None);
        for usage in usages() {
            let sum = UsageSum::from(Some(usage));
            assert_eq!(sum.get(), Some(usage));
            assert!(sum.is(Some(&usage)) && !sum.is(None));
        }
    }

    #[test]
    fn it_adds_as_a_usage_does() {
        let mut rng = fastrand::Rng::with_seed(5);
        let all: Vec<_> = usages().collect();
        let pick = |rng: &mut fastrand::Rng| all[rng.usize(..all.len())];
        for _ in 0..2_000 {
            let (a, b, c) = (pick(&mut rng), pick(&mut rng), pick(&mut rng));
            // One that can go down, too.
            let delta = b.delta_from(&c);
            let (mut usage, mut sum) = (a, UsageSum::from(Some(a)));
            usage.add(&delta);
            sum.add(&delta);
            assert_eq!(sum, Some(usage).into(), "{a:?} + {delta:?}");

            let (mut usage, mut of_both) = (a, delta);
            usage.add(&b.as_delta());
            let mut sum = UsageSum::from(Some(a));
            sum.add_to_both(&mut of_both, &b);
            assert_eq!(sum, Some(usage).into(), "{a:?} + {b:?}");
            let mut expected = delta;
            expected.add(&b.as_delta());
            assert_eq!(of_both, expected);
        }
    }

    #[test]
    fn it_is_a_third_of_a_usage() {
        assert!(size_of::<UsageSum>() * 3 <= size_of::<Option<TokenUsage>>());
    }
}
