//! The correlation id, the attributes, the activities and the numbers of writers.

use super::*;
use crate::status::AgentStatus;

fn described(process: &mut Process, id: Option<&str>, attribute: Option<&str>, now: i64) {
    let attributes = attribute.map(|value| ("documentId".to_owned(), value.into()));
    let id = id.map(str::to_owned);
    process.ledger.set_attributes(id, attributes.into_iter().collect(), at(now));
}

fn description(status: &WorkflowStatus) -> (Option<&str>, Option<&Value>) {
    (status.correlation_id.as_deref(), status.attributes.get("documentId"))
}

#[test]
fn a_restart_keeps_the_description_that_it_does_not_change() {
    for (known, given, expected) in [
        (Some("old"), None, Some("old")),
        (Some("old"), Some("new"), Some("new")),
        (None, Some("new"), Some("new")),
        (None, None, None),
    ] {
        let mut table = Table::default();
        let mut first = Process::new("first", 0);
        described(&mut first, known, known, 0);
        first.save(&mut table, 0);
        let mut second = Process::new("second", 10);
        described(&mut second, given, given, 10);
        second.save(&mut table, 10);
        let value = expected.map(Value::from);
        let expected = (expected, value.as_ref());
        assert_eq!(description(&table.status()), expected, "{known:?}, {given:?}");
        assert_eq!(description(second.ledger.status()), expected, "{known:?}, {given:?}");
    }
}

#[test]
fn what_is_described_here_wins_and_what_is_described_elsewhere_is_taken() {
    for (here, elsewhere, expected) in [
        (None, None, "old"),
        (None, Some("theirs"), "theirs"),
        (Some("ours"), None, "ours"),
        (Some("ours"), Some("theirs"), "ours"),
    ] {
        let mut table = Table::default();
        let mut one = Process::new("one", 0);
        described(&mut one, Some("old"), Some("old"), 0);
        one.save(&mut table, 0);
        let mut two = Process::new("two", 1);
        described(&mut two, elsewhere, elsewhere, 1);
        two.start("a", 1);
        two.save(&mut table, 1);
        described(&mut one, here, here, 2);
        one.save(&mut table, 2);
        let expected = (Some(expected), Some(&Value::from(expected)));
        assert_eq!(description(&table.status()), expected, "{here:?}, {elsewhere:?}");
    }
}

#[test]
fn attributes_count_once_with_their_names() {
    let mut process = Process::new("w", 0);
    let attributes = |pairs: &[(&str, &str)]| -> BTreeMap<String, Value> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    };
    process.ledger.set_attributes(None, attributes(&[("ab", "cde"), ("f", "")]), at(0));
    for (more, count, bytes) in [
        (&[][..], 2, 6),
        (&[("g", "hi")], 3, 9),
        (&[("ab", "c")], 2, 4),
        (&[("ab", "c"), ("f", "gh"), ("i", "j")], 3, 8),
    ] {
        let more = attributes(more);
        assert_eq!(process.ledger.attribute_count_with(&more), count, "{more:?}");
        assert_eq!(process.ledger.attribute_bytes_with(&more), bytes, "{more:?}");
    }
}

fn texts(of: &str) -> Arc<Activities> {
    let text = |state: &str| Arc::from(format!("{state}, says {of}"));
    Arc::new(Activities {
        pending: AgentStatus::pending(text("pending")).into(),
        in_progress: text("in progress"),
        success: text("success"),
        error: text("error"),
        model: None,
        ..Activities::default()
    })
}

fn activity(process: &mut Process, agent: &str) -> String {
    process.ledger.status().agent(agent).unwrap().activity.to_string()
}

#[test]
fn an_agent_that_was_first_seen_in_the_table_has_its_own_texts_once_it_is_called() {
    let (mut table, mut other) = (Table::default(), Process::new("other", 0));
    other.start("a", 0);
    other.save(&mut table, 0);
    let mut process = Process::new("w", 1);
    process.start("b", 1);
    process.save(&mut table, 1);
    let slot = process.ledger.slot(&"a".into(), &texts("w"));
    process.ledger.call_started(slot, false, at(2));
    process.ledger.call_ended(
        slot,
        &mut Outcome::Success,
        NewTokens::None,
        &CallDetails::none(at(3)),
        at(3),
    );
    assert_eq!(activity(&mut process, "a"), "success, says w");
    // What is shown is of the texts that the agent had then.
    process.ledger.call_started(slot, false, at(4));
    process.ledger.slot(&"a".into(), &texts("x"));
    assert_eq!(activity(&mut process, "a"), "in progress, says w");
    process.ledger.call_ended(
        slot,
        &mut failure("no"),
        NewTokens::None,
        &CallDetails::none(at(5)),
        at(5),
    );
    assert_eq!(activity(&mut process, "a"), "error, says x");
}

#[test]
fn the_text_of_another_process_is_shown_with_its_state() {
    let (mut table, mut one) = (Table::default(), Process::new("one", 0));
    let slot = one.ledger.slot(&"a".into(), &texts("one"));
    one.ledger.call_started(slot, false, at(0));
    one.save(&mut table, 0);
    let mut two = Process::new("two", 1);
    let there = two.slot("a");
    let report = AgentReport::new(AgentState::Success).activity("Extracted page 3");
    two.ledger.report(there, report, at(9));
    two.save(&mut table, 9);
    // The call ends while a write is in flight.
    one.ledger.heartbeat(at(2));
    let write = one.prepare(4).unwrap();
    one.ledger.call_ended(
        slot,
        &mut Outcome::Success,
        NewTokens::None,
        &CallDetails::none(at(5)),
        at(5),
    );
    let found = table.write(&write).unwrap_err();
    one.conflict(found.as_ref(), 10);
    one.save(&mut table, 10);
    assert_eq!(activity(&mut one, "a"), "Extracted page 3");
    assert_eq!(&*table.status().agent("a").unwrap().activity, "Extracted page 3");
}

#[test]
fn a_number_is_odd_if_nothing_is_in_progress_and_no_workflow_is_open() {
    for (is_called, is_open, is_finished, is_odd) in [
        (false, false, false, true),
        (true, false, false, false),
        (false, true, false, false),
        (true, true, false, false),
        (false, true, true, true),
        (false, false, true, true),
        (true, false, true, false),
    ] {
        let mut process = Process::new("w", 0);
        process.start("a", 0);
        process.end("a", Outcome::Success, 1, 1);
        if is_finished {
            process.ledger.finish(Ok(()), at(2));
        }
        if is_called {
            process.start("a", 3);
        }
        let write = process.ledger.prepare_write("w", 10, is_open, at(10)).unwrap();
        let mut table = Table::default();
        table.write(&write).unwrap();
        let number = table.status().writers.last_write("w");
        assert_eq!(number, Some(10 + u64::from(is_odd)), "{is_called}, {is_open}, {is_finished}");
    }
}
