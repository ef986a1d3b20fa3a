//! More processes than an item remembers for good, and answers that are lost among them.

use super::*;
use crate::status::Writers;

const HOUR: i64 = 60 * 60 * 1000;

/// Processes that each make a call of one token and end, one after the other.
fn fan_out(table: &mut Table, count: usize, from: i64) {
    for n in 0..count {
        let now = from + i64::try_from(n).unwrap();
        let mut process = Process::new(Box::leak(format!("{from}-{n}").into_boxed_str()), now);
        process.start("worker", now);
        process.end("worker", Outcome::Success, 1, now);
        process.save(table, now);
        assert_eq!(process.uncertain, []);
    }
}

/// The same for many, without the writes one by one.
fn crowd(table: &mut Table, count: usize, from: i64) {
    fan_out(table, 1, from);
    let mut status = table.status();
    for n in 1..count {
        let seq = u64::try_from(at(from).as_millis()).unwrap() + 2 * u64::try_from(n).unwrap();
        status.writers.note(&format!("{from}-{n}"), seq & !1, true);
        status.revision += 1;
        let agent = &mut status.agents.iter_mut().find(|(name, _)| &**name == "worker").unwrap().1;
        agent.calls += 1;
        let tokens = TokenUsage::new(1, 0).delta_from(&TokenUsage::default());
        agent.usage.add(&tokens);
    }
    table.item = Some(status.to_item());
}

fn calls(table: &Table, agent: &str) -> u64 {
    table.status().agent(agent).unwrap().calls
}

#[test]
fn a_lost_answer_counts_once_however_many_write_after_it() {
    for (applied, count) in [(true, 1), (true, 33), (false, 33), (true, 100), (true, 1000)] {
        let mut table = Table::default();
        let mut first = Process::new("first", 0);
        first.start("worker", 0);
        first.end("worker", Outcome::Success, 1, 0);
        first.save_and_lose_the_answer(&mut table, applied, 0);
        if count > 100 {
            crowd(&mut table, count, 10);
        } else {
            fan_out(&mut table, count, 10);
        }
        first.save(&mut table, 20_000);
        let expected = u64::try_from(count + 1).unwrap();
        assert_eq!(calls(&table, "worker"), expected, "{count} writers, applied: {applied}");
        assert_eq!(input(&table.status(), "worker"), expected);
        assert_eq!(first.uncertain, []);
    }
}

#[test]
fn a_lost_answer_counts_once_though_the_clock_is_behind() {
    for applied in [true, false] {
        for earlier in [32, 256, 400] {
            let mut table = Table::default();
            crowd(&mut table, earlier, 0);
            let mut behind = Process::new("behind", -5_000);
            behind.start("worker", -5_000);
            behind.save(&mut table, -5_000);
            behind.end("worker", Outcome::Success, 1, -5_000);
            behind.save_and_lose_the_answer(&mut table, applied, -5_000);
            fan_out(&mut table, 1, 2_000);
            behind.save(&mut table, -4_000);
            let expected = u64::try_from(earlier + 2).unwrap();
            assert_eq!(calls(&table, "worker"), expected, "{earlier} earlier, applied: {applied}");
            assert_eq!(behind.uncertain, []);
        }
    }
}

#[test]
fn a_run_stays_whose_first_answer_was_lost_while_others_joined() {
    // The last one makes the item forget who began the run.
    for (joined, from) in [(33, 100), (300, 100), (600, 3 * HOUR)] {
        let mut table = Table::default();
        fan_out(&mut table, 40, 0);
        let mut owner = Process::new("owner", 50);
        owner.ledger.begin_new_run(at(50));
        let write = owner.prepare(51).unwrap();
        let found = table.write(&write).unwrap_err();
        owner.conflict(found.as_ref(), 51);
        owner.save_and_lose_the_answer(&mut table, true, 52);
        crowd(&mut table, joined, from);
        if joined > 300 {
            crowd(&mut table, 300, from + HOUR);
            assert_eq!(table.status().writers.last_write("owner"), None);
        }
        let before = calls(&table, "worker");
        owner.start("b", 4 * HOUR + 1);
        owner.end("b", Outcome::Success, 7, 4 * HOUR + 2);
        owner.save(&mut table, 4 * HOUR + 2);
        assert_eq!(calls(&table, "worker"), before, "{joined} joined");
        assert_eq!(input(&table.status(), "b"), 7);
        assert_eq!(owner.uncertain, []);
    }
}

