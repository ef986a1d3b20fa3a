//! The expiry of an item: after its creation, where it stands, and that it is ahead.

use super::*;

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

/// A process whose tracker keeps items for so many hours.
fn process(writer: &'static str, kept: u64, now: i64) -> Process {
    let mut process = Process::new(writer, now);
    process.ledger = process.ledger.with_retention(hours(kept));
    process
}

/// When the item expires, in milliseconds after the beginning.
fn expires(table: &Table) -> Option<i64> {
    let at = table.item.as_ref().unwrap().get("expiresAt")?.as_u64().unwrap();
    Some(i64::try_from(at).unwrap() * SECOND - at_millis(0))
}

fn at_millis(millis: i64) -> i64 {
    at(millis).as_millis()
}

/// A call starts and ends, and is saved.
fn call(process: &mut Process, table: &mut Table, now: i64) {
    process.start("a", now);
    process.end("a", Outcome::Success, 1, now);
    process.save(table, now);
}

#[test]
fn an_item_expires_after_its_creation_and_no_later_write_says_so_again() {
    let (mut table, mut p) = (Table::default(), process("p", 48, 0));
    p.start("a", 0);
    p.save(&mut table, 0);
    assert_eq!(expires(&table), Some(2 * DAY));
    p.end("a", Outcome::Success, 1, HOUR);
    let write = p.prepare(HOUR).unwrap();
    assert_eq!(write.change().unwrap().change.set.get("expiresAt"), None);
}

#[test]
fn retentions_are_between_a_minute_and_thirty_years() {
    let years = Duration::from_secs(30 * 365 * 24 * 3_600);
    for (asked, kept) in [
        (Duration::ZERO, Duration::from_secs(60)),
        (Duration::from_secs(61), Duration::from_secs(61)),
        (years * 2, years),
        (Duration::MAX, years),
    ] {
        let expected = Some(at(0).saturating_add(kept));
        let mut ledger = Ledger::new(id(), at(0)).with_retention(asked);
        assert_eq!(ledger.status().expires_at, expected, "{asked:?}");
        let mut ledger = Ledger::new(id(), at(0));
        ledger.set_retention(asked);
        assert_eq!(ledger.status().expires_at, expected, "{asked:?}");
    }
}

#[test]
fn a_process_that_resumes_a_session_leaves_the_expiry_as_it_is() {
    let mut table = Table::default();
    call(&mut process("short", 2, 0), &mut table, 0);
    let mut p = process("long", 48, 0);
    for now in 1..20 {
        call(&mut p, &mut table, now * SECOND);
        // And so does one that begins.
        call(&mut process("new", 72, now * SECOND), &mut table, now * SECOND + 500);
        assert_eq!(expires(&table), Some(2 * HOUR));
    }
}

#[test]
fn what_a_workflow_says_stands_over_the_item_until_another_says_something_else() {
    let mut table = Table::default();
    let mut a = process("a", 48, 0);
    call(&mut a, &mut table, 0);
    let mut b = process("b", 48, SECOND);
    b.ledger.set_retention(hours(3));
    call(&mut b, &mut table, SECOND);
    assert_eq!(expires(&table), Some(3 * HOUR), "since the creation of the item");
    call(&mut a, &mut table, 2 * SECOND);
    assert_eq!(expires(&table), Some(3 * HOUR));
    a.ledger.set_retention(hours(5));
    call(&mut a, &mut table, 3 * SECOND);
    for now in 4..10 {
        for process in [&mut b, &mut a] {
            call(process, &mut table, now * SECOND);
            assert_eq!(expires(&table), Some(5 * HOUR));
        }
    }
}

#[test]
fn what_a_workflow_says_is_not_lost_with_an_answer() {
    for is_applied in [true, false] {
        let (mut table, mut a) = (Table::default(), process("a", 48, 0));
        call(&mut a, &mut table, 0);
        a.ledger.set_retention(hours(3));
        a.save_and_lose_the_answer(&mut table, is_applied, SECOND);
        call(&mut process("b", 72, 0), &mut table, 2 * SECOND);
        call(&mut a, &mut table, 3 * SECOND);
        assert_eq!(expires(&table), Some(3 * HOUR), "applied: {is_applied}");
    }
}

