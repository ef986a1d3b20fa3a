//! A backfill adds what the items of older writers lack, and changes nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tower_agent_status::SessionId;
use tower_agent_status::status::{ItemVersion, Precondition, Timestamp};
use tower_agent_status::store::{
    BackfillPlan, BackfillReport, DynamoDbStore, StatusReader, StatusStore, TimeToLive,
};

use crate::contract::{begun, id};
use crate::endpoint::Endpoint;
use crate::old_items::{Attributes, DAY, now, number, old, put, raw, spelled, text, with, without};
use crate::script::{Script, Step};

const HOUR: Duration = Duration::from_secs(60 * 60);

struct Table {
    script: Script,
    store: DynamoDbStore,
    key: &'static str,
}

impl Table {
    async fn new(key: &'static str, ttl: &'static str, shards: u16) -> Self {
        let script = Script::default();
        let made = DynamoDbStore::new(script.client(1), "status")
            .partition_key(key)
            .ttl_attribute(ttl)
            .recent_shards(shards);
        made.create_table().await.unwrap();
        let store = DynamoDbStore::new(made.client().clone(), "status");
        Self { script, store, key }
    }

    async fn put(&self, id: &str, item: Attributes) {
        put(&self.store, self.key, id, item).await;
    }

    async fn raw(&self, id: &str) -> Attributes {
        raw(&self.store, self.key, id).await
    }

    async fn all(&self) -> BTreeMap<String, Attributes> {
        let scan = self.store.client().scan().table_name("status").send().await.unwrap();
        let id = |item: &Attributes| item[self.key].as_s().unwrap().clone();
        let items = scan.items.unwrap().into_iter().map(|item| item.into_iter().collect());
        items.map(|item| (id(&item), item)).collect()
    }

    async fn plan(&self) -> BackfillPlan {
        let mut plan = self.store.plan_backfill().await.unwrap();
        plan.write_units_per_second = None;
        plan
    }

    async fn backfill(&self) -> BackfillReport {
        self.store.backfill(&self.plan().await, |_| ()).await.unwrap()
    }

    /// What was added to the item by `change`.
    async fn added(&self, id: &str, item: Attributes, plan: &BackfillPlan) -> Vec<String> {
        self.put(id, item).await;
        let before = self.raw(id).await;
        self.store.backfill(plan, |_| ()).await.unwrap();
        added(&before, &self.raw(id).await)
    }
}

/// The names that are new. All others have the value that they had.
fn added(before: &Attributes, after: &Attributes) -> Vec<String> {
    for (name, value) in before {
        assert_eq!(after.get(name), Some(value), "{name} has changed");
    }
    after.keys().filter(|name| !before.contains_key(*name)).cloned().collect()
}

fn seconds(item: &Attributes, name: &str) -> i64 {
    item[name].as_n().unwrap().parse().unwrap()
}

