//! Attributes and correlation ids of different values, from several processes.

use super::*;

fn set(process: &mut Process, name: &str, value: &str, now: i64) {
    let attributes = BTreeMap::from([(name.to_owned(), value.into())]);
    process.ledger.set_attributes(Some(value.to_owned()), attributes, at(now));
}

/// The attribute `a` and the correlation id.
fn shown(table: &Table) -> (String, String) {
    let status = table.status();
    let text = status.attributes["a"].as_str().unwrap().to_owned();
    (text, status.correlation_id.unwrap())
}

fn both(value: &str) -> (String, String) {
    (value.to_owned(), value.to_owned())
}

#[test]
fn the_value_that_is_written_last_stands() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    set(&mut one, "a", "of one", 0);
    one.save(&mut table, 0);
    set(&mut two, "a", "of two", 1);
    two.save(&mut table, 1);
    // This process writes something else.
    one.start("worker", 2);
    one.save(&mut table, 2);
    assert_eq!(shown(&table), both("of two"));
    set(&mut one, "a", "again", 3);
    one.save(&mut table, 3);
    assert_eq!(shown(&table), both("again"));
}

#[test]
fn a_value_whose_answer_was_lost_is_not_written_over_a_later_one() {
    for applied in [true, false] {
        let mut table = Table::default();
        let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
        one.start("worker", 0);
        one.save(&mut table, 0);
        set(&mut one, "a", "of one", 1);
        one.save_and_lose_the_answer(&mut table, applied, 1);
        one.end("worker", Outcome::Success, 1, 2);
        set(&mut two, "a", "of two", 3);
        two.save(&mut table, 3);
        // What did not reach the table is written last.
        one.save(&mut table, 4);
        assert_eq!(shown(&table), both(if applied { "of two" } else { "of one" }));
    }
}

#[test]
fn a_value_set_when_another_has_begun_a_new_run_belongs_to_that() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    set(&mut one, "b", "before", 0);
    one.save(&mut table, 0);
    two.ledger.begin_new_run(at(10));
    two.save(&mut table, 10);
    // This process does not know of it yet.
    set(&mut one, "a", "after", 20);
    one.save(&mut table, 20);
    assert_eq!(shown(&table), both("after"));
    assert_eq!(table.status().attributes.get("b"), None);
    assert_eq!(table.status().created_at, at(10));
}
