//! Shows the bytes of a buffer without consuming them.
//!
//! A [`Buf`] is read by consuming it, which is up to the caller. What it gives by reference is its
//! first slice, and several with [`chunks_vectored`](Buf::chunks_vectored), if it implements that.
//! Whether these are all of them is known only from their length, and slices that are not all may
//! not even be neighbours: a chain gives the first slice of each of its halves. So either all bytes
//! of a buffer are shown, or only its first slice is.

use std::io::IoSlice;

use bytes::Buf;

/// How many slices are first asked for. Few buffers have more than two.
const FEW: usize = 16;
/// How many slices a buffer may have. The list of them takes 64 KiB.
const MAX: usize = 4096;

/// Shows the bytes of a buffer, slice by slice, and returns whether these were all.
#[inline]
pub(super) fn for_each_slice(data: &impl Buf, mut show: impl FnMut(&[u8])) -> bool {
    let first = data.chunk();
    let is_all = first.len() == data.remaining();
    if !is_all && show_several(data, &mut show) {
        return true;
    }
    show(first);
    is_all
}

/// Shows all slices, or none.
#[inline(never)]
fn show_several(data: &impl Buf, show: &mut dyn FnMut(&[u8])) -> bool {
    let mut few = [IoSlice::new(&[]); FEW];
    let mut many = Vec::new();
    let mut slices = &mut few[..];
    loop {
        let filled = data.chunks_vectored(slices);
        let Some(all) = slices.get(..filled) else { return false };
        if all.iter().map(|slice| slice.len()).sum::<usize>() == data.remaining() {
            all.iter().for_each(|slice| show(slice));
            return true;
        }
        // With room left, there are no more slices to be had.
        let len = slices.len() * 16;
        if filled < slices.len() || len > MAX {
            return false;
        }
        many.resize(len, IoSlice::new(&[]));
        slices = &mut many;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::{Buf, Bytes};

    use super::*;

    /// A buffer of several pieces that gives by reference only the first.
    struct OnlyFirst(VecDeque<Bytes>);

    impl Buf for OnlyFirst {
        fn remaining(&self) -> usize {
            self.0.iter().map(Bytes::len).sum()
        }

        fn chunk(&self) -> &[u8] {
            self.0.front().map_or(&[], |piece| &piece[..])
        }

        fn advance(&mut self, _: usize) {
            unreachable!("nothing is consumed");
        }
    }

    /// The same, with all of its pieces.
    struct Pieces(OnlyFirst);

    impl Buf for Pieces {
        fn remaining(&self) -> usize {
            self.0.remaining()
        }

        fn chunk(&self) -> &[u8] {
            self.0.chunk()
        }

        fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
            let pairs = slices.iter_mut().zip(&self.0.0);
            pairs.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
        }

        fn advance(&mut self, _: usize) {
            unreachable!("nothing is consumed");
        }
    }

    fn only_first(pieces: usize) -> OnlyFirst {
        OnlyFirst((0..pieces).map(|piece| Bytes::from(format!("{piece},"))).collect())
    }

    fn shown(data: &impl Buf) -> (String, bool) {
        let mut bytes = Vec::new();
        let is_all = for_each_slice(data, |slice| bytes.extend(slice));
        (String::from_utf8(bytes).unwrap_or_default(), is_all)
    }

    fn numbers(count: usize) -> String {
        (0..count).map(|number| format!("{number},")).collect()
    }

    #[test]
    fn every_slice_of_a_buffer_is_shown() {
        for count in [1, 2, 15, 16, 17, 40, 255, 256, 257, MAX] {
            assert_eq!(shown(&Pieces(only_first(count))), (numbers(count), true), "{count}");
        }
        assert_eq!(shown(&Bytes::new()), (String::new(), true));
        let mut deque: VecDeque<u8> = (b'a'..=b'h').collect();
        deque.rotate_left(3);
        deque.push_back(b'!');
        assert_eq!(shown(&deque), ("defghabc!".to_owned(), true));
        let chain = Bytes::from("a").chain(Bytes::from("b").chain(Pieces(only_first(40))));
        assert_eq!(shown(&chain), (format!("ab{}", numbers(40)), true));
    }

    #[test]
    fn of_a_buffer_that_hides_slices_only_the_first_is_shown() {
        assert_eq!(shown(&only_first(1)), ("0,".to_owned(), true));
        assert_eq!(shown(&only_first(2)), ("0,".to_owned(), false));
        assert_eq!(shown(&Pieces(only_first(MAX + 1))), ("0,".to_owned(), false));
        // The slices that this gives are no neighbours.
        let chain = only_first(2).chain(Bytes::from("after the gap"));
        assert_eq!(shown(&chain), ("0,".to_owned(), false));
        let chain = Bytes::from("before ").chain(only_first(2).chain(Bytes::from("after")));
        assert_eq!(shown(&chain), ("before ".to_owned(), false));
    }
}