#[tokio::test]
async fn items_get_what_the_index_needs_and_nothing_else_changes() {
    for (key, ttl, shards) in
        [("sessionId", "expiresAt", 1), ("processing_id", "ttl", 1), ("processing_id", "ttl", 4)]
    {
        let table = Table::new(key, ttl, shards).await;
        let undated = without(old(HOUR), "createdAt");
        for (id, item) in [
            ("theirs", old(HOUR)),
            ("spelled", with(undated.clone(), "created_at", text(spelled(2 * HOUR)))),
            ("offset", with(old(HOUR), "createdAt", text("2026-01-01T00:30:00+01:00"))),
            ("undated", undated.clone()),
            ("unreadable", with(undated.clone(), "createdAt", text("yesterday"))),
            ("other-type", with(old(HOUR), "createdDay", text("2026-01-01"))),
            ("settings", without(old(HOUR), "overallStatus")),
        ] {
            table.put(id, item).await;
        }
        table.store.write(&begun("ours", HOUR), Precondition::Absent).await.unwrap();
        let before = table.all().await;
        let report = table.backfill().await;
        let after = table.all().await;
        let names = |names: &[&str]| {
            let shard = (shards > 1).then(|| format!("createdShard{shards}"));
            let names = names.iter().map(|name| (*name).to_owned());
            let mut names: Vec<_> = names.chain(shard).collect();
            names.sort();
            names
        };
        let added: BTreeMap<_, _> =
            before.iter().map(|(id, item)| (&**id, added(item, &after[id]))).collect();
        let expected = BTreeMap::from([
            ("theirs", names(&["createdDay", ttl])),
            ("spelled", names(&["createdAt", "createdDay", ttl])),
            // Older than the retention, so that it gets no expiry.
            ("offset", names(&["createdDay"])),
            ("undated", Vec::new()),
            ("unreadable", Vec::new()),
            ("other-type", names(&[ttl])),
            ("settings", Vec::new()),
            ("ours", Vec::new()),
        ]);
        assert_eq!(added, expected, "{key}, {shards} shards");
        assert_eq!(after["offset"]["createdDay"], text("2025-12-31"), "the day in UTC");
        let created = after["spelled"]["created_at"].as_s().unwrap();
        let ours: Timestamp = created.parse().unwrap();
        assert_eq!(after["spelled"]["createdAt"], text(ours.to_string()));
        if shards > 1 {
            let shard = crc32fast::hash(b"other-type") % 4;
            let expected = text(format!("2026-01-01.{shard}"));
            assert_eq!(after["other-type"]["createdShard4"], expected, "of the day that it has");
        }
        assert_eq!((report.read, report.filled, report.skipped), (8, 4, 0));
        assert!(report.is_whole_table && report.next.is_none());
        let counts = report.counts;
        assert_eq!(counts.unindexed, if shards == 1 { 3 } else { 4 });
        assert_eq!((counts.created_at, counts.created_day), (1, 3));
        assert_eq!(counts.created_shard, if shards == 1 { 0 } else { 4 });
        assert_eq!((counts.expiry, counts.left_without_expiry, counts.kept), (6, 3, 1));
        assert_eq!((counts.undated, counts.unusable, counts.not_sessions), (2, 0, 1));

        // What they lacked is there, so another run has nothing to do.
        let again = table.backfill().await;
        assert_eq!((again.filled, again.counts.unindexed), (0, 0), "{again:?}");
        assert_eq!(table.all().await, after);
        // The index lists them.
        let listed = DynamoDbStore::new(table.store.client().clone(), "status");
        table.script.log();
        let listed = listed.recent(3).await.unwrap();
        assert!(!listed.unindexed);
        assert_eq!(listed.items.len(), 3);
    }
}

#[tokio::test]
async fn an_expiry_that_has_passed_or_is_not_in_seconds_is_counted() {
    let table = Table::new("sessionId", "expiresAt", 1).await;
    let now = now().as_secs();
    for (id, at) in [("past", now - 60), ("ahead", now + 60), ("millis", now * 1_000)] {
        table.put(id, with(old(HOUR), "expiresAt", number(at))).await;
    }
    let report = table.backfill().await;
    assert_eq!((report.counts.expired, report.counts.not_in_seconds), (1, 1));
    assert_eq!(report.counts.expiry, 0, "{report:?}");
}