#[test]
fn an_item_that_is_written_does_not_expire() {
    for kept in [1, 2, 24, 48, 24 * 90] {
        let length = HOUR * i64::try_from(kept).unwrap();
        let (mut table, mut p) = (Table::default(), process("p", kept, 0));
        let (mut put_off, mut before) = (0, None);
        let mut now = 0;
        while now < 3 * length {
            p.ledger.heartbeat(at(now));
            p.save(&mut table, now);
            let expiry = expires(&table);
            assert!(expiry.unwrap() > now + length.min(DAY) / 2 - SECOND, "{kept} h, {now}");
            assert!(expiry.unwrap() <= length.max(now + DAY.min(length)), "{kept} h, {now}");
            if now <= length / 2 || now <= length - DAY {
                assert_eq!(expiry, Some(length), "{kept} h, {now}");
            }
            put_off += usize::from(before.is_some() && before != expiry);
            before = expiry;
            now += length / 200;
        }
        // Not with each write: twice in a margin, at most.
        let at_most = usize::try_from(6 * length / length.min(DAY)).unwrap();
        assert!(put_off <= at_most, "{kept} h: {put_off}");
    }
}

#[test]
fn an_expiry_is_ahead_of_the_write_that_sets_it_however_old_the_change_is() {
    // The table was away for three days.
    let (mut table, mut p) = (Table::default(), process("p", 2, 0));
    p.start("a", 0);
    p.save(&mut table, 3 * DAY);
    assert_eq!(expires(&table), Some(3 * DAY + 2 * HOUR));
    // A session that is resumed after its expiry, by a process with another setting.
    let mut later = process("later", 48, 30 * DAY);
    call(&mut later, &mut table, 30 * DAY);
    assert!(expires(&table).unwrap() > 30 * DAY + 12 * HOUR);
    // A workflow whose own retention is over already.
    later.ledger.set_retention(hours(3));
    call(&mut later, &mut table, 31 * DAY);
    assert_eq!(expires(&table), Some(31 * DAY + 3 * HOUR));
}

#[test]
fn an_item_of_another_writer_gets_an_expiry_from_now() {
    let (mut theirs, mut table) = (Item::new(), Table::default());
    theirs.insert("createdAt", at(-400 * DAY).to_string());
    table.item = Some(theirs.clone());
    call(&mut process("p", 48, 0), &mut table, 0);
    assert_eq!(expires(&table), Some(2 * DAY));
    // One that has an expiry keeps it.
    theirs.insert("expiresAt", u64::try_from(at(7 * DAY).as_secs()).unwrap());
    table.item = Some(theirs);
    call(&mut process("p", 48, 0), &mut table, 0);
    assert_eq!(expires(&table), Some(7 * DAY));
}

#[test]
fn an_expiry_that_was_removed_stays_away() {
    let (mut table, mut p) = (Table::default(), process("p", 48, 0));
    call(&mut p, &mut table, 0);
    table.item.as_mut().unwrap().remove("expiresAt");
    call(&mut process("q", 48, SECOND), &mut table, SECOND);
    call(&mut p, &mut table, 2 * SECOND);
    call(&mut p, &mut table, 9 * DAY);
    assert_eq!(expires(&table), None);
}

#[test]
fn a_new_run_takes_the_setting_of_its_process() {
    let (mut table, mut a) = (Table::default(), process("a", 48, 0));
    a.ledger.set_retention(hours(3));
    call(&mut a, &mut table, 0);
    let mut b = process("b", 72, HOUR);
    b.ledger.begin_new_run(at(HOUR));
    call(&mut b, &mut table, HOUR);
    assert_eq!(expires(&table), Some(HOUR + 3 * DAY));
    // What was said of the previous run is over, also where another began the new one.
    call(&mut a, &mut table, 2 * HOUR);
    assert_eq!(expires(&table), Some(HOUR + 3 * DAY));
    a.ledger.begin_new_run(at(3 * HOUR));
    call(&mut a, &mut table, 3 * HOUR);
    assert_eq!(expires(&table), Some(3 * HOUR + 2 * DAY));
    // A run is ordered after the one that it replaces, whatever the clocks say.
    let mut behind = process("behind", 24, 0);
    behind.ledger.begin_new_run(at(0));
    behind.ledger.set_retention(hours(30));
    call(&mut behind, &mut table, 0);
    assert_eq!(expires(&table), Some(3 * HOUR + 30 * HOUR));
}
