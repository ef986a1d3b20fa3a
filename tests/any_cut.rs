//! The recorded answers in the folder `AGENT_STATUS_CORPUS` are read alike, however they are cut.
//!
//! `SEED` selects the places at which long answers are cut; without it, each run has others.

#![expect(clippy::unwrap_used, reason = "a row that cannot be read fails the test")]

#[path = "corpus/cuts.rs"]
mod cuts;
#[path = "corpus/rows.rs"]
mod rows;

use tower_agent_status::usage::{End, Progress};

#[test]
fn recorded_answers_are_read_alike_at_any_cut() {
    let rows = match rows::all_rows() {
        Ok(rows) => rows,
        Err(why) => return println!("{why}"),
    };
    let seed =
        std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let faults = cuts::faults(&rows, |row| {
        let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut reader = row.reader();
            let mut ended = false;
            pieces.for_each(|piece| ended |= reader.feed(piece) == Progress::Ended);
            (reader.finish(End::Complete), reader.info(), ended)
        };
        let checked = cuts::check(&row.body, seed, read);
        checked.map(drop).map_err(|fault| format!("{}: {fault}", row.json["id"]))
    });
    println!("corpus: {} of {} rows are read alike", rows.len() - faults.len(), rows.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