#[tokio::test]
async fn an_expiry_is_at_least_30_days_ahead() {
    let table = Table::new("sessionId", "ttl", 1).await;
    let plan = table.plan().await;
    let day = i64::try_from(DAY.as_secs()).unwrap();
    let days = |days: i64| now().as_secs() + days * day;
    let near = |at: i64, expected: i64| (at - expected).abs() <= 5;
    for (ago, expected) in [
        (Duration::ZERO, 90),
        (10 * DAY, 80),
        (60 * DAY - HOUR, 30),
        (61 * DAY, 30),
        (90 * DAY - HOUR, 30),
    ] {
        let id = format!("{}", ago.as_secs());
        let names = table.added(&id, old(ago), &plan).await;
        assert_eq!(names, ["createdDay", "ttl"], "{ago:?}");
        let item = table.raw(&id).await;
        let at = seconds(&item, "ttl");
        let slack = if ago == 60 * DAY - HOUR { 3_600 } else { 0 };
        assert!(near(at, days(expected) + slack), "{ago:?}: {at}");
        let created: Timestamp = item["createdAt"].as_s().unwrap().parse().unwrap();
        let promised = created.saturating_add(90 * DAY).as_secs();
        assert!(at >= promised && at >= now().as_secs() + 30 * day - 5);
    }
    // Older than the retention, or of unknown age: only if that is said.
    let undated = without(old(HOUR), "createdAt");
    assert_eq!(table.added("old", old(90 * DAY + HOUR), &plan).await, ["createdDay"]);
    assert!(table.added("undated", undated, &plan).await.is_empty());
    let mut forced = plan.clone();
    forced.expire_after = Some(60 * DAY);
    let report = table.store.backfill(&forced, |_| ()).await.unwrap();
    assert_eq!(report.filled, 2);
    for id in ["old", "undated"] {
        assert!(near(seconds(&table.raw(id).await, "ttl"), days(60)), "{id}");
    }
    let month = now().saturating_add(60 * DAY).day()[..7].to_owned();
    assert_eq!(report.expiring, BTreeMap::from([(month, 2)]));
    forced.expire_after = Some(30 * DAY - Duration::from_secs(1));
    let error = table.store.backfill(&forced, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("set 30 days or more"), "{error}");

    // A shorter retention than 30 days is no reason for less.
    let mut short = plan.clone();
    short.retention = 7 * DAY;
    table.added("short", old(6 * DAY), &short).await;
    assert!(near(seconds(&table.raw("short").await, "ttl"), days(30)));
    assert_eq!(table.added("past", old(8 * DAY), &short).await, ["createdDay"]);

    // Somebody has removed the expiry of an item that a tracker writes.
    let kept = with(old(HOUR), "revision", number(3));
    assert_eq!(table.added("kept", kept, &plan).await, ["createdDay"]);
    // A value of another type stays.
    let never = with(old(HOUR), "ttl", AttributeValue::Null(true));
    assert_eq!(table.added("never", never, &plan).await, ["createdDay"]);
    let mut without = plan.clone();
    without.ttl_attribute = None;
    assert_eq!(table.added("unwanted", old(HOUR), &without).await, ["createdDay"]);
}

#[tokio::test]
async fn no_expiry_goes_to_an_attribute_that_is_not_known_to_be_one() {
    let table = Table::new("sessionId", "expiresAt", 1).await;
    let other =
        r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"lastUpdated"}}"#;
    table.script.always("DescribeTimeToLive", Step::Answer(200, other));
    assert_eq!(table.plan().await.ttl_attribute, None, "it holds something else");
    table.script.heal();
    table.script.always("DescribeTimeToLive", Step::refuse("AccessDeniedException"));
    let plan = table.plan().await;
    assert_eq!(plan.ttl_attribute, None);
    let TimeToLive::Unknown(why) = &plan.time_to_live else { panic!("{plan:?}") };
    assert!(why.contains("allow `dynamodb:DescribeTimeToLive`"), "{why}");
    assert_eq!(table.added("s", old(HOUR), &plan).await, ["createdDay"]);
    table.script.heal();
    let off = r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#;
    table.script.always("DescribeTimeToLive", Step::Answer(200, off));
    assert_eq!(table.plan().await.ttl_attribute.as_deref(), Some("expiresAt"));
}

/// The answer to a scan, as if the items were so when they were read.
fn page(items: &[(&str, Attributes)]) -> Step {
    let items = items.iter().map(|(id, item)| {
        let value = |value: &AttributeValue| match value {
            AttributeValue::N(number) => serde_json::json!({ "N": number }),
            AttributeValue::S(text) => serde_json::json!({ "S": text }),
            other => panic!("{other:?}"),
        };
        let names = ["overallStatus", "createdAt", "lastUpdated", "revision", "createdDay"];
        let item = item.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let mut item: serde_json::Map<_, _> =
            item.map(|(name, found)| (name.clone(), value(found))).collect();
        item.insert("processing_id".to_owned(), serde_json::json!({ "S": id }));
        item
    });
    let page = serde_json::json!({ "Items": items.collect::<Vec<_>>() });
    Step::Answer(200, Box::leak(page.to_string().into_boxed_str()))
}

