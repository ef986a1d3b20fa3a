//! The same bytes have the same reading, however they are cut: every response is read whole, byte by
//! byte, in pieces of several sizes, and cut in two at every place or, if it is long, at places
//! spread over it evenly from a seed.
//!
//! Cutting each response in two takes too long without optimization. So a debug build cuts at the
//! same places, but at several that are far apart in one reading.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The sizes of pieces.
const SIZES: [usize; 4] = [1, 7, 61, 1400];
/// Bodies up to this size are cut in two at every place.
const SHORT: usize = 4096;
/// At how many places longer ones are cut.
const PLACES: usize = 200;
/// How far apart the places are at which a debug build cuts at once.
const APART: usize = 512;

/// The places at which a body is cut in two.
pub(crate) fn places(len: usize, seed: u64) -> Vec<usize> {
    if len <= SHORT {
        return (1..len).collect();
    }
    // One place in each of equal parts, so that the seed decides where within the part.
    let mut state = seed | 1;
    let part = |index: usize| index * len / PLACES;
    let place = |index| {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        part(index) + usize::try_from(state % (len / PLACES) as u64).unwrap()
    };
    (0..PLACES).map(place).filter(|place| *place > 0).collect()
}

/// The pieces of a body that is cut at these places.
fn pieces<'a>(body: &'a [u8], places: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let ends = places.iter().copied().chain([body.len()]);
    ends.scan(0, |from, to| Some(&body[std::mem::replace(from, to)..to]))
}

/// What `read` makes of the body whole, and how it differs if the body is cut, in words.
pub(crate) fn check<R: PartialEq + Debug>(
    body: &[u8],
    seed: u64,
    read: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> R,
) -> Result<R, String> {
    let whole = read(&mut std::iter::once(body));
    let compare = |reading: R, how: &dyn Fn() -> String| {
        if reading == whole {
            Ok(())
        } else {
            Err(format!("{}: {reading:?}, whole: {whole:?}", how()))
        }
    };
    for size in SIZES {
        compare(read(&mut body.chunks(size)), &|| format!("in pieces of {size}"))?;
    }
    let places = places(body.len(), seed);
    let at_once = if cfg!(debug_assertions) { body.len().div_ceil(APART).clamp(1, 16) } else { 1 };
    let readings = places.len().div_ceil(at_once);
    for first in 0..readings {
        let places: Vec<_> = places.iter().copied().skip(first).step_by(readings).collect();
        let reading = read(&mut pieces(body, &places));
        compare(reading, &|| format!("cut at {places:?} of {}, seed {seed}", body.len()))?;
    }
    Ok(whole)
}

/// Runs a check of each item on all processors, and returns the faults.
pub(crate) fn faults<T: Sync>(
    items: &[T],
    check: impl Fn(&T) -> Result<(), String> + Sync,
) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut faults = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            faults.extend(check(item).err());
        }
        faults
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