#[test]
fn what_a_forgotten_writer_may_have_counted_is_not_counted_again() {
    for applied in [true, false] {
        let mut table = Table::default();
        let mut first = Process::new("first", 0);
        first.start("worker", 0);
        first.end("worker", Outcome::Success, 5, 0);
        first.save_and_lose_the_answer(&mut table, applied, 0);
        // Nothing is heard of it for a day, while more write than are remembered for good.
        crowd(&mut table, 300, 10);
        crowd(&mut table, 300, 24 * HOUR);
        let others = 600 + u64::from(applied);
        assert_eq!(calls(&table, "worker"), others);
        // This call has begun since, and counts.
        first.start("worker", 25 * HOUR);
        first.end("worker", Outcome::Success, 3, 25 * HOUR);
        first.save(&mut table, 25 * HOUR);
        assert_eq!(calls(&table, "worker"), others + 1, "applied: {applied}");
        let tokens = if applied { 605 } else { 600 };
        assert_eq!(input(&table.status(), "worker"), tokens + 3);
        let [uncertain] = first.uncertain[..] else { panic!("{:?}", first.uncertain) };
        assert_eq!((uncertain.calls, uncertain.tokens.total()), (1, 5));
    }
}

#[test]
fn two_hundred_processes_that_end_after_a_call_are_all_known() {
    let mut table = Table::default();
    fan_out(&mut table, 200, 0);
    let status = table.status();
    assert_eq!((status.writers.len(), calls(&table, "worker")), (200, 200));
    assert_eq!(status.agent("worker").unwrap().state, AgentState::Success);
}

/// The bytes that `writers` adds to an item: names, values, and what DynamoDB adds to them.
fn bytes_of_writers(table: &Table) -> usize {
    let Some(Value::Map(writers)) = table.item.as_ref().unwrap().get("writers") else { panic!() };
    let number = |number: u64| number.to_string().trim_end_matches('0').len().div_ceil(2) + 1;
    writers.iter().map(|(id, seq)| id.len() + number(seq.as_u64().unwrap()) + 1).sum()
}

#[test]
fn a_writer_takes_few_bytes() {
    let mut table = Table::default();
    for (count, bytes) in [(1, 17), (10, 170), (100, 1700), (1000, 17_000)] {
        fan_out(&mut table, 1, 111);
        let mut status = table.status();
        status.writers = Writers::default();
        for n in 0..count {
            status.writers.note(&format!("{n:08}"), 1_766_570_400_112 + 2 * n, true);
        }
        table.item = Some(status.to_item());
        let actual = bytes_of_writers(&table);
        assert!((bytes * 9 / 10..=bytes).contains(&actual), "{count}: {actual}");
    }
}

#[test]
fn what_was_acknowledged_or_surely_failed_is_not_uncertain() {
    for was_applied in [true, false] {
        let mut table = Table::default();
        fan_out(&mut table, 1, -10);
        let mut first = Process::new("first", 0);
        first.start("worker", 0);
        first.save(&mut table, 0);
        first.end("worker", Outcome::Success, 5, 1);
        if was_applied {
            first.save(&mut table, 1);
        } else {
            let write = first.prepare(1).unwrap();
            first.ledger.write_failed(&write, false);
        }
        crowd(&mut table, 300, 10);
        crowd(&mut table, 300, 24 * HOUR);
        assert_eq!(table.status().writers.last_write("first"), None);
        first.start("worker", 25 * HOUR);
        first.save(&mut table, 25 * HOUR);
        assert_eq!(first.uncertain, []);
        assert_eq!(calls(&table, "worker"), 602, "applied: {was_applied}");
        assert_eq!(input(&table.status(), "worker"), 606);
    }
}