#[tokio::test]
async fn what_has_changed_since_it_was_read_is_skipped() {
    let table = Table::new("processing_id", "ttl", 4).await;
    let read = old(HOUR);
    for (id, is) in [
        ("updated", with(read.clone(), "lastUpdated", text(spelled(Duration::ZERO)))),
        ("adopted", with(read.clone(), "revision", number(1))),
        ("created-anew", with(read.clone(), "createdAt", text(spelled(Duration::ZERO)))),
        ("listed", with(read.clone(), "createdDay", text("2026-01-01"))),
        ("expires", with(read.clone(), "ttl", number(17))),
        ("undated", without(read.clone(), "createdAt")),
    ] {
        table.put(id, is).await;
        let before = table.all().await;
        table.script.next("Scan", [page(&[(id, read.clone())])]);
        let report = table.backfill().await;
        assert_eq!((report.filled, report.skipped), (0, 1), "{id}");
        assert_eq!(table.all().await, before, "{id}");
    }
    // A revision that was read, and is another now.
    let revised = with(read.clone(), "revision", number(1));
    table.put("revised", with(read.clone(), "revision", number(2))).await;
    table.script.next("Scan", [page(&[("revised", revised)])]);
    assert_eq!(table.backfill().await.skipped, 1);
    // What is gone is not created again.
    table.script.next("Scan", [page(&[("gone", read.clone())])]);
    let report = table.backfill().await;
    assert_eq!((report.filled, report.skipped), (0, 1));
    assert!(table.raw("gone").await.is_empty());
}

#[tokio::test]
async fn a_tracker_meets_no_conflict() {
    let table = Table::new("sessionId", "expiresAt", 1).await;
    table.put("adopted", with(old(HOUR), "revision", number(7))).await;
    let seen = table.store.get(&id("adopted")).await.unwrap().unwrap();
    let seen = Precondition::Version(ItemVersion::of(&seen));
    assert_eq!(table.backfill().await.filled, 1);
    let change = begun("adopted", HOUR);
    let written = table.store.write(&change, seen).await.unwrap();
    assert_eq!(written, tower_agent_status::store::WriteOutcome::Applied);
}

