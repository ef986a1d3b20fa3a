//! Responses that are easily misread: failures that look like successes, successes that look like
//! failures, unusual token counts, and tasks that are not finished.
//!
//! The responses are in `answers/`, one file per kind, in the format that `cases` describes.
//! `words` places each status word both where it decides and where it is content. `rules` tries
//! other rules in every place where they hold, and `keys` each spelling of a key.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![expect(clippy::needless_pass_by_value, reason = "documents are formatted in place")]

mod cases;
#[path = "../corpus/cuts.rs"]
mod cuts;
mod keys;
mod rules;
mod words;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tower_agent_status::usage::{End, Progress};

/// One test per kind, so that the names of the failing tests name the kinds that are misread.
macro_rules! kinds {
    ($($kind:ident,)*) => {
        $(
            #[test]
            fn $kind() {
                check(stringify!($kind));
            }
        )*

        #[test]
        fn every_kind_has_a_test() {
            let tested = BTreeSet::from([$(stringify!($kind)),*]);
            assert_eq!(tested, cases::KINDS.iter().map(|(kind, _)| *kind).collect());
        }
    };
}

kinds! {
    spellings,
    content_encoding,
    no_answer,
    silent_errors,
    known_total,
    choice_usage,
    envelopes,
    snake_case,
    several_calls,
    odd_numbers,
    is_error,
    flat_errors,
    error_events,
    status_words,
    vendor_codes,
    broken_turns,
    raw_frames,
    lambda,
    unknown_ends,
    transcriptions,
    other_parts,
    cache_writes,
    error_texts,
    json_in_strings,
    error_arrays,
    downloads,
    stored,
    langgraph,
    error_lines,
    failure_traces,
    waiting,
    a2a,
    cut,
    recordings,
    business,
}

/// Checks all responses of a kind.
#[track_caller]
fn check(kind: &str) {
    check_all(cases::of_kind(kind));
}

/// Reads each response whole, byte by byte, and in pieces of 7 bytes. Fails with a list of those
/// that are read wrongly.
#[track_caller]
fn check_all(cases: impl IntoIterator<Item = cases::Case>) {
    let (mut wrong, mut count, mut report) = (0, 0, String::new());
    for case in cases {
        count += 1;
        let whole = case.read(usize::MAX);
        let mut differences = case.differences(&whole.0);
        for size in [1, 7] {
            let pieces = case.read(size);
            if pieces != whole {
                let _ = write!(differences, "; in pieces of {size} {pieces:?}, whole {whole:?}");
            }
        }
        if !differences.is_empty() {
            wrong += 1;
            let _ = writeln!(report, "  {}{differences}", case.name);
        }
    }
    assert_eq!(wrong, 0, "{wrong} of {count} responses are read wrongly:\n{report}");
}

/// A rule is tested from both sides: by what it applies to, and by what it must leave alone.
#[test]
fn every_kind_has_cases_on_both_sides_and_unique_names() {
    for (kind, _) in cases::KINDS {
        let cases = cases::of_kind(kind);
        let of_kind = cases.iter().filter(|case| case.is_of_kind).count();
        let look_like_it = cases.len() - of_kind;
        assert!(*kind == "business" || of_kind >= 2, "{kind}: {of_kind} of the kind");
        assert!(look_like_it >= 2, "{kind}: {look_like_it} only look like it");
    }
    let cases = cases::all();
    let names: BTreeSet<_> = cases.iter().map(|case| (case.kind, &case.name)).collect();
    assert_eq!(names.len(), cases.len());
}

/// Cut in two at every place, and into pieces of several sizes.
#[test]
fn cuts_do_not_matter() {
    let faults = cuts::faults(&cases::all(), |case| {
        let check = cuts::check(&case.body, 7, |pieces| {
            let (mut reader, mut ended) = (case.reader(), false);
            pieces.for_each(|piece| ended |= reader.feed(piece) == Progress::Ended);
            (reader.finish(End::Complete), ended)
        });
        check.map(drop).map_err(|fault| format!("{}: {fault}", case.name))
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