#[tokio::test]
async fn a_run_continues_where_the_previous_one_stopped() {
    let table = Table::new("sessionId", "expiresAt", 1).await;
    // Four to a page.
    let large = with(old(HOUR), "text", text("x".repeat(250_000)));
    for n in 0..10 {
        table.put(&format!("s{n}"), large.clone()).await;
    }
    let mut plan = table.plan().await;
    plan.max_pages = 1;
    let (mut filled, mut read, mut runs) = (0, 0, 0);
    loop {
        table.script.log();
        let mut steps = Vec::new();
        let report = table.store.backfill(&plan, |step| steps.push(step.clone())).await.unwrap();
        assert_eq!(steps, std::slice::from_ref(&report));
        assert_eq!(table.script.count("Scan"), 1, "nothing is read again");
        assert!(!report.is_whole_table);
        filled += report.filled;
        read += report.read;
        runs += 1;
        plan.from = report.next;
        if plan.from.is_none() {
            break;
        }
        // A sample is not only of what the first run has seen.
        assert!(table.store.sample_backfill(&plan).await.unwrap().counts.unindexed > 0);
        assert!(table.store.recent(1).await.unwrap().unindexed);
        assert!(SessionId::new(plan.from.as_ref().unwrap()).is_ok());
    }
    assert_eq!((filled, read), (10, 10));
    assert!(runs >= 3, "{runs}");
    assert_eq!(table.store.sample_backfill(&plan).await.unwrap().counts.unindexed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_anywhere_can_be_continued() {
    for stop in 0.. {
        let table = Table::new("sessionId", "expiresAt", 4).await;
        for n in 0..3_u32 {
            table.put(&format!("s{n}"), old(HOUR * n)).await;
        }
        let plan = table.plan().await;
        table.script.stop_after(stop);
        let stopped = table.store.backfill(&plan, |_| ()).await;
        table.script.heal();
        let rest = table.backfill().await;
        assert_eq!(rest.read, 3);
        assert_eq!(table.backfill().await.filled, 0);
        let Err(error) = stopped else {
            assert_eq!(stop, 4);
            return;
        };
        assert!(error.is_access_denied());
        let operation = if stop == 0 { "Scan" } else { "UpdateItem" };
        let error = error.to_string();
        assert!(error.contains("cannot backfill DynamoDB table `status`"), "{error}");
        assert!(error.contains(&format!("allow `dynamodb:{operation}`")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_requests_are_repeated_and_an_item_that_is_refused_is_left_out() {
    let table = Table::new("sessionId", "expiresAt", 1).await;
    for n in 0..3 {
        table.put(&format!("s{n}"), old(HOUR)).await;
    }
    let plan = table.plan().await;
    let throttled = || Step::refuse("ThrottlingException");
    table.script.next("Scan", [throttled(), Step::Reset]);
    table
        .script
        .next("UpdateItem", [throttled(), throttled(), Step::refuse("ValidationException")]);
    let report = table.store.backfill(&plan, |_| ()).await.unwrap();
    assert_eq!((report.filled, report.rejected), (2, 1));
    let (session, why) = report.rejection.unwrap();
    assert!(session.starts_with('s') && why.contains("ValidationException"), "{session}: {why}");
    table.script.always("UpdateItem", throttled());
    let error = table.store.backfill(&plan, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("repeat the command to continue"), "{error}");
}

#[tokio::test]
async fn a_preview_says_what_a_run_does_and_writes_nothing() {
    let table = Table::new("processing_id", "ttl", 4).await;
    for n in 0..5_u32 {
        table.put(&format!("s{n}"), old(25 * DAY * n)).await;
    }
    let before = table.all().await;
    let plan = table.plan().await;
    table.script.log();
    let preview = table.store.preview_backfill(&plan, |_| ()).await.unwrap();
    let sample = table.store.sample_backfill(&plan).await.unwrap();
    assert_eq!(table.script.count("UpdateItem"), 0);
    assert_eq!(table.all().await, before);
    assert_eq!(preview.expiring.values().sum::<u64>(), 4, "{preview:?}");
    // Each item of up to a kilobyte, and its entry of the index.
    assert_eq!((preview.filled, preview.write_units), (5, 10));
    assert_eq!((plan.item_count, plan.read_units(), plan.write_units()), (5, 1, 10));
    assert_eq!(sample, preview);
    assert_eq!(table.store.backfill(&plan, |_| ()).await.unwrap(), preview);
}

#[tokio::test(start_paused = true)]
async fn a_run_takes_no_more_than_its_write_units_per_second() {
    let table = Table::new("sessionId", "expiresAt", 1).await;
    for n in 0..50 {
        table.put(&format!("s{n:02}"), old(HOUR)).await;
    }
    let mut plan = table.plan().await;
    plan.write_units_per_second = Some(10);
    let started = tokio::time::Instant::now();
    let report = table.store.backfill(&plan, |_| ()).await.unwrap();
    assert_eq!((report.filled, report.write_units), (50, 100));
    let took = started.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn an_embedded_store_is_filled_in_too() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    put(&store, "sessionId", "theirs", old(HOUR)).await;
    let before = raw(&store, "sessionId", "theirs").await;
    let plan = store.plan_backfill().await.unwrap();
    assert_eq!(store.backfill(&plan, |_| ()).await.unwrap().filled, 1);
    let after = raw(&store, "sessionId", "theirs").await;
    assert_eq!(added(&before, &after), ["createdDay", "expiresAt"]);
    assert!(store.get(&id("theirs")).await.unwrap().is_some());
}

#[tokio::test]
async fn an_endpoint_is_filled_in_too() {
    for shards in [1, 4] {
        let Some(endpoint) = Endpoint::from_env("backfill", shards).await else { return };
        let store = endpoint.store();
        let large = with(old(HOUR), "text", text("x".repeat(250_000)));
        for n in 0..9 {
            put(store, "sessionId", &format!("s{n}"), large.clone()).await;
        }
        put(store, "sessionId", "newest", old(Duration::ZERO)).await;
        let before = raw(store, "sessionId", "newest").await;
        for n in 0..2 {
            store.write(&begun(&format!("ours{n}"), HOUR), Precondition::Absent).await.unwrap();
        }
        assert!(store.recent(2).await.unwrap().unindexed);
        let mut plan = store.plan_backfill().await.unwrap();
        // Not every emulator has time to live.
        plan.ttl_attribute = Some("expiresAt".to_owned());
        plan.max_pages = 1;
        let (mut filled, mut runs) = (0, 0);
        loop {
            let report = store.backfill(&plan, |_| ()).await.unwrap();
            assert_eq!((report.skipped, report.rejected), (0, 0), "{report:?}");
            filled += report.filled;
            runs += 1;
            plan.from = report.next;
            if plan.from.is_none() {
                break;
            }
        }
        assert_eq!(filled, 10);
        assert!(runs > 1);
        let after = raw(store, "sessionId", "newest").await;
        let added: Vec<_> = added(&before, &after);
        assert_eq!(added.len(), if shards == 1 { 2 } else { 3 }, "{added:?}");
        let recent = store.recent(2).await.unwrap();
        assert!(!recent.unindexed);
        assert_eq!(recent.items[0].0.as_str(), "newest");
        endpoint.close().await;
    }
}
